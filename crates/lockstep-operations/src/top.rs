//! The cluster at one moment, as `lockstep top`, `lockstep web` and a program show it.
//!
//! ```text
//!  answers of nodes, counters files, pages ─▶ Sampler ─▶ Sample ─▶ gather ─▶ Snapshot
//! ```

pub mod counted;
mod gather;
pub mod pages;
mod sampler;
mod snapshot;

pub use sampler::{SamplePlan, Sampler};
pub use snapshot::*;
