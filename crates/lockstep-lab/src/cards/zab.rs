//! Zab, and the order of primaries.

mod atomic;
mod primary_backup;

pub use atomic::{Zab, ZabIndication, ZabMessage};
pub use primary_backup::{BackupMessage, PrimaryBackup};

use crate::check::Entry;
use crate::property::VALIDITY;
use crate::{Ask, Break, Links, Model, Search, Value};

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<Zab>(), Entry::of::<PrimaryBackup>()];

/// The break that both cards have.
const ASKED_FOR_VALIDITY: Break = Break {
    name: "asked-for-validity",
    says: "Only a primary broadcasts: what a process is asked that never leads waits for ever. Hence progress is \
           promised for the primary alone.",
    model: Model { links: Links::Fifo, ..Model::PLAIN },
    asks: Some(&[(1, Ask::Broadcast(Value(2)))]),
    dropped: None,
    loses: &VALIDITY,
    search: Search::Breadth,
    steps_max: 1,
    planted: false,
};
