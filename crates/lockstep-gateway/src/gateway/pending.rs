//! Events of a `stamped` subscription that are not final yet, in the order of the stream.
//!
//! A takeover may retract them, and a SoupBinTCP client cannot retract a message, since it counts them. So
//! nothing that rests on them leaves the gateway as final: no number, no answer to a login, no end of a
//! session, no disconnect.
//!
//! ```text
//!   stamped ─▶ pending ──Committed{next}──▶ the gateway's state
//!                 └──────Retract{from}────▶ forgotten; its replacement follows
//! ```
//! It holds at most the cluster's window (`stream.window…`) and the events of one poll: everything else is
//! final when it is delivered.

use lockstep_core::engine::parts::PartsBound;
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{DayMark, Destination, Nanos, OrderView, PublisherId, PublisherSeq, Seq};
use soupbintcp::packet::PAYLOAD_LEN_MAX;
use std::collections::{BTreeMap, VecDeque};

/// The most buffers that are kept for later events.
const FREE_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug)]
enum PendingKind {
    Message {
        publisher: PublisherId,
        publisher_seq: PublisherSeq,
        destination: Destination,
        timestamp: Nanos,
    },
    Opened {
        publisher: PublisherId,
        incarnation: u32,
        nonce: [u64; 2],
        last: PublisherSeq,
        timestamp: Nanos,
    },
    Closed {
        publisher: PublisherId,
        timestamp: Nanos,
    },
    Alive {
        publisher: PublisherId,
        timestamp: Nanos,
    },
    Day {
        begins: bool,
        timestamp: Nanos,
    },
    /// An operator's order sets the stream's time back.
    TimeSetBack {
        timestamp: Nanos,
    },
    CaughtUp,
    /// A message ends whose first part lies before the first entry that was read.
    Lacking {
        publisher: PublisherId,
    },
}

/// A waiting event, with the data that it borrowed.
#[derive(Clone, Debug)]
pub struct PendingDelivery {
    /// It is final once everything below this bound is.
    bound: Seq,
    what: PendingKind,
    bytes: Vec<u8>,
}

impl PendingDelivery {
    /// The event as it was delivered.
    pub fn event(&self) -> SubscriberEvent<'_> {
        let seq = self.bound - 1;
        let text = || std::str::from_utf8(&self.bytes).unwrap_or_default();
        match self.what {
            PendingKind::Message { publisher, publisher_seq, destination, timestamp } => {
                let payload = &self.bytes[..];
                SubscriberEvent::Message(Message {
                    seq,
                    publisher,
                    publisher_seq,
                    destination,
                    timestamp,
                    payload,
                })
            }
            PendingKind::Opened { publisher, incarnation, nonce, last, timestamp } => {
                SubscriberEvent::Opened { seq, timestamp, publisher, incarnation, nonce, last, name: text() }
            }
            PendingKind::Closed { publisher, timestamp } => {
                SubscriberEvent::Closed { seq, timestamp, publisher, reason: &self.bytes }
            }
            PendingKind::Alive { publisher, timestamp } => {
                SubscriberEvent::GatewayHeartbeat { seq, timestamp, publisher, payload: &self.bytes }
            }
            PendingKind::Day { begins, timestamp } => {
                SubscriberEvent::Day { seq, timestamp, mark: DayMark { is_start: begins, name: text() } }
            }
            PendingKind::TimeSetBack { timestamp } => {
                let order = OrderView::parse(&self.bytes).expect("an order that was read before");
                SubscriberEvent::Ordered { seq, timestamp, order }
            }
            PendingKind::CaughtUp => SubscriberEvent::CaughtUp { next: self.bound },
            PendingKind::Lacking { publisher } => {
                SubscriberEvent::PartsDiscarded { publisher, from: seq, bound: PartsBound::Beginning }
            }
        }
    }
}

/// The waiting events: see the module.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    deliveries: VecDeque<PendingDelivery>,
    /// The number of waiting messages that fit a packet, by destination.
    counts: BTreeMap<Destination, u64>,
    days: usize,
    free: Vec<Vec<u8>>,
}

