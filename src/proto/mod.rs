//! # proto: the rules, sans-IO
//!
//! One rule-set per file. Each sees views, seqs and `now` as arguments and returns small values; none
//! knows a socket, a file, a clock, a thread or a random source, and none calls another core: the
//! engines pass results on. Rule ids (`S4`, `GAP-1`) are explained in `docs/rules.md`.

#![forbid(unsafe_code)]

pub mod log;
