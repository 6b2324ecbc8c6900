//! A request that a participant publishes, and its answer in the stream.

use super::participant::Participant;
use lockstep_core::engine::participant::ParticipantEvent;
use lockstep_core::engine::publisher::{PublishError, PublisherEvent};
use lockstep_io::IoError;
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

/// The most messages of one turn while an answer is awaited.
const LIMIT: usize = 64;

/// Why a request has no answer.
#[non_exhaustive]
pub enum RequestError {
    /// It was not published. A full window is awaited, and reported when the time is over.
    Publish(PublishError),
    /// It has an outcome that excludes an answer: `Fenced`, `Closed`, `Diverged`, `Discarded`, `NotAllowed`
    /// or `OutcomesUnknown`. Reported at once.
    Lost {
        /// Its number.
        publisher_seq: PublisherSeq,
        /// The event.
        outcome: PublisherEvent,
    },
    /// The subscription has ended, so that no answer would be read; an event gave the reason. The request may
    /// be in the stream, and answered.
    Ended {
        /// Its number; 0: it was not published.
        publisher_seq: PublisherSeq,
    },
    /// The time is over. The request may still be answered later.
    TimedOut {
        /// Its number.
        publisher_seq: PublisherSeq,
        /// Its seq, if it is committed.
        seq: Option<Seq>,
        /// The timeout.
        timeout: Duration,
    },
    /// The subscription did not begin in time, or the system refuses a call.
    Io(IoError),
}

impl RequestError {
    /// The name that this failure has in every language: `FENCED` is `LOCKSTEP_STATUS_FENCED` of C. Only
    /// requests have `UNANSWERED`: no answer is known, and none will be read.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Publish(error) => error.status(),
            Self::Lost { outcome: PublisherEvent::Fenced { .. }, .. } => "FENCED",
            Self::Lost { outcome: PublisherEvent::Closed { .. }, .. } => "CLOSED",
            Self::Lost { outcome: PublisherEvent::NotAllowed { .. }, .. } => "NOT_ALLOWED",
            Self::Lost { .. } | Self::Ended { .. } => "UNANSWERED",
            Self::TimedOut { .. } => "TIMED_OUT",
            Self::Io(error) => error.status(),
        }
    }
}

/// As `Display`: this is what a `main` that returns it prints.
impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(error) => write!(f, "the request was not published: {error}"),
            Self::Lost { publisher_seq, outcome } => {
                write!(f, "request {publisher_seq} has no answer: {}", meaning(outcome))
            }
            Self::Ended { publisher_seq: 0 } => f.write_str(
                "the request was not published: the subscription has ended, and no answer would be read",
            ),
            Self::Ended { publisher_seq } => write!(
                f,
                "request {publisher_seq} has no answer: the subscription has ended, and its last event gave the reason. It \
                 may be in the stream, and answered"
            ),
            Self::TimedOut { publisher_seq, seq: Some(seq), timeout } => write!(
                f,
                "request {publisher_seq} has no answer within {timeout:?}: it is committed at seq {seq}, and may be answered \
                 later. Look at the application that answers"
            ),
            Self::TimedOut { publisher_seq, seq: None, timeout } => write!(
                f,
                "request {publisher_seq} has no answer within {timeout:?}: it is not committed so far, is \
                 sent on by itself, and may be answered later. `lockstep status` shows the state of the \
                 cluster"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// The meaning of a request's outcome.
fn meaning(outcome: &PublisherEvent) -> &'static str {
    match outcome {
        PublisherEvent::Fenced { .. } => {
            "a newer process has opened the name, and the request will never be in the stream; open the name again \
             and publish it anew, if this process is to have the name"
        }
        PublisherEvent::Closed { .. } => {
            "the publisher was closed before it, and it will never be in the stream"
        }
        PublisherEvent::NotAllowed { .. } => {
            "the key of this process does not allow it; it is sent again until the key's rights change, and may be \
             answered then"
        }
        PublisherEvent::Diverged { .. } => "another message has its number",
        PublisherEvent::Discarded { .. } => {
            "this process was delayed between its parts, and no reader delivers it; publish it again, if it \
             still holds"
        }
        _ => "its outcome is unknown: it may be in the stream, and answered; open the name in a new handle",
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Publish(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Lost { .. } | Self::Ended { .. } | Self::TimedOut { .. } => None,
        }
    }
}

