//! Writing programs for the stream, and judging the protocol.

pub mod beside;
pub mod completions;
pub mod new;
pub mod schema;
