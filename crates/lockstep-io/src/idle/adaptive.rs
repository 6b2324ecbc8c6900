//! # adaptive: awake while work comes, asleep while none does
//!
//! The question: a thread that polls answers in microseconds and keeps a core busy. A thread that parks costs
//! nothing, and wakes up some 50 µs after its datagram. The load decides which of them is right, and whether
//! another thread wants the core.
//!
//! The intuition: what came every 100 µs will come again soon, so it is worth staying awake for a few such
//! gaps. What comes every second is not worth it. A core that no other thread wants costs nothing, so a
//! thread there stays awake longer, and need not even yield at each turn.
//!
//! ```text
//!            no traffic for some of the usual gaps
//!   awake ──────────────────────────────────────────────▶ parked: until a datagram or a deadline
//!     ▲  spin, and yield now and then, where the core is free; yield where it is not      │
//!     └────────────────────────────────── traffic ──────────────────────────────────────┘
//! ```
//! Only traffic counts as work: the caller's number of progress changes with what is stamped, accepted or
//! delivered, and not with heartbeats. So a cluster without traffic sleeps.

use lockstep_wire::Nanos;

/// A thread stays awake for at least this time after traffic: about twice the time of a wake-up.
const AWAKE_NS_MIN: Nanos = 100_000;
/// The longest time awake without traffic where other threads want the core.
const AWAKE_NS_SHARED: Nanos = 5_000_000;
/// The longest time awake without traffic where no other thread wants the core.
const AWAKE_NS_ALONE: Nanos = 250_000_000;
/// The number of gaps for which a thread stays awake.
const GAPS: Nanos = 4;

/// A yield that takes longer has run another thread; without one it takes a quarter of this.
const SWITCHED_NS: Nanos = 800;
/// The bound of a score: yields that ran no other thread, less eight times those that did. From half of the
/// bound on, the core counts as free.
const ALONE_MAX: u32 = 64;
/// The number of turns without a yield after one on a free core.
const SPINS: u32 = 64;

/// How a thread passes an idle moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdlePass {
    /// It does not wait: the next turn follows at once.
    Spin,
    /// It offers the core to other threads.
    Yield,
    /// It sleeps.
    Park,
}

/// The rule of one thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Adaptive {
    progress: u64,
    moved_at: Nanos,
    /// The longest recent time from traffic to traffic. A shorter gap lowers it by a sixteenth, as one
    /// message changes the progress several times; a silence halves it.
    gap_ns: Nanos,
    alone: u32,
    spins: u32,
}

impl Adaptive {
    /// Whether the next turn follows at once, whatever the time: unlike [`Adaptive::next`] it reads no clock.
    #[inline]
    pub fn spins_on(&mut self, progress: u64) -> bool {
        let spins_on = progress == self.progress && self.spins < SPINS && self.is_alone();
        self.spins += u32::from(spins_on);
        spins_on
    }

    /// How the idle moment at `now` is passed; `progress` has changed if there was traffic since the last
    /// one.
    pub fn next(&mut self, now: Nanos, progress: u64) -> IdlePass {
        if progress != self.progress {
            let gap = now.saturating_sub(self.moved_at);
            self.gap_ns = match gap {
                _ if gap > self.limit_ns() => self.gap_ns / 2,
                _ if gap > self.gap_ns => gap,
                _ => self.gap_ns - self.gap_ns / 16,
            };
            (self.progress, self.moved_at) = (progress, now);
        }
        if now.saturating_sub(self.moved_at) >= self.awake_ns() {
            return IdlePass::Park;
        }
        self.spins = 0;
        IdlePass::Yield
    }

    /// Notes the time that a yield took.
    pub fn on_yield(&mut self, took_ns: Nanos) {
        self.alone = match took_ns < SWITCHED_NS {
            true => (self.alone + 1).min(ALONE_MAX),
            false => self.alone.saturating_sub(8),
        };
    }

