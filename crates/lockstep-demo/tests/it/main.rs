//! The demo, a cluster for writing programs, and the order flow that both tests and demo publish.

#![allow(clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

mod coordinators;
mod demo;
mod dev;
mod merged;
mod orders;
mod set;
mod set_feed;
mod set_machine;
mod streams;
mod watch;
