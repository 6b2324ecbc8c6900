//! The committed log of a node, copied while it runs, and verified; and a new history that begins with it.
//!
//! ```text
//!  journal's segments ─▶ frames of the log below the commit ─▶ segments of the backup ─▶ manifest.json
//!    (of any node)              │ each follows the backup's end by seq, epoch and chain     (written last)
//! ```
//!
//! A backup goes on where it ends, in whichever node's journal: frames are equal on all nodes. Its segments
//! only grow. The manifest is replaced at the end, as a whole, and lists which bytes count: wherever the
//! process dies, the backup is the old one or the new one.

mod archive;
mod make;
mod manifest;
mod restore;
mod segment_file;
mod verify;
mod view;

pub use make::{BackupMade, BackupOrder, NodeCommit, SEGMENT_MIN, committed, make};
pub use manifest::{BackupFile, BackupManifest, BackupSegment};
pub use restore::{RestoreOrder, restore};
pub use segment_file::SegmentFile;
pub use verify::{BackupReading, verified, verify};
pub use view::BackupView;
