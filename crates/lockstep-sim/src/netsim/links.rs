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
pub(super) struct Links {
    pattern: Pattern,
    loss: u32,
    rng: Rng,
    /// Whether each link towards a receiver is in a burst.
    bad: Vec<bool>,
}

impl Links {
    pub(super) fn new(pattern: Pattern, loss: u32, receivers: usize, rng: Rng) -> Self {
        Self { pattern, loss, rng, bad: vec![false; receivers] }
    }

    /// Whether a frame of the stream is lost by all.
    pub(super) fn loses_for_all(&mut self) -> bool {
        self.pattern == Pattern::Shared && self.rng.chance(self.loss)
    }

    /// Whether a datagram to this receiver is lost.
    pub(super) fn loses_to(&mut self, receiver: usize) -> bool {
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
    pub(super) fn loses_from(&mut self) -> bool {
        self.pattern != Pattern::Shared && self.rng.chance(self.loss)
    }

    /// Up to this much more than the delay.
    pub(super) fn jitter(&mut self, ns: u64) -> u64 {
        self.rng.below(ns + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_lose_as_much_as_independent_losses_in_runs_of_five() {
        for loss in [1_000, 10_000, 300_000] {
            let mut links = Links::new(Pattern::Bursts, loss, 1, Rng::new(1));
            let lost: Vec<_> = (0..1_000_000).map(|_| links.loses_to(0)).collect();
            let count = lost.iter().filter(|lost| **lost).count() as f64;
            let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
            assert!((count / f64::from(loss) - 1.0).abs() < 0.2, "{count} of {loss}");
            assert!((count / runs - 5.0).abs() < 0.6, "{count} in {runs} runs");
        }
    }
}
