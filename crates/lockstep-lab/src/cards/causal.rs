//! Causal order.

mod causal_no_wait;
mod causal_waiting;

pub use causal_no_wait::CausalNoWait;
pub use causal_waiting::CausalWaiting;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<CausalNoWait<Value>>(), Entry::of::<CausalWaiting<Value>>()];
