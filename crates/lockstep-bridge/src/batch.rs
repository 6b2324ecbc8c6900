//! Messages between the subscription and the target. A message is complete once its frame was reported: the
//! frame's header has its history and its epoch.

use crate::record::StreamRecord;
use lockstep_client::internal::{PARTS_BOUNDS, Unfinished};
use lockstep_client::{Cursor, Message};
use lockstep_names::OpenedNames;
use lockstep_wire::{Entry, Header, Seq};
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
    /// A subscription that begins here reads everything behind it: set with the frame as well.
    resume: Cursor,
}

/// A cursor that is not known yet.
const NOWHERE: Cursor = Cursor { history: 0, seq: 0, chain: 0 };

/// Messages that the target has not been given.
#[derive(Debug)]
pub struct PendingRecords {
    rows: Vec<Row>,
    bytes: Vec<u8>,
    /// Rows whose frame has been reported.
    complete: usize,
    /// A subscription that begins here reads all of them.
    cursor: Option<Cursor>,
    /// Messages that are unfinished at the last frame.
    unfinished: Unfinished,
    /// Messages from here on are not taken: where the subscription goes on does not move beyond the frame
    /// that reaches it.
    end: Seq,
    /// A subscription that begins here reads everything from the end on, once a frame has reached that.
    before_end: Option<Cursor>,
}

