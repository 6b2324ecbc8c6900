//! # soupbintcp: SoupBinTCP 3.0, 4.0 and 4.1, without IO
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
//!
//! Times are nanoseconds of a monotonic clock that the owner reads. Nothing that a peer sends makes a machine
//! panic or grow without a bound. Where the specification is silent and implementations disagree, this takes
//! the stricter reading that still accepts what real peers send, and says so beside the code. There is no
//! dependency, no `unsafe`, and nothing to configure.
//!
//! ```
//! use soupbintcp::{Event, Field, LoginRequest, Server, ServerLimits, Client, ClientEvent, ClientLimits, Session, Timeout};
//!
//! let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
//! let login = LoginRequest {
//!     username: Field::new(b"alice")?,
//!     password: Field::new(b"secret")?,
//!     session: Session::BLANK, // the one that is active
//!     seq: 1,                  // from its first message on
//!     timeout: Timeout::Absent,
//! };
//! let mut client = Client::new(0, login, ClientLimits::default());
//! let mut server = Server::new(0, ServerLimits::default());
//! client.login(0, &mut to_server)?;
//!
//! let taken = server.on_bytes(0, &to_server);
//! assert!(matches!(taken.event, Some(Event::Login(_))));
//! server.accept(0, Session::new(b"DAY1")?, 1, &mut to_client)?;
//! server.sequenced(0, b"a trade", &mut to_client)?;
//!
//! let taken = client.on_bytes(0, &to_client);
//! assert!(matches!(taken.event, Some(ClientEvent::Accepted { next_seq: 1, .. })));
//! to_client.drain(..taken.len);
//! let taken = client.on_bytes(0, &to_client);
//! assert!(matches!(taken.event, Some(ClientEvent::Message { seq: 1, bytes: b"a trade" })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod client;
pub mod connection;
mod field;
pub mod packet;
pub mod server;

pub use client::{
    Client, ClientEnd, ClientEvent, ClientFault, ClientLimits, ClientRefused, ClientState, Position,
};
pub use connection::Connection;
pub use field::{Field, FieldError, Session, Text};
pub use packet::{LoginRequest, Packet, RejectReason, SoupError, Timeout};
pub use server::{End, Event, Fault, Refused, Server, ServerLimits, State, Taken, begin_at};
