//! # moldudp64: MoldUDP64 1.00, without IO
//!
//! Messages over UDP multicast. A datagram says its session and the number of its first message; the others
//! follow from it. A receiver that misses one asks a request server by unicast, and is answered with a
//! datagram like the lost one, or not at all.
//!
//! ```text
//!  server ── messages, heartbeats, end of session ──▶ group ──▶ client
//!                          request server ◀── session, number, count ──┤
//!                                     └── messages ───────────────────▶┘
//! ```
//!
//! [`packet`] is the codec, [`packer`] fills datagrams, [`server`] decides what a request is answered with,
//! and [`client`] is a receiver.
//!
//! A request and a heartbeat look alike: nothing on the wire tells them apart. So requests are taken on a
//! port of their own, and only there.
//!
//! Times are nanoseconds of a monotonic clock that the owner reads. Nothing that a peer sends makes a machine
//! panic or grow without a bound. There is no dependency and no `unsafe`.
//!
//! ```
//! use moldudp64::{Client, ClientLimits, Event, Packer, Session, Start};
//!
//! let session = Session::new(b"DAY1")?;
//! let mut packer = Packer::new(session, 1_424)?;
//! packer.push(1, b"a trade")?;
//! packer.push(2, b"another one")?;
//! let datagram = packer.flush().expect("two messages").to_vec();
//!
//! let mut client = Client::new(Some(session), Start::At(1), ClientLimits::default());
//! let mut intake = client.on_datagram(0, &datagram)?;
//! assert_eq!(intake.next_event(), Some(Event::Message { seq: 1, bytes: b"a trade" }));
//! assert_eq!(intake.next_event(), Some(Event::Message { seq: 2, bytes: b"another one" }));
//! assert_eq!(intake.next_event(), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod client;
pub mod packer;
pub mod packet;
pub mod server;
mod session;

pub use client::{Client, ClientCounters, ClientLimits, Event, Intake, Start};
pub use packer::{PackError, Packer, Push};
pub use packet::{Downstream, Header, Messages, MoldError, Request};
pub use server::{Answer, Rate, RequestServer, ServerLimits, SessionBounds, Silence, TableFull};
pub use session::{Session, SessionError};
