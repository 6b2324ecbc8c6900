//! # engine: composition
//!
//! One file per role, each a duty cycle over the rules of `proto` and a journal. Still deterministic:
//! time comes in as `now`, datagrams through [`ports::Net`].

#![forbid(unsafe_code)]

pub mod ports;
