//! # fault_injection: a network that is worse than the real one
//!
//! The question: how does everything above the device behave when the network loses, repeats, reorders and
//! delays? A [`FaultInjector`] is a device around a device. A seeded generator judges each datagram that the
//! inner device receives: the same datagrams in the same order have the same outcome in every run. Faults are
//! injected only into what is received, by groups and by unicast. So each receiver loses its own datagrams,
//! as behind a switch, and a datagram to many nodes is lost by some of them.
//!
//! ```text
//!  inner.recv ─▶ lost? ─▶ repeated? ─▶ set aside? ──no──▶ lent in place, nothing is copied
//!                 gone     twice         └─ delayed ─▶ copied into a pool, lent when its time has come
//! ```
//!
//! It deliberately draws nothing for faults that are not configured. The pool of delayed datagrams is
//! bounded: a datagram that finds it full is lost, and counted as lost. It is not for production; the
//! configuration refuses it there.

#[cfg(test)]
mod tests;

use crate::Effective;
use crate::clock::Clock;
use lockstep_core::engine::counters::counter_group;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::Nanos;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The most datagrams that pass a reordered one: a network with two paths reorders by a few.
const PASSED_MAX: u64 = 8;
/// A reordered datagram that no other follows is lent after this time.
const ASIDE_NS: Nanos = 200_000;
/// Datagrams of groups that can wait: 10 ms of delay at 400,000 a second.
const GROUP_POOL: usize = 4096;
/// Datagrams of unicast that can wait.
const UNICAST_POOL: usize = 256;
/// The most datagrams that one receive lends; the next one lends the rest.
const LENT_MAX: usize = 2048;
/// A share of 1 in millionths.
const MILLION: u64 = 1_000_000;

/// The injected faults. Shares are millionths of all datagrams received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FaultSettings {
    /// The share of datagrams that are lost.
    pub loss_ppm: u32,
    /// The share of datagrams that arrive twice.
    pub duplication_ppm: u32,
    /// The share of datagrams that arrive after some that were sent later.
    pub reordering_ppm: u32,
    /// The delay of each datagram.
    pub delay_ns: Nanos,
    /// The seed that decides about each datagram.
    pub seed: u64,
    /// The line into which faults are injected, 1 or 2; 0 is both lines and shared memory.
    pub line: u8,
}

impl FaultSettings {
    /// Whether faults are injected into this line, 1 or 2.
    pub fn injects(&self, line: u8) -> bool {
        !self.is_off() && (self.line == 0 || self.line == line)
    }

    /// Whether faults are injected into shared memory, which belongs to no line.
    pub fn injects_memory(&self) -> bool {
        !self.is_off() && self.line == 0
    }

    /// Whether no fault is injected at all.
    pub fn is_off(&self) -> bool {
        (self.loss_ppm, self.duplication_ppm, self.reordering_ppm, self.delay_ns) == (0, 0, 0, 0)
    }
}

counter_group! {
    /// The counts of a [`FaultInjector`].
    pub struct FaultCounts {
        lost count "fault_injection_lost" "Datagrams lost by fault injection.",
        duplicated count "fault_injection_duplicated" "Datagrams duplicated by fault injection.",
        reordered count "fault_injection_reordered" "Datagrams reordered by fault injection.",
        delayed count "fault_injection_delayed" "Datagrams delayed by fault injection.",
        overflowed count "fault_injection_overflowed" "Datagrams to be delayed that found no room and were lost.",
    }
}

/// The source of time.
pub trait Time {
    /// Monotonic nanoseconds.
    fn now(&self) -> Nanos;
}

impl Time for Clock {
    fn now(&self) -> Nanos {
        Self::now(self)
    }
}

/// A device that loses, repeats, delays and reorders what the inner one receives.
#[derive(Debug)]
pub struct FaultInjector<N, T = Clock> {
    inner: N,
    time: T,
    chance: Chance,
    counts: FaultCounts,
    groups: Aside,
    unicast: Aside,
}

impl<N: Net> FaultInjector<N> {
    /// Fault injection by the machine's clock. `salt` distinguishes devices of one seed, so that they lose
    /// independently.
    pub fn new(inner: N, settings: FaultSettings, salt: u64, datagram_len_max: usize) -> Self {
        Self::timed(inner, settings, salt, datagram_len_max, Clock::start())
    }
}

