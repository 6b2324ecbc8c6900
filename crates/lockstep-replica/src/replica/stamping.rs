//! How a leader stamps: it writes each submitted entry into the open frame at the journal's head, holds it
//! back, or drops it with a count. It closes the frame when the batch is drained or the datagram is full.

use super::{Ctx, Leading, PADDING_MAX, ReplicaCore};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::publishers::{Admission, OpenAdmission};
use lockstep_core::proto::rights::Submitter;
use lockstep_core::proto::sequence::Stamp;
use lockstep_wire::{
    Entries, Entry, EntryHeader, EntryKind, Header, NAME_LEN_MAX, OpenBody, OpenView, OperatorOrder,
    PublisherNotice, Reject, Seq, write_open,
};

impl Leading {
    /// A submission of these entries: each is stamped, held back, or dropped with a count. `bytes` is the
    /// whole datagram.
    #[inline(always)]
    pub(super) fn on_submission<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        bytes: &[u8],
        header: &Header,
        mut entries: Entries<'_>,
    ) -> Result<(), Reject> {
        if self.draining && !planted(Mutation::StampsWhileDraining) {
            self.refusing = true;
            return Ok(());
        }
        if self.must_drain || !self.sequencer.has_time() {
            // A leader that stalls again and again would stamp nothing at all if it dropped these.
            ctx.core.pending_submissions.push(bytes, ctx.turn.now);
            return Ok(());
        }
        ctx.core.check_submitter(header)?;
        let mut submitter = self.key_limits.submitter(ctx.core.keys(), header);
        loop {
            self.stamp_run(ctx, &mut entries, &mut submitter);
            let Some(entry) = entries.next() else { return Ok(()) };
            let order = match entry.kind() {
                EntryKind::Membership => OperatorOrder::Membership,
                EntryKind::Day => OperatorOrder::Day,
                _ => {
                    self.submit(ctx, &entry, &mut submitter);
                    continue;
                }
            };
            match submitter.operator(order) {
                Ok(operator) => {
                    self.submit_order(ctx, header, &entry, order, operator, &mut submitter);
                }
                Err(reject) => {
                    self.refuse_order(ctx, &entry, &submitter);
                    return Err(reject);
                }
            }
        }
    }

    /// Stamps messages in sequence, into one piece of memory and with one check of the window, for as long
    /// as nothing is special: each message is the next of its publisher, none is held back, and there is
    /// room. The next of `entries`, if there is one, is the first that needs the full check.
    #[inline(always)]
    fn stamp_run<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        entries: &mut Entries<'_>,
        submitter: &mut Submitter,
    ) {
        // The context is taken apart once, and not for each message.
        let (core, wall) = (&mut *ctx.core, ctx.turn.wall);
        let commit_next = core.commit_next();
        // Messages of a key with a rate are counted one by one.
        if !self.hold.is_empty() || submitter.has_rate() {
            return;
        }
        let sequencer = &mut self.sequencer;
        let end = ctx.tail.end();
        let first = sequencer.stamp_next(&end);
        // Beyond half of the window each message needs the full check.
        let window = core.limits.window.half();
        let credit = window.credit(first, commit_next, self.uncommitted.bytes());
        let Ok(memory) = ctx.tail.room() else { return };
        let publishers = &mut core.log.publishers;
        let mut behind = *entries;
        for _ in 0..credit {
            let Some(Entry { header, payload }) = behind.next() else { break };
            let EntryHeader {
                kind, flags, publisher, publisher_seq, destination, time_or_incarnation, ..
            } = *header;
            let stamp = Stamp { kind: EntryKind::Message, flags, publisher, publisher_seq, destination };
            let stamped = kind == EntryKind::Message as u8
                && publishers.judge(publisher, time_or_incarnation, publisher_seq) == Admission::Stamp
                && submitter.may_publish(publishers, publisher, Some(destination))
                && sequencer.stamp(&end, memory, wall, stamp, payload).is_some();
            if !stamped {
                break;
            }
            publishers.on_message(publisher, publisher_seq);
            *entries = behind;
        }
        core.counters.add(Counter::Stamped, sequencer.stamp_next(&end) - first);
    }

    /// One submitted entry: stamped, held back, or dropped with a count.
    #[inline]
    pub(super) fn submit<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        entry: &Entry<'_>,
        submitter: &mut Submitter,
    ) {
        let now = ctx.turn.now;
        match entry.kind() {
            EntryKind::Message | EntryKind::Close | EntryKind::Day => {}
            EntryKind::Open => return self.submit_open(ctx, entry, submitter),
            EntryKind::Genesis
            | EntryKind::EpochStart
            | EntryKind::Membership
            | EntryKind::ChangeCommitted
            | EntryKind::Order => {
                return ctx.core.drop_one(Counter::SubmissionsDropped);
            }
        }
        let header = entry.header;
        let admission =
            ctx.core.log.publishers.judge(header.publisher, header.time_or_incarnation, header.publisher_seq);
        if let Admission::Stamp | Admission::Hold = admission {
            let to = (entry.kind() == EntryKind::Message).then_some(header.destination);
            if !submitter.may_publish(&ctx.core.log.publishers, header.publisher, to) {
                return self.refuse_message(
                    ctx.core,
                    PublisherNotice::NotAllowed,
                    submitter.notice_key(),
                    header,
                );
            }
            if !self.key_limits.take(submitter, now) {
                return self.refuse_message(
                    ctx.core,
                    PublisherNotice::Throttled,
                    submitter.notice_key(),
                    header,
                );
            }
        }
        match admission {
            Admission::Stamp => {
                if self.stamp(ctx, entry) && !self.hold.is_empty() {
                    self.release(ctx, header.publisher, header.publisher_seq);
                }
            }
            Admission::Duplicate => ctx.core.drop_one(Counter::SubmissionsDuplicate),
            Admission::Hold => {
                let buffered = self.hold.hold(header, entry.payload);
                ctx.core.drop_one(if buffered {
                    Counter::SubmissionsBuffered
                } else {
                    Counter::SubmissionsDropped
                });
            }
            Admission::Fenced => ctx.core.drop_one(Counter::SubmissionsFenced),
            Admission::Unknown | Admission::Closed => ctx.core.drop_one(Counter::SubmissionsUnknown),
        }
    }

    /// Writes a message or close into the open frame. Returns whether share, window and journal took it.
    #[inline]
    fn stamp<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, entry: &Entry<'_>) -> bool {
        let header = entry.header;
        if !self.has_share(ctx.core, &ctx.tail.end(), header) {
            return false;
        }
        let stamp = Stamp {
            kind: entry.kind(),
            flags: header.flags,
            publisher: header.publisher,
            publisher_seq: header.publisher_seq,
            destination: header.destination,
        };
        let Some(seq) = self.write(ctx, stamp, entry.payload) else { return false };
        if stamp.kind == EntryKind::Message {
            ctx.core.log.publishers.on_message(stamp.publisher, stamp.publisher_seq);
        } else {
            ctx.core.log.publishers.on_entry(seq, entry);
        }
        true
    }

    /// Writes one entry into the open frame and returns its seq; `None` if window or journal are full.
    #[inline]
    fn write<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, stamp: Stamp, payload: &[u8]) -> Option<u64> {
        if !self.sequencer.fits(payload.len()) {
            self.close_frame(ctx, true);
        }
        let stamp_next = self.sequencer.stamp_next(&ctx.tail.end());
        if ctx.core.limits.window.credit(stamp_next, ctx.core.commit_next(), self.uncommitted.bytes()) == 0 {
            self.refuse(ctx.core);
            return None;
        }
        self.append_entry(ctx, stamp, payload)
    }

    /// The same without a check of the window.
    #[inline]
    pub(super) fn append_entry<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        stamp: Stamp,
        payload: &[u8],
    ) -> Option<u64> {
        let wall = ctx.turn.wall;
        let end = ctx.tail.end();
        let Ok(memory) = ctx.tail.room() else {
            self.refuse(ctx.core);
            ctx.core.on_journal_full(ctx.tail.end().next);
            return None;
        };
        let seq = self.sequencer.stamp(&end, memory, wall, stamp, payload);
        match seq {
            Some(_) => ctx.core.counters.add(Counter::Stamped, 1),
            // Longer than a frame: the sender did not check its own limit.
            None => ctx.core.drop_one(Counter::SubmissionsDropped),
        }
        seq
    }

    #[cold]
    fn refuse(&mut self, core: &mut ReplicaCore) {
        if !self.refusing && !self.refused {
            self.heartbeat_timer.hasten();
        }
        self.refusing = true;
        core.counters.add(Counter::WindowFull, 1);
    }

    /// Stamps the entries that waited for `publisher_seq` of `publisher`, for as long as they are in order.
    #[cold]
    fn release<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, publisher: u32, mut publisher_seq: u64) {
        // A buffered payload is at most one frame: it is moved out while the frame is written.
        let mut payload = [0; lockstep_wire::DATAGRAM_LEN_MAX];
        loop {
            publisher_seq += 1;
            let Some((header, buffered_payload)) = self.hold.take(publisher, publisher_seq) else { return };
            let length = buffered_payload.len();
            payload[..length].copy_from_slice(buffered_payload);
            let admission =
                ctx.core.log.publishers.judge(publisher, header.time_or_incarnation, publisher_seq);
            let entry = Entry { header: &header, payload: &payload[..length] };
            if admission != Admission::Stamp || !self.stamp(ctx, &entry) {
                return;
            }
        }
    }

    #[cold]
    fn submit_open<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, entry: &Entry<'_>, submitter: &Submitter) {
        let Ok(open) = OpenView::parse(entry.payload) else { return ctx.core.reject(Reject::Body) };
        if !submitter.may_open(open.name) {
            return self.refuse_open(
                ctx.core,
                PublisherNotice::NotAllowed,
                (submitter.notice_key(), open.body.nonce),
            );
        }
        let (id, incarnation, last) = match ctx.core.log.publishers.judge_open(&open) {
            OpenAdmission::Stamp(id, incarnation, last) => (id, incarnation, last),
            OpenAdmission::Stale => return ctx.core.drop_one(Counter::SubmissionsDuplicate),
            OpenAdmission::Full => {
                return self.refuse_open(
                    ctx.core,
                    PublisherNotice::TableFull,
                    (submitter.notice_key(), open.body.nonce),
                );
            }
        };
        let mut payload = [0; size_of::<OpenBody>() + NAME_LEN_MAX];
        let length = write_open(&mut payload, open.body.nonce, incarnation, open.name);
        let stamp =
            Stamp { kind: EntryKind::Open, flags: 0, publisher: id, publisher_seq: last, destination: 0 };
        if let Some(seq) = self.write(ctx, stamp, &payload[..length]) {
            let header = EntryHeader { publisher: id, publisher_seq: last, ..*entry.header };
            ctx.core.log.publishers.on_entry(seq, &Entry { header: &header, payload: &payload[..length] });
        }
    }

    /// Closes the open frame, if it has entries: the journal stores it, and it waits to be sent. `full`
    /// means that more of the batch follows; then the frame may be padded to the size of its burst.
    #[inline]
    pub(super) fn close_frame<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, full: bool) {
        if !self.sequencer.is_drained() {
            self.close_and_report(ctx, full, ctx.core.commit_next());
        }
    }

    /// The same, of an open frame that has entries; its header announces that everything below `commit_next`
    /// is committed.
    #[inline]
    pub(super) fn close_and_report<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, full: bool, commit_next: Seq) {
        let (core, tail, sequencer) = (&mut *ctx.core, &mut *ctx.tail, &mut self.sequencer);
        let frame_len_max = tail.frame_len_max();
        let stride = self.outgoing_frames.last().map_or(frame_len_max, |last| last.len as usize);
        let length = sequencer.open_len();
        let padded = (full && length <= stride && stride - length <= PADDING_MAX).then_some(stride);
        // The room was there when the frame was opened, and still belongs to it.
        let end = tail.end();
        let Ok(memory) = tail.room() else { return };
        let header = sequencer.close(&end, memory, commit_next, padded);
        let span = tail.pin(&header);
        self.uncommitted.on_closed(header.next_seq(), header.length);
        self.outgoing_frames.push(span);
        core.on_journal_free(header.first_seq);
        core.followed.on_stamped(tail.end());
    }
}
