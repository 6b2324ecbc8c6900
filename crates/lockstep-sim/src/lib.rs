//! # sim: the judge
//!
//! The engines that production runs, over a virtual network, clock, memory and disk. One seed decides
//! everything: the faults and their times, the workload, every delay. After each step an oracle checks the
//! rules ([`check`]). Then most faults stop: a quorum is healed, the other nodes stay broken for ever, and
//! every message that the quorum's publishers submit must be committed and delivered; otherwise the run has
//! failed as well.
//!
//! ```text
//!   plan ──faults, by time──▶ world ◀──packets──▶ wire (loss, delay, partitions)
//!    ▲                          │ turns
//!    │ shorter                  ▼
//!   shrink ◀──a failure── check (the oracle: tree of all frames, model of the committed prefix)
//! ```

#![forbid(unsafe_code)]

pub mod check;
mod clients;
pub mod clock;
mod cluster;
mod context;
pub mod coverage;
mod device;
pub mod edge;
mod engines;
pub mod explore;
pub mod fault;
mod host;
mod keys;
pub mod kinds;
pub mod lone;
mod machine;
mod machines;
pub mod many;
pub mod mutated;
pub mod netsim;
mod operator;
mod outcome;
mod plan;
pub mod proof;
mod quorum;
mod seconds;
pub mod shrink;
pub mod story;
pub mod svg;
pub mod trial;
mod unfinished;
pub mod wire;
pub mod world;
pub mod year;

pub use edge::{EdgeFault, EdgePlan};
pub use fault::{Fault, PlannedFault, has_rejoiners};
pub use kinds::{Configured, DeviceFault, SimClock, Suspension, VanishedFile};
pub use lockstep_memory::{disk, net, rng};
pub use outcome::{Outcome, RunFailure};
pub use plan::Plan;
pub use unfinished::discards_unfinished;
pub use world::run;
