//! # lockstep-top: a cluster on one screen
//!
//! ```text
//!  answers, counters files ─(operations)──▶ Snapshot ─▶ draw(frame, snapshot, view) ─▶ Screen
//!                                              │                            ▲
//!                                              └─▶ JSON      ViewState::key(key) ◀─ keyboard
//! ```
//!
//! A [`Snapshot`](lockstep_operations::top::Snapshot) has every figure that the screen shows, so that a
//! program reads the same as an operator. [`draw`] is a function of the snapshot and of the [`ViewState`]
//! alone. Columns have fixed widths, chosen by the width of the terminal: they move neither when a figure
//! grows nor when a node dies.

#![forbid(unsafe_code)]

mod draw;
pub mod figures;
mod screen;
mod view;

pub use draw::{SIZE_MIN, draw, text_of};
pub use screen::{Screen, ScreenInput};
pub use view::{Key, SortColumn, ViewPage, ViewState};
