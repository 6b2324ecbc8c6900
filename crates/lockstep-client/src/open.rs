//! How a handle opens a name: it polls until the name is open.

use super::halves::Publishes;
use super::handle::StreamHandle;
use lockstep_core::engine::outputs::Outputs;
use lockstep_core::engine::participant::ParticipantEvent;
use lockstep_core::engine::publisher::{OpenRefusal, PublisherCore, PublisherEvent};
use lockstep_io::IoError;
use lockstep_io::clock::random_u64;
use lockstep_io::idle::Idle;
use lockstep_wire::{NAME_LEN_MAX, PublisherId};
use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

/// The most names that one handle opens: a gateway's clients.
pub(super) const NAMES_MAX: u32 = 65_536;

/// Why a name could not be opened.
#[non_exhaustive]
pub enum OpenError {
    /// The name is empty, longer than [`NAME_LEN_MAX`] bytes, or contains the character 0, or the handle has
    /// too many names.
    Name(String),
    /// No cluster answered in time: none runs, or a takeover is needed.
    TimedOut(String, Duration),
    /// The cluster's table of publishers is full: the name, and the most names of the table.
    TableFull(String, u32),
    /// The key of this process does not allow the name.
    NotAllowed(String),
    /// The kernel returned no random number; or the handle was made in another process, of which this one is
    /// a fork.
    Io(IoError),
}

impl OpenError {
    /// The name that this failure has in every language: `NAME` is `LOCKSTEP_STATUS_NAME` of C.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Name(_) => "NAME",
            Self::TimedOut(..) => "TIMED_OUT",
            Self::TableFull(..) => "TABLE_FULL",
            Self::NotAllowed(_) => "NOT_ALLOWED",
            Self::Io(error) => error.status(),
        }
    }

    /// The error of a name that the leader refuses.
    fn refused(name: &str, reason: OpenRefusal) -> Self {
        match reason {
            OpenRefusal::TableFull { publishers_max } => Self::TableFull(name.to_owned(), publishers_max),
            _ => Self::NotAllowed(name.to_owned()),
        }
    }
}

/// As `Display`: this is what a `main` that returns it prints.
impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "cannot open the publisher '{}': a name has 1 to {NAME_LEN_MAX} bytes without a 0, a handle at most {NAMES_MAX} \
                 names",
                name.escape_debug()
            ),
            Self::TimedOut(name, timeout) => write!(
                f,
                "publisher '{name}' was not opened within {timeout:?}: no leader is received on the data \
                 group; check that the sequencers run and use the same interface and groups"
            ),
            Self::TableFull(name, max) => write!(
                f,
                "publisher '{name}' was not opened: the cluster has room for {max} names in the life of its stream, and all \
                 of them are used; raise `stream.publishers_max` in the files of all replicas, restart them one by one, and \
                 open it again; or publish under a name that exists"
            ),
            Self::NotAllowed(name) => write!(
                f,
                "publisher '{name}' was not opened: the key of this process does not allow the name; `lockstep keys show` on a \
                 replica's host lists what each key allows, and `lockstep keys allow` changes it"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Name(_) | Self::TimedOut(..) | Self::TableFull(..) | Self::NotAllowed(_) => None,
        }
    }
}

impl From<IoError> for OpenError {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// A nonce, drawn at random.
pub(super) fn draw_nonce() -> Result<[u64; 2], OpenError> {
    Ok([random_u64()?, random_u64()?])
}

/// A handle while it opens a name: all events of its turns go to `f`.
pub(super) struct Opening<'a, E, F> {
    pub(super) handle: &'a mut StreamHandle<E>,
    pub(super) f: F,
}

impl<E: Publishes, F: FnMut(ParticipantEvent<'_>) -> ControlFlow<()>> Opening<'_, E, F> {
    fn publisher(&mut self) -> Result<&mut PublisherCore, IoError> {
        self.handle.engine.check("open a name")?;
        Ok(self.handle.engine.publisher_mut())
    }

    /// Opens `name` under `nonce`.
    pub(super) fn open_as(
        mut self,
        name: &str,
        nonce: [u64; 2],
        timeout: Duration,
    ) -> Result<PublisherId, OpenError> {
        let is_wrong = || OpenError::Name(name.to_owned());
        let wanted = self.publisher()?.open(name, nonce).ok_or_else(is_wrong)?;
        let mut opened = None;
        self.until_open(name, timeout, |event| {
            if let PublisherEvent::Opened { ticket, publisher, .. } = event
                && ticket == wanted
            {
                opened = Some(publisher);
            }
            opened.is_some()
        })?;
        opened.ok_or_else(is_wrong)
    }

    /// Opens the name of `outputs` under `nonce`.
    pub(super) fn open_outputs(
        mut self,
        outputs: &mut Outputs,
        nonce: [u64; 2],
        timeout: Duration,
    ) -> Result<(), OpenError> {
        let name = outputs.name().to_owned();
        if !outputs.begin_open(self.publisher()?, nonce) {
            return Err(OpenError::Name(name));
        }
        self.until_open(&name, timeout, |event| {
            outputs.on_publisher(&event);
            outputs.is_open()
        })
    }

    /// Polls until `is_open` returns true for an event.
    fn until_open(
        &mut self,
        name: &str,
        timeout: Duration,
        mut is_open: impl FnMut(PublisherEvent) -> bool,
    ) -> Result<(), OpenError> {
        let deadline = self.handle.now() + timeout.as_nanos() as u64;
        loop {
            if self.handle.now() > deadline {
                return Err(OpenError::TimedOut(name.to_owned(), timeout));
            }
            let (work, opened) = self.turn(name, &mut is_open)?;
            if opened {
                return Ok(());
            }
            if work == 0 && self.handle.idle != Idle::Spin {
                pause();
            }
        }
    }

    /// One turn while `name` is opened: the work done, and whether `is_open` returned true for an event.
    pub(super) fn turn(
        &mut self,
        name: &str,
        mut is_open: impl FnMut(PublisherEvent) -> bool,
    ) -> Result<(usize, bool), OpenError> {
        let (mut refused, mut opened) = (None, false);
        let Self { handle, f } = self;
        let work = handle.poll_with(64, |event, _| {
            if let ParticipantEvent::Publisher(event) = event {
                // One name is opened at a time.
                if let PublisherEvent::Refused { reason, .. } = event {
                    refused = Some(reason);
                }
                opened |= is_open(event);
            }
            f(event)
        });
        refused.map_or(Ok((work, opened)), |reason| Err(OpenError::refused(name, reason)))
    }
}

/// Sleeps between two polls while a name is opened, which happens once in the life of a process.
#[allow(clippy::disallowed_methods)] // no message waits for it
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}
