//! # lockstep-bench: measures lockstep, and the floor under it
//!
//! Four kinds of figures, never mixed: instructions per message (exact, with a budget), latency and
//! throughput as ratios to a forwarder that does nothing but forward, taken in the same run, and what a
//! takeover or a loss costs, beside the same without one. Absolute times of a shared machine drift by a third; ratios
//! of alternating rounds do not.

mod check;
mod cli;
mod client;
pub mod cluster;
mod condition;
mod down;
pub mod environment;
mod failover;
pub mod fleet;
mod floor;
mod gateway;
mod instructions;
mod latency;
mod node;
pub mod place;
mod plain;
mod repair;
mod replay;
pub mod results;
mod scene;
pub mod stats;
mod throughput;

pub use cli::{as_lockstep, run};