    /// Whether no other thread wants the core.
    fn is_alone(&self) -> bool {
        self.alone >= ALONE_MAX / 2
    }

    fn limit_ns(&self) -> Nanos {
        if self.is_alone() { AWAKE_NS_ALONE } else { AWAKE_NS_SHARED }
    }

    /// How long the thread stays awake after traffic.
    fn awake_ns(&self) -> Nanos {
        (GAPS * self.gap_ns).clamp(AWAKE_NS_MIN, self.limit_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes idle turns of a microsecond, with traffic each `gap_ns` up to `until`. Returns how many turns
    /// were awake and how many parked. A parked thread wakes up at the next traffic, or after a millisecond.
    fn passed(rule: &mut Adaptive, gap_ns: Nanos, until: Nanos, took_ns: Nanos) -> (u64, u64) {
        let (mut now, mut counts) = (rule.moved_at + 1, (0, 0));
        let end = now + until;
        let mut next = now + gap_ns;
        while now < end {
            if now >= next {
                next = now + gap_ns;
                now += 1_000;
                let _ = rule.next(now, rule.progress + 1);
                continue;
            }
            let progress = rule.progress;
            if rule.spins_on(progress) {
                counts.0 += 1;
                now += 1_000;
                continue;
            }
            match rule.next(now, progress) {
                IdlePass::Park => (counts.1, now) = (counts.1 + 1, next.min(now + 1_000_000)),
                pass => {
                    counts.0 += 1;
                    now += 1_000;
                    if pass == IdlePass::Yield {
                        rule.on_yield(took_ns);
                    }
                }
            }
        }
        counts
    }

    #[test]
    fn a_thread_that_shares_its_core_stays_awake_between_messages_and_sleeps_when_none_comes() {
        let mut rule = Adaptive::default();
        passed(&mut rule, 50_000, 50_000_000, 3_000);
        let (awake, parked) = passed(&mut rule, 50_000, 100_000_000, 3_000);
        assert!(awake > 50_000 && parked == 0, "{awake} {parked}");
        let (awake, parked) = passed(&mut rule, Nanos::MAX / 2, 1_000_000_000, 3_000);
        assert!(awake < 1_000 && parked > 990, "{awake} {parked}");
    }

    #[test]
    fn what_comes_seldom_is_not_waited_for_where_others_want_the_core() {
        let mut rule = Adaptive::default();
        passed(&mut rule, 50_000_000, 2_000_000_000, 3_000);
        let (awake, _) = passed(&mut rule, 50_000_000, 1_000_000_000, 3_000);
        assert!(awake < 20 * 120, "a tenth of a millisecond behind each of twenty messages: {awake}");
    }

    #[test]
    fn a_thread_alone_on_its_core_waits_for_what_comes_seldom_and_sleeps_within_a_second() {
        let mut rule = Adaptive::default();
        // From the yields after messages it learns that it is alone, and then it learns the gap.
        passed(&mut rule, 20_000_000, 1_000_000_000, 200);
        let (_, parked) = passed(&mut rule, 20_000_000, 1_000_000_000, 200);
        assert_eq!(parked, 0);
        let (awake, parked) = passed(&mut rule, Nanos::MAX / 2, 1_000_000_000, 200);
        assert!(awake < 260_000 && parked > 700, "{awake} {parked}");
    }

    #[test]
    fn a_free_core_is_offered_now_and_then_and_a_shared_one_at_each_turn() {
        let mut rule = Adaptive::default();
        passed(&mut rule, 20_000, 10_000_000, 200);
        let progress = rule.progress;
        let spins = (0..650).filter(|_| {
            let spins = rule.spins_on(progress);
            assert!(spins || rule.next(rule.moved_at + 10, progress) == IdlePass::Yield);
            spins
        });
        assert_eq!(spins.count(), 640);
        (0..8).for_each(|_| rule.on_yield(5_000));
        assert!(!rule.spins_on(progress));
    }
}
