//! Events of lockstep's handles in one flat layout, for programs in other languages.
//!
//! Each event is a [`FlatEvent`] of 64 bytes, whatever its kind; [`FlatKind`] lists what the fields of each
//! kind mean. Payloads lie beside the rows: in a [`Batch`] all of them in one buffer, to which rows point by
//! offset. C, Python and Java read the same bytes. [`FlatInputKind`] numbers the inputs of a machine. A
//! [`FlatHandle`] is the handle of all of them, with the halves that it was connected with. Of the merged
//! order of a set each event has a [`FlatPlace`] beside its row, in a [`MergedBatch`].

#![forbid(unsafe_code)]

mod batch;
mod event;
mod handle;
mod input;
mod kind;
mod merged;

pub use batch::{BATCH_BYTES, Batch};
pub use event::FlatEvent;
pub use handle::{AbsentHalf, FlatHandle};
pub use input::FlatInputKind;
pub use kind::FlatKind;
pub use merged::{FlatPlace, MergedBatch};
