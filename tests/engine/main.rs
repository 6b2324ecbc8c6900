//! The engines over [`SimNet`](lockstep_sim::net::SimNet) and a journal in memory, datagram by datagram.
//! Which of these tests shows which fault stands in `docs/FAULTS.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod abandoned;
mod ahead;
mod alive;
mod bounds;
mod catch_up;
mod clock;
mod exchange;
mod found;
#[cfg(debug_assertions)]
mod found_by;
mod full;
mod futures;
mod histories;
mod idle;
mod ingress;
mod large;
mod log;
mod membership;
mod multicast;
mod names;
mod notices;
mod opens;
mod outcomes;
mod outputs;
mod participant;
mod proofs;
mod publisher;
mod readers;
mod receiver;
mod redundancy;
mod refounded;
mod repair;
mod replayed;
mod replica;
mod rights;
mod roles;
mod scripts;
mod shipped;
mod store;
mod subscriber;
mod takeover;
mod upgrade;
mod window;
mod witness;
mod world;
