//! UDP round trips over an interface: the very forwarders that stand in for leader and standby in `latency`.
//!
//! ```text
//!   1 hop    a socket that hears itself
//!   2 hops   client ─▶ forwarder ─▶ client
//!   3 hops   client ─▶ forwarder ─▶ forwarder ─▶ client
//! ```
//!
//! A thread that spins never sleeps: processes bound to cores, as lockstep's. A thread that sleeps is woken
//! by the kernel for each datagram, in threads with the plainest sockets.

use super::Plan;
use crate::client::{Client, Measure};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::contestant::Contestant;
use crate::harness::{Run, pin};
use crate::plain::{self, Plain};
use crate::probe::{Found, Rally};
use crate::results::{Round, Row, Unit};
use crate::stage::Stage;
use crate::stats::Latencies;
use crate::ways::Way;
use lockstep_client::Delivery;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::idle::Idle;
use lockstep_io::udp::{Udp, UdpSettings};
use lockstep_wire::Nanos;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What of a turn does not count yet.
pub const WARM_UP_NS: Nanos = 50_000_000;
/// How long a sleeping thread may take to notice that it is over.
const LOOK: Duration = Duration::from_millis(20);
/// The way of a datagram: each hop takes it from one group to the next.
const WAY: [Group; 3] = [Group::Submit, Group::Data, Group::Control];

/// Every number of hops in every way.
pub fn turn(run: &mut Run, plan: &Plan, interface: &str) -> Result<(), String> {
    for hops in 1..=if plan.cores.len() > 1 { 3 } else { 1 } {
        let idle = Idle::for_machine(hops, plan.cores.len());
        let cluster = cluster(interface, hops, idle)?;
        let mut add = |subject: &str, words: String, trips: Result<Latencies, String>, at: Instant| {
            let case = format!("udp, {hops} hop{}, {MESSAGE_LEN} B", if hops == 1 { "" } else { "s" });
            let trips = trips.map_err(|error| format!("{case}, {words}: {error}"))?;
            let row = Row::new(&case, subject, &words, Unit::Nanos).over([("hops", hops as f64)]);
            let counted = plan.turn.saturating_sub(Duration::from_nanos(WARM_UP_NS));
            run.record(row, at, counted, Round::of(&trips)?);
            Ok::<_, String>(())
        };
        for contestant in [Contestant::Plain, Contestant::Io] {
            let at = Instant::now();
            let words = format!("{}, {idle}", contestant.name());
            let found = match hops {
                1 => echo(contestant, &cluster, plan, idle),
                _ => awake(contestant, &Way::default(), &cluster, plan, idle),
            };
            add(contestant.key(), words, found.map(|found| found.latencies), at)?;
        }
        if hops > 1 {
            let at = Instant::now();
            add("asleep", "recv that sleeps, sendto".into(), asleep(&cluster, hops, plan), at)?;
        }
    }
    Ok(())
}

/// There and back, again and again, one datagram at a time; to the first forwarder alone as well, by wall
/// clocks.
fn trips(plan: &Plan, idle: Idle) -> Rally {
    let turn_ns = plan.turn.as_nanos() as Nanos;
    let warm_up_ns = WARM_UP_NS.min(turn_ns / 2);
    Rally { warm_up_ns, one_way: true, ..Rally::probe(MESSAGE_LEN, turn_ns - warm_up_ns, idle) }
}

/// Where the groups of these hops are.
pub fn cluster(interface: &str, hops: usize, idle: Idle) -> Result<Cluster, String> {
    // As long as the program, in which there is one interface.
    let interface = interface.to_owned().leak();
    Cluster::file(&Site { interface, ..Site::loopback(if hops == 3 { 3 } else { 1 }) }, idle)
}

/// A socket that hears itself, and looks for datagrams all the time.
fn echo(contestant: Contestant, cluster: &Cluster, plan: &Plan, idle: Idle) -> Result<Found, String> {
    let udp = cluster.udp(&WAY[..1]);
    match contestant {
        Contestant::Plain => trips(plan, idle).with(Echo(Plain::open(&udp)?)),
        _ => trips(plan, idle).with(Echo(Udp::open(udp).map_err(|error| error.to_string())?)),
    }
}

