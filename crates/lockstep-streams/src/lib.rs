//! # streams: handles over several streams
//!
//! A *set* is a list of streams, each a cluster of its own, of which the first is the *home stream*.
//! [`MergedSubscriber`] delivers all of them in one order, which is the same for every reader: a function of
//! what is committed, whenever and wherever it is read. Coordinators write into the home stream how far each
//! other one is merged there; `docs/STREAMS.md` describes them.
//!
//! A program that reads one stream alone does not depend on this crate.

#![forbid(unsafe_code)]

mod begin;
mod cursor;
mod merged;
mod set;

pub use cursor::MergedCursor;
pub use lockstep_set::{MergedEvent, MergedReader};
pub use merged::{MergedStart, MergedSubscriber};
pub use set::StreamSet;
