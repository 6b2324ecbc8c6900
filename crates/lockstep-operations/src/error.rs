//! Why an operation was not done, by what its caller can do about it.

use lockstep_client::OpenError;
use lockstep_config::{ConfigError, ConfigErrors};
use lockstep_io::IoError;
use lockstep_node::{JournalError, NodeError};
use std::fmt;
use std::path::Path;

/// Why an operation was not done. Each kind has its text, with the remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OperationError {
    /// It was tried, and failed: a file, a socket, a refusal of the cluster.
    Failed(String),
    /// It is not to be done with these values, or in this state.
    Refused(String),
    /// Data are damaged, or contradict each other.
    Integrity(String),
    /// The cluster or a node was not ready in time.
    NotReady(String),
    /// Somebody else has taken the place meanwhile.
    Fenced(String),
    /// The configuration does not allow it; they know their lines of the file.
    Config(ConfigErrors),
}

impl OperationError {
    pub(crate) fn failed(what: impl fmt::Display) -> Self {
        Self::Failed(what.to_string())
    }

    pub(crate) fn refused(what: impl fmt::Display) -> Self {
        Self::Refused(what.to_string())
    }

    pub(crate) fn integrity(what: impl fmt::Display) -> Self {
        Self::Integrity(what.to_string())
    }

    pub(crate) fn not_ready(what: impl fmt::Display) -> Self {
        Self::NotReady(what.to_string())
    }

    pub(crate) fn fenced(what: impl fmt::Display) -> Self {
        Self::Fenced(what.to_string())
    }

    /// The same, with what else is known: `why` stands behind it.
    pub(crate) fn explained(self, why: impl FnOnce() -> String) -> Self {
        let more = |what: String| format!("{what}; {}", why());
        match self {
            Self::Failed(what) => Self::Failed(more(what)),
            Self::Refused(what) => Self::Refused(more(what)),
            Self::Integrity(what) => Self::Integrity(more(what)),
            Self::NotReady(what) => Self::NotReady(more(what)),
            Self::Fenced(what) => Self::Fenced(more(what)),
            Self::Config(errors) => Self::Config(errors),
        }
    }

    /// A file that could not be read or written.
    pub(crate) fn of_file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("{doing} {}: {error}", path.display()))
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(what)
            | Self::Refused(what)
            | Self::Integrity(what)
            | Self::NotReady(what)
            | Self::Fenced(what) => f.write_str(what),
            Self::Config(errors) => errors.fmt(f),
        }
    }
}

impl std::error::Error for OperationError {}

impl From<ConfigErrors> for OperationError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<Box<ConfigError>> for OperationError {
    fn from(error: Box<ConfigError>) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<IoError> for OperationError {
    fn from(error: IoError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<NodeError> for OperationError {
    fn from(error: NodeError) -> Self {
        let what = error.to_string();
        match error.exit_code() {
            2 => Self::Refused(what),
            3 => Self::Integrity(what),
            _ => Self::Failed(what),
        }
    }
}

impl From<JournalError> for OperationError {
    fn from(error: JournalError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<OpenError> for OperationError {
    fn from(error: OpenError) -> Self {
        let what = error.to_string();
        match error {
            OpenError::Name(_) => Self::Refused(what),
            OpenError::TimedOut(..) => Self::NotReady(what),
            _ => Self::Failed(what), // the table is full, or the kernel fails
        }
    }
}
