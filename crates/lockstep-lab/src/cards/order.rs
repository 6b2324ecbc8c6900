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
