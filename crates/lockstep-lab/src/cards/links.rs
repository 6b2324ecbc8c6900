//! Links.

mod perfect_links;
mod stubborn_links;

pub use perfect_links::PerfectLinks;
pub use stubborn_links::StubbornLinks;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<StubbornLinks<Value>>(), Entry::of::<PerfectLinks<Value>>()];
