//! Clusters on networks of namespaces, whose paths are cut and whose cards are shared. They need root.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

mod conformance;
mod interfaces;
mod late;
mod namespaces;
mod neighbours;
mod relay;
mod xdp;
