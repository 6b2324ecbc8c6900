//! Changes of a cluster that runs.

pub mod ack;
pub mod day;
pub mod declare_dead;
pub mod drill;
pub mod handover;
pub mod keys;
pub mod membership;
pub mod reload;
pub mod rolling;
pub mod streams;
pub mod time;
pub mod upgrade;
