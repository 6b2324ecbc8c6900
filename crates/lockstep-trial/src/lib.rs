//! # lockstep-trial: one trial of a cluster
//!
//! Demo, drill and bench load a cluster, take its leader away, and judge what readers were delivered. What
//! they do alike is here; what each asks, and how it says what came of it, is its own.
//!
//! * [`process`]: a process that is started, struck, brought back, and ended whatever happens.
//! * [`queries`]: what the replicas say of themselves, asked until it is so.
//! * [`load`]: a publisher whose messages are due at a rate.
//! * [`checks`]: whether each numbered message came once and in order, what is not final yet, and the
//!   digests of journals.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a driver of processes: clocks and waits")]

pub mod checks;
pub mod load;
pub mod process;
pub mod queries;
