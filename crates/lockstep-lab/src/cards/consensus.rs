//! Consensus.

mod hierarchical;
mod uniform_hierarchical;

pub use hierarchical::Hierarchical;
pub use uniform_hierarchical::{RoundMessage, UniformHierarchical};

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<Hierarchical<Value>>(), Entry::of::<UniformHierarchical<Value>>()];
