//! The reference exchange: its rules one by one, beside a second model, on the stream, and under faults.

mod allocations;
#[cfg(feature = "glimpse")]
mod glimpse;
#[cfg(feature = "glimpse")]
mod glimpse_bounds;
#[cfg(feature = "machine")]
mod machine;
mod model;
mod recorded;
mod rules;
#[cfg(feature = "glimpse")]
#[path = "../../examples/glimpse/serve.rs"]
#[allow(clippy::disallowed_methods, reason = "sockets, threads and a clock")]
mod serve;
#[cfg(feature = "glimpse")]
#[path = "../../examples/glimpse/session.rs"]
#[allow(clippy::disallowed_methods, reason = "sockets, threads and a clock")]
mod session;
mod snapshot;
#[cfg(feature = "machine")]
mod trial;
