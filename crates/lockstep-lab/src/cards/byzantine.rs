//! Byzantine broadcasts.

mod consistent_echo;

pub use consistent_echo::ConsistentEcho;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<ConsistentEcho>()];
