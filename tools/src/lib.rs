//! # tools: the chores of a release, and scenarios that no test runs
//!
//! The simulator is the judge; here its verdict is confirmed on kernels. Each scenario is one function. Those
//! that tests run a few times are in `lockstep_testkit`; the chores here run them hundreds of times.

pub mod coverage;
pub mod joins;
pub mod late;
pub mod package;
pub mod rolling;
