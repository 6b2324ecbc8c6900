//! A publisher whose messages are due at a rate: each is handed over when it is due, however things stand,
//! and its outcomes are counted.

use lockstep_client::{OpenError, PublishError, Publisher, PublisherEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq};
use std::fmt;
use std::time::Duration;

/// Why a publisher cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublisherEnd {
    /// Somebody else has opened its name.
    Fenced,
    /// Its key does not allow what it publishes.
    NotAllowed,
    /// Its name was closed.
    Closed,
    /// The outcomes of its messages cannot be known any more.
    OutcomesUnknown,
}

impl PublisherEnd {
    /// That of an event, if it is one.
    pub fn of(event: &PublisherEvent) -> Option<Self> {
        match event {
            PublisherEvent::Fenced { .. } => Some(Self::Fenced),
            PublisherEvent::NotAllowed { .. } => Some(Self::NotAllowed),
            PublisherEvent::Closed { .. } => Some(Self::Closed),
            PublisherEvent::OutcomesUnknown => Some(Self::OutcomesUnknown),
            _ => None,
        }
    }
}

impl fmt::Display for PublisherEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fenced => "somebody else has opened its name",
            Self::NotAllowed => "its key does not allow its messages",
            Self::Closed => "its name was closed by somebody else",
            Self::OutcomesUnknown => "the outcomes of its messages cannot be known any more",
        })
    }
}

/// See the module.
pub struct PacedPublisher {
    publisher: Publisher,
    /// Its name in the stream.
    pub id: PublisherId,
    interval_ns: Nanos,
    began: Nanos,
    /// The window was full, and what it held up is not all out yet.
    delayed: bool,
    outcome_next: Option<PublisherSeq>,
    /// Messages handed over.
    pub published: u64,
    /// Of them with the outcome `Committed`.
    pub committed: u64,
    /// Outcomes that came twice, or out of order.
    pub disordered: u64,
    /// Times that the window was full.
    pub backpressure: u64,
    /// The latest that a message was handed over behind its time, but for a full window.
    pub late_ns: Nanos,
}

impl PacedPublisher {
    /// Opens a name for `rate` messages a second, of which the first is due now.
    ///
    /// # Errors
    /// The name could not be opened.
    pub fn open(
        mut publisher: Publisher,
        name: &str,
        timeout: Duration,
        rate: u64,
    ) -> Result<Self, OpenError> {
        let id = publisher.open(name, timeout)?;
        Ok(Self {
            began: publisher.now(),
            publisher,
            id,
            interval_ns: 1_000_000_000 / rate.max(1),
            delayed: false,
            outcome_next: None,
            published: 0,
            committed: 0,
            disordered: 0,
            backpressure: 0,
            late_ns: 0,
        })
    }

    /// The first message is due at `now`.
    pub fn begin(&mut self, now: Nanos) {
        self.began = now;
    }

    /// The publisher itself, for its sockets and its clock.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// When the next message is due.
    pub fn due(&self) -> Nanos {
        self.began + self.published * self.interval_ns
    }

    /// Hands over to `destination` what is due; `write` writes each message, with its number from 0 and when
    /// it was due. A full window makes it late, never skipped. Returns how many.
    ///
    /// # Errors
    /// A message that is not taken for another reason.
    pub fn publish(
        &mut self,
        now: Nanos,
        destination: Destination,
        payload: &mut [u8],
        write: impl Fn(&mut [u8], u64, Nanos),
    ) -> Result<usize, PublishError> {
        let mut taken = 0;
        while self.due() <= now {
            let due = self.due();
            write(payload, self.published, due);
            match self.publisher.try_publish(self.id, destination, payload) {
                Ok(_) => {
                    self.late_ns = if self.delayed { self.late_ns } else { self.late_ns.max(now - due) };
                    self.published += 1;
                    taken += 1;
                }
                Err(PublishError::Backpressure) => {
                    (self.backpressure, self.delayed) = (self.backpressure + 1, true);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        // What was held up by a full window is late for that reason until it has caught up.
        self.delayed &= self.due() + self.interval_ns < now;
        if taken > 0 {
            self.publisher.flush();
        }
        Ok(taken)
    }

    /// One turn of the publisher: each message has one outcome, and they come in order. Returns the work
    /// done.
    ///
    /// # Errors
    /// It cannot go on.
    pub fn poll(&mut self) -> Result<usize, PublisherEnd> {
        let Self { publisher, outcome_next, committed, disordered, .. } = self;
        let mut end = None;
        let work = publisher.poll(usize::MAX, |event| {
            if let PublisherEvent::Committed { publisher_seq, .. } = event {
                // A name that was open before goes on with its numbers.
                let expected = *outcome_next.get_or_insert(publisher_seq);
                *disordered += u64::from(publisher_seq != expected);
                *outcome_next = Some(publisher_seq + 1);
                *committed += 1;
            }
            end = end.or(PublisherEnd::of(&event));
        });
        end.map_or(Ok(work), Err)
    }

    /// Passes an idle moment, until a datagram comes or the time is over.
    ///
    /// # Errors
    /// The system reports one.
    pub fn wait(&mut self, time: Duration) -> Result<(), lockstep_io::IoError> {
        self.publisher.wait(time).map(|_| ())
    }

    /// Datagrams that were sent again.
    pub fn resends(&self) -> u64 {
        self.publisher.counters().get(Counter::Resends)
    }
}
