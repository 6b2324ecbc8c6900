//! Clusters of real processes on this host, as operators and users run them. `cargo test --test cluster
//! cli::` runs the tests of one part.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

mod alerts;
mod apply;
mod calm;
mod cli;
mod doctor;
mod exchange;
mod feed;
mod fix;
mod gateway;
mod health_words;
mod joining;
mod loops;
mod metrics;
mod night;
mod power;
mod rejoin;
mod requests;
mod runbook;
mod start;
mod takeover;
#[cfg(feature = "tls")]
mod tls;
mod trust;
mod upgrade;
mod watcher;
