//! # io: the real world
//!
//! Sockets, clocks, threads, mapped files: everything that the engines reach only through ports. It is the
//! only place with system calls and the only one with `unsafe`, and it contains no protocol rule: `wire` and
//! `proto` decide which datagram is right.
//!
//! ```text
//!  duty ──now──▶ a role's turn ──▶ device: udp (at most one receive and one send call) or xdp
//!   │                 │
//!  idle            counters (stores), events (a queue and a ring) ──▶ side thread ──▶ tracing
//! ```
//!
//! The kernel often grants less than was requested. So every setting returns an [`Effective`], and a node
//! logs all of them when it starts.

#![allow(unsafe_code, clippy::disallowed_methods)]

pub mod auto;
pub mod capabilities;
pub mod clock;
pub mod counters;
pub mod crc;
pub mod device;
pub mod ethtool;
pub mod event_ring;
pub mod fanout;
pub mod fault_injection;
pub mod host;
pub mod idle;
pub mod key_file;
pub mod lines;
pub mod links;
pub mod lock;
pub mod mac;
pub mod made_in;
pub mod multicast;
pub mod output;
pub mod private;
pub mod ready;
pub mod shm;
pub mod slice;
pub mod source;
pub mod spool;
pub mod sync;
pub mod transport;
pub mod udp;
pub mod xdp;

use std::fmt;

/// Lets the wire use the instructions of this CPU, for checksums and for MACs. Call it once, before the first
/// datagram; [`device::Device::open`] does.
pub fn choose_instructions() {
    crc::choose();
    mac::choose();
}

/// A failed operation of the system: the operation and the remedy as text, and the system's error.
pub struct IoError {
    /// The operation, its object, and the remedy.
    pub doing: String,
    /// The system's error.
    pub source: std::io::Error,
}

impl IoError {
    /// An error of `source` while `doing`.
    pub fn new(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self { doing: doing.into(), source }
    }

    /// An error of binding an address while `doing`; its text ends with the remedy.
    pub fn of_bind(doing: impl Into<String>, source: std::io::Error) -> Self {
        let remedy = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                ": another process has that port; `ss -lntup` names it: end it, or choose another port"
            }
            std::io::ErrorKind::AddrNotAvailable => {
                ": this host has no such address; `ip address` lists those that it has, and 0.0.0.0 is all of them"
            }
            std::io::ErrorKind::PermissionDenied => {
                ": ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"
            }
            _ => "",
        };
        Self::new(format!("{}{remedy}", doing.into()), source)
    }

    /// An error of the last system call of this thread while `doing`.
    pub fn last(doing: impl Into<String>) -> Self {
        Self::new(doing, std::io::Error::last_os_error())
    }

    /// An error that no system call reported: `why` replaces its error text.
    pub fn because(doing: impl Into<String>, kind: std::io::ErrorKind, why: impl Into<String>) -> Self {
        Self::new(doing, std::io::Error::new(kind, why.into()))
    }

    /// The refusal of an argument, for which no system call was made.
    pub fn argument(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(doing, std::io::Error::new(std::io::ErrorKind::InvalidInput, Refused::Argument(why.into())))
    }

    /// The refusal of an object that another process has; `why` names its holder.
    pub fn in_use(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(doing, std::io::Error::new(std::io::ErrorKind::ResourceBusy, Refused::InUse(why.into())))
    }

    /// The name that this failure has in every language: `TIMED_OUT` is `LOCKSTEP_STATUS_TIMED_OUT` of C.
    pub fn status(&self) -> &'static str {
        match self.source.get_ref().and_then(|source| source.downcast_ref::<Refused>()) {
            Some(Refused::Argument(_)) => "ARGUMENT",
            Some(Refused::InUse(_)) => "IN_USE",
            Some(Refused::OtherProcess) => "OTHER_PROCESS",
            None if self.source.kind() == std::io::ErrorKind::TimedOut => "TIMED_OUT",
            None => "IO",
        }
    }
}

/// Why a call was refused before a system call was made: the source of an [`IoError`].
#[derive(Debug)]
enum Refused {
    Argument(String),
    InUse(String),
    OtherProcess,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(why) | Self::InUse(why) => f.write_str(why),
            Self::OtherProcess => f.write_str(made_in::ELSEWHERE),
        }
    }
}

impl std::error::Error for Refused {}

/// As `Display`: this is what a `main` that returns it prints.
impl fmt::Debug for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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

/// One setting: the requested value, the granted one, and the remedy if that is less.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// The setting, by its configuration key.
    pub what: &'static str,
    /// The value asked for.
    pub requested: String,
    /// The value in force.
    pub got: String,
    /// The reason and the remedy, if less was granted than requested.
    pub note: Option<String>,
}

impl Effective {
    /// A setting that was granted as requested.
    pub fn granted(what: &'static str, value: impl fmt::Display) -> Self {
        Self { what, requested: value.to_string(), got: value.to_string(), note: None }
    }

    /// A setting that was not granted as requested, and why.
    pub fn short(
        what: &'static str,
        asked: impl fmt::Display,
        got: impl fmt::Display,
        note: impl Into<String>,
    ) -> Self {
        Self { what, requested: asked.to_string(), got: got.to_string(), note: Some(note.into()) }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.note {
            None => write!(f, "{} {}", self.what, self.got),
            Some(note) => write!(f, "{} {} (asked {}): {note}", self.what, self.got, self.requested),
        }
    }
}
