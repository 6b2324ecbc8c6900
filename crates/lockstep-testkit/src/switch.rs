//! # switch: a network whose datagrams come late and in another order
//!
//! A kernel without `netem` delays nothing, so this does: the bridge lets no multicast pass from node to
//! node, but to a node that only carries it on. There one thread for each group holds every datagram for a
//! time of its own, drawn from a seed, and sends it to the group; what was held shorter overtakes. Unicast
//! passes the bridge as ever.
//!
//! ```text
//!   node 1 ─ multicast ─▶ node N: held for `delay_us` and up to `jitter_us` more ─▶ everybody, node 1 too
//!      └──── unicast ───────────────────────────────────────────────────────────▶ node 2
//! ```
//! A seed decides how long the datagrams of a group are held, in the order in which they come.

use crate::netns::{Cut, Network};
use lockstep_memory::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Datagrams that one group's thread holds at most; what comes on top is lost, and counted.
const DELAYED_MAX: usize = 4096;
/// No datagram of ours is longer.
const DATAGRAM_BYTES_MAX: usize = 9000;
/// Between two looks at whether it is to stop.
const LOOK: Duration = Duration::from_millis(5);

/// How long it holds what it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkModel {
    /// Every datagram, at least.
    pub delay_us: u64,
    /// And up to so much more, each for itself.
    pub jitter_us: u64,
    /// What the draws follow from.
    pub seed: u64,
}

/// What it has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Carried {
    /// Datagrams that came.
    pub taken: u64,
    /// Of them those that were sent behind a younger one.
    pub overtaken: u64,
    /// Of them those that found no room.
    pub lost: u64,
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    overtaken: AtomicU64,
    lost: AtomicU64,
}

/// It carries until it is dropped.
pub struct Switch {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Switch {
    /// All multicast between the nodes of `network` goes by its last node from now on, to these groups.
    pub fn start(network: &Network, groups: &[SocketAddrV4], network_model: NetworkModel) -> Self {
        let node = network.len();
        let others: Vec<usize> = (1..node).collect();
        let place = network.node(node);
        place.shell("ip route replace 239.0.0.0/8 dev eth0");
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let mut threads = Vec::new();
        for (index, &group) in (0..).zip(groups) {
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            let socket = place.within(move || open(group, node));
            let socket = socket.unwrap_or_else(|error| panic!("{group} of the switch: {error}"));
            threads.push(std::thread::spawn(move || {
                let rng = Rng::new(network_model.seed.wrapping_add(index));
                carry(&socket, group, network_model, rng, &stop, &counts);
            }));
        }
        network.cut(&[Cut::one_way(&others, &others).of_multicast()]);
        Self { stop, counts, threads }
    }

    /// What it has done so far.
    pub fn carried(&self) -> Carried {
        let Counts { taken, overtaken, lost } = &*self.counts;
        let [taken, overtaken, lost] = [taken, overtaken, lost].map(|count| count.load(Ordering::Relaxed));
        Carried { taken, overtaken, lost }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // one that panicked has printed why
        }
    }
}

/// A socket that hears this group alone, and not itself.
fn open(group: SocketAddrV4, node: usize) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(group)?;
    socket.join_multicast_v4(group.ip(), &Network::address(node))?;
    socket.set_multicast_loop_v4(false)?;
    Ok(socket)
}

/// A datagram that is held: until when, which one it was, and what it says.
type Delayed = Reverse<(Instant, u64, Vec<u8>)>;

fn carry(
    socket: &UdpSocket,
    group: SocketAddrV4,
    network_model: NetworkModel,
    mut rng: Rng,
    stop: &AtomicBool,
    counts: &Counts,
) {
    let mut delayed: BinaryHeap<Delayed> = BinaryHeap::with_capacity(DELAYED_MAX);
    let (mut number, mut youngest) = (0, 0);
    let mut bytes = [0; DATAGRAM_BYTES_MAX];
    while !stop.load(Ordering::Acquire) {
        while let Some(Reverse((due, ..))) = delayed.peek()
            && *due <= Instant::now()
            && let Some(Reverse((_, which, datagram))) = delayed.pop()
        {
            counts.overtaken.fetch_add(u64::from(which < youngest), Ordering::Relaxed);
            youngest = youngest.max(which);
            // A full device loses it, as a switch does.
            counts.lost.fetch_add(u64::from(socket.send_to(&datagram, group).is_err()), Ordering::Relaxed);
        }
        let next =
            delayed.peek().map_or(LOOK, |Reverse((due, ..))| due.saturating_duration_since(Instant::now()));
        // None would wait for ever, and nothing at all is refused.
        let wait = next.clamp(Duration::from_micros(10), LOOK);
        socket.set_read_timeout(Some(wait)).expect("a wait that is not zero");
        let Ok(length) = socket.recv(&mut bytes) else { continue };
        number += 1;
        counts.taken.fetch_add(1, Ordering::Relaxed);
        let delay_us = network_model.delay_us + rng.below(network_model.jitter_us + 1);
        if delayed.len() < DELAYED_MAX {
            let due = Instant::now() + Duration::from_micros(delay_us);
            delayed.push(Reverse((due, number, bytes[..length].to_vec())));
        } else {
            counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
