//! The deliveries of a subscriber in a stretch of time, and the gaps in them.

pub use super::load::Delivered;
use super::load::{EpochSeen, Seen};
use lockstep_wire::Nanos;

/// The stream is at its full rate again when the oldest message of a delivery waited no longer than this.
pub const FULL_RATE_NS: Nanos = 1_000_000;

/// A window of deliveries.
#[derive(Default)]
pub struct Window {
    /// Its deliveries, in order.
    pub delivered: Vec<Delivered>,
    /// The epochs that began in it.
    pub epochs: Vec<EpochSeen>,
}

impl Window {
    /// Those of one more piece.
    pub fn add(&mut self, seen: Seen) {
        self.delivered.extend(seen.delivered);
        self.epochs.extend(seen.epochs);
    }

    /// The largest gap between two deliveries, of those that end behind `from` and begin before `to`.
    pub fn gap(&self, from: Nanos, to: Nanos) -> Option<Nanos> {
        let pairs = self.delivered.windows(2).filter(|pair| pair[1].at > from && pair[0].at < to);
        pairs.map(|pair| pair[1].at - pair[0].at).max()
    }

    /// The largest gap between two deliveries that both lie between `from` and `to`.
    pub fn calm(&self, from: Nanos, to: Nanos) -> Option<Nanos> {
        let pairs = self.delivered.windows(2).filter(|pair| pair[0].at >= from && pair[1].at <= to);
        pairs.map(|pair| pair[1].at - pair[0].at).max()
    }

    /// When the first message that was due behind `from` was delivered without a wait.
    pub fn full_rate(&self, from: Nanos) -> Option<Nanos> {
        let at_rate = |delivered: &&Delivered| {
            delivered.due >= from && delivered.at.saturating_sub(delivered.due) < FULL_RATE_NS
        };
        self.delivered.iter().find(at_rate).map(|delivered| delivered.at)
    }

    /// The longest that a message waited which was delivered behind `from`, from when it was due.
    pub fn wait(&self, from: Nanos) -> Nanos {
        let behind = self.delivered.iter().filter(|delivered| delivered.at >= from);
        behind.map(|delivered| delivered.at.saturating_sub(delivered.due)).max().unwrap_or(0)
    }
}
