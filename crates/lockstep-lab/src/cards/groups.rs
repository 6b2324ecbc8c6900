//! Group membership and view synchrony.

mod membership;
mod per_view;

pub use membership::Membership;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<Membership>()];
