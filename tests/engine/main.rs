//! The engines over [`SimNet`](lockstep::sim::net::SimNet) and a journal in memory, datagram by datagram.
//!
//! Rows of the catalogue of faults that this release covers, and where. (`sim` is `tests/sim.rs`, which
//! draws them at random and checks every rule after every step.)
//!
//! | fault | here |
//! |---|---|
//! | packet loss | receiver: a lost tail, a store full of later frames; sim |
//! | duplicate, replay | receiver: frames that were held before; publisher: late copies of an open; sim |
//! | reorder | receiver: frames out of order ask for nothing; replica: submissions out of order; sim |
//! | corruption in flight | receiver: a flipped bit; `tests/wire.rs`; sim |
//! | NACK storm | replica: a request is answered up to its budget |
//! | slow receiver | subscriber: an application that stopped; receiver: abandoned |
//! | stale leader | receiver: what an older epoch says (S10) |
//! | kill and restart | replica: a leader that restarts; sim |
//! | torn tail, bit rot | `tests/journal.rs`; receiver: divergence |
//! | disk full, segments lag | replica: a full journal refuses and recovers |
//! | same replica id twice | replica: an impostor (S12) |
//! | wrong group, port or cluster; two clusters on one group | receiver: foreign cluster, foreign history |
//! | restart with an empty disk | replica: a blank node that is not listed (S12) |
//! | malformed datagrams | `tests/wire.rs` |
//! | sequence wrap | `tests/wire.rs` |
//! | oversize message | publisher: too long |
//! | huge burst | replica: a full window refuses, tells and recovers; publisher: backpressure |
//! | double delivery after a restart | subscriber: begins where it is told |

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fates;
mod found;
mod futures;
mod ingress;
mod log;
mod membership;
mod notices;
mod publisher;
mod readers;
mod receiver;
mod replica;
mod shipped;
mod store;
mod subscriber;
mod takeover;
mod window;
mod witness;
mod world;