/// One contestant with its forwarders: one in a cluster of one, two in a greater one. All look for datagrams
/// all the time.
pub fn awake(
    contestant: Contestant,
    way: &Way,
    cluster: &Cluster,
    plan: &Plan,
    idle: Idle,
) -> Result<Found, String> {
    let has_standby = cluster.config.replicas.len() > 1;
    let delivery = if has_standby { Delivery::Committed } else { Delivery::Stamped };
    let stage = Stage::of(contestant, way, delivery, [plan.cores[1], third(plan)]);
    stage.play(cluster, MESSAGE_LEN, |_| Ok(trips(plan, idle))).map(|(found, _)| found)
}

/// The core of the second forwarder: the client's where there is no third.
fn third(plan: &Plan) -> usize {
    plan.cores.get(2).copied().unwrap_or(plan.cores[0])
}

/// The same where everybody sleeps until a datagram comes.
fn asleep(cluster: &Cluster, hops: usize, plan: &Plan) -> Result<Latencies, String> {
    let over = AtomicBool::new(false);
    let socket = |group: Group| {
        let udp = cluster.udp(&[group]);
        let socket = plain::socket(&udp)?;
        let wait = socket.set_nonblocking(false).and_then(|()| socket.set_read_timeout(Some(LOOK)));
        wait.map_err(|error| format!("letting a socket sleep: {error}"))?;
        Ok::<_, String>((socket, udp))
    };
    std::thread::scope(|scope| {
        let over = &over;
        let mut forwarders = Vec::new();
        for (place, hop) in WAY.windows(2).take(hops - 1).enumerate() {
            let (from, udp) = socket(hop[0])?;
            let (to, core) = (target(&udp, hop[1]), [plan.cores[1], third(plan)][place]);
            forwarders.push(scope.spawn(move || {
                pin(core)?;
                forward(&from, to, over)
            }));
        }
        let found = socket(WAY[hops - 1]).and_then(|(socket, udp)| {
            let client = Sleeper { socket, to: target(&udp, WAY[0]) };
            Ok(trips(plan, Idle::Spin).with(client)?.latencies)
        });
        over.store(true, Ordering::Release);
        for forwarder in forwarders {
            forwarder.join().map_err(|_| "a forwarder panicked".to_owned())??;
        }
        found
    })
}

fn target(udp: &UdpSettings, group: Group) -> SocketAddrV4 {
    SocketAddrV4::new(udp.groups[group as usize], udp.port)
}

fn forward(from: &UdpSocket, to: SocketAddrV4, over: &AtomicBool) -> Result<(), String> {
    let mut datagram = [0; MESSAGE_LEN];
    while !over.load(Ordering::Acquire) {
        // Nothing came in time: it is looked whether there is more to do.
        let Ok(len) = from.recv(&mut datagram) else { continue };
        from.send_to(&datagram[..len], to).map_err(|error| format!("forwarding a datagram: {error}"))?;
    }
    Ok(())
}

/// By a socket that hears itself.
struct Echo<N>(N);

impl<N: Net> Client for Echo<N> {
    fn publish(&mut self, message: &[u8]) -> bool {
        self.0.send_group(WAY[0], &[Burst { bytes: message, stride: MESSAGE_LEN }]) == 1
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8], Nanos)) -> usize {
        let count = self.0.recv_groups();
        (0..count).for_each(|index| f(self.0.group_datagram(index), 0));
        count
    }
}

/// By a client that sleeps until its datagram comes.
struct Sleeper {
    socket: UdpSocket,
    to: SocketAddrV4,
}

impl Client for Sleeper {
    fn publish(&mut self, message: &[u8]) -> bool {
        self.socket.send_to(message, self.to).is_ok()
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8], Nanos)) -> usize {
        let mut datagram = [0; MESSAGE_LEN];
        let len = self.socket.recv(&mut datagram).unwrap_or(0);
        if len > 0 {
            f(&datagram[..len], 0);
        }
        usize::from(len > 0)
    }
}
