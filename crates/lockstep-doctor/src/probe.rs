//! # probe: datagrams between the hosts of the file, on groups and ports of its own
//!
//! Each host runs it for the same bounded time. It sends to three groups beside those of the line and by
//! unicast to each host, replies to what others send, and reports by both ways what it has received from
//! whom. So each host soon knows what passes between all of them, also where one direction is cut: the
//! report of a host that is not received comes by a third one.
//!
//! ```text
//!  ping ─ group or unicast ─▶ peer: counted ─ pong by unicast ─▶ round trip
//!  row: what I received from each host ─ group and unicast ─▶ peers ─ relayed ─▶ all
//!  rows of all ─ diagnosis ─▶ findings in plain words
//! ```
//!
//! [`prober`] decides what is sent when and counts what arrives; [`diagnosis`] grades the rows. Neither knows
//! a socket or a clock. Its datagrams are not sealed: they carry nothing of the stream, no process of the
//! cluster listens on their ports, and whoever forges them can mislead a diagnosis alone.

pub mod device;
pub mod diagnosis;
pub mod packet;
pub mod prober;
pub mod run;
#[cfg(test)]
mod tests;