impl<N: Net, T: Time> FaultInjector<N, T> {
    /// Fault injection by this clock. It makes and touches all memory here.
    pub fn timed(inner: N, settings: FaultSettings, salt: u64, datagram_len_max: usize, time: T) -> Self {
        Self {
            inner,
            time,
            chance: Chance::new(settings, salt),
            counts: FaultCounts::default(),
            groups: Aside::new(GROUP_POOL, datagram_len_max),
            unicast: Aside::new(UNICAST_POOL, datagram_len_max),
        }
    }

    /// The inner device.
    pub fn inner(&self) -> &N {
        &self.inner
    }

    /// The counts so far.
    pub fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// The injected faults, as a setting that must not be overlooked.
    pub fn effective(&self) -> Effective {
        let FaultSettings { loss_ppm, duplication_ppm, reordering_ppm, delay_ns, seed, .. } =
            self.chance.settings;
        let percent = |ppm: u32| f64::from(ppm) / 10_000.0;
        let got = format!(
            "loss {}%, duplication {}%, reordering {}%, delay {} us, seed {seed}",
            percent(loss_ppm),
            percent(duplication_ppm),
            percent(reordering_ppm),
            delay_ns / 1_000
        );
        Effective::short(
            "fault_injection",
            "nothing else",
            got,
            "this process spoils what it receives, on purpose",
        )
    }
}

impl<N: Net, T: Time> Net for FaultInjector<N, T> {
    fn recv_groups(&mut self) -> usize {
        let now = self.time.now();
        self.groups.begin();
        for index in 0..self.inner.recv_groups() {
            let datagram = self.inner.group_datagram(index);
            self.groups.judge(&mut self.chance, &mut self.counts, now, index, datagram, NOBODY);
        }
        self.groups.release(now)
    }

    fn is_drained(&self) -> bool {
        self.inner.is_drained()
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        match self.groups.lent(index) {
            Some(Lent::Inner(index)) => self.inner.group_datagram(index),
            Some(Lent::Slot(slot)) => self.groups.bytes(slot),
            None => &[],
        }
    }

    fn recv_unicast(&mut self) -> usize {
        let now = self.time.now();
        self.unicast.begin();
        for index in 0..self.inner.recv_unicast() {
            let (datagram, from) = self.inner.unicast_datagram(index);
            self.unicast.judge(&mut self.chance, &mut self.counts, now, index, datagram, from);
        }
        self.unicast.release(now)
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self.unicast.lent(index) {
            Some(Lent::Inner(index)) => self.inner.unicast_datagram(index),
            Some(Lent::Slot(slot)) => (self.unicast.bytes(slot), self.unicast.senders[slot]),
            None => (&[], NOBODY),
        }
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        self.inner.send_group(group, bursts)
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.inner.send_unicast(to, parts)
    }

    fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.inner.set_joined(group, joined);
    }
}

/// The sender of a group's datagram, which only the datagram itself names.
const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// The random generator: SplitMix64, one draw for each possible fault.
#[derive(Debug)]
struct Chance {
    settings: FaultSettings,
    state: u64,
}

