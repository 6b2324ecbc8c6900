//! An event as a row of 64 bytes.

use crate::kind::FlatKind;
use lockstep_client::{OpenRefusal, PartsBound, PublisherEvent, SubscriberEvent};

/// An event. Little-endian, without padding; [`FlatKind`] lists which fields each kind uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct FlatEvent {
    /// The place in the stream, or a bound of it.
    pub seq: u64,
    /// The publisher's number of the message.
    pub publisher_seq: u64,
    /// When the entry was stamped: nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// A number; see the kind.
    pub value: u64,
    /// Another one; see the kind.
    pub value2: u64,
    /// The publisher's id.
    pub publisher: u32,
    /// The destination.
    pub destination: u32,
    /// Offset of the payload in the batch's bytes; 0 in a callback.
    pub payload_at: u32,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// A [`FlatKind`].
    pub kind: u32,
    /// A reason or a flag; see the kind.
    pub detail: u32,
}

impl FlatEvent {
    fn of(kind: FlatKind) -> Self {
        Self { kind: kind as u32, ..Self::default() }
    }

    fn at(kind: FlatKind, seq: u64) -> Self {
        Self { seq, ..Self::of(kind) }
    }

    /// Its kind; `None` for a kind of a later version.
    pub fn kind(&self) -> Option<FlatKind> {
        FlatKind::from_u32(self.kind)
    }

