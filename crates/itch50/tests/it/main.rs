//! The codec against the specification's tables, and beside two implementations of others.

#![allow(clippy::unwrap_used, reason = "tests")]

mod codec;
mod common;
mod itchfeed;
mod itchy;
