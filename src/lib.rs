//! lockstep
pub mod engine;
pub mod journal;
pub mod proto;
pub mod wire;
pub mod sim;
