//! Messages come in: each is written where it is sent from.

use super::{PublishError, PublisherCore};
use bytemuck::Zeroable;
use lockstep_wire::{
    CLOSE_LEN_MAX, DAY_LEN_MAX, DayMark, Destination, ENTRY_HEADER_LEN, EntryHeader, EntryKind, Epoch,
    HEADER_LEN, OperatorKey, OperatorOrder, OrderStatement, PART_MORE, PART_NEXT, PublisherId, PublisherSeq,
    day_arguments,
};

impl PublisherCore {
    /// The history of the stream; 0 before anything of it was received.
    pub fn history(&self) -> u64 {
        self.followed.history()
    }

    /// The longest message that is taken: what is configured, or less where the window holds less.
    pub fn message_len_max(&self) -> usize {
        let limits = &self.limits;
        let parts = limits.window_entries.min(limits.window_datagrams.saturating_sub(1)).max(1);
        limits.message_len_max.min(parts as usize * self.part_len_max())
    }

    /// The longest message that goes out as a whole: what one frame takes.
    pub fn part_len_max(&self) -> usize {
        self.limits.receiver.frame_len_max - HEADER_LEN - ENTRY_HEADER_LEN
    }

    /// The longest message for `destination` that is taken: less than [`PublisherCore::message_len_max`]
    /// where it has a limit of its own.
    pub fn message_len_max_for(&self, destination: Destination) -> usize {
        let max = self.message_len_max();
        self.limits.message_len_max_of.get(&destination).map_or(max, |own| max.min(*own))
    }

    /// Whether `destination` takes `len` bytes, as a whole or in parts.
    fn check_len(&self, destination: Destination, len: usize) -> Result<(), PublishError> {
        match self.limits.message_len_max_of.get(&destination) {
            Some(&max) if len > max => Err(PublishError::TooLongFor { destination, len, max }),
            _ => Ok(()),
        }
    }

    /// What every destination takes, and one frame.
    pub(super) fn short_len_max(&self) -> usize {
        let own_least = self.limits.message_len_max_of.values().copied().min();
        self.part_len_max().min(self.message_len_max()).min(own_least.unwrap_or(usize::MAX))
    }

