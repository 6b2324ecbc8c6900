//! Byzantine broadcasts.

mod consistent_echo;
mod reliable_bracha;

pub use consistent_echo::ConsistentEcho;
pub use reliable_bracha::ReliableBracha;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<ConsistentEcho>(), Entry::of::<ReliableBracha>()];
