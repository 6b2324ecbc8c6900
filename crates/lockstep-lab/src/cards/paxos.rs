//! The Paxos family.

pub(super) mod acceptor;
mod basic;
mod byzantine;
mod cheap;
mod fast;
mod fast_byzantine;
mod generalized;
/// Public for its tests, which stand outside the library: nothing that a protocol's user sees has its rules
/// alone.
#[doc(hidden)]
pub mod log;
mod multi;
mod reconfiguration;

pub use basic::Paxos;
pub use byzantine::{ByzantineMessage, ByzantinePaxos};
pub use cheap::CheapPaxos;
pub use fast::FastPaxos;
pub use fast_byzantine::{FastByzantine, FastByzantineMessage};
pub use generalized::GeneralizedPaxos;
pub use multi::MultiPaxos;
pub use reconfiguration::{Reconfiguration, ReconfigurationMessage};

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<Paxos>(),
    Entry::of::<MultiPaxos<Value>>(),
    Entry::of::<CheapPaxos>(),
    Entry::of::<FastPaxos>(),
    Entry::of::<GeneralizedPaxos>(),
    Entry::of::<ByzantinePaxos>(),
    Entry::of::<FastByzantine>(),
    Entry::of::<Reconfiguration>(),
];
