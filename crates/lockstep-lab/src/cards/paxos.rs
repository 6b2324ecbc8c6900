//! The Paxos family.

pub(super) mod acceptor;
mod basic;
pub(super) mod log;
mod multi;

pub use basic::Paxos;
pub use multi::MultiPaxos;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<Paxos>(), Entry::of::<MultiPaxos<Value>>()];
