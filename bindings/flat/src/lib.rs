//! Events of lockstep's handles in one flat layout, for programs in other languages.
//!
//! Each event is an [`EventRow`] of 64 bytes, whatever its kind; [`EventKind`] lists what the fields of each
//! kind mean. Payloads lie beside the rows: in a [`Batch`] all of them in one buffer, to which rows point by
//! offset. C, Python and Java read the same bytes.

#![forbid(unsafe_code)]

mod batch;
mod kind;
mod row;

pub use batch::{BATCH_BYTES, Batch};
pub use kind::EventKind;
pub use row::EventRow;
