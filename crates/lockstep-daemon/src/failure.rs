//! Why a command failed, and the exit code that reports it to programs.

use crate::config::{ConfigError, ConfigErrors};
use lockstep_app::AppError;
use lockstep_client::OpenError;
use lockstep_core::engine::ports::BacklogError;
use lockstep_io::IoError;
use lockstep_io::output::{self, OutputStream};
use lockstep_node::{JournalError, NodeError};
use lockstep_operations::OperationError;
use std::fmt;
use std::io::ErrorKind;

/// The command ran and failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// A gap, an unequal digest, or a damaged journal.
pub const INTEGRITY: u8 = 3;
/// Not ready in time.
pub const NOT_READY: u8 = 4;
/// A newer process has this publisher or identity.
pub const FENCED: u8 = 5;
/// The stream continues with a condition or a lack.
pub const DEGRADED: u8 = 6;

/// The meaning of each exit code, by code: docs/COMMANDS.md has the same table.
pub const EXIT_CODES: [&str; 7] = [
    "done; of `status`: healthy",
    "failed while running",
    "wrong usage or configuration",
    "integrity: a gap, an unequal digest, a damaged journal",
    "not ready in time: no leader, no quorum, no history, no answer",
    "fenced: a newer process has taken this name or identity; find it before a restart",
    "degraded, of `status`: the stream continues with a problem",
];

/// The table as text.
pub fn exit_codes() -> String {
    let rows = EXIT_CODES.iter().enumerate().map(|(code, means)| format!("\n  {code}  {means}"));
    format!("Exit codes:{}", rows.collect::<String>())
}

/// A failure: a text with the remedy, and its exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    what: What,
}

#[derive(Debug)]
enum What {
    Text(String),
    /// Printed with the lines of the file, in colour on a terminal.
    Config(ConfigErrors),
    /// Not printed: the log has it already, or the reader of our output has closed it.
    Silence,
}

impl Failure {
    /// A failure that ends the process with `code`.
    pub fn new(code: u8, what: impl fmt::Display) -> Self {
        Self { code, what: What::Text(what.to_string()) }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Writes it as a log line, for commands whose stderr is a log for programs.
    pub fn logged(self) -> Self {
        tracing::error!(exit_code = self.code, "{self}");
        Self { code: self.code, what: What::Silence }
    }

    /// Prints it on stderr.
    pub fn print(&self) {
        match &self.what {
            What::Text(text) => output::write_line(OutputStream::Err, format_args!("lockstep: {text}")),
            What::Config(errors) => {
                let text = errors.render(crate::has_color(&std::io::stderr()));
                output::write_line(OutputStream::Err, text);
            }
            What::Silence => {}
        }
    }
}

impl Failure {
    /// Adds `why`, if the failure has this code, because only a further query can find the cause.
    pub fn explained(self, code: u8, why: impl FnOnce() -> String) -> Self {
        if self.code == code { Self::new(code, format!("{self}; {}", why())) } else { self }
    }
}

impl Failure {
    /// Each problem in a line of its own, without the lines of the file.
    pub fn lines(&self) -> Vec<String> {
        match &self.what {
            What::Config(errors) => errors.lines(),
            _ => self.to_string().lines().map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Text(text) => f.write_str(text),
            What::Config(errors) => errors.fmt(f),
            What::Silence => f.write_str("reported already"),
        }
    }
}

impl From<std::io::Error> for Failure {
    /// An error of writing to stdout: a reader that has closed it (`| head`) has read what it wanted.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self { code: 0, what: What::Silence },
            _ => Self::new(FAILED, format!("writing the output failed: {error}; look at where it leads")),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self { code: USAGE, what: What::Config(errors) }
    }
}

impl From<Box<ConfigError>> for Failure {
    fn from(error: Box<ConfigError>) -> Self {
        Self::new(USAGE, error)
    }
}

impl From<IoError> for Failure {
    fn from(error: IoError) -> Self {
        Self::new(FAILED, error)
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Io(error) => error.into(),
            AppError::Open(error) => error.into(),
            error => Self::new(error.exit_code(), error),
        }
    }
}

impl From<BacklogError> for Failure {
    fn from(error: BacklogError) -> Self {
        Self::new(FAILED, error)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::new(error.exit_code(), error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Failed(what) => Self::new(FAILED, what),
            OperationError::Refused(what) => Self::new(USAGE, what),
            OperationError::Integrity(what) => Self::new(INTEGRITY, what),
            OperationError::NotReady(what) => Self::new(NOT_READY, what),
            OperationError::Fenced(what) => Self::new(FENCED, what),
            OperationError::Config(errors) => errors.into(),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match error {
            OpenError::Name(_) => USAGE,
            OpenError::TimedOut(..) => NOT_READY,
            _ => FAILED, // the table is full, or the kernel fails
        };
        Self::new(code, error)
    }
}
