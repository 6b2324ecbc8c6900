//! What is being done, on the terminal alone: nothing of it is ever in a file.

use std::io::{IsTerminal, Write};

/// One line that is written over and over, and is gone with this.
pub struct Progress {
    what: &'static str,
    shown: bool,
}

impl Progress {
    /// Of a measure.
    pub fn new(what: &'static str) -> Self {
        Self { what, shown: std::io::stderr().is_terminal() }
    }

    /// Says what is done now.
    pub fn say(&self, text: &str) {
        if self.shown {
            // Who cannot be told is not told.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {text}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
