//! The network between the processes: loss, duplication, delay and so reordering, damage, cut and clogged
//! routes, and copies that arrive long after.

use crate::coverage::{Coverage, Event};
use crate::rng::Rng;
use lockstep_core::engine::ports::Group;
use lockstep_wire::Header;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

/// The network model: the faults of datagrams, in chances per million and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NetworkModel {
    /// A copy to one receiver is lost.
    pub loss: u32,
    /// A copy arrives twice.
    pub duplication: u32,
    /// A copy is late by up to `late_ns` more: it is overtaken.
    pub lateness: u32,
    /// See `lateness`. One in eight of those is later, up to eight times as late, and so on.
    pub late_ns: u64,
    /// Every copy takes this long, and up to a quarter more.
    pub delay_ns: u64,
    /// A bit of a copy is flipped.
    pub corruption: u32,
}

/// A set of processes, by bit.
pub type NodeSet = u32;

/// The sender and the destination of a copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Route {
    /// Process that sent it.
    pub from: usize,
    /// Process that it goes to.
    pub to: usize,
    /// The group that it was sent to; `None` is unicast.
    pub group: Option<Group>,
}

/// The kinds of traffic that a broken path breaks, by bit: the three groups, and unicast.
pub type Traffic = u8;
/// Everything.
pub const ALL_TRAFFIC: Traffic = 0b1111;

/// The bit of a route's traffic.
fn traffic(group: Option<Group>) -> Traffic {
    1 << group.map_or(3, |group| group as u8)
}

/// A path that is broken for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Broken {
    /// Datagrams of these ...
    pub from: NodeSet,
    /// ... to these ...
    pub to: NodeSet,
    /// ... of this kind ...
    pub traffic: Traffic,
    /// ... until then ...
    pub until: u64,
    /// ... wait (and then come all at once) or are lost.
    pub clogged: bool,
}

impl Broken {
    fn breaks(&self, now: u64, route: Route) -> bool {
        now < self.until
            && self.from >> route.from & 1 == 1
            && self.to >> route.to & 1 == 1
            && self.traffic & traffic(route.group) != 0
    }
}

/// What an attacker on the path does to a copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tampering {
    /// It drops it.
    Drop,
    /// It delays it by so much.
    Delay(u64),
    /// It collects what comes until its time is over, and then sends it backwards.
    Reverse,
    /// It sends it on, and once more within so much.
    Repeat(u64),
}

/// An attacker on the path, for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tampered {
    /// To datagrams of these ...
    pub from: NodeSet,
    /// ... to these ...
    pub to: NodeSet,
    /// ... of these kinds, by bit ...
    pub kinds: u32,
    /// ... until then ...
    pub until: u64,
    /// ... it does this.
    pub how: Tampering,
}

impl Tampered {
    fn concerns(&self, now: u64, route: Route, kind: u8) -> bool {
        now < self.until
            && self.from >> route.from & 1 == 1
            && self.to >> route.to & 1 == 1
            && self.kinds.checked_shr(kind.into()).is_some_and(|kinds| kinds & 1 == 1)
    }
}

/// A copy under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SimPacket {
    /// The sender and the destination.
    pub route: Route,
    /// The number of the datagram; its copies share it.
    pub number: u64,
    /// The time at which it was sent.
    pub sent_at: u64,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// A copy under way, ordered by the time at which it arrives, and its place among those of the same time.
#[derive(Clone, Debug)]
struct UnderWay {
    due: (u64, u64),
    letter: SimPacket,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        self.due.cmp(&other.due)
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for UnderWay {}

/// A table's value at `index`; the table grows up to it.
fn at<T: Default + Clone>(table: &mut Vec<T>, index: usize) -> &mut T {
    if table.len() <= index {
        table.resize(index + 1, T::default());
    }
    &mut table[index]
}

/// Old packets that are stored for later.
const OLD_PACKETS_MAX: usize = 64;

/// Datagrams under way, by the time of their arrival.
#[derive(Clone, Debug)]
pub struct SimNetwork {
    rng: Rng,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    key: u64,
    number: u64,
    /// The greatest number that has arrived, by sender and receiver.
    last_arrived: Vec<Vec<u64>>,
    broken: Vec<Broken>,
    tampered: Vec<Tampered>,
    old_packets: VecDeque<SimPacket>,
}

impl SimNetwork {
    /// With random numbers of its own.
    pub fn new(rng: Rng) -> Self {
        Self {
            rng,
            under_way: BinaryHeap::new(),
            key: 0,
            number: 0,
            last_arrived: Vec::new(),
            broken: Vec::new(),
            tampered: Vec::new(),
            old_packets: VecDeque::new(),
        }
    }

    /// From now on this path is broken.
    pub fn break_path(&mut self, broken: Broken) {
        self.broken.push(broken);
    }

    /// From now on an attacker is on this path.
    pub fn tamper(&mut self, tampered: Tampered) {
        self.tampered.push(tampered);
    }

    /// Every path works again; clogged packets arrive when their paths would have worked again.
    pub fn heal(&mut self) {
        self.broken.clear();
        self.tampered.clear();
    }

