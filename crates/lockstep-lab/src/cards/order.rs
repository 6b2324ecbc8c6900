//! Total order.

mod consensus_from_order;
mod fixed_sequencer;
mod lamport_clock_order;
mod sequencer_takeover;
mod token_ring_order;
mod total_order_consensus;
mod uniform_total_order;

pub use consensus_from_order::ConsensusFromOrder;
pub use fixed_sequencer::{FixedSequencer, SequencerMessage};
pub use lamport_clock_order::{ClockMessage, LamportClockOrder};
pub use sequencer_takeover::{SequencerTakeover, TakeoverMessage};
pub use token_ring_order::{TokenMessage, TokenRingOrder};
pub use total_order_consensus::{BatchMessage, TotalOrderConsensus};
pub use uniform_total_order::UniformTotalOrder;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<FixedSequencer<Value>>(),
    Entry::of::<SequencerTakeover<Value>>(),
    Entry::of::<TokenRingOrder<Value>>(),
    Entry::of::<LamportClockOrder<Value>>(),
    Entry::of::<TotalOrderConsensus<Value>>(),
    Entry::of::<UniformTotalOrder<Value>>(),
    Entry::of::<ConsensusFromOrder<Value>>(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::Subject;
    use crate::cards::searches::Searched;
    use crate::property::{GAPLESS_TOTAL_ORDER, PAIRWISE_TOTAL_ORDER, Property};

    /// Whether a property holds in every run of a fixed sequencer that lacks a part.
    fn holds_without(dropped: &'static str, property: &'static Property) -> bool {
        let asks = FixedSequencer::<Value>::CARD.asks;
        let properties = &[property];
        let searched = Searched { model: Model::PLAIN, asks, dropped: Some(dropped), properties };
        searched.lost::<FixedSequencer<Value>>(500_000).is_none()
    }

    #[test]
    fn a_receiver_that_leaves_out_what_is_late_keeps_the_weaker_order_alone() {
        assert!(holds_without("late messages", &PAIRWISE_TOTAL_ORDER));
        assert!(!holds_without("late messages", &GAPLESS_TOTAL_ORDER));
        assert!(!holds_without("gaps", &PAIRWISE_TOTAL_ORDER));
    }
}
