//! Replay: frames that have left every ring come from a journal, over TCP: committed, whole, once.

mod catching_up;
mod server;

use std::time::{Duration, Instant};

/// Nothing here takes nearly that long; a hang fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `is` returns true.
#[track_caller]
pub fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}: it does not come to be");
        std::thread::sleep(Duration::from_millis(1));
    }
}
