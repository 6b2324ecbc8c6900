//! # lockstep-top: a cluster on one screen
//!
//! ```text
//!  answers, counters files ─(the program)─▶ Snapshot ─▶ draw(frame, snapshot, view) ─▶ Screen
//!                                              │                            ▲
//!                                              └─▶ JSON      ViewState::key(key) ◀─ keyboard
//! ```
//!
//! A [`Snapshot`] has every figure that the screen shows, so that a program reads the same as an operator.
//! [`draw`] is a function of the snapshot and of the [`ViewState`] alone. Columns have fixed widths, chosen
//! by the width of the terminal: they move neither when a figure grows nor when a node dies.

#![forbid(unsafe_code)]

mod draw;
pub mod figures;
mod screen;
mod snapshot;
mod view;

pub use draw::{SIZE_MIN, draw, text_of};
pub use screen::{Screen, ScreenInput};
pub use snapshot::{
    ClusterLine, ConditionLine, CounterLine, DropCount, EventLine, GatewayLine, HandleLine, NodeLine,
    NodePresence, ProcessLine, Quantiles, SCHEMA, Snapshot, SnapshotSource,
};
pub use view::{Key, SortColumn, ViewPage, ViewState};