impl Pending {
    /// Panics with the rule that is broken. All rules hold at any time.
    pub fn invariants(&self) {
        let mut counts: BTreeMap<Destination, u64> = BTreeMap::new();
        for delivery in &self.deliveries {
            if let PendingKind::Message { destination, .. } = delivery.what
                && delivery.bytes.len() <= PAYLOAD_LEN_MAX
            {
                *counts.entry(destination).or_default() += 1;
            }
        }
        assert!(counts == self.counts, "{counts:?} messages wait, and {:?} are counted", self.counts);
        let days = self
            .deliveries
            .iter()
            .filter(|delivery| matches!(delivery.what, PendingKind::Day { .. }))
            .count();
        assert!(days == self.days, "{days} days wait, and {} are counted", self.days);
        let mut pairs = self.deliveries.iter().zip(self.deliveries.iter().skip(1));
        assert!(pairs.all(|(a, b)| a.bound <= b.bound), "what waits is in the order of the stream");
        assert!(self.free.len() <= FREE_MAX, "{} buffers are kept, at most {FREE_MAX}", self.free.len());
    }

    /// Stores an event that must wait. Events that a gateway ignores are skipped.
    pub fn push(&mut self, event: &SubscriberEvent<'_>) {
        let record;
        let (bound, what, bytes) = match *event {
            SubscriberEvent::Message(Message {
                seq,
                publisher,
                publisher_seq,
                destination,
                timestamp,
                payload,
            }) => {
                if payload.len() <= PAYLOAD_LEN_MAX {
                    *self.counts.entry(destination).or_default() += 1;
                }
                (seq + 1, PendingKind::Message { publisher, publisher_seq, destination, timestamp }, payload)
            }
            SubscriberEvent::Opened { seq, timestamp, publisher, incarnation, nonce, last, name } => (
                seq + 1,
                PendingKind::Opened { publisher, incarnation, nonce, last, timestamp },
                name.as_bytes(),
            ),
            SubscriberEvent::Closed { seq, timestamp, publisher, reason } => {
                (seq + 1, PendingKind::Closed { publisher, timestamp }, reason)
            }
            SubscriberEvent::GatewayHeartbeat { seq, timestamp, publisher, payload } => {
                (seq + 1, PendingKind::Alive { publisher, timestamp }, payload)
            }
            SubscriberEvent::Day { seq, timestamp, mark } => {
                self.days += 1;
                (seq + 1, PendingKind::Day { begins: mark.is_start, timestamp }, mark.name.as_bytes())
            }
            SubscriberEvent::Ordered { seq, timestamp, order } if order.time_before().is_some() => {
                record = order.record();
                (seq + 1, PendingKind::TimeSetBack { timestamp }, &record[..])
            }
            SubscriberEvent::CaughtUp { next } => {
                let is_known = |delivery: &PendingDelivery| {
                    delivery.bound == next && matches!(delivery.what, PendingKind::CaughtUp)
                };
                if self.deliveries.back().is_some_and(is_known) {
                    return;
                }
                (next, PendingKind::CaughtUp, &[][..])
            }
            SubscriberEvent::PartsDiscarded { publisher, from, bound: PartsBound::Beginning } => {
                (from + 1, PendingKind::Lacking { publisher }, &[][..])
            }
            _ => return,
        };
        debug_assert!(self.deliveries.back().is_none_or(|last| last.bound <= bound), "in the stream's order");
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        self.deliveries.push_back(PendingDelivery { bound, what, bytes: buffer });
    }

    /// The oldest event, if everything below `commit_next` is final. Return its memory by
    /// [`Pending::give_back`].
    pub fn pop_final(&mut self, commit_next: Seq) -> Option<PendingDelivery> {
        let commit_next = commit_next + Seq::from(planted(Mutation::FinalTooEarly));
        self.deliveries.front().filter(|delivery| delivery.bound <= commit_next)?;
        let delivery = self.deliveries.pop_front()?;
        self.uncount(&delivery);
        Some(delivery)
    }

    /// Takes back the memory of a handled event, for the next one.
    pub fn give_back(&mut self, delivery: PendingDelivery) {
        let mut bytes = delivery.bytes;
        if self.free.len() < FREE_MAX {
            bytes.clear();
            self.free.push(bytes);
        }
    }

