//! What the operator's commands share beside their orders: the exit code of a cluster's health, and time.

use lockstep_client::internal::ClusterHealth;
use lockstep_daemon::Failure;
pub use lockstep_daemon::config::grouped;
use lockstep_daemon::failure::{DEGRADED, NOT_READY};
pub use lockstep_operations::commands::{CommandClient, suspicion};
pub use lockstep_operations::figures::{age, short};
pub use lockstep_operations::look::Look;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The exit code of a cluster's health.
pub fn code_of(health: ClusterHealth) -> u8 {
    match health {
        ClusterHealth::Healthy => 0,
        ClusterHealth::Degraded => DEGRADED,
        ClusterHealth::NoLeader | ClusterHealth::NoQuorum | ClusterHealth::NoHistory => NOT_READY,
    }
}

/// The moment, for what a command waits for.
#[allow(clippy::disallowed_methods)] // that is people and processes, not messages
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass, for a command or a side thread.
#[allow(clippy::disallowed_methods)] // as above
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Calls `f` once `interval` has passed, and then each interval, until `stop` is set or `f` fails. Calls that
/// were missed, by a stopped process for instance, are not made up for.
pub fn each_interval(
    interval: Duration,
    stop: &AtomicBool,
    mut f: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut due = now();
    while !stop.load(Ordering::Acquire) {
        due += interval;
        match due.checked_duration_since(now()) {
            Some(rest) => pause(rest),
            None => due = now(),
        }
        if !stop.load(Ordering::Acquire) {
            f()?;
        }
    }
    Ok(())
}
