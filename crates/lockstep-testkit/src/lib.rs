//! # lockstep-testkit: what tests share
//!
//! Only tests, tools and the bench depend on this crate; no program that runs a cluster does.

pub mod lane;
#[cfg(debug_assertions)]
pub mod planted;
