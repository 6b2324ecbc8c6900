//! # lockstep: the program
//!
//! A low-latency multicast sequencer: one pinned thread stamps the messages of many publishers into one total
//! order and multicasts it; the hot standbys that receive the multicast are Paxos acceptors. This crate is
//! the command line ([`cli`]) over the others; the daemons that it starts are `lockstep-daemon`. A program
//! that publishes or reads the stream depends on `lockstep-client`, and on nothing else of it.
//! `ARCHITECTURE.md` is the map; the rules stand in `docs/rules.md`, the bytes in `docs/PROTOCOL.md`.

#[allow(clippy::disallowed_methods)]
pub mod cli;

pub use lockstep_daemon::config;
