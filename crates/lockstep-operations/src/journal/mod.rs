//! What the files of a journal hold: counted, trimmed, and begun anew with what was exported.

mod import;
mod info;
mod merge;
mod trim;

pub use import::{ImportOrder, import};
pub use info::{DayRow, JournalInfo, LogContent, NewestRows};
pub use merge::{MergeJournalsError, MergedEnd, merge_journals};
pub use trim::{TrimDone, TrimPlan, trim};

use lockstep_wire::EntryKind;

/// The version of an entry's line of JSON, as `journal export` writes it and [`import`] reads it.
pub const ENTRY_SCHEMA: &str = "lockstep.entry/1";

/// The word for a kind.
pub fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Message => "message",
        EntryKind::Open => "open",
        EntryKind::Close => "close",
        EntryKind::Day => "day",
        EntryKind::Genesis => "genesis",
        EntryKind::EpochStart => "epoch_start",
        EntryKind::Membership => "membership",
        EntryKind::ChangeCommitted => "change_committed",
        EntryKind::Order => "order",
    }
}
