//! # lockstep-bench: measures lockstep, and the floor under it
//!
//! Four kinds of figures, never mixed: instructions per message (exact, with a budget), latency and
//! throughput as ratios to a forwarder that does nothing but forward, taken in the same run, and what a
//! takeover or a loss costs, beside the same without one. Absolute times of a shared machine drift by a
//! third; ratios of alternating rounds do not.

mod attached;
mod check;
mod child;
mod cli;
mod client;
pub mod cluster;
mod compare;
mod contestant;
mod cost;
mod day;
mod down;
pub mod environment;
mod failover;
mod fairness;
mod fanout;
mod field;
mod flags;
pub mod fleet;
mod floor;
mod frames;
mod gateway;
mod ground;
mod guard;
mod harness;
mod hosts;
mod idle;
mod instructions;
mod journal;
mod languages;
mod latency;
mod load;
mod micro;
mod node;
mod observed;
pub mod place;
mod plain;
mod probe;
mod recovery;
mod repair;
mod replay;
mod report;
pub mod results;
mod scenario;

mod self_test;
mod stalls;
pub mod stats;
mod taps;
mod throughput;
mod transport;
pub mod usage;
mod ways;
mod worker;

pub use cli::{as_lockstep, run};
