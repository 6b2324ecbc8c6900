//! # config: the cluster's file, and what it means for this machine's nodes

pub use lockstep_config::*;
pub use lockstep_node::settings::{NodeConfig, share_of_address};
