//! lockstep itself: the production engines, judged by the same properties and priced by the same counter as
//! the protocols of the texts.

mod committed;
mod engines;
mod stamped;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[stamped::STAMPED, committed::COMMITTED];
