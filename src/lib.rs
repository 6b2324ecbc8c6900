//! lockstep
pub mod engine;
#[allow(unsafe_code, clippy::disallowed_methods)]
pub mod io;
pub mod journal;
pub mod proto;
pub mod wire;
