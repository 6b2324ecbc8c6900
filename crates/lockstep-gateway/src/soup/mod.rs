//! # soup: SoupBinTCP 3.0, 4.0 and 4.1
//!
//! A session over TCP: the server sends numbered messages whose numbers nobody writes, both sides count them.
//! A client that comes back says the next number it wants, and gets the same stream from there.
//!
//! ```text
//!   AwaitingLogin ──L──▶ LoginPending ──accept──▶ Open ──Z, O, silence──▶ Ended
//!        │ 30 s               └──────reject─────────────────────────────────▲
//!        └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`packet`] is the codec, [`server`] and [`client`] are one connection's machines. The owner has the socket
//! and two buffers: it hands over what came, sends what was appended, and closes when the machine has ended.
//! [`connection`] is that owner for a client whose stream does not block.

pub mod client;
pub mod connection;
pub mod packet;
pub mod server;

pub use client::{
    Client, ClientEnd, ClientEvent, ClientFault, ClientLimits, ClientRefused, ClientState, Position,
};
pub use connection::Connection;
pub use packet::{LoginRequest, Packet, RejectReason, SoupError, Timeout};
pub use server::{End, Event, Fault, Refused, Server, ServerLimits, State, Taken, begin_at};
