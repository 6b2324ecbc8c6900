//! Broadcasts without an order.

mod acks;
mod best_effort;
mod reliable_eager;
mod reliable_lazy;
mod uniform_all_ack;
mod uniform_majority;

pub use best_effort::BestEffort;
pub use reliable_eager::ReliableEager;
pub use reliable_lazy::ReliableLazy;
pub use uniform_all_ack::UniformAllAck;
pub use uniform_majority::UniformMajority;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<BestEffort<Value>>(),
    Entry::of::<ReliableLazy<Value>>(),
    Entry::of::<ReliableEager<Value>>(),
    Entry::of::<UniformAllAck<Value>>(),
    Entry::of::<UniformMajority<Value>>(),
];
