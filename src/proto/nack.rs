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
        since: Nanos,
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

    /// Looks at the present: `next` is the first missing seq if anything is missing below what was seen.
    /// NACK-1 (when to ask): after the guard; again at once when an answer brought progress and more is
    /// missing; else after the retry delay, which doubles, at the next repairer. Returns the repairer's
    /// turn if a request is due now; the caller sends it.
    pub fn poll(&mut self, now: Nanos, missing_from: Option<Seq>) -> Option<u32> {
        let Some(next) = missing_from else {
            self.state = State::Whole;
            return None;
        };
        match self.state {
            State::Whole => {
                self.state = State::Guarding { since: now };
                None
            }
            State::Guarding { since } if now < since + self.limits.guard_ns => None,
            State::Guarding { .. } => self.ask(now, next, 0),
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

    /// The repairer said that it cannot help: the next one is asked without waiting out the retry.
    pub fn on_refused(&mut self, now: Nanos) {
        if let State::Asked { .. } = self.state {
            self.target = self.target.wrapping_add(1);
            self.state = State::Guarding { since: now };
        }
    }

    fn ask(&mut self, now: Nanos, next: Seq, tries: u32) -> Option<u32> {
        self.state = State::Asked { at: now, next, tries };
        Some(self.target)
    }
}
