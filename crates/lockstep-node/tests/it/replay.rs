//! Replay: what has left every ring comes from a journal, over TCP, committed, whole, once.

mod catching_up;
mod server;

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
