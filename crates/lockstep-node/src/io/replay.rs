//! # replay: journals over TCP
//!
//! A server beside each journal, in a thread of its own: it reads the segments that the side thread has
//! written, and sends what is committed of them to whoever asks. The stamping thread knows nothing of it but
//! one word in ten milliseconds. And the small half of a reader: one connection that never blocks.
//!
//! ```text
//!  side thread ──Written──▶ server ──sendfile──▶ socket ──▶ Source ──▶ engine::replay
//!                             └ shelf (runs and indices)
//! ```
//!
//! A record of a segment *is* the frame as it was sent, so the kernel moves pages from the file to the
//! socket, and no byte passes through this process (`sendfile`). Where that cannot be, one copy is made.
//!
//! A connection costs little: as many readers as configured and a few that are told so, one request of
//! 120 bytes within two seconds, and who takes nothing for ten seconds is dropped. While the stream moves,
//! all readers together get a rate; while it stands still, all that disk and network give.

mod connection;
mod fetch;
mod sendfile;
mod server;

pub use fetch::Fetch;
pub use server::{ReplayCounts, ReplayServer, ServerSettings};

/// Before sources that could not help a replica are asked anew.
const AGAIN_NS: lockstep_wire::Nanos = 5_000_000_000;
