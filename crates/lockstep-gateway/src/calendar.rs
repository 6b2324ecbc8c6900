//! # calendar: the publisher that marks where a trading day begins and ends
//!
//! One publisher marks the days: its odd numbers begin a day and its even ones end one. So its last number
//! shows whether a day is open, and a mark that is sent again is stamped once. A command that is given twice
//! is refused. If two operators mark at the same moment, the later open fences the other one.
//!
//! ```text
//!   begin ─▶ opening ──▶ the last number shows whether a day is open ─▶ refused
//!                              └─▶ marked, under way ─▶ committed
//! ```

use lockstep_core::engine::publisher::{OpenRefusal, PublishError, PublisherCore, PublisherEvent};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{DayMark, OperatorKey, PublisherId, PublisherSeq, Seq};

pub use lockstep_wire::CALENDAR;

/// The result of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marked {
    /// The mark stands at this seq, for good.
    At(Seq),
    /// A day is open already, or no day is: there is nothing to begin, or to end.
    Already,
    /// Another order came in between, or the outcome of this one is unknown: it may have been carried out.
    Unknown,
    /// The key does not allow it, or the operator's signature is invalid.
    NotAllowed,
}

/// One order of an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayMarkRequest {
    begins: bool,
    name: String,
    ticket: usize,
    opened: Option<(PublisherId, PublisherSeq)>,
    number: Option<PublisherSeq>,
    marked: Option<Marked>,
}

impl DayMarkRequest {
    /// Begins a day of this name; without a name it ends the open one. `nonce` is drawn at random. `None`:
    /// the handle has no room for the name.
    pub fn begin(publisher: &mut PublisherCore, name: Option<&str>, nonce: [u64; 2]) -> Option<Self> {
        let ticket = publisher.open(CALENDAR, nonce)?;
        let (begins, name) = (name.is_some(), name.unwrap_or_default().to_owned());
        Some(Self { begins, name, ticket, opened: None, number: None, marked: None })
    }

    /// Handles an event of the publisher's handle.
    pub fn on_publisher(&mut self, event: &PublisherEvent) {
        match *event {
            PublisherEvent::Opened { ticket, publisher, last, .. } if ticket == self.ticket => {
                self.opened = Some((publisher, last));
                let is_open = last % 2 == 1;
                if is_open == self.begins && !planted(Mutation::CalendarForgetsTurn) {
                    self.end(Marked::Already);
                }
            }
            PublisherEvent::Committed { publisher_seq, seq, .. } if Some(publisher_seq) == self.number => {
                self.end(Marked::At(seq));
            }
            PublisherEvent::Fenced { .. }
            | PublisherEvent::Closed { .. }
            | PublisherEvent::Refused { reason: OpenRefusal::TableFull { .. }, .. }
            | PublisherEvent::OutcomesUnknown => {
                self.end(Marked::Unknown);
            }
            PublisherEvent::Refused { reason: OpenRefusal::NotAllowed, .. }
            | PublisherEvent::NotAllowed { .. } => self.end(Marked::NotAllowed),
            _ => {}
        }
    }

    fn end(&mut self, marked: Marked) {
        self.marked.get_or_insert(marked);
    }

    /// Publishes the mark, as soon as that is possible. Returns the result of the order, if it has ended. An
    /// operator's key signs the mark, with this drawn nonce; a replica's does not.
    pub fn turn(
        &mut self,
        publisher: &mut PublisherCore,
        operator: Option<(&OperatorKey, u64)>,
    ) -> Option<Marked> {
        if let (Some((own, _)), None, None) = (self.opened, self.number, self.marked) {
            let mark = DayMark { is_start: self.begins, name: &self.name };
            // The signature covers the history, so it must be known.
            if operator.is_some() && publisher.history() == 0 {
                return None;
            }
            match publisher.try_day(own, mark, operator) {
                Ok(number) => self.number = Some(number),
                Err(PublishError::Backpressure) => {}
                Err(_) => self.end(Marked::Unknown),
            }
        }
        self.marked
    }
}
