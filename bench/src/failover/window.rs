//! The deliveries of a subscriber in a stretch of time, and the gaps in them.

use super::load::{Delivered, EpochSeen, Seen};
use lockstep_wire::Nanos;

/// The stream is at its full rate again when the oldest message of a delivery waited no longer than this.
const FULL_RATE_NS: Nanos = 1_000_000;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn window(deliveries: &[(Nanos, Nanos)]) -> Window {
        let delivered = deliveries.iter().map(|&(at, due)| Delivered { at, due }).collect();
        Window { delivered, epochs: Vec::new() }
    }

    #[test]
    fn the_gap_is_the_one_around_the_strike_and_not_one_before_it() {
        let window = window(&[(0, 0), (500, 490), (510, 500), (800, 520), (810, 800)]);
        assert_eq!(window.gap(520, 10_000), Some(290));
        assert_eq!(window.calm(0, 520), Some(500));
        assert_eq!(window.calm(0, 505), Some(500), "a gap that the strike ends is none of the calm window's");
        assert_eq!((window.wait(520), window.wait(805)), (280, 10));
    }

    #[test]
    fn the_rate_is_full_again_when_a_message_that_was_due_since_then_did_not_wait() {
        let late = FULL_RATE_NS + 100;
        let window = window(&[(90, 80), (late + 200, 110), (late + 300, late + 250)]);
        assert_eq!(window.full_rate(100), Some(late + 300));
        assert_eq!(window.full_rate(late + 260), None);
    }
}
