//! The demo, a cluster for writing programs, and the order flow that both tests and demo publish.

mod demo;
mod orders;
