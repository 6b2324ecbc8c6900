//! The cost of an input by the clock of this host.

use lockstep_io::clock::Clock;
use lockstep_machine::{MachineFault, StateMachine, apply_cost, counter_cost};

/// Nanoseconds that an input costs in a machine, on average over `messages` messages: see [`apply_cost`].
///
/// # Errors
/// The machine fails.
pub fn apply_ns<M: StateMachine>(machine: M, messages: u64) -> Result<f64, MachineFault> {
    let clock = Clock::start();
    let ns = apply_cost(machine, messages, &mut || clock.now())?;
    Ok(ns as f64 / messages.max(1) as f64)
}

/// The same for the counter of docs/APPLY.md in Rust: see [`counter_cost`].
pub fn counter_ns(messages: u64) -> f64 {
    let clock = Clock::start();
    counter_cost(messages, &mut || clock.now()) as f64 / messages.max(1) as f64
}
