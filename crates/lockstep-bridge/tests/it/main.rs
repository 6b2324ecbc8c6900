//! Bridges beside clusters of real processes: into servers, into files, and out of Kafka into the stream.

#![allow(clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

#[cfg(feature = "kafka")]
mod broker;
mod files;
#[allow(clippy::unwrap_used, reason = "a test ends there")]
#[path = "../../../itch50/tests/it/common/mod.rs"]
mod itch;
#[cfg(feature = "kafka")]
mod kafka;
mod load;
mod servers;
