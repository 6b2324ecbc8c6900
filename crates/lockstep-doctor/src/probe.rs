//! # probe: datagrams between the hosts of the file, on groups and ports of its own
//!
//! Each host runs it for the same bounded time. It sends to three groups beside those of the line and by
//! unicast to each host, replies to what others send, and reports by both ways what it has received from each
//! host. So each host soon knows what passes between all of them, even if one direction is cut: a third host
//! relays the report of a host that is not received.
//!
//! ```text
//!  ping ─ group or unicast ─▶ peer: counted ─ pong by unicast ─▶ round trip
//!  row: what I received from each host ─ group and unicast ─▶ peers ─ relayed ─▶ all
//!  rows of all ─ diagnosis ─▶ findings in plain words
//! ```
//!
//! [`prober`] decides what is sent at which time and counts what arrives; [`diagnosis`] grades the rows.
//! Neither uses a socket or a clock. The datagrams are not sealed: they carry nothing of the stream, no
//! process of the cluster listens on their ports, and a forged datagram can mislead a diagnosis only.

pub mod device;
pub mod diagnosis;
pub mod packet;
pub mod prober;
pub mod run;
#[cfg(test)]
mod tests;
