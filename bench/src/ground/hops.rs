//! UDP round trips over an interface: the very forwarders that stand in for leader and standby in `latency`.
//!
//! ```text
//!   1 hop    a socket that hears itself
//!   2 hops   client ─▶ forwarder ─▶ client
//!   3 hops   client ─▶ forwarder ─▶ forwarder ─▶ client
//! ```
//!
//! Who spins never sleeps: processes bound to cores, as lockstep's. Who sleeps is woken by the kernel for each
//! datagram, in threads with the plainest sockets.

use super::{Plan, pin};
use crate::client::{Client, Ground, Measure, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::floor::{number, write_message};
use crate::hosts::Hosts;
use crate::node::{NodeArguments, Role};
use crate::plain::{self, Plain};
use crate::results::{Round, Row, Unit};
use crate::scene::{Contestant, Node};
use crate::stats::Latencies;
use crate::transport::Transport;
use crate::turns::Turns;
use lockstep_client::Delivery;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_io::udp::{Udp, UdpSettings};
use lockstep_wire::Nanos;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What of a turn does not count yet.
pub const WARM_UP_NS: Nanos = 50_000_000;
/// A datagram that takes longer is lost, and with it the measurement.
const LOST_NS: Nanos = 5_000_000_000;
/// How long a sleeping thread may take to notice that it is over.
const LOOK: Duration = Duration::from_millis(20);
/// The way of a datagram: each hop takes it from one group to the next.
const WAY: [Group; 3] = [Group::Submit, Group::Data, Group::Control];

/// Every number of hops in every way.
pub fn turn(turns: &mut Turns<'_>, plan: &Plan, interface: &str) -> Result<(), String> {
    for hops in 1..=if plan.cores.len() > 1 { 3 } else { 1 } {
        let idle = Idle::for_machine(hops, plan.cores.len());
        let cluster = cluster(interface, hops, idle)?;
        let mut add = |subject: &str, words: String, trips: Result<Latencies, String>, at: Instant| {
            let case = format!("udp, {hops} hop{}, {MESSAGE_LEN} B", if hops == 1 { "" } else { "s" });
            let trips = trips.map_err(|error| format!("{case}, {words}: {error}"))?;
            let row = Row::new(&case, subject, &words, Unit::Nanos).over([("hops", hops as f64)]);
            let counted = plan.turn.saturating_sub(Duration::from_nanos(WARM_UP_NS));
            turns.add(row, at, counted, Round::of(&trips)?);
            Ok::<_, String>(())
        };
        for contestant in [Contestant::Plain, Contestant::Io] {
            let at = Instant::now();
            let words = format!("{}, {idle}", contestant.name());
            let found = match hops {
                1 => echo(contestant, &cluster, plan, idle),
                _ => awake(contestant, Transport::Udp, &Hosts::here(), &cluster, plan, idle),
            };
            add(contestant.key(), words, found.map(|found| found.trips), at)?;
        }
        if hops > 1 {
            let at = Instant::now();
            add("asleep", "recv that sleeps, sendto".into(), asleep(&cluster, hops, plan), at)?;
        }
    }
    Ok(())
}

/// Where the groups of these hops are.
pub fn cluster(interface: &str, hops: usize, idle: Idle) -> Result<Cluster, String> {
    // As long as the program, in which there is one interface.
    let interface = interface.to_owned().leak();
    Cluster::file(&Site { interface, ..Site::loopback(if hops == 3 { 3 } else { 1 }) }, idle)
}

/// A socket that hears itself, and looks for datagrams all the time.
fn echo(contestant: Contestant, cluster: &Cluster, plan: &Plan, idle: Idle) -> Result<Found, String> {
    let trips = Trips { turn_ns: plan.turn.as_nanos() as Nanos, idle };
    let udp = cluster.udp(&WAY[..1]);
    match contestant {
        Contestant::Plain => trips.over(Echo(Plain::open(&udp)?)),
        _ => trips.over(Echo(Udp::open(udp).map_err(|error| error.to_string())?)),
    }
}

/// One contestant with its forwarders: one in a cluster of one, two in a greater one. All look for datagrams all the
/// time.
pub fn awake(
    contestant: Contestant,
    transport: Transport,
    hosts: &Hosts,
    cluster: &Cluster,
    plan: &Plan,
    idle: Idle,
) -> Result<Found, String> {
    let trips = Trips { turn_ns: plan.turn.as_nanos() as Nanos, idle };
    let has_standby = cluster.config.endpoint().replicas.len() > 1;
    let start = |role, core| {
        let client = hosts.client_address();
        let arguments = NodeArguments { transport, client, ..NodeArguments::new(contestant, role, core) };
        Node::start_on(hosts, cluster, &arguments)
    };
    let _leader = start(Role::Leader, plan.cores[1])?;
    let _standby = has_standby.then(|| start(Role::Standby, third(plan))).transpose()?;
    let delivery = if has_standby { Delivery::Committed } else { Delivery::Stamped };
    let _entered = hosts.enter()?;
    measure(contestant, Ground::over(cluster, hosts, transport), delivery, MESSAGE_LEN, trips)
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
            let trips = Trips { turn_ns: plan.turn.as_nanos() as Nanos, idle: Idle::Spin };
            Ok(trips.over(client)?.trips)
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

/// There and back, again and again, one datagram at a time.
struct Trips {
    turn_ns: Nanos,
    idle: Idle,
}

/// What was found.
pub struct Found {
    /// There and back.
    pub trips: Latencies,
    /// To the first forwarder alone, by wall clocks; nothing without one.
    pub there: Latencies,
}

impl Measure for Trips {
    type Found = Found;

    fn with(self, client: impl Client) -> Result<Found, String> {
        self.over(OfClient(client))
    }
}

impl Trips {
    fn over(self, mut way: impl Way) -> Result<Found, String> {
        let clock = Clock::start();
        let mut waiter = self.idle.waiter(&[]).map_err(|error| error.to_string())?;
        let (mut trips, mut there) = (Latencies::new()?, Latencies::new()?);
        let mut message = [0; MESSAGE_LEN];
        let began = clock.now();
        for sent_number in 1.. {
            let sent = clock.now();
            write_message(&mut message, sent_number, sent);
            way.send(&message);
            let (mut came, mut now, mut stamped_at) = (false, sent, None);
            while !came {
                let work = way.receive(|message, stamped| {
                    if number(message) == sent_number {
                        (came, stamped_at) = (true, stamped);
                    }
                });
                now = clock.now();
                if now > sent + LOST_NS {
                    return Err(format!("datagram {sent_number} did not come within {LOST_NS} ns"));
                }
                if work == 0 {
                    waiter.wait(0);
                }
            }
            if sent > began + WARM_UP_NS {
                trips.record(now - sent);
                if let Some(stamped) = stamped_at {
                    there.record(stamped.saturating_sub(clock.wall(sent)));
                }
            }
            if now > began + self.turn_ns && !trips.is_empty() {
                break;
            }
        }
        Ok(Found { trips, there })
    }
}

/// There and back.
trait Way {
    /// Sends a datagram. One that is not taken does not come back, which ends the measurement.
    fn send(&mut self, message: &[u8; MESSAGE_LEN]);
    /// Hands what came to `f`, with the wall time at which the first forwarder had it if there is one. Returns how
    /// many it were.
    fn receive(&mut self, f: impl FnMut(&[u8], Option<Nanos>)) -> usize;
}

/// By forwarders in processes of their own.
struct OfClient<C>(C);

impl<C: Client> Way for OfClient<C> {
    fn send(&mut self, message: &[u8; MESSAGE_LEN]) {
        self.0.publish(message);
        self.0.flush();
    }

    fn receive(&mut self, mut f: impl FnMut(&[u8], Option<Nanos>)) -> usize {
        self.0.turn(|message, stamped| f(message, Some(stamped)))
    }
}

/// By a socket that hears itself.
struct Echo<N>(N);

impl<N: Net> Way for Echo<N> {
    fn send(&mut self, message: &[u8; MESSAGE_LEN]) {
        self.0.send_group(WAY[0], &[Burst { bytes: message, stride: MESSAGE_LEN }]);
    }

    fn receive(&mut self, mut f: impl FnMut(&[u8], Option<Nanos>)) -> usize {
        let count = self.0.recv_groups();
        (0..count).for_each(|index| f(self.0.group_datagram(index), None));
        count
    }
}

/// By a client that sleeps until its datagram comes.
struct Sleeper {
    socket: UdpSocket,
    to: SocketAddrV4,
}

impl Way for Sleeper {
    fn send(&mut self, message: &[u8; MESSAGE_LEN]) {
        let _ = self.socket.send_to(message, self.to); // what is not sent does not come
    }

    fn receive(&mut self, mut f: impl FnMut(&[u8], Option<Nanos>)) -> usize {
        let mut datagram = [0; MESSAGE_LEN];
        let len = self.socket.recv(&mut datagram).unwrap_or(0);
        f(&datagram[..len], None);
        usize::from(len > 0)
    }
}
