//! Other agreement problems: terminating broadcast, atomic commit.

mod non_blocking_commit;
mod paxos_commit;
mod terminating_reliable;
mod terminating_uniform;
mod two_phase_commit;

pub use non_blocking_commit::{NonBlockingCommit, NonBlockingMessage};
pub use paxos_commit::{PaxosCommit, PaxosCommitMessage};
pub use terminating_reliable::{ConsensusOf, TerminatingMessage, TerminatingReliable};
pub use terminating_uniform::TerminatingUniform;
pub use two_phase_commit::TwoPhaseCommit;

use crate::Value;
use crate::cards::consensus::Hierarchical;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<TerminatingReliable<Value, Hierarchical<Option<Value>>>>(),
    Entry::of::<TerminatingUniform<Value>>(),
    Entry::of::<TwoPhaseCommit>(),
    Entry::of::<NonBlockingCommit>(),
    Entry::of::<PaxosCommit>(),
];
