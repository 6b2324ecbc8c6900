//! # config: the cluster's file, and the settings of this machine's nodes that follow from it

pub use lockstep_config::*;
pub use lockstep_node::settings::{NodeConfig, share_of_address};
