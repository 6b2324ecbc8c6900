//! # nack: when a receiver asks for what it misses
//!
//! The question: a seq is missing; when to ask, whom, and when again? Reordering heals by itself within
//! some twenty microseconds, so the first request waits that long; then one request names all missing
//! ranges. An answer that brings progress is followed at once by the next request, silence by a retry to
//! another repairer after a delay that doubles.
//!
//! ```text
//!        gap seen            guard over               retry over ×N: next repairer
//!   Whole ───────▶ Guarding ───────────▶ Asked ─────────────────────────────┐
//!     ▲               │ filled             │ filled        ▲────────────────┘
//!     └───────────────┴────────────────────┘
//! ```

use crate::wire::{Nanos, Seq};

/// The timers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NackLimits {
    /// Wait for reordering only: a few datagram times on a LAN.
    pub guard_ns: Nanos,
    /// First wait for an answer: three round trips of a busy LAN at least.
    pub retry_ns_min: Nanos,
    /// The doubling ends here.
    pub retry_ns_max: Nanos,
}

impl Default for NackLimits {
    fn default() -> Self {
        Self { guard_ns: 20_000, retry_ns_min: 150_000, retry_ns_max: 5_000_000 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum State {
    #[default]
    Whole,
    Guarding {
        until: Nanos,
        tries: u32,
    },
    Asked {
        at: Nanos,
        next: Seq,
        tries: u32,
    },
}

/// One receiver's requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Nack {
    limits: NackLimits,
    state: State,
    /// Whom to ask: rises with each retry, taken modulo the repairers.
    target: u32,
}

impl Nack {
    /// Begins with the repairer `target`, so that receivers spread.
    pub fn new(limits: NackLimits, target: u32) -> Self {
        Self { limits, state: State::Whole, target }
    }

    /// Whether a request is out.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    /// How often the present request was repeated.
    pub fn tries(&self) -> u32 {
        match self.state {
            State::Whole => 0,
            State::Guarding { tries, .. } | State::Asked { tries, .. } => tries,
        }
    }

    /// What is missing is something else now, and no answer to an earlier request brings it: the next
    /// [`Nack::poll`] begins anew.
    pub fn restart(&mut self) {
        self.state = State::Whole;
    }

    /// Looks at the present: `next` is the first missing seq if anything is missing below what was seen.
    /// NACK-1 (when to ask): after the guard; again when an answer brought progress and more is
    /// missing, once the answer has been quiet for a guard; else after the retry delay, which doubles, at the
    /// next repairer. Returns the repairer's
    /// turn if a request is due now; the caller sends it.
    pub fn poll(&mut self, now: Nanos, missing_from: Option<Seq>) -> Option<u32> {
        let Some(next) = missing_from else {
            self.state = State::Whole;
            return None;
        };
        match self.state {
            State::Whole => {
                self.state = State::Guarding { until: now + self.limits.guard_ns, tries: 0 };
                None
            }
            State::Guarding { until, .. } if now < until => None,
            State::Guarding { tries, .. } => self.ask(now, next, tries),
            State::Asked { at, next: asked, .. } if next > asked && now >= at + self.limits.guard_ns => {
                self.ask(now, next, 0)
            }
            State::Asked { at, tries, .. } => {
                let delay = self.limits.retry_ns_min << tries.min(16);
                if now < at + delay.min(self.limits.retry_ns_max) {
                    return None;
                }
                self.target = self.target.wrapping_add(1);
                self.ask(now, next, tries + 1)
            }
        }
    }

    /// Frames of an answer came in: whoever asks again before they have all come gets them twice.
    pub fn on_answered(&mut self, now: Nanos) {
        if let State::Asked { at, .. } = &mut self.state {
            *at = now;
        }
    }

    /// The repairer said that it cannot help: the next one is asked without waiting out the retry, but
    /// after a guard that doubles: where nobody can help, nobody is hammered.
    pub fn on_refused(&mut self, now: Nanos) {
        if let State::Asked { tries, .. } = self.state {
            self.target = self.target.wrapping_add(1);
            let guard = (self.limits.guard_ns << tries.min(16)).min(self.limits.retry_ns_max);
            self.state = State::Guarding { until: now + guard, tries: tries + 1 };
        }
    }

    fn ask(&mut self, now: Nanos, next: Seq, tries: u32) -> Option<u32> {
        self.state = State::Asked { at: now, next, tries };
        Some(self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const LIMITS: NackLimits = NackLimits { guard_ns: 20, retry_ns_min: 100, retry_ns_max: 1_000 };

    /// What happens to a receiver, and when.
    enum Step {
        /// From here on this is the first missing seq.
        Missing(Option<Seq>),
        /// A repairer refused.
        Refused,
        /// A repairer's frame came in.
        Answered,
    }

    /// The requests of a receiver that looks each 10 ns, a line each: when, and which repairer.
    fn timeline(steps: &[(Nanos, Step)], until: Nanos) -> String {
        let mut nack = Nack::new(LIMITS, 0);
        let (mut missing, mut out) = (None, String::new());
        for now in (0..until).step_by(10) {
            for (_, step) in steps.iter().filter(|(at, _)| *at == now) {
                match step {
                    Step::Missing(seq) => missing = *seq,
                    Step::Refused => nack.on_refused(now),
                    Step::Answered => nack.on_answered(now),
                }
            }
            if let Some(target) = nack.poll(now, missing) {
                writeln!(out, "{now} ask {target} for {}", missing.unwrap()).unwrap();
            }
            assert!(!nack.is_waiting() || missing.is_some());
        }
        out
    }

    /// NACK-1.
    #[test]
    fn nack_1_reordering_heals_without_a_request() {
        assert_eq!(timeline(&[(0, Step::Missing(Some(5))), (20, Step::Missing(None))], 1_000), "");
    }

    /// NACK-1.
    #[test]
    fn nack_1_silence_is_followed_by_the_next_repairer_after_a_delay_that_doubles() {
        let expected = "\
20 ask 0 for 5
120 ask 1 for 5
320 ask 2 for 5
720 ask 3 for 5
1520 ask 4 for 5
2520 ask 5 for 5
3520 ask 6 for 5
";
        assert_eq!(timeline(&[(0, Step::Missing(Some(5)))], 4_000), expected);
    }

    /// NACK-1.
    #[test]
    fn nack_1_progress_is_followed_by_the_next_request_to_the_same_repairer_and_a_new_gap_by_a_guard() {
        let steps = [
            (0, Step::Missing(Some(5))),
            (30, Step::Missing(Some(9))),
            (70, Step::Missing(None)),
            (200, Step::Missing(Some(20))),
        ];
        assert_eq!(timeline(&steps, 300), "20 ask 0 for 5\n40 ask 0 for 9\n220 ask 0 for 20\n");
    }

    /// NACK-1.
    #[test]
    fn nack_1_a_long_answer_is_heard_out_before_more_is_asked_for() {
        let mut steps = vec![(0, Step::Missing(Some(5)))];
        for at in (30..200).step_by(10) {
            steps.push((at, Step::Missing(Some(at))));
            steps.push((at, Step::Answered));
        }
        assert_eq!(timeline(&steps, 230), "20 ask 0 for 5\n210 ask 0 for 190\n");
    }

    /// NACK-1.
    #[test]
    fn nack_1_a_refusal_is_followed_by_the_next_repairer_after_a_guard_that_doubles() {
        let steps = [
            (0, Step::Missing(Some(5))),
            (30, Step::Refused),
            (60, Step::Refused),
            // A late answer to the same request changes nothing.
            (70, Step::Refused),
            (110, Step::Refused),
        ];
        let expected = "20 ask 0 for 5\n50 ask 1 for 5\n100 ask 2 for 5\n190 ask 3 for 5\n";
        assert_eq!(timeline(&steps, 250), expected);
    }
}
