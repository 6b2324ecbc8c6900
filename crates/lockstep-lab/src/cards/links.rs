//! Links.

mod over_fair_loss;
mod perfect_links;
mod stubborn_links;

pub use over_fair_loss::OverFairLoss;
pub use perfect_links::PerfectLinks;
pub use stubborn_links::StubbornLinks;

use super::broadcast::ReliableEager;
use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<StubbornLinks<Value>>(),
    Entry::of::<PerfectLinks<Value>>(),
    Entry::of::<OverFairLoss<ReliableEager<Value>>>(),
];