    /// Nothing from `from` on survived a takeover.
    pub fn on_retract(&mut self, from: Seq) {
        let from = from + Seq::from(planted(Mutation::RetractKeepsOne));
        while self.deliveries.back().is_some_and(|delivery| delivery.bound > from)
            && let Some(delivery) = self.deliveries.pop_back()
        {
            if !planted(Mutation::RetractedCounts) {
                self.uncount(&delivery);
            }
            self.give_back(delivery);
        }
    }

    fn uncount(&mut self, delivery: &PendingDelivery) {
        match delivery.what {
            PendingKind::Message { destination, .. } if delivery.bytes.len() <= PAYLOAD_LEN_MAX => {
                if let Some(count) = self.counts.get_mut(&destination) {
                    *count -= 1;
                }
                self.counts.retain(|_, count| *count > 0);
            }
            PendingKind::Day { .. } => self.days -= 1,
            _ => {}
        }
    }

    /// The number of waiting messages for `destination` that fit a packet; `None` while the begin or end of a
    /// trading day waits: then they have no number yet.
    pub fn count(&self, destination: Destination) -> Option<u64> {
        (self.days == 0).then(|| self.counts.get(&destination).copied().unwrap_or(0))
    }

    /// The number of waiting events.
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lockstep_wire::{Epoch, OperatorOrder, OrderStatement, named_arguments};

    /// The record of an order of time.
    pub fn time_order(before: Nanos) -> Vec<u8> {
        let arguments = named_arguments(OperatorOrder::Time, &before.to_string());
        let statement = OrderStatement {
            order: OperatorOrder::Time,
            history: 1,
            epoch: Epoch::NONE,
            membership_seq: 1,
            subject: None,
            arguments: &arguments,
        };
        statement.record(None, None)
    }

    fn message(seq: Seq, destination: Destination, payload: &[u8]) -> SubscriberEvent<'_> {
        let (publisher, publisher_seq, timestamp) = (9, seq, 5);
        SubscriberEvent::Message(Message { seq, publisher, publisher_seq, destination, timestamp, payload })
    }

    #[test]
    fn what_is_committed_comes_out_as_it_was_told_and_what_was_taken_back_never_does() {
        let mut pending = Pending::default();
        let mark = DayMark { is_start: true, name: "A" };
        let record = time_order(9);
        let order = OrderView::parse(&record).expect("our own bytes");
        let events = [
            message(3, 1, b"three"),
            SubscriberEvent::Opened {
                seq: 4,
                timestamp: 6,
                publisher: 7,
                incarnation: 2,
                nonce: [1, 2],
                last: 8,
                name: "client/a",
            },
            SubscriberEvent::Closed { seq: 5, timestamp: 7, publisher: 7, reason: b"\x02\x01" },
            message(6, 1, b""),
            SubscriberEvent::GatewayHeartbeat { seq: 7, timestamp: 9, publisher: 3, payload: b"note" },
            SubscriberEvent::CaughtUp { next: 8 },
            SubscriberEvent::Day { seq: 8, timestamp: 8, mark },
            SubscriberEvent::Ordered { seq: 9, timestamp: 4, order },
        ];
        let mut popped = Vec::new();
        let mut commit = |pending: &mut Pending, next| {
            while let Some(delivery) = pending.pop_final(next) {
                popped.push(format!("{:?}", delivery.event()));
                pending.give_back(delivery);
            }
        };
        events[..5].iter().for_each(|event| pending.push(event));
        assert_eq!((pending.count(1), pending.count(2)), (Some(2), Some(0)));
        commit(&mut pending, 4);
        pending.on_retract(5);
        assert_eq!((pending.len(), pending.count(1)), (1, Some(0)));
        events[2..].iter().for_each(|event| pending.push(event));
        assert_eq!(pending.count(1), None, "a day waits to begin");
        commit(&mut pending, 8);
        assert_eq!(pending.len(), 2);
        commit(&mut pending, 10);
        assert_eq!(popped, events.map(|event| format!("{event:?}")));
        assert!(pending.is_empty());
    }
}
