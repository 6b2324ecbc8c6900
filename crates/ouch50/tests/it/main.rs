//! The codec against the specification's tables, and beside an implementation of others.

#![allow(clippy::unwrap_used, reason = "tests")]

mod codec;
mod common;
mod nasdaq_protocols;
