//! Why an application does not start, or ends.

use lockstep_client::{IoError, OpenError};
use lockstep_machine::MachineFault;
use std::fmt;
use std::process::ExitCode;

/// Why an application does not start, or ends.
#[non_exhaustive]
pub enum AppError {
    /// An operation of the system failed.
    Io(IoError),
    /// Its names could not be opened.
    Open(OpenError),
    /// A stop was requested while the names of the application with this name were opened.
    Stopped(String),
    /// It cannot continue.
    Fault(MachineFault),
    /// The stream behind its own snapshots is gone, and no peer has a snapshot with which it can continue.
    NoSnapshot {
        /// The part of the stream that is gone.
        fault: MachineFault,
        /// Each peer, and the fault of its snapshot.
        peers: String,
        /// Whether a peer has not answered, or has no snapshot yet.
        may_change: bool,
    },
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Stopped(name) => write!(f, "'{name}' was asked to stop while its names were opened"),
            Self::Fault(fault) => write!(f, "the application ends: {fault}"),
            Self::NoSnapshot { fault, peers, .. } => {
                write!(
                    f,
                    "the application ends: {fault}; and no peer has a snapshot with which it can continue: \
                     {peers}"
                )
            }
        }
    }
}

impl AppError {
    /// The exit code of a program that ends with this error, as for `lockstep`'s daemons: 3 if it would
    /// happen again, because the stream, the state or the snapshots need an operator first; otherwise 1. A
    /// unit of systemd has `RestartPreventExitStatus=2 3 5`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io(_) | Self::Open(_) | Self::Stopped(_) | Self::NoSnapshot { may_change: true, .. } => 1,
            Self::Fault(MachineFault::Publish(_)) => 1,
            Self::Fault(_) | Self::NoSnapshot { .. } => 3,
        }
    }
}

/// Ends a program with the error of its replica: its text on stderr, and [`AppError::exit_code`]; 1 for
/// another error.
///
/// ```no_run
/// # fn start() -> Result<(), Box<dyn std::error::Error>> { Ok(()) }
/// fn main() -> std::process::ExitCode {
///     lockstep_app::ended(start())
/// }
/// ```
pub fn ended(outcome: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("Error: {error}");
    ExitCode::from(error.downcast_ref::<AppError>().map_or(1, AppError::exit_code))
}

/// As [`Display`](fmt::Display): this is what a `main` that returns it prints.
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
