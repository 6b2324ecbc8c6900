//! Replay: what has left every ring comes from a journal, over TCP, committed, whole, once.

// Threads and sleeps belong to io and the command line; here they stand for the latter.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod catching_up;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

/// Nothing here takes nearly so long; what hangs fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `is` says so.
#[track_caller]
pub fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}: it does not come to be");
        std::thread::sleep(Duration::from_millis(1));
    }
}
