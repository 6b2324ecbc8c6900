//! The Paxos family.

pub(super) mod acceptor;
mod basic;

pub use basic::Paxos;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<Paxos>()];
