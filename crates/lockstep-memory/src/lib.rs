//! # memory: a cluster in one thread
//!
//! The production engines over a network, disks and tails in memory, stepped by hand. The judge
//! (`lockstep-sim`) puts faults and oracles around them; tests of one role drive it with datagrams of a log
//! that they write themselves.
//!
//! ```text
//!   log (frames made by hand) ──▶ reader │ cluster ──▶ net, disk
//!                                 world: names, limits, tails
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

pub mod cluster;
pub mod disk;
pub mod journal;
pub mod log;
pub mod net;
pub mod place;
#[cfg(debug_assertions)]
pub mod planted;
pub mod reader;
pub mod rng;
pub mod world;
