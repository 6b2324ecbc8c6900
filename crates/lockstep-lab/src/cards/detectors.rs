//! Failure detectors, and leader detectors.

mod eventually_perfect;
mod leader_by_suspicion;
mod perfect_by_timeout;

pub use eventually_perfect::EventuallyPerfect;
pub use leader_by_suspicion::LeaderBySuspicion;
pub use perfect_by_timeout::PerfectByTimeout;

use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<PerfectByTimeout>(), Entry::of::<EventuallyPerfect>(), Entry::of::<LeaderBySuspicion>()];