    /// Takes a message: it is written into the open datagram, which leaves when it is full or at the next
    /// `flush` or `poll`. Returns its number. The message is copied once; nothing is allocated.
    ///
    /// One that is longer than [`PublisherCore::part_len_max`] goes out in parts, each an entry with a
    /// number of its own; the number that is returned, and whose outcome is reported, is that of the last
    /// part.
    #[inline]
    pub fn try_publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        if payload.len() > self.short_len_max {
            return self.publish_long(publisher, destination, payload, 0);
        }
        let (publisher_seq, body) =
            self.claim((EntryKind::Message, 0), publisher, destination, payload.len())?;
        body.copy_from_slice(payload);
        Ok(publisher_seq)
    }

    /// The same for a message whose number follows from the application's state: that of its first part is
    /// `number`. What the stream has already, or what was handed in here before, is not handed in again; of
    /// a message of which the stream has the first parts, the others are. So a process that begins anew may
    /// hand in everything once more.
    ///
    /// Where `number` lies behind the next one, the publisher goes on there if nothing of it is under way and
    /// what lies between was read here: another process has published it. Else it is refused as
    /// [`PublishError::Ahead`]: the stream would wait for what lies between, perhaps for ever.
    /// [`crate::engine::outputs::Outputs`] derives the numbers.
    pub fn try_publish_at(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        let index = self.lines.open_line(publisher)?;
        let count = self.parts_of(payload.len());
        let (next, last) = (self.lines.list[index].next, number.saturating_add(count - 1));
        if last < next {
            return Ok(last);
        }
        if number > next {
            let line = &self.lines.list[index];
            let is_under_way = self.window.oldest(&line.outstanding).is_some();
            let is_unread = number > line.stamped + 1;
            if is_under_way || is_unread {
                let next = if is_under_way { next } else { next.max(line.stamped + 1) };
                return Err(PublishError::Ahead { number, next });
            }
            self.lines.resume(index, number);
        }
        self.publish_long(publisher, destination, payload, next.saturating_sub(number) as usize)
    }

    /// How many entries, and so numbers, a message of `len` bytes takes.
    pub fn parts_of(&self, len: usize) -> u64 {
        (len.div_ceil(part_len(len, self.part_len_max())) as u64).max(1)
    }

    /// Takes a message that some destination does not take, or that goes out in parts: all of them behind the
    /// first `skipped`, or none.
    #[cold]
    fn publish_long(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
        skipped: usize,
    ) -> Result<PublisherSeq, PublishError> {
        let (len, max) = (payload.len(), self.message_len_max());
        self.check_len(destination, len)?;
        if len > max {
            return Err(PublishError::TooLong { len, max });
        }
        let part_len = part_len(len, self.part_len_max());
        let count = len.div_ceil(part_len).max(1);
        self.lines.open_line(publisher)?;
        if count > 1 && !self.window.has_room_for_parts(count - skipped) {
            return Err(PublishError::Backpressure);
        }
        let mut last = 0;
        // A message without a byte is one entry.
        let parts = payload.chunks(part_len).chain(payload.is_empty().then_some(payload));
        for (index, part) in parts.enumerate().skip(skipped) {
            let next = if index > 0 { PART_NEXT } else { 0 };
            let more = if index + 1 < count { PART_MORE } else { 0 };
            let kind = (EntryKind::Message, next | more);
            let (publisher_seq, body) = self.claim(kind, publisher, destination, part.len())?;
            body.copy_from_slice(part);
            last = publisher_seq;
        }
        Ok(last)
    }

    /// Takes a message of `len` bytes whose payload the caller writes in place before the next call on this
    /// handle; it consists of zeros until then. Returns its number and the memory. It lies in one datagram,
    /// so at most [`PublisherCore::part_len_max`] bytes can be claimed.
    #[inline]
    pub fn try_claim(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        len: usize,
    ) -> Result<(PublisherSeq, &mut [u8]), PublishError> {
        if len > self.short_len_max {
            self.check_len(destination, len)?;
            let max = self.part_len_max().min(self.message_len_max());
            if len > max {
                return Err(PublishError::TooLong { len, max });
            }
        }
        let (publisher_seq, body) = self.claim((EntryKind::Message, 0), publisher, destination, len)?;
        // What the caller leaves out is nothing of an earlier message: copies of it publish the same.
        body.fill(0);
        Ok((publisher_seq, body))
    }

    /// Closes a publisher: a message of its own kind behind all of its others, which says `reason` to whoever
    /// reads the stream, at most [`CLOSE_LEN_MAX`] bytes. Its outcome is [`super::PublisherEvent::Closed`].
    pub fn try_close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        if reason.len() > CLOSE_LEN_MAX {
            return Err(PublishError::TooLong { len: reason.len(), max: CLOSE_LEN_MAX });
        }
        let (_, body) = self.claim((EntryKind::Close, 0), publisher, 0, reason.len())?;
        body.copy_from_slice(reason);
        Ok(())
    }

    /// Marks the begin or the end of a trading day, at its place in the publisher's order. Its outcome is
    /// reported like a message's. An operator's key signs it, with this drawn number; a replica's does not.
    pub fn try_day(
        &mut self,
        publisher: PublisherId,
        mark: DayMark<'_>,
        operator: Option<(&OperatorKey, u64)>,
    ) -> Result<PublisherSeq, PublishError> {
        let mut written = [0; 1 + DAY_LEN_MAX];
        let length = mark.write(&mut written);
        let mut payload = written[..length].to_vec();
        if let Some((operator, nonce)) = operator {
            let index = self.lines.open_line(publisher)?;
            let line = &self.lines.list[index];
            let entry = EntryHeader {
                publisher_seq: line.next,
                time_or_incarnation: line.incarnation,
                ..EntryHeader::zeroed()
            };
            let order = OrderStatement {
                order: OperatorOrder::Day,
                history: self.followed.history(),
                epoch: Epoch::NONE,
                membership_seq: 0,
                subject: None,
                arguments: &day_arguments(&entry, &mark),
            };
            payload.extend_from_slice(bytemuck::bytes_of(&operator.prove(&order, nonce)));
        }
        let (number, body) = self.claim((EntryKind::Day, 0), publisher, 0, payload.len())?;
        body.copy_from_slice(&payload);
        Ok(number)
    }

    /// Room for an entry of `len` bytes, which one frame takes.
    #[inline]
    fn claim(
        &mut self,
        (kind, flags): (EntryKind, u8),
        publisher: PublisherId,
        destination: Destination,
        len: usize,
    ) -> Result<(PublisherSeq, &mut [u8]), PublishError> {
        let Self { lines, window, .. } = self;
        let index = lines.open_line(publisher)?;
        let line = &mut lines.list[index];
        let publisher_seq = line.next;
        let is_copied = publisher_seq <= line.stamped;
        let entry = EntryHeader {
            kind: kind as u8,
            flags,
            length: 0,
            publisher,
            publisher_seq,
            destination,
            time_or_incarnation: line.incarnation,
        };
        let body = window.claim(&mut line.outstanding, entry, len, is_copied);
        let body = body.ok_or(PublishError::Backpressure)?;
        line.next += 1;
        line.open += u64::from(kind != EntryKind::Close && flags & PART_MORE == 0);
        if is_copied {
            lines.on_copied(index as u32, publisher_seq);
        }
        Ok((publisher_seq, body))
    }
}

/// Bytes of each part but the last. Of one length: datagrams of one size leave uncut, here and as the
/// leader's frames.
fn part_len(len: usize, part_len_max: usize) -> usize {
    len.div_ceil(len.div_ceil(part_len_max).max(1)).max(1)
}
