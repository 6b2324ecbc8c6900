//! # config: the cluster's file, and what it means for this machine's nodes
//!
//! `lockstep_config` reads and checks the file. This room adds the settings of nodes, which clients do not
//! need.

#![forbid(unsafe_code)]

mod node;

pub use lockstep_config::*;
pub use node::{NodeConfig, share_of_address};