impl PendingRecords {
    /// None, of a subscription that begins at `cursor`, if it begins at one, and of which messages below
    /// `end` are taken.
    pub fn new(cursor: Option<Cursor>, end: Seq) -> Self {
        let (rows, bytes, complete, unfinished) =
            (Vec::new(), Vec::new(), 0, Unfinished::new(PARTS_BOUNDS, false));
        Self { rows, bytes, complete, cursor, unfinished, end, before_end: None }
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
            resume: NOWHERE,
        });
    }

    /// The frame of the messages before, which has `chain_after` behind it; the subscription begins at
    /// `start`.
    pub fn on_frame<'a>(
        &mut self,
        header: &Header,
        chain_after: u64,
        entries: impl Iterator<Item = Entry<'a>>,
        start: Seq,
    ) {
        let Self { rows, complete, unfinished, cursor, end, before_end, .. } = self;
        let (history, first, chain) = (header.history, header.first_seq, header.chain);
        cursor.get_or_insert(Cursor { history, seq: first.max(start), chain });
        if header.next_seq() > *end && before_end.is_none() {
            let (seq, chain) = unfinished.resume(first.max(start), chain);
            *before_end = Some(Cursor { history, seq, chain });
        }
        let mut waiting = rows[*complete..].iter_mut().peekable();
        let mut next = first;
        for (seq, entry) in (first..).zip(entries) {
            unfinished.read(seq, chain, &entry);
            next = seq + 1;
            if let Some(row) = waiting.next_if(|row| row.seq == seq) {
                let behind = if next == header.next_seq() { chain_after } else { chain };
                let (seq, chain) = unfinished.resume(next, behind);
                (row.history, row.epoch, row.resume) =
                    (history, header.epoch, Cursor { history, seq, chain });
            }
        }
        assert!(waiting.next().is_none(), "each message stands in the frame that is reported behind it");
        unfinished.on_read(next, next);
        *complete = rows.len();
    }

    /// Bytes of payloads.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a frame is only partly reported.
    pub fn is_open(&self) -> bool {
        self.complete < self.rows.len()
    }

    /// The complete ones, in order, with names of these; none before the first frame.
    pub fn complete<'a>(&'a self, names: &'a OpenedNames) -> impl Iterator<Item = StreamRecord<'a>> {
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
            names: names.of(row.seq, row.publisher, row.destination),
            payload: &self.bytes[row.payload.clone()],
            cursor,
            resume: row.resume,
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
            self.cursor = self.before_end.or(next).or(self.cursor);
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
    use lockstep_wire::{EntryHeader, EntryKind, PART_MORE, PART_NEXT};

    fn message(seq: u64, payload: &[u8]) -> Message<'_> {
        Message { seq, publisher: 1, publisher_seq: seq, destination: 0, timestamp: 9, payload }
    }

    /// The frame of the entries from `first_seq` on: publisher, number and flags of each.
    fn report(
        pending: &mut PendingRecords,
        (first_seq, epoch, chain): (u64, u64, u64),
        start: u64,
        entries: &[(u32, u64, u8)],
    ) {
        let zeros = [0; size_of::<Header>()];
        let count = entries.len() as u16;
        let header =
            Header { history: 7, first_seq, epoch, chain, count, ..Header::peek(&zeros).expect("a header") };
        let entry = |&(publisher, publisher_seq, flags): &(u32, u64, u8)| EntryHeader {
            kind: EntryKind::Message as u8,
            flags,
            length: 0,
            publisher,
            publisher_seq,
            destination: 0,
            time_or_incarnation: 0,
        };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        let entries = entries.iter().map(|header| Entry { header, payload: b"" });
        pending.on_frame(&header, chain + 1, entries, start);
    }

    fn seen(pending: &PendingRecords) -> Vec<(u64, u64, Vec<u8>)> {
        let names = OpenedNames::default();
        pending.complete(&names).map(|record| (record.seq, record.epoch, record.payload.to_vec())).collect()
    }

    #[test]
    fn a_message_is_complete_with_its_frame_and_has_its_history_and_epoch() {
        let mut pending = PendingRecords::new(None, Seq::MAX);
        pending.push(&message(3, b"three"));
        assert!(pending.is_open() && seen(&pending).is_empty() && pending.cursor().is_none());
        report(&mut pending, (2, 5, 11), 3, &[(1, 2, 0), (1, 3, 0)]);
        assert_eq!(seen(&pending), [(3, 5, b"three".to_vec())]);
        // The seq from which the stream was wanted, within that frame.
        assert_eq!(pending.cursor(), Some(Cursor { history: 7, seq: 3, chain: 11 }));
        assert!(pending.complete(&OpenedNames::default()).all(|record| record.history == 7));
    }

    #[test]
    fn a_frame_that_a_poll_splits_is_read_again_by_the_cursor_before_it() {
        let begin = Cursor { history: 7, seq: 1, chain: 1 };
        let next = Cursor { history: 7, seq: 9, chain: 2 };
        let mut pending = PendingRecords::new(Some(begin), Seq::MAX);
        pending.push(&message(1, b"one"));
        report(&mut pending, (1, 5, 1), 0, &[(1, 1, 0)]);
        pending.push(&message(2, b"two"));
        assert_eq!(seen(&pending), [(1, 5, b"one".to_vec())]);
        pending.clear(Some(next));
        assert_eq!((pending.cursor(), pending.bytes()), (Some(begin), 3), "seq 2 lies behind it");
        pending.push(&message(3, b"three"));
        report(&mut pending, (2, 6, 1), 0, &[(1, 2, 0), (1, 3, 0)]);
        assert_eq!(seen(&pending), [(2, 6, b"two".to_vec()), (3, 6, b"three".to_vec())]);
        pending.clear(Some(next));
        assert_eq!((pending.cursor(), pending.bytes()), (Some(next), 0));
    }

    #[test]
    fn behind_each_message_the_stream_is_read_on_from_the_first_part_of_what_is_unfinished_there() {
        let mut pending = PendingRecords::new(None, Seq::MAX);
        // A first part, and behind it a whole one of another publisher; its last parts; one more.
        pending.push(&message(13, b""));
        report(&mut pending, (12, 5, 1), 0, &[(1, 1, PART_MORE), (2, 1, 0)]);
        [15, 16].iter().for_each(|seq| pending.push(&message(*seq, b"")));
        report(&mut pending, (14, 5, 2), 0, &[(1, 2, PART_MORE | PART_NEXT), (1, 3, PART_NEXT), (2, 2, 0)]);
        let place = |record: StreamRecord<'_>| (record.seq, record.resume.seq, record.resume.chain);
        let names = OpenedNames::default();
        let resume: Vec<_> = pending.complete(&names).map(place).collect();
        assert_eq!(resume, [(13, 12, 1), (15, 16, 2), (16, 17, 3)]);
    }

    #[test]
    fn what_lies_behind_the_end_is_read_by_the_next_bridge_however_far_this_one_has_read() {
        let next = Cursor { history: 7, seq: 20, chain: 9 };
        // A first part; the end lies within the next frame, which has its last part.
        let mut pending = PendingRecords::new(None, 15);
        pending.push(&message(13, b""));
        report(&mut pending, (12, 5, 1), 0, &[(1, 1, PART_MORE), (2, 1, 0)]);
        report(&mut pending, (14, 5, 2), 0, &[(2, 2, 0), (1, 2, PART_NEXT)]);
        report(&mut pending, (16, 5, 3), 0, &[(2, 3, 0), (2, 4, 0)]);
        pending.clear(Some(next));
        assert_eq!(pending.cursor(), Some(Cursor { history: 7, seq: 12, chain: 1 }));
        // Nothing is unfinished: from the frame that reaches the end.
        let mut pending = PendingRecords::new(None, 15);
        report(&mut pending, (12, 5, 1), 0, &[(1, 1, 0), (2, 1, 0)]);
        report(&mut pending, (14, 5, 2), 0, &[(2, 2, 0), (1, 2, 0)]);
        pending.clear(Some(next));
        assert_eq!(pending.cursor(), Some(Cursor { history: 7, seq: 14, chain: 2 }));
        // Nobody has read beyond it.
        let mut pending = PendingRecords::new(None, 14);
        report(&mut pending, (12, 5, 1), 0, &[(1, 1, 0), (2, 1, 0)]);
        pending.clear(Some(next));
        assert_eq!(pending.cursor(), Some(next));
    }
}
