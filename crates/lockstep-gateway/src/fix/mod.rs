//! # fix: order entry by FIX 4.2, 4.4 and FIXT 1.1 on the stream
//!
//! A FIX client is a gateway's client like any other: one publisher, one destination. Both numbers of its
//! session follow from the stream, so that any gateway continues any session:
//!
//! ```text
//!   from the client   each message that takes a MsgSeqNum is one entry of the client's publisher: an order
//!                     for the application as OUCH 5.0, anything else a note for the gateways
//!   to the client     each message is made of one entry: an answer of the application, or a note
//! ```
//! So the number that is expected next, and the number of the next message, are counts over the stream since
//! the trading day began. A gateway sends nothing that is not stamped, not even a heartbeat; whichever
//! gateway the client meets next counts the same, and a resend request is answered from what was stamped.
//!
//! * [`codec`] has frames, fields and checksums; [`dictionary`] the standard's tables, and the shape of a
//!   message by them; [`value`] times, prices and quantities;
//! * [`note`] the entries between gateways;
//! * [`session`] one connection's rules: bytes and times in, entries and bytes out;
//! * [`enter`] makes OUCH 5.0 of orders, [`orders`] execution reports of OUCH 5.0: state that follows from
//!   the stream;
//! * [`client`] puts together what the stream has of one client.
//!
//! Nothing here reads a clock or a socket, and nothing that a peer sends makes it panic or grow without a
//! bound.

pub mod client;
pub mod codec;
pub mod dictionary;
pub mod enter;
pub mod note;
pub mod orders;
pub mod record;
mod report;
pub mod session;
pub mod tags;
pub mod value;
