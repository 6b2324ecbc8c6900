//! # lockstep-testkit: what tests share
//!
//! Only tests, tools and the bench depend on this crate; no program that runs a cluster does.

#![forbid(unsafe_code)]

pub mod child;
pub mod lane;
pub use lockstep_memory as memory;
