//! # lockstep: a low-latency multicast sequencer
//!
//! One pinned thread stamps the messages of many publishers into one total order and multicasts it; the
//! hot standbys that hear the multicast are Paxos acceptors. This is the map of the house; `DESIGN`'s
//! words are explained in `docs/`, the rules in `docs/rules.md`, the bytes in `docs/PROTOCOL.md`.
//!
//! ```text
//! wire     1   bytes ⇄ typed views
//! proto    2   the rules, sans-IO, one rule-set per file
//! journal  2   tail, segments, superblock, recovery, over a storage port
//! engine   3   one file per role over proto and journal; time and datagrams come in as arguments
//! io       4   the real world: sockets, mapped files, clocks, cores, threads; the only unsafe room
//! edge     4   other people's protocols: SoupBinTCP, MoldUDP64; the rules of gateway and feed
//! sim      4'  stands where io stands: virtual network and clock, and the checkers
//! client   5   Publisher and Subscriber handles
//! node     5   a replica on this machine: device, journal, threads
//! config       text → validated values; builds the limits of the other rooms
//! cli      6   one file per subcommand
//! ```
//!
//! Imports point towards `wire`; `tests/tidy.rs` holds that. Start with [`client`].

#[allow(clippy::disallowed_methods)]
pub mod cli;
pub mod client;
pub mod config;
pub mod edge;
pub mod engine;
#[allow(unsafe_code, clippy::disallowed_methods)]
pub mod io;
pub mod journal;
pub mod node;
pub mod proto;
pub mod sim;
pub mod wire;
