//! Other agreement problems: terminating broadcast, atomic commit.

mod two_phase_commit;

pub use two_phase_commit::TwoPhaseCommit;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<TwoPhaseCommit>()];
