//! Clocks and pauses: a bridge is a program at the edge, and reads them here alone.

#![allow(clippy::disallowed_methods, reason = "a program of its own; the stream's rules are not here")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest pause between two looks at the request to stop.
const LOOK: Duration = Duration::from_millis(50);

/// The monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, in nanoseconds since the Unix epoch.
pub fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Pauses for `time`, or until the process is asked to stop.
pub fn pause(time: Duration, stop: &AtomicBool) {
    let end = now() + time;
    while !stop.load(Ordering::Acquire) {
        let left = end.saturating_duration_since(now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(LOOK));
    }
}