    /// A subscriber's event, and its payload; `None` for an event of a later version.
    #[inline]
    pub fn of_subscriber<'a>(event: &SubscriberEvent<'a>) -> Option<(Self, &'a [u8])> {
        let SubscriberEvent::Message(message) = event else { return Self::of_rare(event) };
        let row = Self {
            seq: message.seq,
            publisher: message.publisher,
            publisher_seq: message.publisher_seq,
            destination: message.destination,
            timestamp: message.timestamp,
            payload_len: message.payload.len() as u32,
            ..Self::of(FlatKind::Message)
        };
        Some((row, message.payload))
    }

    fn of_rare<'a>(event: &SubscriberEvent<'a>) -> Option<(Self, &'a [u8])> {
        use SubscriberEvent as E;
        let (row, payload): (Self, &[u8]) = match *event {
            E::Opened { seq, timestamp, publisher, incarnation, nonce, last, name } => {
                let row =
                    Self { timestamp, publisher, publisher_seq: last, ..Self::at(FlatKind::Opened, seq) };
                (Self { detail: incarnation, value: nonce[0], value2: nonce[1], ..row }, name.as_bytes())
            }
            E::Closed { seq, timestamp, publisher, reason } => {
                (Self { timestamp, publisher, ..Self::at(FlatKind::Closed, seq) }, reason)
            }
            E::Frame { bytes } => (Self::of(FlatKind::Frame), bytes),
            E::Day { seq, timestamp, mark } => {
                let row =
                    Self { timestamp, detail: u32::from(mark.is_start), ..Self::at(FlatKind::Day, seq) };
                (row, mark.name.as_bytes())
            }
            E::Ordered { seq, timestamp, order } => {
                let row =
                    Self { timestamp, detail: order.order() as u32, ..Self::at(FlatKind::Ordered, seq) };
                (Self { value: order.time_before().unwrap_or(0), ..row }, order.holder.as_bytes())
            }
            _ => (Self::without_payload(event)?, &[]),
        };
        Some((Self { payload_len: payload.len() as u32, ..row }, payload))
    }

    fn without_payload(event: &SubscriberEvent<'_>) -> Option<Self> {
        use SubscriberEvent as E;
        let at = Self::at;
        Some(match *event {
            E::Committed { next } => at(FlatKind::Committed, next),
            E::Retract { from } => at(FlatKind::Retract, from),
            E::Epoch { epoch, seq } => Self { value: epoch.0, ..at(FlatKind::Epoch, seq) },
            E::Membership { seq, members } => Self { value: members as u64, ..at(FlatKind::Membership, seq) },
            E::GatewayHeartbeat { seq, publisher, .. } => {
                Self { publisher, ..at(FlatKind::GatewayHeartbeat, seq) }
            }
            E::MachineReport { seq, publisher, .. } => Self { publisher, ..at(FlatKind::MachineReport, seq) },
            E::SetNote { seq, publisher, .. } => Self { publisher, ..at(FlatKind::SetNote, seq) },
            E::Filtered { seq, kind } => Self { detail: kind as u32, ..at(FlatKind::Filtered, seq) },
            E::Gap { from, to } => Self { value: to, ..at(FlatKind::Gap, from) },
            E::Abandoned { from, oldest, why } => {
                Self { value: oldest, detail: why as u32, ..at(FlatKind::Abandoned, from) }
            }
            E::PartsDiscarded { publisher, from, bound } => {
                let (detail, value) = match bound {
                    PartsBound::Memory(bytes) => (1, bytes as u64),
                    PartsBound::Length(bytes) => (2, bytes as u64),
                    PartsBound::Entries(entries) => (3, entries),
                    PartsBound::Beginning => (4, 0),
                    _ => (0, 0),
                };
                Self { publisher, detail, value, ..at(FlatKind::PartsDiscarded, from) }
            }
            E::Multicast { lost } => Self { detail: u32::from(lost), ..Self::of(FlatKind::Multicast) },
            E::CaughtUp { next } => at(FlatKind::CaughtUp, next),
            E::Replaying { from } => at(FlatKind::Replaying, from),
            E::Refused { why, next } => {
                Self { detail: why.map_or(0, |why| why as u32), ..at(FlatKind::Refused, next) }
            }
            E::Founded { history, seq, ancestor } => {
                Self { value: history, value2: ancestor, ..at(FlatKind::Founded, seq) }
            }
            E::HistoryLost { history, next, have } => Self::history_lost(history, next, have),
            E::Ahead { next, end, epoch } => {
                Self { value: end, value2: epoch.0, ..at(FlatKind::Ahead, next) }
            }
            E::Lag { entries, for_ns } => Self { value: entries, value2: for_ns, ..Self::of(FlatKind::Lag) },
            E::Diverged { seq } => at(FlatKind::Diverged, seq),
            _ => return None,
        })
    }

    fn history_lost(history: u64, next: u64, have: u64) -> Self {
        Self { value: history, value2: have, ..Self::at(FlatKind::HistoryLost, next) }
    }

    /// A publisher's event; `None` for an event of a later version.
    #[inline]
    pub fn of_publisher(event: &PublisherEvent) -> Option<Self> {
        use PublisherEvent as E;
        let outcome = |kind, publisher, publisher_seq, seq| {
            Some(Self { publisher, publisher_seq, ..Self::at(kind, seq) })
        };
        match *event {
            E::Stamped { publisher, publisher_seq, seq } => {
                outcome(FlatKind::OutcomeStamped, publisher, publisher_seq, seq)
            }
            E::Committed { publisher, publisher_seq, seq } => {
                outcome(FlatKind::OutcomeCommitted, publisher, publisher_seq, seq)
            }
            E::Unstamped { publisher, publisher_seq } => {
                outcome(FlatKind::OutcomeUnstamped, publisher, publisher_seq, 0)
            }
            E::NotAllowed { publisher, publisher_seq } => {
                outcome(FlatKind::NotAllowed, publisher, publisher_seq, 0)
            }
            E::Diverged { publisher, publisher_seq, seq } => {
                outcome(FlatKind::OutcomeDiverged, publisher, publisher_seq, seq)
            }
            E::Discarded { publisher, publisher_seq, seq } => {
                outcome(FlatKind::OutcomeDiscarded, publisher, publisher_seq, seq)
            }
            E::Fenced { publisher, publisher_seq } => {
                outcome(FlatKind::OutcomeFenced, publisher, publisher_seq, 0)
            }
            E::Closed { publisher, publisher_seq } => {
                outcome(FlatKind::OutcomeClosed, publisher, publisher_seq, 0)
            }
            E::Opened { ticket, publisher, publisher_seq, last } => Some(Self {
                publisher,
                publisher_seq,
                value: last,
                detail: ticket as u32,
                ..Self::of(FlatKind::NameOpened)
            }),
            E::Refused { ticket, reason } => {
                let (value, value2) = match reason {
                    OpenRefusal::TableFull { publishers_max } => (1, u64::from(publishers_max)),
                    OpenRefusal::NotAllowed => (2, 0),
                    _ => (0, 0),
                };
                Some(Self { detail: ticket as u32, value, value2, ..Self::of(FlatKind::NameRefused) })
            }
            E::Multicast { lost } => Some(Self { detail: u32::from(lost), ..Self::of(FlatKind::Multicast) }),
            E::Throttled => Some(Self::of(FlatKind::Throttled)),
            E::Unthrottled => Some(Self::of(FlatKind::Unthrottled)),
            E::Founded { history, seq } => Some(Self { value: history, ..Self::at(FlatKind::Founded, seq) }),
            E::HistoryLost { history, next, have } => Some(Self::history_lost(history, next, have)),
            E::OutcomesUnknown => Some(Self::of(FlatKind::OutcomesUnknown)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_client::Message;

    #[test]
    fn a_row_has_the_layout_that_other_languages_read() {
        let row = FlatEvent {
            seq: 1,
            publisher_seq: 2,
            timestamp: 3,
            value: 4,
            value2: 5,
            publisher: 6,
            destination: 7,
            payload_at: 8,
            payload_len: 9,
            kind: 10,
            detail: 11,
        };
        let bytes = bytemuck::bytes_of(&row);
        assert_eq!(bytes.len(), 64);
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        assert_eq!([0, 8, 16, 24, 32].map(u64_at), [1, 2, 3, 4, 5]);
        assert_eq!([40, 44, 48, 52, 56, 60].map(u32_at), [6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn kinds_are_found_by_their_numbers_and_no_two_share_one() {
        for kind in FlatKind::ALL {
            assert_eq!(FlatKind::from_u32(kind as u32), Some(kind));
        }
        assert_eq!(FlatKind::from_u32(0), None);
    }

    #[test]
    fn a_message_keeps_each_of_its_fields() {
        let message = Message {
            seq: 9,
            publisher: 3,
            publisher_seq: 7,
            destination: 5,
            timestamp: 11,
            payload: b"buy 100 at 42",
        };
        let (row, payload) = FlatEvent::of_subscriber(&SubscriberEvent::Message(message)).expect("a row");
        assert_eq!((row.seq, row.publisher, row.publisher_seq), (9, 3, 7));
        assert_eq!((row.destination, row.timestamp, row.payload_len), (5, 11, 13));
        assert_eq!((row.kind(), payload), (Some(FlatKind::Message), message.payload));
    }
}
