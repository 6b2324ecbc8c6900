//! # lockstep-bench: measures lockstep, and the floor under it
//!
//! Two kinds of figures, never mixed: latency and throughput as ratios to a forwarder that does nothing but
//! forward, taken in the same run, and what a takeover or a loss costs, beside the same without one. Absolute
//! times of a shared machine drift by a third; ratios of alternating rounds do not. A third kind,
//! instructions per message, is exact and has a budget: `lockstep-instructions`, which needs no build of this
//! crate.

mod attached;
pub mod check;
mod child;
pub mod cli;
mod client;
pub mod cluster;
pub mod compare;
mod contestant;
pub mod cost;
pub mod day;
mod down;
pub mod environment;
pub mod failover;
mod fairness;
pub mod fanout;
mod field;
pub mod flags;
pub mod fleet;
pub mod floor;
pub mod gateway;
mod ground;
pub mod guard;
pub mod harness;
mod hosts;
mod idle;
mod journal;
pub mod languages;
pub mod latency;
pub mod load;
mod merge;
mod micro;
mod node;
mod observed;
pub mod place;
mod plain;
pub mod probe;
mod recovery;
pub mod repair;
mod replay;
pub mod report;
pub mod results;
pub mod scenario;
pub mod self_test;
mod stage;
pub mod stalls;
pub mod stats;
pub mod taps;
mod throughput;
mod transport;
pub mod usage;
pub mod ways;
pub mod worker;

pub use cli::{as_lockstep, run};
