//! # sim: the judge
//!
//! The engines that production runs, over a virtual network, clock and memory. One seed decides
//! everything: the fault mix, the workload, every delay. After each step an oracle checks the rules
//! ([`check`]); at the end the faults stop and everything published must be committed and delivered
//! everywhere, or the run failed as well.

#![forbid(unsafe_code)]

pub mod check;
pub mod explore;
pub mod net;
mod plan;
pub mod rng;
pub mod world;

pub use plan::{Failure, Outcome, Plan};
pub use world::run;
