//! Events of one or more polls, with their payloads in one buffer.

use crate::event::FlatEvent;
use lockstep_client::{ParticipantEvent, PublisherEvent, SubscriberEvent};
use std::ops::ControlFlow;

/// Bytes of payloads with which a batch counts as full: what is in the cache of a core. One message more may
/// lie behind them.
pub const BATCH_BYTES: usize = 256 << 10;

/// Rows for which a batch has room from the start: messages, and the outcomes of a window.
const ROWS_LEN: usize = 4_096;

/// Rows, and the payloads to which they point.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    rows: Vec<FlatEvent>,
    bytes: Vec<u8>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self { rows: Vec::with_capacity(ROWS_LEN), bytes: Vec::new() }
    }

    /// Empties it; its memory stays.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
    }

    /// The rows, in the order of the stream.
    pub fn rows(&self) -> &[FlatEvent] {
        &self.rows
    }

    /// The payloads.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The payload of a row of this batch.
    pub fn payload(&self, row: &FlatEvent) -> &[u8] {
        let at = row.payload_at as usize;
        self.bytes.get(at..at + row.payload_len as usize).unwrap_or_default()
    }

    /// Whether the next poll belongs into another batch.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES
    }

    /// Adds a row with its payload.
    #[inline]
    pub fn push(&mut self, row: FlatEvent, payload: &[u8]) {
        let payload_at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(payload);
        self.rows.push(FlatEvent { payload_at, ..row });
    }

    /// Adds a subscriber's event: the answer that its poll expects.
    #[inline]
    pub fn on_subscriber(&mut self, event: &SubscriberEvent<'_>) -> ControlFlow<()> {
        if let Some((row, payload)) = FlatEvent::of_subscriber(event) {
            self.push(row, payload);
        }
        if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Adds a publisher's event.
    #[inline]
    pub fn on_publisher(&mut self, event: &PublisherEvent) {
        self.rows.extend(FlatEvent::of_publisher(event));
    }

    /// Adds a participant's event: the answer that its poll expects.
    #[inline]
    pub fn on_participant(&mut self, event: &ParticipantEvent<'_>) -> ControlFlow<()> {
        match event {
            ParticipantEvent::Subscriber(event) => self.on_subscriber(event),
            ParticipantEvent::Publisher(event) => {
                self.on_publisher(event);
                ControlFlow::Continue(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::FlatKind;
    use lockstep_client::Message;

    fn message(seq: u64, payload: &[u8]) -> SubscriberEvent<'_> {
        let (publisher, publisher_seq, destination, timestamp) = (1, seq, 0, seq);
        SubscriberEvent::Message(Message { seq, publisher, publisher_seq, destination, timestamp, payload })
    }

    #[test]
    fn each_row_finds_its_payload() {
        let mut batch = Batch::new();
        assert!(batch.on_subscriber(&message(1, b"one")).is_continue());
        assert!(batch.on_subscriber(&SubscriberEvent::Retract { from: 1 }).is_continue());
        assert!(batch.on_subscriber(&message(1, b"")).is_continue());
        assert!(batch.on_subscriber(&message(2, b"another")).is_continue());
        batch.on_publisher(&PublisherEvent::Committed { publisher: 1, publisher_seq: 2, seq: 2 });
        let payloads: Vec<_> = batch.rows().iter().map(|row| batch.payload(row)).collect();
        assert_eq!(payloads, [b"one".as_slice(), b"", b"", b"another", b""]);
        let kinds: Vec<_> = batch.rows().iter().filter_map(FlatEvent::kind).collect();
        let message = FlatKind::Message;
        assert_eq!(kinds, [message, FlatKind::Retract, message, message, FlatKind::OutcomeCommitted]);
        batch.clear();
        assert!(batch.rows().is_empty() && batch.bytes().is_empty());
    }

    #[test]
    fn a_full_batch_leaves_the_rest_for_the_next_poll() {
        let mut batch = Batch::new();
        let payload = vec![7; BATCH_BYTES / 2];
        assert!(batch.on_subscriber(&message(1, &payload)).is_continue());
        assert!(batch.on_subscriber(&message(2, &payload)).is_break());
        assert!(batch.is_full());
        assert_eq!(batch.rows().len(), 2);
    }
}
