//! A handle of the client, whichever halves it has: the one that publishes, the one that reads, or both. A
//! program in another language has one type for all three, so a call of the half that a handle lacks is
//! refused here.

use lockstep_client::internal::PublisherCore;
use lockstep_client::{
    Cursor, IoError, OpenError, Outcomes, Participant, ParticipantEvent, Publisher, PublisherId, Seq,
    Subscriber,
};
use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// A handle of the client, whichever halves it has.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a program has few of them, and each lies in a box of its own")]
pub enum FlatHandle {
    /// Only the one that publishes.
    Publisher(Publisher),
    /// Only the one that reads.
    Subscriber(Subscriber),
    /// Both, on one device.
    Participant(Participant),
}

/// A call of a half that the handle lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AbsentHalf {
    /// It only reads.
    Publishing,
    /// It only publishes.
    Reading,
}

impl fmt::Display for AbsentHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishing => "only reads, as a subscriber: connect a participant, which publishes as well",
            Self::Reading => "only publishes, as a publisher: connect a participant, which reads as well",
        })
    }
}

/// Does `$work` with the handle, whichever halves it has.
macro_rules! each {
    ($of:expr, $handle:ident => $work:expr) => {
        match $of {
            FlatHandle::Publisher($handle) => $work,
            FlatHandle::Subscriber($handle) => $work,
            FlatHandle::Participant($handle) => $work,
        }
    };
}

/// Does `$work` with a handle that publishes.
macro_rules! publishing {
    ($of:expr, $handle:ident => $work:expr) => {
        match $of {
            FlatHandle::Publisher($handle) => Ok($work),
            FlatHandle::Participant($handle) => Ok($work),
            FlatHandle::Subscriber(_) => Err(AbsentHalf::Publishing),
        }
    };
}

/// Does `$work` with a handle that reads.
macro_rules! reading {
    ($of:expr, $handle:ident => $work:expr) => {
        match $of {
            FlatHandle::Subscriber($handle) => Ok($work),
            FlatHandle::Participant($handle) => Ok($work),
            FlatHandle::Publisher(_) => Err(AbsentHalf::Reading),
        }
    };
}

/// What every handle has.
impl FlatHandle {
    /// See the client's `poll_with`.
    #[inline]
    pub fn poll_with(
        &mut self,
        limit: usize,
        f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize {
        each!(self, handle => handle.poll_with(limit, f))
    }

    /// See the client's `wait`.
    ///
    /// # Errors
    /// As there.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, IoError> {
        each!(self, handle => handle.wait(timeout))
    }

    /// The descriptor that is readable while there is something to receive.
    pub fn fd(&self) -> RawFd {
        each!(self, handle => handle.as_raw_fd())
    }

    /// The time until it must be polled, although nothing arrives.
    pub fn due(&self) -> Duration {
        each!(self, handle => handle.due())
    }

    /// Nanoseconds of the clock that times it.
    pub fn now(&self) -> u64 {
        each!(self, handle => handle.now())
    }

    /// Whether it follows a leader's stream.
    pub fn is_connected(&self) -> bool {
        each!(self, handle => handle.is_connected())
    }

    /// Both halves, of a handle that has both.
    ///
    /// # Errors
    /// It lacks one.
    pub fn participant(&mut self) -> Result<&mut Participant, AbsentHalf> {
        match self {
            Self::Participant(handle) => Ok(handle),
            Self::Publisher(_) => Err(AbsentHalf::Reading),
            Self::Subscriber(_) => Err(AbsentHalf::Publishing),
        }
    }
}

/// The half that publishes: each call is refused where that is absent.
#[allow(clippy::missing_errors_doc, reason = "said once, for all of them")]
impl FlatHandle {
    /// What publishes.
    pub fn publisher_mut(&mut self) -> Result<&mut PublisherCore, AbsentHalf> {
        publishing!(self, handle => handle.publisher_mut())
    }

    /// See the client's `open_with`.
    pub fn open_with(
        &mut self,
        name: &str,
        timeout: Duration,
        f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Result<PublisherId, OpenError>, AbsentHalf> {
        publishing!(self, handle => handle.open_with(name, timeout, f))
    }

    /// Sends what is written; returns the number of datagrams.
    pub fn flush(&mut self) -> Result<usize, AbsentHalf> {
        publishing!(self, handle => handle.flush())
    }

    /// What became of the messages so far.
    pub fn outcomes(&self) -> Result<Outcomes, AbsentHalf> {
        publishing!(self, handle => handle.outcomes())
    }

    /// Whether every published message has its outcome, whichever.
    pub fn is_drained(&self) -> Result<bool, AbsentHalf> {
        publishing!(self, handle => handle.is_drained())
    }
}

/// The half that reads: each call is refused where that is absent.
#[allow(clippy::missing_errors_doc, reason = "said once, for all of them")]
impl FlatHandle {
    /// See the client's `begin_with`.
    pub fn begin_with(
        &mut self,
        timeout: Duration,
        f: impl FnMut(ParticipantEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Result<(), IoError>, AbsentHalf> {
        reading!(self, handle => handle.begin_with(timeout, f))
    }

    /// Whether the subscription has its position.
    pub fn has_begun(&self) -> Result<bool, AbsentHalf> {
        reading!(self, handle => handle.has_begun())
    }

    /// The position behind the last delivered event.
    pub fn cursor(&self) -> Result<Option<Cursor>, AbsentHalf> {
        reading!(self, handle => handle.cursor())
    }

    /// The next seq to be delivered.
    pub fn deliver_next(&self) -> Result<Seq, AbsentHalf> {
        reading!(self, handle => handle.deliver_next())
    }

    /// The exclusive bound of what is final.
    pub fn commit_next(&self) -> Result<Seq, AbsentHalf> {
        reading!(self, handle => handle.commit_next())
    }

    /// Whether the subscription has ended.
    pub fn is_ended(&self) -> Result<bool, AbsentHalf> {
        reading!(self, handle => handle.is_ended())
    }
}
