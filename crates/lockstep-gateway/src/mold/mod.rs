//! # mold: MoldUDP64 1.00
//!
//! Messages over UDP multicast. A datagram says its session and the number of its first message; the others
//! follow from it. Who misses one asks a request server by unicast, and is answered with a datagram like the
//! lost one, or not at all.
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

pub mod client;
pub mod packer;
pub mod packet;
pub mod server;

pub use client::{Client, ClientCounters, ClientLimits, Event, Intake, Start};
pub use packer::{PackError, Packer, Push};
pub use packet::{Downstream, Header, Messages, MoldError, Request};
pub use server::{Answer, Rate, RequestServer, ServerLimits, SessionBounds, Silence, TableFull};
