//! Why the bridge ends without having done what was asked. The exit codes are those of `lockstep`.

use lockstep_client::{ConfigErrors, IoError};
use std::fmt;

/// The bridge ran and failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// The target holds another history, or the stream cannot be had any more.
pub const INTEGRITY: u8 = 3;
/// Not ready in time.
pub const NOT_READY: u8 = 4;
/// The target has another writer.
pub const FENCED: u8 = 5;

/// The sentence with the remedy, and the exit code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BridgeFailure {
    /// The exit code.
    pub code: u8,
    what: String,
}

impl BridgeFailure {
    /// A failure that ends the process with `code`.
    pub fn new(code: u8, what: impl fmt::Display) -> Self {
        Self { code, what: what.to_string() }
    }
}

impl fmt::Display for BridgeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<ConfigErrors> for BridgeFailure {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(USAGE, errors)
    }
}

impl From<IoError> for BridgeFailure {
    fn from(error: IoError) -> Self {
        Self::new(FAILED, error)
    }
}
