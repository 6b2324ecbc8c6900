//! Clusters of real processes on this host, as operators and users run them.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

mod watcher;