impl From<IoError> for RequestError {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// Whether the event is an outcome of the request that excludes an answer.
fn is_lost(event: &PublisherEvent, publisher: PublisherId, number: PublisherSeq) -> bool {
    use PublisherEvent as E;
    match *event {
        E::Fenced { publisher: whose, publisher_seq } | E::Closed { publisher: whose, publisher_seq } => {
            whose == publisher && publisher_seq <= number
        }
        E::Diverged { publisher: whose, publisher_seq, .. }
        | E::Discarded { publisher: whose, publisher_seq, .. }
        | E::NotAllowed { publisher: whose, publisher_seq } => (whose, publisher_seq) == (publisher, number),
        E::OutcomesUnknown => true,
        _ => false,
    }
}

impl Participant {
    /// Publishes a request and polls until `answer` returns the answer to it, at most for `timeout`.
    ///
    /// `answer` receives every event of these polls and the request's number. Events are not repeated, so it
    /// must handle the others as the callback of [`Participant::poll`] does. The number is 0 before the
    /// request is published: while the subscription begins, and while the window is full; a result of
    /// `answer` is ignored then, and after the answer in the same turn. The entries of the stream behind the
    /// answer are left for the next poll. The answering application must identify the request in its message:
    /// by publisher and number, or by the request's content.
    ///
    /// The death of a leader does not end it: the request is resent automatically and stamped once. After
    /// [`RequestError::TimedOut`] it may still be answered, by an event of a later poll; a program that
    /// publishes it anew makes a second request, which the answering application must recognise.
    ///
    /// # Errors
    /// See [`RequestError`]: an outcome without a place in the stream is reported at once.
    pub fn request<A>(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
        timeout: Duration,
        mut answer: impl FnMut(ParticipantEvent<'_>, PublisherSeq) -> Option<A>,
    ) -> Result<A, RequestError> {
        let deadline = self.now().saturating_add(timeout.as_nanos().min(u128::from(Nanos::MAX)) as Nanos);
        self.begin(timeout, |event| {
            answer(event, 0);
            ControlFlow::Continue(())
        })?;
        let number = loop {
            if self.is_ended() {
                return Err(RequestError::Ended { publisher_seq: 0 });
            }
            match self.try_publish(publisher, destination, payload) {
                Ok(number) => break number,
                Err(PublishError::Backpressure) if self.now() < deadline => {}
                Err(error) => return Err(RequestError::Publish(error)),
            }
            let work = self.poll(LIMIT, |event| {
                answer(event, 0);
                ControlFlow::Continue(())
            });
            self.rest(work, deadline)?;
        };
        let (mut found, mut lost, mut place) = (None, None, None);
        loop {
            let work = self.poll(LIMIT, |event| {
                if let ParticipantEvent::Publisher(event) = &event {
                    lost = lost.or(Some(*event).filter(|event| is_lost(event, publisher, number)));
                    place = place_of(event, (publisher, number)).or(place);
                }
                let answered = answer(event, number);
                found = found.take().or(answered);
                if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if let Some(found) = found {
                return Ok(found);
            }
            if let Some(outcome) = lost {
                return Err(RequestError::Lost { publisher_seq: number, outcome });
            }
            if self.is_ended() {
                return Err(RequestError::Ended { publisher_seq: number });
            }
            if self.now() >= deadline {
                return Err(RequestError::TimedOut { publisher_seq: number, seq: place, timeout });
            }
            self.rest(work, deadline)?;
        }
    }

    /// Sleeps after a turn without work.
    fn rest(&mut self, work: usize, deadline: Nanos) -> Result<(), IoError> {
        if work == 0 {
            self.wait(Duration::from_nanos(deadline.saturating_sub(self.now())))?;
        }
        Ok(())
    }
}

/// The seq of the request, if the event is its commit.
fn place_of(event: &PublisherEvent, request: (PublisherId, PublisherSeq)) -> Option<Seq> {
    match *event {
        PublisherEvent::Committed { publisher, publisher_seq, seq }
            if (publisher, publisher_seq) == request =>
        {
            Some(seq)
        }
        _ => None,
    }
}
