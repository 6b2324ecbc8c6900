//! Transactions.

mod accounts;
mod calvin;
mod last_writer_wins;
mod ordered_transfers;
mod percolator;
mod rows;
mod saga;
mod spanner;
mod versions;

pub use calvin::{Calvin, CalvinMessage};
pub use last_writer_wins::LastWriterWins;
pub use ordered_transfers::OrderedTransfers;
pub use percolator::Percolator;
pub use rows::PercolatorMessage;
pub use saga::{Saga, SagaMessage};
pub use spanner::Spanner;
pub use versions::SpannerMessage;

use crate::check::Entry;
use crate::{Ask, Pid};
use accounts::Accounts;

/// A lone transfer between accounts of two processes, by a client that stores neither.
const TRANSFER: &[(Pid, Ask)] = &[(2, Ask::Transfer { from: 0, to: 1, amount: 1 })];
/// A lone audit by that client.
const AUDIT: &[(Pid, Ask)] = &[(2, Ask::Audit)];

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<Saga>(),
    Entry::of::<Percolator>(),
    Entry::of::<Calvin>(),
    Entry::of::<Spanner>(),
    Entry::of::<LastWriterWins>(),
    Entry::of::<OrderedTransfers>(),
];
