//! # journal: the durable state of a replica
//!
//! The journal makes a log survive without the stamping thread ever waiting for a disk. It has two parts.
//! The **tail** is a ring in memory that outlives the process: frames are built, received and repaired
//! there. The **segments** are files that a side thread writes behind it. Both hold the same bytes in the
//! same order, so recovery reads the records once, from the segments into the tail.
//!
//! ```text
//!  hot thread ─▶ Tail (room, keep, append, stage, switch) ─▶ ring ─▶ SegmentWriter ─▶ segments
//!                  │ one state machine                        ▲            │ + checkpoint, index
//!                  └─ LogRebuild ◀─ open: segments, then ring ┘            ▼
//!                                                       LogReader, Scrub (cold)
//! ```
//!
//! Everything is a *record*: it begins with `wire::Header`, is sealed, and is a multiple of 8 bytes. Most
//! are frames. A [`record::Record::Stage`] marks the next frames as staged beside the log, a
//! [`record::Record::Switch`] makes them the log from then on (S7). Nothing is ever cut: a crash at any
//! byte leaves the old log or the new one.
//!
//! [`side`] defines the work of the side thread and its order: a thread and the simulator drive the same
//! code.
//!
//! This module is sans-IO. It knows two ports ([`ports::TailMemory`], [`ports::Store`]), which [`memory`]
//! and `io` implement.

#![forbid(unsafe_code)]

pub mod base;
pub mod checkpoint;
mod copied;
mod damage;
mod derived;
mod extents;
mod founding;
mod gone;
mod index;
mod inspect;
mod layout;
mod made;
mod meeting;
pub mod memory;
pub(crate) mod mend;
mod open;
mod overview;
pub mod packed;
pub mod ports;
pub mod proof;
mod reached;
mod read;
mod rebuild;
pub mod record;
mod recover;
mod recovery;
mod scrub;
pub mod segment;
pub mod segment_index;
pub mod segments;
pub mod side;
pub mod stall;
mod start;
pub mod superblock;
mod tail;
mod torn;
mod walk;

pub use checkpoint::Checkpoint;
pub use copied::{CopiedSegment, CopyOwner};
pub use damage::Damage;
pub use founding::{Founding, ROUNDS_ABOVE};
pub use gone::{ExpectedSegments, Gone, gone};
pub use inspect::{Inspection, inspect};
pub use layout::{
    FORMAT_VERSION, Geometry, LABEL_LEN, SEGMENT_LEN_MIN, TAIL_MAGIC, TailLabel, WORD_STRIDE, WORDS_AT,
};
pub use made::MadeLog;
pub use mend::Missing;
pub use open::{Cut, JournalOpenError, Settings, format};
pub use overview::{
    LogComparison, LogDifference, SegmentOverview, StoredLog, checkpoint_at, compare, overview, stored_log,
};
pub use proof::Completeness;
pub use read::{LogReader, read_segments};
pub use recovery::{Founder, JournalSummary, found, holdings};
pub use scrub::{Scrub, Verified, verify, verify_from, verify_segments};
pub use segments::{
    AgeClock, NeededBy, Retention, SegmentWriter, WriteError, copy_behind, copy_group, publish_position,
};
pub use start::{OpenedJournal, open};
pub use superblock::Superblock;
pub use tail::{AppendError, Full, RingSpan, StageError, SwitchError, Tail};

/// Bytes of a block: the smallest write of a store, and the distance of two slots of the tail.
pub const BLOCK_LEN: usize = 4096;

#[cfg(test)]
mod tests;
