//! lockstep
pub mod cli;
pub mod config;
pub mod engine;
pub mod journal;
pub mod proto;
pub mod sim;
pub mod wire;
