//! # cards: nodes that take their datagrams from a card by xdp, and are killed
//!
//! The questions: is anything left on the card, does the interface work on, is the node back at once; and
//! does everybody else on the host hear on? Orders cross the wire (veth pairs of namespaces) while the nodes
//! are killed, and [`Scene::end`] judges what became of them.

use crate::netns::{Cut, Namespace, Network};
use crate::processes::{PATIENCE, Process};
use crate::takeover::{Scene, Shown};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// What a replica says that has the card.
const HAS_CARD: &str = "effective transport xdp ";
/// Between two looks at a log or a card.
const LOOK: Duration = Duration::from_micros(200);

/// How long each of some things took.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    /// The least time within which so many of a hundred were done.
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(place).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}")
    }
}

/// What killing a node has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Killed {
    /// From the end of the process until no program was on the card.
    pub gone: Times,
    /// From there until an ordinary socket had a datagram of a group.
    pub received: Times,
    /// From the start of the next process until the card was its own.
    pub open: Times,
    /// From that start until it led again.
    pub leads: Times,
    /// What became of the orders.
    pub shown: Shown,
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gone, received, open, leads, shown } = self;
        writeln!(f, "killed {} times, nothing was left on the card, every next one had it", gone.0.len())?;
        writeln!(f, "  no program on the card after {gone}")?;
        writeln!(f, "  an ordinary socket hears after  {received}")?;
        writeln!(f, "  started, has the card after     {open}")?;
        writeln!(f, "  started, leads after            {leads}")?;
        write!(f, "  {shown}")
    }
}

/// Kills a node that is alone in its cluster `times` times, with orders in flight that come by its card.
///
/// # Panics
/// Something is left on the card, the interface brings nothing to an ordinary socket, or the node does not
/// come back by xdp.
pub fn killed(times: u32) -> Killed {
    let network = Network::new(2);
    let mut scene = Scene::on(network.ground_on(&[1], 2).by_xdp());
    scene.replicas[0].await_log(HAS_CARD);
    let [submit, ..] = scene.cluster.groups();
    let [mut gone, mut received, mut open, mut leads] = <[Times; 4]>::default();
    for _ in 0..times {
        assert!(has_program(network.node(1)), "it has the card");
        scene.kill(1);
        let ended = Instant::now();
        while has_program(network.node(1)) {
            assert!(ended.elapsed() < PATIENCE, "a program was left on the card");
        }
        gone.0.push(ended.elapsed());
        let listens = Instant::now();
        hear(network.node(1), submit, Network::address(1));
        received.0.push(listens.elapsed());
        let started = Instant::now();
        scene.replicas[0] = scene.cluster.start_replica(1);
        open.0.push(await_word(&scene.replicas[0], HAS_CARD, started));
        leads.0.push(await_word(&scene.replicas[0], "-> leader", started));
        scene.await_flow();
    }
    Killed { gone, received, open, leads, shown: scene.end() }
}

/// Whether a program is on the first card of this node.
fn has_program(node: &Namespace) -> bool {
    node.shell("ip -d link show eth0").contains("xdp")
}

/// Waits until an ordinary socket in this namespace has received a datagram of a group: nobody else there may
/// have its port.
fn hear(node: &Namespace, group: SocketAddrV4, address: Ipv4Addr) {
    let received = node.within(move || {
        let socket = UdpSocket::bind(group)?;
        socket.join_multicast_v4(group.ip(), &address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.recv(&mut [0; 2048])
    });
    received.unwrap_or_else(|error| panic!("an ordinary socket hears nothing of {group}: {error}"));
}

/// Waits until a log has this, and returns how long that was after `started`.
fn await_word(process: &Process, word: &str, started: Instant) -> Duration {
    while !process.log().contains(word) {
        assert!(started.elapsed() < PATIENCE, "it has not said '{word}':\n{}", process.log());
        std::thread::sleep(LOOK);
    }
    started.elapsed()
}

/// Two replicas and readers on one card, a third replica, the publishers and readers on another one, and a
/// wire between them that loses so many of a thousand packets. The owner of the first card is killed `times`
/// times and comes back; whoever was served by it hears on.
pub fn shared(network: &Network, lost: u16, times: u32) -> Shown {
    let mut scene = Scene::on(network.ground_on(&[1, 1, 2], 2).by_xdp().with_memory());
    scene.add_clients(network.node(1).place(), "near");
    network.cut(&Cut::between(&[1], &[2]).map(|cut| cut.per_mille(lost)));
    for _ in 0..times {
        let has_card = |scene: &Scene, id: &usize| scene.replica(*id).log().contains(HAS_CARD);
        scene.await_that("nobody has the card", |scene| [1, 2].iter().any(|id| has_card(scene, id)));
        let (owner, served) = if has_card(&scene, &1) { (1, 2) } else { (2, 1) };
        let served_by = format!("served by pid {} through shared memory", scene.replica(owner).pid());
        let is_served = |scene: &Scene| scene.replica(served).log().contains(&served_by);
        scene.await_that("the other one was not told who serves it", is_served);
        scene.await_that("the other one hears nothing of the card", |scene| {
            scene.counted(served, "xdp_relayed_in") > 0 && scene.counted(served, "xdp_owners") > 0
        });
        scene.kill(owner);
        scene.await_flow();
        // The node that starts first has the card: the one that is served goes on with what it has until
        // then.
        scene.restart(owner);
        assert!(has_card(&scene, &owner), "{}", scene.replica(owner).log());
        scene.await_flow();
        scene.kill(served);
        scene.await_flow();
        scene.restart(served);
        scene.await_flow();
    }
    assert!(lost == 0 || network.swallowed().iter().all(|packets| *packets > 0), "the wire lost something");
    scene.end()
}
