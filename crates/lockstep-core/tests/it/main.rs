//! Readers and publishers in memory, datagram by datagram. Which of these tests shows which fault stands in
//! `docs/FAULTS.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod abandoned;
#[cfg(debug_assertions)]
mod found_by;
mod futures;
mod log;
mod outcomes;
mod outputs;
mod participant;
mod publisher;
mod readers;
mod receiver;
mod store;
mod subscriber;
mod window;
