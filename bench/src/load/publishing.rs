//! A publisher beside readers: it hands over each message when it is due, however things stand, and counts
//! outcomes.

use crate::check::write_message;
use lockstep_client::{Endpoint, PublishError, Publisher, PublisherEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_wire::{Nanos, PublisherId, PublisherSeq};
use std::time::Duration;

/// How long the name may take to be opened.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub struct Publishing {
    publisher: Publisher,
    /// Its name in the stream.
    pub id: PublisherId,
    payload: Vec<u8>,
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

impl Publishing {
    /// Opens a name for `rate` messages of `size` bytes a second.
    ///
    /// # Errors
    /// In words, what could not be opened.
    pub fn open(endpoint: &Endpoint, rate: u64, size: usize) -> Result<Self, String> {
        let mut publisher = Publisher::connect(endpoint).map_err(|error| error.to_string())?;
        let id = publisher.open("load", OPEN_TIMEOUT).map_err(|error| error.to_string())?;
        Ok(Self {
            publisher,
            id,
            payload: vec![0x5a; size],
            interval_ns: 1_000_000_000 / rate,
            began: 0,
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

    /// Hands over what is due, each message with its number, its time and what `mark` writes; a full window
    /// makes it late, never skipped. Returns how many.
    ///
    /// # Errors
    /// A message that is not taken for another reason.
    pub fn publish(&mut self, now: Nanos, mark: impl Fn(&mut [u8])) -> Result<usize, String> {
        let mut taken = 0;
        while self.due() <= now {
            let (number, due) = (self.published, self.due());
            write_message(&mut self.payload, number, due);
            mark(&mut self.payload);
            match self.publisher.try_publish(self.id, 0, &self.payload) {
                Ok(_) => {
                    self.late_ns = if self.delayed { self.late_ns } else { self.late_ns.max(now - due) };
                    self.published += 1;
                    taken += 1;
                }
                Err(PublishError::Backpressure) => {
                    (self.backpressure, self.delayed) = (self.backpressure + 1, true);
                    break;
                }
                Err(error) => return Err(format!("message {number} was not taken: {error}")),
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
    /// The name is lost.
    pub fn poll(&mut self) -> Result<usize, String> {
        let Self { publisher, outcome_next, committed, disordered, .. } = self;
        let mut wrong = None;
        let work = publisher.poll(usize::MAX, |event| match event {
            PublisherEvent::Committed { publisher_seq, .. } => {
                // A name that was open before goes on with its numbers.
                let expected = *outcome_next.get_or_insert(publisher_seq);
                *disordered += u64::from(publisher_seq != expected);
                *outcome_next = Some(publisher_seq + 1);
                *committed += 1;
            }
            PublisherEvent::Fenced { .. }
            | PublisherEvent::Closed { .. }
            | PublisherEvent::OutcomesUnknown => {
                wrong = Some(format!("the publisher was told {event:?}"));
            }
            _ => {}
        });
        wrong.map_or(Ok(work), Err)
    }

    /// Datagrams that were sent again.
    pub fn resends(&self) -> u64 {
        self.publisher.counters().get(Counter::Resends)
    }
}
