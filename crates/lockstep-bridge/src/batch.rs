//! Messages between the subscription and the target. A message is complete once its frame was reported: the
//! frame's header has its history and its epoch.

use crate::record::StreamRecord;
use lockstep_client::{Cursor, Message};
use lockstep_wire::Header;
use std::ops::Range;

/// A message without its bytes.
#[derive(Clone, Debug)]
struct Row {
    seq: u64,
    timestamp: u64,
    publisher: u32,
    publisher_seq: u64,
    destination: u32,
    payload: Range<usize>,
    /// Of the frame; set when that is reported.
    history: u64,
    epoch: u64,
}

/// Messages that the target has not been given.
#[derive(Debug, Default)]
pub struct PendingRecords {
    rows: Vec<Row>,
    bytes: Vec<u8>,
    /// Rows whose frame has been reported.
    complete: usize,
    /// A subscription that begins here reads all of them.
    cursor: Option<Cursor>,
}

impl PendingRecords {
    /// None, of a subscription that begins at `cursor`, if it begins at one.
    pub fn new(cursor: Option<Cursor>) -> Self {
        Self { cursor, ..Self::default() }
    }

    /// Takes a message.
    pub fn push(&mut self, message: &Message<'_>) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(message.payload);
        self.rows.push(Row {
            seq: message.seq,
            timestamp: message.timestamp,
            publisher: message.publisher,
            publisher_seq: message.publisher_seq,
            destination: message.destination,
            payload: begin..self.bytes.len(),
            history: 0,
            epoch: 0,
        });
    }

    /// The frame of the messages before, from `from` on.
    pub fn on_frame(&mut self, header: &Header, from: u64) {
        let (history, seq, chain) = (header.history, { header.first_seq }.max(from), header.chain);
        self.cursor.get_or_insert(Cursor { history, seq, chain });
        for row in &mut self.rows[self.complete..] {
            (row.history, row.epoch) = (header.history, header.epoch);
        }
        self.complete = self.rows.len();
    }

    /// Bytes of payloads.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a frame is only partly reported.
    pub fn is_open(&self) -> bool {
        self.complete < self.rows.len()
    }

    /// The complete ones, in order; none before the first frame.
    pub fn complete(&self) -> impl Iterator<Item = StreamRecord<'_>> {
        let rows = self
            .cursor
            .into_iter()
            .flat_map(|cursor| self.rows[..self.complete].iter().map(move |row| (cursor, row)));
        rows.map(|(cursor, row)| StreamRecord {
            history: row.history,
            seq: row.seq,
            epoch: row.epoch,
            timestamp: row.timestamp,
            publisher: row.publisher,
            publisher_seq: row.publisher_seq,
            destination: row.destination,
            payload: &self.bytes[row.payload.clone()],
            cursor,
        })
    }

    /// The target has the complete ones; the subscription stands at `next`.
    pub fn clear(&mut self, next: Option<Cursor>) {
        if self.is_open() {
            let bytes_done = self.rows[self.complete].payload.start;
            self.rows.drain(..self.complete);
            self.bytes.drain(..bytes_done);
            for row in &mut self.rows {
                row.payload = row.payload.start - bytes_done..row.payload.end - bytes_done;
            }
        } else {
            self.rows.clear();
            self.bytes.clear();
            self.cursor = next.or(self.cursor);
        }
        self.complete = 0;
    }

    /// A subscription that begins here reads everything that the target has not been given, and perhaps some
    /// that it has; `None` before the first frame.
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, payload: &[u8]) -> Message<'_> {
        Message { seq, publisher: 1, publisher_seq: seq, destination: 0, timestamp: 9, payload }
    }

    fn frame(first_seq: u64, epoch: u64, chain: u64) -> Header {
        let zeros = [0; size_of::<Header>()];
        Header { history: 7, first_seq, epoch, chain, ..Header::peek(&zeros).expect("a header") }
    }

    fn seen(pending: &PendingRecords) -> Vec<(u64, u64, Vec<u8>)> {
        pending.complete().map(|record| (record.seq, record.epoch, record.payload.to_vec())).collect()
    }

    #[test]
    fn a_message_is_complete_with_its_frame_and_has_its_history_and_epoch() {
        let mut pending = PendingRecords::new(None);
        pending.push(&message(3, b"three"));
        assert!(pending.is_open() && seen(&pending).is_empty() && pending.cursor().is_none());
        pending.on_frame(&frame(2, 5, 11), 3);
        assert_eq!(seen(&pending), [(3, 5, b"three".to_vec())]);
        // The seq from which the stream was wanted, within that frame.
        assert_eq!(pending.cursor(), Some(Cursor { history: 7, seq: 3, chain: 11 }));
        assert!(pending.complete().all(|record| record.history == 7));
    }

    #[test]
    fn a_frame_that_a_poll_splits_is_read_again_by_the_cursor_before_it() {
        let begin = Cursor { history: 7, seq: 1, chain: 1 };
        let next = Cursor { history: 7, seq: 9, chain: 2 };
        let mut pending = PendingRecords::new(Some(begin));
        pending.push(&message(1, b"one"));
        pending.on_frame(&frame(1, 5, 1), 0);
        pending.push(&message(2, b"two"));
        assert_eq!(seen(&pending), [(1, 5, b"one".to_vec())]);
        pending.clear(Some(next));
        assert_eq!((pending.cursor(), pending.bytes()), (Some(begin), 3), "seq 2 lies behind it");
        pending.push(&message(3, b"three"));
        pending.on_frame(&frame(2, 6, 1), 0);
        assert_eq!(seen(&pending), [(2, 6, b"two".to_vec()), (3, 6, b"three".to_vec())]);
        pending.clear(Some(next));
        assert_eq!((pending.cursor(), pending.bytes()), (Some(next), 0));
    }
}
