//! # proto: the rules, sans-IO
//!
//! One rule-set per file. Each sees views, seqs and `now` as arguments and returns small values; none
//! knows a socket, a file, a clock, a thread or a random source, and none calls another core: the
//! engines pass results on. Rule ids (`S4`, `NACK-1`) are explained in `docs/rules.md`.

#![forbid(unsafe_code)]

pub mod accept;
pub mod beat;
pub mod commit;
pub mod election;
pub mod follow;
pub mod gap;
pub mod held;
pub mod ingress;
pub mod lineage;
pub mod log;
pub mod membership;
pub mod nack;
pub mod planted;
pub mod presence;
pub mod publishers;
pub mod pulse;
pub mod redundancy;
pub mod repair;
pub mod repairers;
pub mod requesters;
pub mod rounds;
pub mod sequence;
pub mod start;
pub mod suspect;
#[cfg(test)]
mod tests;
pub mod window;
