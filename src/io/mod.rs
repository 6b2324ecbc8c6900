//! # io: the real world
//!
//! Sockets, clocks, threads, mapped files: everything that the engines reach only through ports. It
//! is the only room with system calls and the only one with `unsafe`, and it knows no rule.

pub mod journal_files;
pub mod journal_thread;
pub mod store;
pub mod tail;

use std::fmt;

/// Something outside failed: what we were doing, in words with the remedy, and what the system said.
#[derive(Debug)]
pub struct IoError {
    /// What was being done, to what, and what to do instead.
    pub doing: String,
    /// The system's answer.
    pub source: std::io::Error,
}

impl IoError {
    /// An error of `source` while `doing`.
    pub fn new(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self { doing: doing.into(), source }
    }

    /// An error of the last system call of this thread while `doing`.
    pub(crate) fn last(doing: impl Into<String>) -> Self {
        Self::new(doing, std::io::Error::last_os_error())
    }

    /// An error that no system call reported: `why` stands where its answer would.
    pub(crate) fn because(
        doing: impl Into<String>,
        kind: std::io::ErrorKind,
        why: impl Into<String>,
    ) -> Self {
        Self::new(doing, std::io::Error::new(kind, why.into()))
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.source)
    }
}

impl std::error::Error for IoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
