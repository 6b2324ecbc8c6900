//! After a burst: how long until messages take no longer than they took in the calm before it.

use crate::load::{Burst, SECOND_NS};
use crate::stats::Latencies;
use lockstep_wire::Nanos;

/// Behind the end of a burst this long is looked at, ...
const WATCHED_NS: Nanos = 400_000_000;
/// ... in pieces of this length.
const PIECE_NS: Nanos = 1_000_000;
/// So many in a row are calm: what is slow behind them is none of the burst's.
const CALM_PIECES: u64 = 10;

/// A message that was due behind a burst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct After {
    /// Which second, and which piece of it.
    piece: (u64, u64),
    took: Nanos,
}

/// The copy buffered for that is kept for that. Its memory is made before.
pub struct Recovery {
    burst: Burst,
    /// What was due neither in a burst nor watched behind one.
    calm: Latencies,
    after: Vec<After>,
}

impl Recovery {
    /// For `rate` messages a second outside of the bursts, for `lasts_ns`.
    ///
    /// # Errors
    /// A histogram cannot be made.
    pub fn new(burst: Burst, rate: u64, lasts_ns: Nanos) -> Result<Self, String> {
        let watched = rate as u128 * u128::from(WATCHED_NS) / u128::from(SECOND_NS);
        let seconds = lasts_ns / SECOND_NS + 2;
        let after = Vec::with_capacity((watched as usize + 64) * seconds as usize);
        Ok(Self { burst, calm: Latencies::new()?, after })
    }

    /// A message that was due `at` after the first one took so long.
    pub fn record(&mut self, at: Nanos, took: Nanos) {
        let (second, within) = (at / SECOND_NS, at % SECOND_NS);
        if within >= SECOND_NS - self.burst.lasts_ns() {
            return;
        }
        if within >= WATCHED_NS || second == 0 {
            self.calm.record(took);
        } else if self.after.len() < self.after.capacity() {
            self.after.push(After { piece: (second, within / PIECE_NS), took });
        }
    }

    /// For each burst, how long after its end it was over: behind the last slow piece before `CALM_PIECES`
    /// in a row that were not. One whose median is above the p99 of the calm is slow.
    ///
    /// # Errors
    /// A histogram cannot be made.
    pub fn times(mut self) -> Result<Latencies, String> {
        let mut times = Latencies::new()?;
        // Too few of them have no p99, and nothing is above their greatest then.
        let calm = self.calm.at(99.0).or(self.calm.max()).unwrap_or(Nanos::MAX);
        self.after.sort_unstable();
        for of_burst in self.after.chunk_by(|a, b| a.piece.0 == b.piece.0) {
            let mut over = 0;
            for piece in of_burst.chunk_by(|a, b| a.piece == b.piece) {
                let number = piece[0].piece.1;
                if number >= over + CALM_PIECES {
                    break;
                }
                if piece[piece.len() / 2].took > calm {
                    over = number + 1;
                }
            }
            times.record(over * PIECE_NS);
        }
        Ok(times)
    }
}
