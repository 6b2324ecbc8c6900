//! # lines: two networks, one stream
//!
//! The question: how can a cable, a card or a switch fail without an effect on the stream? Every datagram for
//! a group is sent on both lines, and every node receives both. The first copy of each datagram is lent; the
//! second is dropped here, before an engine would judge it again.
//!
//! ```text
//!  line A ─▶ received on B already? ─ no ─▶ lent, remembered until B receives it too ┐
//!  line B ─▶ received on A already? ─ yes ─▶ dropped; how long after A?               ┘─ never: lost on B
//! ```
//!
//! Two datagrams are copies if their header and their end (sender, number, tag) are equal. A wrong guess
//! loses one datagram or lends one twice, and the engines tolerate both. In doubt it lends the datagram.
//!
//! Unicast goes by the first line, and by both to a node with an address on the second one (`unicast_b`).
//! A host receives its own datagrams even if the cable is broken, so they do not show that a line works.

#[cfg(test)]
mod tests;
mod unicast;

pub use unicast::Addresses;

use super::fault_injection::Time;
use crate::clock::Clock;
use lockstep_core::engine::counters::counter_group;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::{HEADER_LEN, Header, Identity, Kind, Nanos};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use unicast::UnicastRoutes;

/// Datagrams of one line that wait for their copy on the other: 5 ms of lag at 200,000 a second.
const WAITING_MAX: usize = 1024;
/// A datagram that has not arrived after this time is lost.
const WAITING_NS: Nanos = 500_000_000;
/// A datagram that overtakes more than this many others shows that they are lost.
const OVERTAKEN_MAX: usize = 16;
/// Datagrams that one receive lends at most.
const LENT_MAX: usize = 4096;
/// A line that receives nothing for this time, while the other receives at least [`SILENT_MIN`], is down.
const SILENT_NS: Nanos = 200_000_000;
/// Fewer may be a burst that this line is about to receive.
const SILENT_MIN: u64 = 8;

counter_group! {
    /// The counts of one line.
    pub struct LineCounts {
        datagrams_in count "line_datagrams_in" "Datagrams that arrived by the line.",
        first count "line_first" "Datagrams that arrived by the line first.",
        missing count "line_lost" "Datagrams that arrived by the other line only.",
        lag_ns gauge "line_lag_ns" "How far the line was behind at the last copy that arrived by it second.",
        lag_ns_max gauge "line_lag_max_ns" "The most of that.",
        alarms count "line_alarms" "Times that the line was found to be down.",
        is_down gauge "line_is_down" "1 while the line is down.",
    }
}

/// Two devices that carry the same groups.
#[derive(Debug)]
pub struct TwoLines<N, T = Clock> {
    lines: [N; 2],
    copies: CopyFilter,
    ways: UnicastRoutes,
    time: T,
    /// Line and index of the lent datagrams.
    lent: Vec<(u8, u16)>,
}

impl<N: Net> TwoLines<N> {
    /// Both lines, by the machine's clock, and the nodes with an address on each of them.
    pub fn new(lines: [N; 2], nodes: Vec<Addresses>) -> Self {
        Self::timed(lines, nodes, Clock::start())
    }
}

impl<N: Net, T: Time> TwoLines<N, T> {
    /// Both lines, by this clock.
    pub fn timed(lines: [N; 2], nodes: Vec<Addresses>, time: T) -> Self {
        let lent = Vec::with_capacity(LENT_MAX);
        Self { lines, copies: CopyFilter::default(), ways: UnicastRoutes::new(nodes), time, lent }
    }

    /// The devices.
    pub fn each(&self) -> &[N; 2] {
        &self.lines
    }

    /// The counts of each line.
    pub fn counts(&self) -> [LineCounts; 2] {
        self.copies.counts
    }
}

impl<N: Net, T: Time> Net for TwoLines<N, T> {
    fn recv_groups(&mut self) -> usize {
        self.lent.clear();
        let received = [self.lines[0].recv_groups(), self.lines[1].recv_groups()];
        let now = self.time.now();
        for (line, count) in received.into_iter().enumerate() {
            for index in 0..count {
                let is_new = self.copies.judge(line, now, self.lines[line].group_datagram(index));
                if is_new && self.lent.len() < LENT_MAX {
                    self.lent.push((line as u8, index as u16));
                }
            }
        }
        self.copies.look(now);
        self.lent.len()
    }

    fn is_drained(&self) -> bool {
        self.lines.iter().all(Net::is_drained)
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        self.lent
            .get(index)
            .map_or(&[], |(line, index)| self.lines[usize::from(*line)].group_datagram(usize::from(*index)))
    }

    fn recv_unicast(&mut self) -> usize {
        let now = self.time.now();
        self.ways.begin(now);
        for (number, line) in self.lines.iter_mut().enumerate() {
            for index in 0..line.recv_unicast() {
                let (bytes, from) = line.unicast_datagram(index);
                self.ways.on_datagram(number, now, bytes, index, from);
            }
        }
        self.ways.len()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        let Some((line, index, from)) = self.ways.lent(index) else {
            return (&[], SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        };
        (self.lines[line].unicast_datagram(index).0, from)
    }

    /// Makes a send call for each line. A datagram that one line took counts as sent: the other line's copy
    /// may be lost.
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        if self.copies.own.is_none() {
            self.copies.own = bursts.iter().find_map(|burst| speaker(burst.bytes));
        }
        let [a, b] = &mut self.lines;
        a.send_group(group, bursts).max(b.send_group(group, bursts))
    }