impl Chance {
    fn new(settings: FaultSettings, salt: u64) -> Self {
        let mut chance = Self { settings, state: settings.seed };
        chance.state ^= chance.draw() ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        chance
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether a fault with this share happens now.
    fn happens(&mut self, share_ppm: u32) -> bool {
        share_ppm > 0 && self.draw() % MILLION < u64::from(share_ppm)
    }
}

/// The datagrams that the last receive lends.
#[derive(Clone, Copy, Debug)]
enum Lent {
    /// A datagram of the inner device, by its index.
    Inner(usize),
    /// A delayed or reordered datagram.
    Slot(usize),
}

/// A delayed or reordered datagram.
#[derive(Clone, Copy, Debug)]
struct DelayedSlot {
    slot: usize,
    /// It is lent from this time on, or earlier when `passed` is reached.
    due: Nanos,
    /// It is lent once this many datagrams have been lent.
    passed: u64,
}

/// The pool in which one socket's datagrams wait.
#[derive(Debug)]
struct Aside {
    pool: Vec<u8>,
    pitch: usize,
    lengths: Vec<usize>,
    senders: Vec<SocketAddrV4>,
    free: Vec<usize>,
    /// Delayed datagrams. All have the same delay, so their times rise.
    delayed: VecDeque<DelayedSlot>,
    /// Reordered datagrams, which are few.
    reordered: Vec<DelayedSlot>,
    lent: Vec<Lent>,
    /// Datagrams lent so far.
    passed: u64,
}

impl Aside {
    fn new(slots: usize, datagram_len_max: usize) -> Self {
        Self {
            // Touched, so that no receive causes a page fault.
            pool: vec![1; slots * datagram_len_max],
            pitch: datagram_len_max,
            lengths: vec![0; slots],
            senders: vec![NOBODY; slots],
            free: (0..slots).rev().collect(),
            delayed: VecDeque::with_capacity(slots),
            reordered: Vec::with_capacity(slots),
            lent: Vec::with_capacity(LENT_MAX),
            passed: 0,
        }
    }

    /// Takes back the datagrams that the last receive lent.
    fn begin(&mut self) {
        for lent in self.lent.drain(..) {
            if let Lent::Slot(slot) = lent {
                self.free.push(slot);
            }
        }
    }

    /// Decides the outcome of one datagram.
    fn judge(
        &mut self,
        chance: &mut Chance,
        counts: &mut FaultCounts,
        now: Nanos,
        index: usize,
        datagram: &[u8],
        from: SocketAddrV4,
    ) {
        let FaultSettings { loss_ppm, duplication_ppm, reordering_ppm, delay_ns, .. } = chance.settings;
        if chance.happens(loss_ppm) {
            counts.lost += 1;
            return;
        }
        let twice = chance.happens(duplication_ppm);
        counts.duplicated += u64::from(twice);
        for _ in 0..=usize::from(twice) {
            let aside = chance.happens(reordering_ppm);
            let passed = if aside { self.passed + 1 + chance.draw() % PASSED_MAX } else { u64::MAX };
            if !aside && delay_ns == 0 && self.lent.len() < LENT_MAX {
                self.lend(Lent::Inner(index));
                continue;
            }
            let Some(slot) = self.copy(datagram, from) else {
                counts.overflowed += 1;
                continue;
            };
            counts.delayed += u64::from(delay_ns > 0);
            if aside {
                counts.reordered += 1;
                self.reordered.push(DelayedSlot { slot, due: now + delay_ns + ASIDE_NS, passed });
            } else {
                self.delayed.push_back(DelayedSlot { slot, due: now + delay_ns, passed });
            }
        }
    }

    /// Lends the datagrams that have waited long enough. Returns the number of all lent datagrams.
    fn release(&mut self, now: Nanos) -> usize {
        while self.lent.len() < LENT_MAX
            && let Some(delayed) = self.delayed.front().copied().filter(|delayed| delayed.due <= now)
        {
            self.delayed.pop_front();
            self.lend(Lent::Slot(delayed.slot));
        }
        let mut index = 0;
        while index < self.reordered.len() && self.lent.len() < LENT_MAX {
            let delayed = self.reordered[index];
            if delayed.due <= now || delayed.passed <= self.passed {
                self.reordered.remove(index);
                self.lend(Lent::Slot(delayed.slot));
            } else {
                index += 1;
            }
        }
        self.lent.len()
    }

    fn lend(&mut self, lent: Lent) {
        self.lent.push(lent);
        self.passed += 1;
    }

    fn copy(&mut self, datagram: &[u8], from: SocketAddrV4) -> Option<usize> {
        if datagram.len() > self.pitch {
            return None;
        }
        let slot = self.free.pop()?;
        self.pool[slot * self.pitch..][..datagram.len()].copy_from_slice(datagram);
        (self.lengths[slot], self.senders[slot]) = (datagram.len(), from);
        Some(slot)
    }

    fn lent(&self, index: usize) -> Option<Lent> {
        self.lent.get(index).copied()
    }

    fn bytes(&self, slot: usize) -> &[u8] {
        &self.pool[slot * self.pitch..][..self.lengths[slot]]
    }
}
