//! Real nodes on real sockets and files: the messages that they carry and replay, and what their hot path
//! must not do.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real threads, bounded by a clock")]

mod hot_path;
mod journal;
mod nodes;
mod replay;
mod support;
