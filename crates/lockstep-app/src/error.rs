//! Why an application does not start, or ends.

use lockstep_client::{IoError, OpenError};
use lockstep_machine::MachineFault;
use std::fmt;

/// Why an application does not start, or ends.
#[non_exhaustive]
pub enum AppError {
    /// An operation of the system failed.
    Io(IoError),
    /// Its names could not be opened.
    Open(OpenError),
    /// It cannot go on.
    Fault(MachineFault),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Fault(fault) => write!(f, "the application ends: {fault}"),
        }
    }
}

/// As [`Display`](fmt::Display): this is what a `main` prints that returns it.
impl fmt::Debug for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for AppError {}

impl From<IoError> for AppError {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

impl From<MachineFault> for AppError {
    fn from(fault: MachineFault) -> Self {
        Self::Fault(fault)
    }
}
