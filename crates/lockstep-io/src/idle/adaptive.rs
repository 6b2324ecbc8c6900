//! # adaptive: awake while work comes, asleep while none does
//!
//! The question: a thread that polls answers in microseconds and keeps a core busy; one that parks costs
//! nothing, and wakes up some 50 µs after its datagram. Which of them is right changes with the load, and
//! with whoever else wants the core.
//!
//! The intuition: what came every 100 µs will come again soon, so that it is worth to stay awake for a few
//! such gaps; what comes every second is not waited for. A core that nobody else wants costs nobody
//! anything, so that a thread there stays awake longer, and need not even offer it at each turn.
//!
//! ```text
//!            nothing for as long as the gaps let expect
//!   awake ──────────────────────────────────────────────▶ parked: until a datagram or a deadline
//!     ▲  spin, and yield now and then, where the core is free; yield where it is not      │
//!     └────────────────────────────────── work came ──────────────────────────────────────┘
//! ```
//! Only traffic is work here: the caller's word of progress moves with what is stamped, accepted or
//! delivered, and stands still while there are heartbeats alone. So a cluster without traffic sleeps.

use lockstep_wire::Nanos;

/// A thread stays awake for at least this behind traffic: about twice what waking up takes.
const AWAKE_NS_MIN: Nanos = 100_000;
/// The longest that it stays awake without traffic, where other threads want the core, ...
const AWAKE_NS_SHARED: Nanos = 5_000_000;
/// ... and where none does.
const AWAKE_NS_ALONE: Nanos = 250_000_000;
/// So many gaps without traffic are waited for.
const GAPS: Nanos = 4;

/// A yield that takes longer has run another thread: alone it takes a quarter of this.
const SWITCHED_NS: Nanos = 800;
/// Yields that found nobody, less eight times those that found somebody; from half of this on the core is
/// free.
const ALONE_MAX: u32 = 64;
/// A yield on a free core is followed by so many turns without one.
const SPINS: u32 = 64;

/// How an idle moment is passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdlePass {
    /// Not at all: the next turn follows at once.
    Spin,
    /// The core is offered to others.
    Yield,
    /// The thread sleeps.
    Park,
}

/// The rule of one thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Adaptive {
    progress: u64,
    moved_at: Nanos,
    /// The longest time from traffic to traffic of late. A shorter one lowers it by a sixteenth, as one
    /// message moves the word of progress several times; a silence halves it.
    gap_ns: Nanos,
    alone: u32,
    spins: u32,
}

impl Adaptive {
    /// Whether the next turn follows at once, whatever time it is: [`Adaptive::next`] needs a look at the
    /// clock.
    #[inline]
    pub fn spins_on(&mut self, progress: u64) -> bool {
        let spins_on = progress == self.progress && self.spins < SPINS && self.is_alone();
        self.spins += u32::from(spins_on);
        spins_on
    }

    /// How the idle moment at `now` is passed; `progress` has moved if there was traffic since the last one.
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

    /// A yield took so long.
    pub fn on_yield(&mut self, took_ns: Nanos) {
        self.alone = match took_ns < SWITCHED_NS {
            true => (self.alone + 1).min(ALONE_MAX),
            false => self.alone.saturating_sub(8),
        };
    }

    /// Whether nobody else wants the core.
    fn is_alone(&self) -> bool {
        self.alone >= ALONE_MAX / 2
    }

    fn limit_ns(&self) -> Nanos {
        if self.is_alone() { AWAKE_NS_ALONE } else { AWAKE_NS_SHARED }
    }

    /// For how long the thread stays awake behind traffic: some gaps.
    fn awake_ns(&self) -> Nanos {
        (GAPS * self.gap_ns).clamp(AWAKE_NS_MIN, self.limit_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Idle turns of a microsecond, with traffic each `gap_ns` up to `until`; how many of them were awake,
    /// and how many parked. A parked thread wakes up at the next traffic, or after a millisecond.
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
        // It learns that it is alone from the yields behind messages, and then the gap.
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
