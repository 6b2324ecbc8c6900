//! What a replica reads: one stream, or the merged order of a set.

use crate::error::AppError;
use crate::settings::AppSettings;
use lockstep_client::{Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_machine::{
    MachineFault, MergedInput, Observe, Seq, SnapshotCursor, SnapshotError, StateMachine,
};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

#[cfg(feature = "streams")]
use crate::set_reading::SetReading;
#[cfg(feature = "streams")]
use lockstep_streams::StreamSet;

/// Where the inputs come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The stream of the replica's endpoint.
    Stream,
    /// The streams of a set; the endpoint is that of its home stream.
    #[cfg(feature = "streams")]
    Set(StreamSet),
}

/// The handle by which they are read.
pub(crate) enum Reading {
    Stream(Box<Subscriber>),
    #[cfg(feature = "streams")]
    Set(Box<SetReading>),
}

/// An event with its place in the merged order; none where one stream is read.
pub(crate) type Placed<'a> = (Option<MergedInput>, SubscriberEvent<'a>);

impl Reading {
    /// Begins at `cursor`, or at the beginning.
    pub fn begin(
        (endpoint, source): (&Endpoint, &Source),
        settings: &AppSettings,
        cursor: Option<SnapshotCursor>,
    ) -> Result<Self, AppError> {
        let other = || IoError::argument("begin with a snapshot", SnapshotError::OtherReading.to_string());
        match source {
            Source::Stream => {
                let start = match cursor {
                    Some(cursor) => Start::Cursor(cursor.stream().ok_or_else(other)?),
                    None => Start::From(1),
                };
                Ok(Self::Stream(Box::new(Subscriber::connect(endpoint, settings.delivery, start)?)))
            }
            #[cfg(feature = "streams")]
            Source::Set(set) => {
                let text = match cursor {
                    Some(SnapshotCursor::Set(text)) => Some(text),
                    Some(SnapshotCursor::Stream(_)) => return Err(other().into()),
                    None => None,
                };
                Ok(Self::Set(Box::new(SetReading::begin(set, settings, text)?)))
            }
        }
    }

    /// The subscription of a replica that reads one stream: it is counted.
    pub fn counted(&self) -> Option<&Subscriber> {
        match self {
            Self::Stream(subscriber) => Some(subscriber),
            #[cfg(feature = "streams")]
            Self::Set(_) => None,
        }
    }

    /// As [`counted`](Self::counted).
    pub fn counted_mut(&mut self) -> Option<&mut Subscriber> {
        match self {
            Self::Stream(subscriber) => Some(subscriber),
            #[cfg(feature = "streams")]
            Self::Set(_) => None,
        }
    }

    /// One turn: calls `f` for at most `limit` messages, and for every other event. Returns the work done.
    pub fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(Placed<'_>) -> ControlFlow<()>,
    ) -> Result<usize, AppError> {
        match self {
            Self::Stream(subscriber) => Ok(subscriber.poll(limit, |event| f((None, event)))),
            #[cfg(feature = "streams")]
            Self::Set(reading) => reading.poll(limit, f),
        }
    }

    /// Where a snapshot of everything that was delivered continues, and the exclusive bound of that.
    pub fn place(&self) -> Option<(SnapshotCursor, Seq)> {
        match self {
            Self::Stream(subscriber) => Some((subscriber.cursor()?.into(), subscriber.deliver_next())),
            #[cfg(feature = "streams")]
            Self::Set(reading) => Some(reading.place()),
        }
    }

    /// The journals of the other streams must retain the log behind `cursor`.
    pub fn need(&mut self, cursor: &SnapshotCursor) -> Result<(), AppError> {
        match (self, cursor) {
            #[cfg(feature = "streams")]
            (Self::Set(reading), SnapshotCursor::Set(text)) => reading.need(text),
            _ => Ok(()),
        }
    }

    /// Sleeps until something can be read or is due, at most for `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), IoError> {
        match self {
            Self::Stream(subscriber) => subscriber.wait(timeout).map(|_| ()),
            #[cfg(feature = "streams")]
            Self::Set(reading) => reading.wait(timeout),
        }
    }

    /// The time until the next turn is due.
    pub fn due(&self) -> Duration {
        match self {
            Self::Stream(subscriber) => subscriber.due(),
            #[cfg(feature = "streams")]
            Self::Set(reading) => reading.due(),
        }
    }

    /// The sockets of the subscriptions.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Stream(subscriber) => subscriber.net().sockets(),
            #[cfg(feature = "streams")]
            Self::Set(reading) => reading.sockets(),
        }
    }

    /// How often these have changed.
    pub fn socket_changes(&self) -> u64 {
        match self {
            Self::Stream(_) => 0,
            #[cfg(feature = "streams")]
            Self::Set(reading) => reading.socket_changes(),
        }
    }
}

/// The seq at which the stream of the cluster `stream` continues behind a snapshot with this cursor; `None`:
/// it does not say.
pub(crate) fn next_of(cursor: &SnapshotCursor, stream: Option<u64>) -> Option<Seq> {
    match (cursor, stream) {
        (SnapshotCursor::Stream(cursor), _) => Some(cursor.seq),
        #[cfg(feature = "streams")]
        (SnapshotCursor::Set(text), stream) => crate::set_reading::next_of(text, stream),
        #[cfg(not(feature = "streams"))]
        _ => None,
    }
}

/// Hands an event to a replica.
pub(crate) fn hand_over<M: StateMachine>(
    replica: &mut lockstep_machine::MachineReplica<M>,
    now: u64,
    (place, event): Placed<'_>,
    observe: Observe<'_>,
) -> Result<(), MachineFault> {
    match place {
        None => replica.on_event(now, &event, observe),
        Some(place) => replica.on_merged(now, place, &event, observe),
    }
}
