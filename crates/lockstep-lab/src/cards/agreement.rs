//! Other agreement problems: terminating broadcast, atomic commit.

mod non_blocking_commit;
mod paxos_commit;
mod two_phase_commit;

pub use non_blocking_commit::{NonBlockingCommit, NonBlockingMessage};
pub use paxos_commit::{PaxosCommit, PaxosCommitMessage};
pub use two_phase_commit::TwoPhaseCommit;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<TwoPhaseCommit>(), Entry::of::<NonBlockingCommit>(), Entry::of::<PaxosCommit>()];
