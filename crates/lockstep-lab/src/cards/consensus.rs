//! Consensus.

mod flp;
mod hierarchical;
mod rotating_coordinator;
mod uniform_hierarchical;

pub use flp::Flp;
pub use hierarchical::Hierarchical;
pub use rotating_coordinator::{RotatingCoordinator, RotatingMessage};
pub use uniform_hierarchical::{RoundMessage, UniformHierarchical};

use crate::check::Entry;
use crate::{Ask, Pid, Value};

/// Each of seven processes proposes a value of its own.
const PROPOSALS: &[(Pid, Ask)] = &[
    (0, Ask::Propose(Value(0))),
    (1, Ask::Propose(Value(1))),
    (2, Ask::Propose(Value(2))),
    (3, Ask::Propose(Value(3))),
    (4, Ask::Propose(Value(4))),
    (5, Ask::Propose(Value(5))),
    (6, Ask::Propose(Value(6))),
];

/// Those of the first three.
const THREE: &[(Pid, Ask)] = PROPOSALS.split_at(3).0;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<Hierarchical<Value>>(),
    Entry::of::<UniformHierarchical<Value>>(),
    Entry::of::<RotatingCoordinator<Value>>(),
    Entry::of::<Flp>(),
];
