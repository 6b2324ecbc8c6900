//! # tools: real processes under real faults
//!
//! The simulator is the judge; here its verdict is confirmed on kernels. What the repository's tests and
//! its long-running chores share: clusters of real processes, a network of namespaces whose paths can be
//! cut, disks whose power fails. Each scenario is one function: `tests/` runs it a few times, the chores
//! of `tools` hundreds of times.

pub mod cards;
pub mod coverage;
pub mod durability;
pub mod exchange;
pub mod feeds;
pub mod flow;
pub mod gateways;
pub mod images;
pub mod late;
pub mod netns;
pub mod package;
pub mod power;
pub mod processes;
pub mod release;
pub mod rolling;
pub mod sbom;
pub mod switch;
pub mod takeover;
pub mod trader;
pub mod trading;
pub mod upgrade;
