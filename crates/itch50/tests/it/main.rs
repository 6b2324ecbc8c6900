//! The codec against the specification's tables, and beside two implementations of others.

#![allow(clippy::unwrap_used, reason = "tests")]

mod codec;
mod common;
mod itchfeed;
mod itchy;
#[path = "../../../../tests/support/python.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod python;
