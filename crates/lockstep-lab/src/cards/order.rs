//! Total order.

mod consensus_from_order;
mod fixed_sequencer;
mod total_order_consensus;

pub use consensus_from_order::ConsensusFromOrder;
pub use fixed_sequencer::FixedSequencer;
pub use total_order_consensus::{BatchMessage, TotalOrderConsensus};

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<FixedSequencer<Value>>(),
    Entry::of::<TotalOrderConsensus<Value>>(),
    Entry::of::<ConsensusFromOrder<Value>>(),
];
