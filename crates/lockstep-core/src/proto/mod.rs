//! # proto: the rules, sans-IO
//!
//! One rule-set per file. Each sees views, seqs and `now` as arguments and returns small values; none
//! knows a socket, a file, a clock, a thread or a random source, and none calls another core: the
//! engines pass results on. Rule ids (`S4`, `NACK-1`) are explained in `docs/rules.md`.

#![forbid(unsafe_code)]

/// The rules, broken on purpose.
pub use lockstep_wire::planted;

pub mod accept;
pub mod address_proof;
pub mod clocks;
pub mod commit;
pub mod delivered_log;
pub mod divergence;
pub mod election;
pub mod failure_detector;
pub mod follow;
pub mod gap;
pub mod heartbeat;
pub mod ingress;
pub mod lineage;
pub mod log;
pub mod membership;
pub mod nack;
pub mod parts;
pub mod presence;
pub mod publishers;
pub mod redundancy;
pub mod rejoin;
pub mod repair;
pub mod repairers;
pub mod requesters;
pub mod rights;
pub mod rounds;
pub mod sequence;
pub mod start;
#[cfg(test)]
mod tests;
pub mod unicast_probe;
pub mod window;