    /// A datagram that one line took counts as sent.
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        let way = self.ways.to(to, self.copies.counts[0].is_down != 0);
        let [a, b] = &mut self.lines;
        let by_first = way.first.is_some_and(|to| a.send_unicast(to, parts));
        let by_second = way.second.is_some_and(|to| b.send_unicast(to, parts));
        by_first || by_second
    }

    fn dropped(&self) -> u64 {
        self.lines.iter().map(Net::dropped).sum()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.lines.iter_mut().for_each(|line| line.set_joined(group, joined));
    }
}

/// A datagram that the other line has not received yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    mark: u64,
    at: Nanos,
}

/// The datagrams that arrived on one line only, so far.
#[derive(Debug)]
struct CopyFilter {
    /// Datagrams that this line received first, oldest first.
    waiting: [VecDeque<Waiting>; 2],
    counts: [LineCounts; 2],
    /// Our own identity, once we have sent anything.
    own: Option<Identity>,
    /// The number of datagrams of other nodes that each line has received.
    others: [u64; 2],
    /// The time at which each line last received a datagram of another node, and the other line's count at
    /// that time.
    last_received: [(Nanos, u64); 2],
}

impl Default for CopyFilter {
    fn default() -> Self {
        let waiting = || VecDeque::with_capacity(WAITING_MAX + 1);
        Self {
            waiting: [waiting(), waiting()],
            counts: Default::default(),
            own: None,
            others: [0; 2],
            last_received: [(0, 0); 2],
        }
    }
}

impl CopyFilter {
    /// Whether this is the first copy of a datagram.
    fn judge(&mut self, line: usize, now: Nanos, bytes: &[u8]) -> bool {
        let other = 1 - line;
        self.counts[line].datagrams_in += 1;
        if self.own.is_none() || speaker(bytes) != self.own {
            self.others[line] += 1;
            self.last_received[line] = (now, self.others[other]);
        }
        let Some(mark) = mark(bytes) else { return true };
        let Some(place) = self.waiting[other].iter().position(|waiting| waiting.mark == mark) else {
            self.counts[line].first += 1;
            self.waiting[line].push_back(Waiting { mark, at: now });
            if self.waiting[line].len() > WAITING_MAX {
                self.waiting[line].pop_front();
                self.counts[other].missing += 1;
            }
            return true;
        };
        let lost = place.saturating_sub(OVERTAKEN_MAX);
        let lag_ns = self.waiting[other].get(place).map_or(0, |first| now.saturating_sub(first.at));
        self.waiting[other].remove(place);
        self.waiting[other].drain(..lost);
        let counts = &mut self.counts[line];
        counts.missing += lost as u64;
        (counts.lag_ns, counts.lag_ns_max) = (lag_ns, counts.lag_ns_max.max(lag_ns));
        false
    }

    /// A datagram that has waited too long is lost, and a line that alone is silent is down.
    fn look(&mut self, now: Nanos) {
        for line in 0..2 {
            let other = 1 - line;
            while self.waiting[line].front().is_some_and(|first| now > first.at + WAITING_NS) {
                self.waiting[line].pop_front();
                self.counts[other].missing += 1;
            }
            if self.last_received[line].0 == 0 {
                self.last_received[line].0 = now;
            }
            let (at, others) = self.last_received[line];
            let is_down = now > at + SILENT_NS && self.others[other] >= others + SILENT_MIN;
            let counts = &mut self.counts[line];
            counts.alarms += u64::from(is_down && counts.is_down == 0);
            // A line that has received something since then is up; silence of both lines changes nothing.
            counts.is_down = u64::from(is_down || counts.is_down != 0 && now > at + SILENT_NS);
        }
    }
}

/// The sender of this datagram; `None` if another node may have sent it, as with a repaired frame.
fn speaker(bytes: &[u8]) -> Option<Identity> {
    let header = Header::peek(bytes)?;
    (header.kind != Kind::Frame as u8).then(|| header.identity())
}

/// The part that distinguishes a datagram from others: the seal and the position in its header, and its last
/// bytes, which distinguish a repair from the frame that it repeats.
fn mark(bytes: &[u8]) -> Option<u64> {
    let header = Header::peek(bytes)?;
    let end: [u8; 8] = bytes.get(bytes.len().max(HEADER_LEN) - 8..)?.try_into().ok()?;
    let parts = [
        header.tag[0],
        header.tag[1],
        header.number,
        header.first_seq,
        u64::from(header.sender) << 32 | u64::from(header.incarnation),
        u64::from_le_bytes(end),
        bytes.len() as u64,
    ];
    let mix = |sum: u64, part: u64| (sum.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some(parts.into_iter().fold(0, mix))
}
