//! Transactions.

mod accounts;
mod calvin;
mod last_writer_wins;
mod ordered_transfers;

pub use calvin::{Calvin, CalvinMessage};
pub use last_writer_wins::LastWriterWins;
pub use ordered_transfers::OrderedTransfers;

use crate::check::Entry;
use accounts::Accounts;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<Calvin>(),
    Entry::of::<LastWriterWins>(),
    Entry::of::<OrderedTransfers>(),
];
