//! Processes that compute for nothing, so that every core is busy.

use crate::child::{self, Own, input_ends};
use crate::harness::pin;
use lockstep_process::cpu;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Starts a process that computes on each core, with a niceness.
pub fn hogs(niceness: Option<i32>) -> Result<Vec<Own>, String> {
    let Some(niceness) = niceness else { return Ok(Vec::new()) };
    let start = |core: usize| {
        let mut command = Command::new("nice");
        command.args(["-n", &niceness.to_string()]).arg(child::itself()?);
        command.args(["hog", "--core", &core.to_string()]);
        Own::start("a process that computes", command, Duration::ZERO)
    };
    cpu::cores().into_iter().map(start).collect()
}

/// The hidden subcommand.
#[derive(clap::Args)]
pub struct HogArguments {
    /// The core that it is bound to.
    #[arg(long)]
    core: usize,
}

/// Computes until standard input ends.
///
/// # Errors
/// It cannot be bound to its core.
pub fn hog(arguments: &HogArguments) -> Result<(), String> {
    pin(arguments.core)?;
    let over = input_ends();
    let mut value = 1_u64;
    while !over.load(Ordering::Acquire) {
        for _ in 0..1_000_000 {
            value = std::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    Ok(())
}
