//! A set of streams as an operator sees it: one line for each stream, one for their merged order, and the
//! conditions of the set.
//!
//! ```text
//!  the nodes of each stream ─ who leads, how far ─┐
//!  the home stream ─ the list, the last cuts ─────┴▶ SetLook ─▶ SetSnapshot ─▶ status, why, health, top, web
//! ```

mod look;
mod snapshot;

pub use look::SetLook;
pub use snapshot::{CoordinatorLine, SetConditionLine, SetLine, SetSnapshot, StreamLine};
