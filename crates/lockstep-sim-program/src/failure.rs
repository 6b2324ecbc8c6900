//! Why a run did not do what was asked, and the exit code that says so to programs: those of `lockstep`
//! (docs/COMMANDS.md).

use lockstep_io::IoError;
use std::fmt;
use std::io::ErrorKind;

/// The command ran and failed.
pub const FAILED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// A rule was broken.
pub const INTEGRITY: u8 = 3;

/// What went wrong, in words, and its exit code.
#[derive(Debug)]
pub struct SimFailure {
    code: u8,
    /// None where nobody needs to be told: the reader of our output has seen enough.
    what: Option<String>,
}

impl SimFailure {
    /// A failure that ends the process with `code`.
    pub fn new(code: u8, what: impl fmt::Display) -> Self {
        Self { code, what: Some(what.to_string()) }
    }

    /// Prints it on stderr, and returns its exit code.
    pub fn print(self) -> u8 {
        if let Some(what) = self.what {
            eprintln!("lockstep: {what}");
        }
        self.code
    }
}

impl From<std::io::Error> for SimFailure {
    /// Of writing to stdout: a reader that has closed it (`| head`) has got what it wanted.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self { code: 0, what: None },
            _ => Self::new(FAILED, format!("writing the output failed: {error}; look at where it leads")),
        }
    }
}

impl From<IoError> for SimFailure {
    fn from(error: IoError) -> Self {
        Self::new(FAILED, error)
    }
}