    /// An operator has stopped every process, and takes longer than any datagram lives: those under way are
    /// lost, and every path works again.
    pub fn outlive(&mut self) {
        self.under_way.clear();
        self.heal();
    }

    /// Whether a connection between these two lives: everything lost on it is sent again.
    pub fn connects(&self, now: u64, one: usize, other: usize) -> bool {
        let ways = [(one, other), (other, one)].map(|(from, to)| Route { from, to, group: None });
        !self.broken.iter().any(|broken| ways.iter().any(|route| broken.breaks(now, *route)))
    }

    /// A new datagram: its copies share a number.
    pub fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Sends one copy of the newest datagram from process to process.
    pub fn send(
        &mut self,
        network_model: &NetworkModel,
        now: u64,
        route: Route,
        bytes: &[u8],
        coverage: &mut Coverage,
    ) {
        if self.rng.chance(network_model.loss) {
            return coverage.count(Event::Lost);
        }
        let mut clogged_until = now;
        for broken in self.broken.iter().filter(|broken| broken.breaks(now, route)) {
            if !broken.clogged {
                return coverage.count(Event::Cut);
            }
            coverage.count(Event::Clogged);
            clogged_until = clogged_until.max(broken.until);
        }
        let kind = Header::peek(bytes).map_or(0, |header| header.kind);
        for tampered in self.tampered.iter().filter(|tampered| tampered.concerns(now, route, kind)) {
            coverage.count(Event::Tampered);
            match tampered.how {
                Tampering::Drop => return,
                Tampering::Delay(by) => clogged_until = clogged_until.max(now + by),
                Tampering::Reverse => clogged_until = clogged_until.max(2 * tampered.until - now),
                Tampering::Repeat(within) => {
                    let letter =
                        SimPacket { route, number: self.number, sent_at: now, bytes: bytes.to_vec() };
                    self.key += 1;
                    let due = (now + self.rng.below(within), self.key);
                    self.under_way.push(Reverse(UnderWay { due, letter }));
                }
            }
        }
        let copies = 1 + u64::from(self.rng.chance(network_model.duplication));
        for copy in 0..copies {
            let mut delay = network_model.delay_ns + self.rng.below(network_model.delay_ns / 4 + 1);
            if copy > 0 || self.rng.chance(network_model.lateness) {
                delay += self.lateness(network_model.late_ns);
            }
            let mut bytes = bytes.to_vec();
            if self.rng.chance(network_model.corruption) && !bytes.is_empty() {
                let bit = self.rng.below(bytes.len() as u64 * 8);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                coverage.count(Event::Corrupted);
            }
            let letter = SimPacket { route, number: self.number, sent_at: now, bytes };
            if copy > 0 {
                coverage.count(Event::Duplicated);
            }
            if self.rng.below(32) == 0 {
                self.keep(letter.clone());
            }
            self.post(clogged_until + delay, letter);
        }
    }

    /// A heavy tail: mostly below `late_ns`, rarely far above.
    fn lateness(&mut self, late_ns: u64) -> u64 {
        let mut bound = late_ns;
        while self.rng.below(8) == 0 && bound < 64 * late_ns {
            bound *= 4;
        }
        self.rng.below(bound + 1)
    }

    /// A packet arrives at `at`, whatever the network model.
    pub fn post(&mut self, at: u64, letter: SimPacket) {
        // Ties arrive in the order of sending.
        self.key += 1;
        self.under_way.push(Reverse(UnderWay { due: (at, self.key), letter }));
    }

    fn keep(&mut self, letter: SimPacket) {
        if self.old_packets.len() == OLD_PACKETS_MAX {
            let at = self.rng.below(OLD_PACKETS_MAX as u64) as usize;
            self.old_packets.remove(at);
        }
        self.old_packets.push_back(letter);
    }

    /// Packets of the past arrive once more.
    pub fn replay(&mut self, now: u64, count: u64, coverage: &mut Coverage) {
        for _ in 0..count.min(self.old_packets.len() as u64) {
            let letter = self.old_packets[self.rng.below(self.old_packets.len() as u64) as usize].clone();
            let at = now + self.rng.below(200_000);
            coverage.count(Event::Replayed);
            self.post(at, letter);
        }
    }

    /// One of the packets of the past.
    pub fn old_packet(&mut self) -> Option<SimPacket> {
        let at = self.rng.below(self.old_packets.len() as u64) as usize;
        self.old_packets.get(at).cloned()
    }

    /// The next copy that has arrived by `now`.
    pub fn arrive(&mut self, now: u64, coverage: &mut Coverage) -> Option<SimPacket> {
        self.under_way.peek().filter(|first| first.0.due.0 <= now)?;
        let Reverse(UnderWay { letter, .. }) = self.under_way.pop()?;
        coverage.count(Event::Delivered);
        let last = at(at(&mut self.last_arrived, letter.route.from), letter.route.to);
        if letter.number < *last {
            coverage.count(Event::Reordered);
        }
        *last = letter.number.max(*last);
        Some(letter)
    }

    /// The arrival of the next copy.
    pub fn next_arrival(&self) -> Option<u64> {
        self.under_way.peek().map(|first| first.0.due.0)
    }
}
