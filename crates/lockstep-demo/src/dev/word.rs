//! The developer's word: lines on stdin.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// Lines of stdin, which is read from the first time on that somebody wants one: a `dev` in the background of
/// a shell stands still where it reads.
#[derive(Default)]
pub struct Words {
    lines: Option<Receiver<String>>,
}

impl Words {
    /// Reads from now on. `stop` is set when stdin ends.
    pub fn reading(stop: Option<Arc<AtomicBool>>) -> Self {
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                // Nobody may want any: the end counts all the same.
                let _ = send.send(line);
            }
            stop.inspect(|stop| stop.store(true, Ordering::Release));
        });
        Self { lines: Some(lines) }
    }

    /// Reads from now on, if it does not yet.
    pub fn begin(&mut self) {
        if self.lines.is_none() {
            *self = Self::reading(None);
        }
    }

    /// The next line, if there is one.
    pub fn next(&mut self) -> Option<String> {
        self.lines.as_ref().and_then(|lines| lines.try_recv().ok())
    }
}
