//! Causal order.

mod causal_no_wait;
mod causal_no_wait_collection;
mod causal_waiting;
mod past;
mod uniform_causal;

pub use causal_no_wait::CausalNoWait;
pub use causal_no_wait_collection::{CausalNoWaitCollection, CollectionMessage};
pub use causal_waiting::CausalWaiting;
pub use uniform_causal::UniformCausal;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<CausalNoWait<Value>>(),
    Entry::of::<CausalNoWaitCollection<Value>>(),
    Entry::of::<CausalWaiting<Value>>(),
    Entry::of::<UniformCausal<Value>>(),
];
