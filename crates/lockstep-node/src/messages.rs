//! Whole messages of a journal: parts are joined.

use crate::io::journal_files::{JournalError, JournalReader};
use lockstep_client::Message;
use lockstep_core::engine::parts::{Joined, PartsLimits, Reassembly};
use lockstep_wire::{Entry, EntryHeader, EntryKind, FrameView, JOURNALS, MESSAGE_LEN_MAX, Nanos, Seq};
use std::ops::ControlFlow;

/// Memory of messages in parts that are not whole: as a subscriber has by default.
const PARTS_BYTES: usize = 16 << 20;

/// Joins the parts of messages, entry by entry of a log.
#[derive(Debug)]
pub struct JoinedMessages(Reassembly);

impl Default for JoinedMessages {
    fn default() -> Self {
        let limits = PartsLimits { message_len_max: MESSAGE_LEN_MAX, bytes: PARTS_BYTES };
        Self(Reassembly::new(limits, false))
    }
}

impl JoinedMessages {
    /// Passes on the message that this entry of `frame` is, or completes; its header has no flags.
    pub fn take<T>(
        &mut self,
        seq: Seq,
        frame: &FrameView<'_>,
        entry: &Entry<'_>,
        on_message: impl FnOnce(Entry<'_>) -> T,
    ) -> Option<T> {
        match entry.kind() {
            EntryKind::Message if entry.header.flags == 0 => Some(on_message(*entry)),
            EntryKind::Message => {
                let Joined::Whole(index) = self.0.on_part(seq, frame.header.chain, entry) else {
                    return None;
                };
                let header = &EntryHeader { flags: 0, ..*entry.header };
                let done = on_message(Entry { header, payload: self.0.message(index) });
                self.0.on_delivered(index);
                Some(done)
            }
            EntryKind::Open | EntryKind::Close => {
                self.0.on_end(seq, entry.header.publisher);
                None
            }
            _ => None,
        }
    }
}

impl JournalReader {
    /// Passes on the messages of applications from `from` on, up to `to_next`, which is not beyond the end of
    /// the log. One in parts has the seq of its last part, and is left out if its first part lies before
    /// `from`.
    ///
    /// # Errors
    /// As [`JournalReader::read`].
    pub fn messages<E: From<JournalError>>(
        &self,
        from: Seq,
        to_next: Seq,
        mut on_message: impl FnMut(Message<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut joined = JoinedMessages::default();
        self.read(from, to_next, |frame| {
            for (seq, entry) in (frame.header.first_seq..to_next).zip(frame.entries()) {
                if seq < from || entry.header.destination >= JOURNALS {
                    continue;
                }
                let timestamp = frame.header.timestamp + Nanos::from(entry.header.time_or_incarnation);
                let taken = joined.take(seq, frame, &entry, |Entry { header, payload }| {
                    let EntryHeader { publisher, publisher_seq, destination, .. } = *header;
                    on_message(Message { seq, publisher, publisher_seq, destination, timestamp, payload })
                });
                if taken.transpose()?.is_some_and(|flow| flow.is_break()) {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}
