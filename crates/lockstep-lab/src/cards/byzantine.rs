//! Byzantine broadcasts.

mod consistent_echo;
mod consistent_signed;
mod reliable_bracha;

pub use consistent_echo::ConsistentEcho;
pub use consistent_signed::{ConsistentSigned, SignedEchoMessage};
pub use reliable_bracha::{BrachaMessage, ReliableBracha};

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<ConsistentEcho>(), Entry::of::<ConsistentSigned>(), Entry::of::<ReliableBracha>()];
