//! Clusters and cards on networks of namespaces. They need root.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

mod conformance;
mod relay;
mod xdp;
