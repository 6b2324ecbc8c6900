//! The links of the receivers, and which datagrams they lose.

use crate::rng::Rng;

/// Which datagrams are lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pattern {
    /// Each on each link for itself, in both directions.
    Independent,
    /// Towards a receiver in runs of five on average (Gilbert's model), away from it each for itself.
    Bursts,
    /// A frame is lost by all receivers at once, as in a queue that they share; nothing else is lost.
    Shared,
}

impl Pattern {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Bursts => "bursts",
            Self::Shared => "shared",
        }
    }
}

/// Datagrams that a burst takes on average.
const BURST: u64 = 5;
const MILLION: u64 = 1_000_000;

/// The links of all receivers.
pub struct Links {
    pattern: Pattern,
    loss: u32,
    rng: Rng,
    /// Whether each link towards a receiver is in a burst.
    bad: Vec<bool>,
}

impl Links {
    /// Links of so many receivers, on which so many datagrams of a million are lost.
    pub fn new(pattern: Pattern, loss: u32, receivers: usize, rng: Rng) -> Self {
        Self { pattern, loss, rng, bad: vec![false; receivers] }
    }

    /// Whether a frame of the stream is lost by all.
    pub fn loses_for_all(&mut self) -> bool {
        self.pattern == Pattern::Shared && self.rng.chance(self.loss)
    }

    /// Whether a datagram to this receiver is lost.
    pub fn loses_to(&mut self, receiver: usize) -> bool {
        match self.pattern {
            Pattern::Independent => self.rng.chance(self.loss),
            Pattern::Shared => false,
            Pattern::Bursts => {
                let loss = u64::from(self.loss);
                // Bad a share `loss` of the time, and for five datagrams: left with 1/5, entered so often.
                let turns = if self.bad[receiver] {
                    MILLION / BURST
                } else {
                    loss * MILLION / (MILLION - loss) / BURST
                };
                if self.rng.below(MILLION) < turns {
                    self.bad[receiver] = !self.bad[receiver];
                }
                self.bad[receiver]
            }
        }
    }

    /// Whether a datagram from a receiver is lost.
    pub fn loses_from(&mut self) -> bool {
        self.pattern != Pattern::Shared && self.rng.chance(self.loss)
    }

    /// Up to this much more than the delay.
    pub fn jitter(&mut self, ns: u64) -> u64 {
        self.rng.below(ns + 1)
    }
}
