//! # replay: journals over TCP
//!
//! Each journal has a server, in a thread of its own: it reads the segments that the side thread has written,
//! and sends their committed frames to each reader that asks. The stamping thread only stores one word for it
//! every ten milliseconds. This module also has a reader's connection, which never blocks.
//!
//! ```text
//!  side thread ──Written──▶ server ──sendfile──▶ socket ──▶ ReplayConnection ──▶ engine::replay
//!                             └ segment index (runs, sparse indices)
//! ```
//!
//! A record of a segment *is* the frame as it was sent, so the kernel moves pages from the file to the
//! socket, and no byte passes through this process (`sendfile`). If that is impossible, one copy is made.
//!
//! The number of connections is limited: the configured readers, and a few more that receive a refusal. A
//! connection must send one request of 120 bytes within two seconds, and a reader that takes nothing for ten
//! seconds is dropped. While the stream moves, all readers together are limited to a rate; while it is idle,
//! only by disk and network.

mod connection;
mod fetch;
mod sendfile;
mod server;
mod unopened;

pub use fetch::Fetch;
pub use server::{ReplayCounts, ReplayServer, ServerSettings};

/// Pause before a replica asks sources again that could not help it.
const AGAIN_NS: lockstep_wire::Nanos = 5_000_000_000;
