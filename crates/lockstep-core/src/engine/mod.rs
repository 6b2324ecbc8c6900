//! # engine: composition
//!
//! One file per role, each a duty cycle over the rules of `proto` and a journal. Still deterministic:
//! time comes in as `now`, datagrams through [`ports::Net`].

#![forbid(unsafe_code)]

pub mod clients;
pub mod counters;
pub mod durations;
pub mod event;
pub mod event_record;
pub mod followed;
pub mod idle_turn;
pub mod leader_contact;
pub mod losses;
pub mod networks;
pub mod outputs;
pub mod participant;
pub mod parts;
pub mod ports;
pub mod publisher;
pub mod receiver;
pub mod replay;
pub mod saved;
pub mod store;
pub mod subscriber;
pub mod unfinished;
mod unicast_probe;
pub mod window;

/// A hot thread polls its unicast socket every so many turns, and at each turn while it awaits something
/// there.
pub const UNICAST_TURNS: u64 = 8;
