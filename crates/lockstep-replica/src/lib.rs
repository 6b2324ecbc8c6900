//! # lockstep-replica: the engine of a replica, and its journal
//!
//! [`replica`] is leader, standby and learner over the rules of `lockstep_core::proto` and a [`journal`];
//! [`bootstrap`] begins a cluster; [`conditions`] tracks the active conditions. Nothing here does IO: time,
//! datagrams, memory and storage are ports.

#![forbid(unsafe_code)]

pub mod bootstrap;
pub mod conditions;
pub mod journal;
pub mod ports;
pub mod replica;
