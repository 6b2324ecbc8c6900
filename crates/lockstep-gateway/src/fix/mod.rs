//! # fix: order entry by FIX 4.2, 4.4 and FIXT 1.1 on the stream
//!
//! A FIX client is a gateway's client like any other, with one publisher and one destination. Both numbers of
//! its session follow from the stream, so any gateway can continue any session:
//!
//! ```text
//!   from the client   each message that takes a MsgSeqNum is one entry of the client's publisher: an order
//!                     for the application as OUCH 5.0, anything else a note for the gateways
//!   to the client     each message is made of one entry: an answer of the application, or a note
//! ```
//! So the number that is expected next, and the number of the next message, are counts over the stream since
//! the trading day began. A gateway sends nothing that is not stamped, not even a heartbeat. The client's
//! next gateway counts the same, and answers a resend request from what was stamped.
//!
//! * [`codec`]: frames, fields and checksums; [`dictionary`]: the standard's tables, and the structure of a
//!   message by them; [`value`]: times, prices and quantities;
//! * [`note`]: the entries between gateways;
//! * [`session`]: one connection's rules: bytes and times in, entries and bytes out;
//! * [`enter`]: orders as OUCH 5.0; [`orders`]: execution reports from OUCH 5.0, as a state that follows from
//!   the stream;
//! * [`client`]: the state of one client that follows from the stream.
//!
//! Nothing here reads a clock or a socket, and no input of a peer makes it panic or grow without a bound.

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
