//! Whole messages of a journal: parts are joined.

use crate::io::journal_files::{JournalError, JournalReader};
use lockstep_client::Message;
use lockstep_core::engine::parts::{Joined, PartsBound, PartsLimits, Reassembly};
use lockstep_core::proto::parts::PARTS_BOUNDS;
use lockstep_wire::{Entry, EntryHeader, EntryKind, FrameView, Nanos, RESERVED, Seq};
use std::ops::ControlFlow;

/// Joins the parts of messages, entry by entry of a log.
#[derive(Debug)]
pub struct JoinedMessages {
    parts: Reassembly,
    /// Messages whose first part the journal lacks: the seq of the last part of the first one, and their
    /// number.
    lacking: Option<(Seq, u64)>,
}

impl JoinedMessages {
    /// A reader of a log from `oldest` on.
    pub fn new(oldest: Seq) -> Self {
        let mut parts = Reassembly::new(PartsLimits::default(), false);
        parts.begin(oldest);
        Self { parts, lacking: None }
    }

    /// Messages that were completed here and began before the oldest entry: the seq of the first one, and
    /// their number.
    pub fn lacking(&self) -> Option<(Seq, u64)> {
        self.lacking
    }

    /// Passes on the message that this entry of `frame` is or completes; its header has no flags.
    pub fn take<T>(
        &mut self,
        seq: Seq,
        frame: &FrameView<'_>,
        entry: &Entry<'_>,
        on_message: impl FnOnce(Entry<'_>) -> T,
    ) -> Option<T> {
        match entry.kind() {
            EntryKind::Message if entry.header.flags == 0 => {
                if !self.parts.is_empty() {
                    self.parts.on_end(seq, entry.header.publisher);
                }
                Some(on_message(*entry))
            }
            EntryKind::Message => {
                let joined = self.parts.on_part(seq, frame.header.chain, entry);
                while let Some(discarded) = self.parts.next_discarded() {
                    if discarded.bound == PartsBound::Beginning {
                        let (first, count) = self.lacking.unwrap_or((seq, 0));
                        self.lacking = Some((first, count + 1));
                    }
                }
                let Joined::Whole(index) = joined else { return None };
                let header = &EntryHeader { flags: 0, ..*entry.header };
                let done = on_message(Entry { header, payload: self.parts.message(index) });
                self.parts.on_delivered(index);
                Some(done)
            }
            EntryKind::Open | EntryKind::Close => {
                self.parts.on_end(seq, entry.header.publisher);
                None
            }
            _ => None,
        }
    }
}

/// The seq from which the log must be read so that each message that ends at or behind `from` is whole.
pub fn joined_from(from: Seq) -> Seq {
    from.saturating_sub(PARTS_BOUNDS.span).max(1)
}

impl JournalReader {
    /// Passes on the messages of applications from `from` up to `to_next`, which must not exceed the end of
    /// the log. A message in parts has the seq of its last part, and is left out if the journal lacks its
    /// first part.
    ///
    /// # Errors
    /// As [`JournalReader::read`].
    pub fn messages<E: From<JournalError>>(
        &self,
        from: Seq,
        to_next: Seq,
        mut on_message: impl FnMut(Message<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut joined = JoinedMessages::new(1);
        self.read(joined_from(from), to_next, |frame| {
            for (seq, entry) in (frame.header.first_seq..to_next).zip(frame.entries()) {
                if entry.header.destination >= RESERVED {
                    continue;
                }
                let timestamp = frame.header.timestamp + Nanos::from(entry.header.time_or_incarnation);
                let taken = joined.take(seq, frame, &entry, |Entry { header, payload }| {
                    if seq < from {
                        return Ok(ControlFlow::Continue(()));
                    }
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
