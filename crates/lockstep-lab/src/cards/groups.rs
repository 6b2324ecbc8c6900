//! Group membership and view synchrony.

mod current_view;
mod membership;
mod per_view;
mod view_synchrony_consensus;
mod view_synchrony_trb;

pub use current_view::InView;
pub use membership::Membership;
pub use view_synchrony_consensus::{ViewSynchronyConsensus, ViewSynchronyMessage};
pub use view_synchrony_trb::{FlushedViewMessage, ViewSynchronyTrb};

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<Membership>(),
    Entry::of::<ViewSynchronyTrb<Value>>(),
    Entry::of::<ViewSynchronyConsensus<Value>>(),
];
