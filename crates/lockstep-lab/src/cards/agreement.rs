//! Other agreement problems: terminating broadcast, atomic commit.

mod non_blocking_commit;
mod paxos_commit;
mod perfect_from_trb;
mod terminating_reliable;
mod terminating_uniform;
mod two_phase_commit;

pub use non_blocking_commit::{NonBlockingCommit, NonBlockingMessage};
pub use paxos_commit::{PaxosCommit, PaxosCommitMessage};
pub use perfect_from_trb::PerfectFromTrb;
pub use terminating_reliable::{ConsensusOf, TerminatingMessage, TerminatingReliable};
pub use terminating_uniform::TerminatingUniform;
pub use two_phase_commit::TwoPhaseCommit;

use crate::cards::consensus::Hierarchical;
use crate::check::Entry;
use crate::{Ask, Pid, Value};

/// Each of seven processes votes to commit.
const VOTES: &[(Pid, Ask)] = &[
    (0, Ask::Vote(true)),
    (1, Ask::Vote(true)),
    (2, Ask::Vote(true)),
    (3, Ask::Vote(true)),
    (4, Ask::Vote(true)),
    (5, Ask::Vote(true)),
    (6, Ask::Vote(true)),
];

/// Those of the first three.
const ALL_YES: &[(Pid, Ask)] = VOTES.split_at(3).0;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<TerminatingReliable<Value, Hierarchical<Option<Value>>>>(),
    Entry::of::<TerminatingUniform<Value>>(),
    Entry::of::<PerfectFromTrb>(),
    Entry::of::<TwoPhaseCommit>(),
    Entry::of::<NonBlockingCommit>(),
    Entry::of::<PaxosCommit>(),
];
