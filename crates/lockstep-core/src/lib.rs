//! # lockstep-core: rules, and the engines of publishers and readers
//!
//! [`proto`] has the rules of the protocol, one rule-set per file; [`engine`] composes them into the
//! publisher, the subscriber and the receiver that both share, over the ports that the world provides.
//! Nothing here knows a socket, a file, a clock, a thread or a random source: time and datagrams are
//! arguments.

#![forbid(unsafe_code)]

pub mod engine;
pub mod proto;
pub mod ring;
