//! The virtual network: what a process sees of it is [`SimNet`], what happens to datagrams in between is
//! [`Wire`]'s: loss, duplication, delay, and so reordering.

use super::rng::Rng;
use crate::engine::ports::{Burst, Group, Net};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;

/// Where a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum To {
    /// To all members of a group.
    Group(Group),
    /// To one process.
    Unicast(SocketAddrV4),
}

/// One process's device: what has arrived, and what it has sent in this turn.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SimNet {
    /// Arrived on groups, not yet received.
    pub groups: VecDeque<Vec<u8>>,
    /// Arrived on the unicast port, not yet received.
    pub unicast: VecDeque<(Vec<u8>, Option<SocketAddrV4>)>,
    lent_groups: Vec<Vec<u8>>,
    lent_unicast: Vec<(Vec<u8>, Option<SocketAddrV4>)>,
    /// Sent and not yet taken by the network.
    pub sent: Vec<(To, Vec<u8>)>,
    /// Receive calls of this turn.
    pub receives: u32,
    /// Group send calls of this turn.
    pub sends: u32,
}

/// Datagrams that one receive call lends at most.
const BATCH: usize = 16;

impl Net for SimNet {
    fn recv_groups(&mut self) -> usize {
        self.receives += 1;
        self.lent_groups.clear();
        let count = self.groups.len().min(BATCH);
        self.lent_groups.extend(self.groups.drain(..count));
        count
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        &self.lent_groups[index]
    }

    fn recv_unicast(&mut self) -> usize {
        self.lent_unicast.clear();
        let count = self.unicast.len().min(BATCH);
        self.lent_unicast.extend(self.unicast.drain(..count));
        count
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        let (bytes, from) = &self.lent_unicast[index];
        (bytes, from.unwrap_or(SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0)))
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        self.sends += 1;
        let mut taken = 0;
        for burst in bursts {
            for datagram in burst.bytes.chunks(burst.stride) {
                self.sent.push((To::Group(group), datagram.to_vec()));
                taken += 1;
            }
        }
        taken
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.sent.push((To::Unicast(to), parts.concat()));
        true
    }
}

/// What the network does to datagrams, in chances per million and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Weather {
    /// A copy to one receiver is lost.
    pub loss: u32,
    /// A copy arrives twice.
    pub duplication: u32,
    /// A copy is late by up to `late_ns` more: it is overtaken.
    pub lateness: u32,
    /// See `lateness`.
    pub late_ns: u64,
    /// Every copy takes at least this long.
    pub delay_ns: u64,
    /// A bit of a copy is flipped.
    pub corruption: u32,
}

/// What was really generated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Generated {
    /// Copies of datagrams that arrived.
    pub delivered: u64,
    /// Copies lost.
    pub lost: u64,
    /// Copies that arrived a second time.
    pub duplicated: u64,
    /// Copies that arrived after a later one of the same sender.
    pub reordered: u64,
    /// Copies with a flipped bit.
    pub corrupted: u64,
}

impl Generated {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
    }
}

/// From whom to whom a copy goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    /// Process that sent it.
    pub from: usize,
    /// Process that it goes to.
    pub to: usize,
    /// Whether it was sent to a group.
    pub group: bool,
}

/// A copy under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Letter {
    /// From whom to whom.
    pub route: Route,
    number: u64,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// Datagrams under way, by the time of their arrival.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Wire {
    under_way: BTreeMap<(u64, u64), Letter>,
    number: u64,
    last_arrived: BTreeMap<(usize, usize), u64>,
    /// What was generated so far.
    pub generated: Generated,
}

impl Wire {
    /// Sends one copy from process to process.
    pub fn send(&mut self, rng: &mut Rng, weather: &Weather, now: u64, route: Route, bytes: &[u8]) {
        self.number += 1;
        if rng.chance(weather.loss) {
            self.generated.lost += 1;
            return;
        }
        let number = self.number;
        let copies = 1 + u64::from(rng.chance(weather.duplication));
        self.generated.duplicated += copies - 1;
        for copy in 0..copies {
            let mut delay = weather.delay_ns + rng.below(weather.delay_ns / 4 + 1);
            if copy > 0 || rng.chance(weather.lateness) {
                delay += rng.below(weather.late_ns + 1);
            }
            let mut bytes = bytes.to_vec();
            if rng.chance(weather.corruption) && !bytes.is_empty() {
                let bit = rng.below(bytes.len() as u64 * 8);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                self.generated.corrupted += 1;
            }
            // Ties arrive in the order of sending; the second copy of one has a key of its own.
            let key = (now + delay, number * 2 + copy);
            self.under_way.insert(key, Letter { route, number, bytes });
        }
    }

    /// The next copy that has arrived by `now`.
    pub fn arrive(&mut self, now: u64) -> Option<Letter> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        let copy = entry.remove();
        self.generated.delivered += 1;
        let last = self.last_arrived.entry((copy.route.from, copy.route.to)).or_default();
        if copy.number < *last {
            self.generated.reordered += 1;
        }
        *last = copy.number.max(*last);
        Some(copy)
    }

    /// When the next copy arrives.
    pub fn next_arrival(&self) -> Option<u64> {
        self.under_way.keys().next().map(|key| key.0)
    }
}
