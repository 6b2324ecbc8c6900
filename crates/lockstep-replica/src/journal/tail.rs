//! # tail: the newest records, in memory that outlives the process
//!
//! A frame lives here from the moment it is stamped or received, so that nothing copies it again. The
//! leader builds the open frame in [`Tail::room`] and [`Tail::keep`]s it, a standby [`Tail::append`]s a
//! received frame, a repair is a [`RingSpan`] of it.
//!
//! ```text
//!  0        floor            written               published = head      + room
//!  ├── gone ──┤◀─ repair window ─▶├◀─ segments lag ──▶├◀── open frame ──▶│
//!                                                     └ never beyond written + ring_len
//! ```
//!
//! Records below `published` are complete: the word is released behind each of them, before anything about
//! it is sent. Records that the segments lack are never overwritten: then there is no room ([`Full`]).
//! After construction nothing here allocates, locks, or calls the system.

mod find;

use crate::journal::BLOCK_LEN;
use crate::journal::extents::{Extent, Extents};
use crate::journal::layout::{Geometry, TailLabel};
use crate::journal::ports::{TailMemory, Word};
use crate::journal::rebuild::{LogRebuild, Staging};
use crate::journal::record::{self, MARK_LEN};
use lockstep_core::proto::log::{LogEnd, LogMismatch};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::ring::place_in;
use lockstep_wire::{Epoch, FrameView, HEADER_LEN, Header, Seq, chain_after};
use std::fmt;

/// One record in the ring. Valid until the ring overwrites it; [`Tail::frame`] checks that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RingSpan {
    /// Its position.
    pub pos: u64,
    /// Its bytes.
    pub len: u32,
}

/// The segments lag: storing more would overwrite records that they lack. It passes when they have caught
/// up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Full {
    /// Bytes in the tail that no segment holds.
    pub lag_bytes: u64,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the tail is full: {} bytes wait for the segments (is the disk full or slow? does a witness wait for \
             a commit?)",
            self.lag_bytes
        )
    }
}

/// Why a frame was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AppendError {
    /// It does not follow.
    Misfit(LogMismatch),
    /// No room.
    Full(Full),
    /// It is longer than this journal's records: the sender has another MTU.
    TooLong {
        /// The frame's bytes.
        len: usize,
        /// The most that a record may have.
        max: usize,
    },
    /// `stage_frame` without a `stage`.
    NotStaging,
}

/// Why a staging did not begin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StageError {
    /// No room.
    Full(Full),
    /// Behind the end of the log.
    Ahead {
        /// The log's next seq.
        next: Seq,
    },
    /// No longer in the ring.
    TooOld {
        /// The oldest frame that is.
        oldest: Seq,
    },
    /// No frame of the log begins there; frames are indivisible.
    InsideFrame,
}

/// Why the log was not switched. It is still the old one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SwitchError {
    /// No room.
    Full(Full),
    /// Nothing is staged.
    Nothing,
    /// The staged frames do not end in the epoch that is to adopt them.
    Epoch {
        /// The epoch that they end in.
        ends_in: Epoch,
        /// The epoch of the staging.
        adopts: Epoch,
    },
}

/// Runs of a log that the tail remembers. Each staging may break one; they are forgotten when they leave
/// the ring.
pub(crate) const RUNS_MAX: usize = 64;

/// The list of runs that a tail stores.
pub(crate) fn no_runs() -> Extents<u64> {
    Extents::bounded(RUNS_MAX)
}

/// The tail of a journal, in memory `M`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tail<M> {
    memory: M,
    label: TailLabel,
    geometry: Geometry,
    /// The published end.
    head: u64,
    /// Where the next record starts.
    next_at: u64,
    /// The position up to which there is room, as last checked: the side thread's cache line is not read
    /// while it suffices.
    room_until: u64,
    /// The log's frames from here on stay in the ring, whatever the segments hold.
    pinned_from: Seq,
    /// The block of the last slot.
    slotted: Option<u64>,
    /// Until this position is written, `DurableSeq` may be of the log before the last switch, ...
    switched_pos: u64,
    /// ... which agrees with this one up to here.
    switched_from: Seq,
    /// The journal had no segment when this run began.
    is_bare: bool,
    /// The end of the log before the oldest frame that the journal has: what is before was removed by
    /// retention, or a checkpoint stands for it. [`LogEnd::BLANK`] where that is not known.
    base: LogEnd,
    log: LogRebuild<u64>,
}

impl<M: TailMemory> Tail<M> {
    /// An empty tail behind a log that ends at `end`. The content of `memory` is lost. The error is the
    /// reason if the memory is too small for the label's records.
    pub fn blank(mut memory: M, label: TailLabel, end: LogEnd) -> Result<Self, String> {
        let geometry = Geometry::new(memory.ring_len(), label.record_len_max as usize)?;
        memory.reset();
        memory.set_word(Word::HighSeq, end.next);
        memory.set_word(Word::WrittenSeq, end.next);
        memory.set_word(Word::WrittenEpoch, end.epoch.0);
        memory.set_word(Word::DurableSeq, end.next);
        let tail = Self::recovered(memory, label, geometry, LogRebuild::from_end(end, no_runs()), end.next);
        Ok(tail.of_journal(&[], end))
    }

    /// The tail of a journal that has these segments when its run begins, and whose oldest record follows
    /// `base`. The log's oldest frame shows whether that is an end of this log: a segment may begin with the
    /// end of one that was replaced.
    pub(crate) fn of_journal(self, segments: &[u64], base: LogEnd) -> Self {
        let oldest = self.find(self.oldest_seq()).and_then(|span| Header::peek(self.bytes(span)));
        let is_ours = oldest
            .map_or(self.end() == base, |oldest| oldest.first_seq == base.next && oldest.chain == base.chain);
        let base = if is_ours { base } else { LogEnd::BLANK };
        Self { is_bare: segments.is_empty(), base, ..self }
    }

    /// Whether the log can be replaced from `commit_next` on, as a takeover may ask (S7): the frame before is
    /// in the ring, or the journal begins there.
    pub(crate) fn reaches(&self, commit_next: Seq) -> bool {
        commit_next <= self.base.next || self.find(commit_next - 1).is_some()
    }

    /// Whether no record was ever stored here, in the ring or in a segment: the log is nothing, or what the
    /// checkpoint covers with which it begins. Then it may begin behind a later one.
    pub fn is_untouched(&self) -> bool {
        self.head == 0 && self.is_bare && self.log.staging.is_none() || planted(Mutation::BaseUnderRecords)
    }

    /// The log begins at `end`: the checkpoint there is in the journal's files. Panics if a record was
    /// stored, or the log has that already.
    pub(crate) fn begin_behind(&mut self, end: LogEnd) {
        assert!(
            self.is_untouched() && end.next > self.log.end.next,
            "S6: a log that has begun does not begin anew"
        );
        self.log = LogRebuild::from_end(end, no_runs());
        self.base = end;
        self.switched_from = end.next;
        self.memory.set_word(Word::HighSeq, end.next);
    }

    /// Stores a frame that segments already hold: after a reboot the ring is filled from them.
    pub(crate) fn refill(&mut self, frame: &FrameView<'_>) -> Result<(), AppendError> {
        self.append(frame)?;
        self.free_published();
        Ok(())
    }

    /// A published record may be overwritten: for a node that stores only a ring, and never together with a
    /// side thread.
    pub fn free_published(&mut self) {
        let LogEnd { next, epoch, .. } = self.log.end;
        self.memory.set_word(Word::WrittenSeq, next);
        self.memory.set_word(Word::WrittenEpoch, epoch.0);
        self.memory.set_word(Word::DurableSeq, next);
        self.memory.set_word(Word::WrittenPos, self.head);
    }

    /// A witness, which stores no more than a ring, drops only frames that it knows to be committed:
    /// appended records do not overwrite frames from `commit_next` on; rather it is [`Full`]. `Seq::MAX`
    /// ends that. A staged record may overwrite them, or a suffix replacement could wait for ever: segments
    /// hold them.
    pub fn pin_from(&mut self, commit_next: Seq) {
        if commit_next < self.pinned_from {
            self.room_until = 0;
        }
        self.pinned_from = commit_next;
    }

    /// Space freed for a staging need not be free for an append.
    fn refresh(&mut self) {
        if self.pinned_from != Seq::MAX {
            self.room_until = 0;
        }
    }

    /// A tail as recovery found it: the published records mean `log`, and the switches among the records
    /// that no segment holds reach down to `switched_from`.
    pub(crate) fn recovered(
        memory: M,
        label: TailLabel,
        geometry: Geometry,
        log: LogRebuild<u64>,
        switched_from: Seq,
    ) -> Self {
        let head = memory.word(Word::PublishedPos);
        // A block's slot names its first record. Were it overwritten, the next start would not find where the
        // block begins (seed 79260031).
        let block = head / BLOCK_LEN as u64;
        let (_, first) = memory.slot(place_in(geometry.ring_len, head) as usize / BLOCK_LEN);
        let is_slotted = first < head && first / BLOCK_LEN as u64 == block;
        Self {
            label,
            geometry,
            head,
            next_at: geometry.place(head),
            room_until: memory.word(Word::WrittenPos) + geometry.ring_len,
            pinned_from: Seq::MAX,
            slotted: is_slotted.then_some(block),
            switched_pos: head,
            switched_from,
            is_bare: false,
            base: LogEnd::BLANK,
            log,
            memory,
        }
    }

    /// The end of the log.
    #[inline]
    pub fn end(&self) -> LogEnd {
        self.log.end
    }

    /// The owner of the tail.
    pub fn label(&self) -> &TailLabel {
        &self.label
    }

    /// The memory, for a caller that copies behind on the same thread.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Bytes that the ring has taken since it was made.
    pub fn grown_bytes(&self) -> u64 {
        self.head
    }

    /// Most bytes of a frame.
    #[inline]
    pub fn frame_len_max(&self) -> usize {
        self.geometry.record_len_max as usize
    }

    /// Exclusive bound of what an ack in `power` may name: the log's frames that the device has.
    pub fn durable_next(&self) -> Seq {
        // This order: a new position comes after its seq.
        let durable = self.memory.word(Word::DurableSeq);
        let seen = if self.memory.word(Word::WrittenPos) >= self.switched_pos {
            self.memory.word(Word::DurableSeq)
        } else {
            durable.min(self.switched_from)
        };
        seen.min(self.log.end.next)
    }

    /// Exclusive bound of the segments' log. For information; acks rest on [`Tail::durable_next`].
    pub fn written_next(&self) -> Seq {
        self.memory.word(Word::WrittenSeq)
    }

    /// Raises the promised epoch (S2); a lower one changes nothing. In `power` it may be sent when
    /// [`Tail::promise_stored`] has reached it.
    pub fn promise(&mut self, epoch: Epoch) {
        if epoch > self.promised() {
            self.memory.set_word(Word::Promised, epoch.0);
        }
    }

    /// The highest promised epoch.
    pub fn promised(&self) -> Epoch {
        Epoch(self.memory.word(Word::Promised))
    }

    /// The highest promised epoch that is on disk.
    pub fn promise_stored(&self) -> Epoch {
        Epoch(self.memory.word(Word::PromisedStored))
    }

    /// The memory, for another tail.
    pub fn into_memory(self) -> M {
        self.memory
    }

    // ---- writing ----

    /// Room for one frame of [`Tail::frame_len_max`] bytes behind the log. Asking again gives the same
    /// room. The staging is given up.
    #[inline]
    pub fn room(&mut self) -> Result<&mut [u8], Full> {
        self.abandon_staged()?;
        let len = self.frame_len_max();
        let at = self.claim(len)?;
        Ok(self.memory.write(at, len))
    }

    /// Whether [`Tail::room`] would find room, whatever is staged.
    pub fn has_room(&self) -> bool {
        self.next_at + (MARK_LEN + self.frame_len_max()) as u64 <= self.update_room()
    }

    /// Brings the first `len` bytes of [`Tail::room`] into the cache: a write to memory just before a
    /// system call waits there until they have come. No frame may be under construction in it.
    pub fn warm(&mut self, len: usize) {
        let Ok(room) = self.room() else { return };
        room.iter_mut().take(len).step_by(64).for_each(|byte| *byte = 0);
    }

    /// The sealed frame in [`Tail::room`] becomes part of the log. Panics if it does not follow: a
    /// leader stamps behind its own log only.
    // Inlined by force, like the code that seals the frame: its header need not be stored to memory once
    // more.
    #[inline(always)]
    pub fn pin(&mut self, header: &Header) -> RingSpan {
        let end = self.log.end;
        let len = header.length as usize;
        assert!(
            header.first_seq == end.next && header.chain == end.chain && header.count > 0,
            "S1: a frame at seq {} with chain {:#x} does not follow a log that ends at {} with chain {:#x}",
            { header.first_seq },
            { header.chain },
            end.next,
            end.chain,
        );
        assert!(len >= HEADER_LEN && len <= self.frame_len_max(), "a frame of {len} bytes in this room");
        let behind = if header.epoch() == end.epoch {
            let chain = chain_after(header);
            LogEnd { next: header.next_seq(), chain, timestamp: header.timestamp, ..end }
        } else {
            self.behind_start(header)
        };
        let at = self.next_at;
        self.log.on_grown(at, behind);
        self.publish(at, len, header.first_seq);
        RingSpan { pos: at, len: header.length }
    }

    /// The end of the log behind the frame in [`Tail::room`], which begins an epoch: rare, and the whole
    /// rule.
    #[cold]
    fn behind_start(&self, header: &Header) -> LogEnd {
        let end = self.log.end;
        let frame = FrameView::from_prefix(self.memory.read(self.next_at, header.length as usize));
        match frame.map(|frame| end.follow(&frame)) {
            Ok(Ok(behind)) => behind,
            wrong => panic!("S7: epoch {} does not begin at seq {}: {wrong:?}", header.epoch(), end.next),
        }
    }

    /// Stores a received frame behind the log, byte by byte. The staging is given up.
    pub fn append(&mut self, frame: &FrameView<'_>) -> Result<RingSpan, AppendError> {
        let behind = self.log.end.follow(frame).map_err(AppendError::Misfit)?;
        self.check_len(frame)?;
        self.abandon_staged().map_err(AppendError::Full)?;
        let at = self.copy_in(frame)?;
        self.log.on_grown(at, behind);
        self.publish(at, frame.bytes.len(), frame.header.first_seq);
        Ok(RingSpan { pos: at, len: frame.header.length })
    }

    /// S7: from here on frames are staged that are to replace the log from `from` on, in `epoch`. An
    /// unfinished staging is void. The caller has made sure that nothing from `from` on is committed (S6).
    pub fn stage(&mut self, from: Seq, epoch: Epoch) -> Result<(), StageError> {
        assert!(epoch > Epoch::NONE, "frames are staged for an epoch");
        let base = self.end_at(from)?;
        let at = self.claim(MARK_LEN).map_err(StageError::Full)?;
        record::write_stage(self.memory.write(at, MARK_LEN), &self.label, &base, epoch);
        self.log.runs.forget_below(self.geometry.floor(self.head));
        self.log.on_stage(at, base, epoch);
        self.publish(at, MARK_LEN, from);
        Ok(())
    }

    /// The open staging continues for `epoch`, if it `belongs` to that epoch's log as well: nothing is
    /// staged twice.
    pub fn stage_on(&mut self, epoch: Epoch, belongs: impl FnOnce(&Staging<u64>) -> bool) -> bool {
        let Some(staging) = self.log.staging.as_mut().filter(|staging| belongs(staging)) else {
            return false;
        };
        staging.epoch = epoch;
        true
    }

    /// Stages a frame behind the log cut at `from` and the frames staged before.
    pub fn stage_frame(&mut self, frame: &FrameView<'_>) -> Result<RingSpan, AppendError> {
        let staging = self.log.staging.as_ref().ok_or(AppendError::NotStaging)?;
        let behind = staging.end.follow(frame).map_err(AppendError::Misfit)?;
        self.check_len(frame)?;
        let at = self.copy_in(frame)?;
        self.log.on_staged(at, behind);
        self.publish(at, frame.bytes.len(), frame.header.first_seq);
        Ok(RingSpan { pos: at, len: frame.header.length })
    }

    /// The common end of log and staged frames; `None` while nothing is being staged.
    pub fn staged_end(&self) -> Option<LogEnd> {
        self.log.staging.as_ref().map(|staging| staging.end)
    }

    /// S7: the staged frames are the log, in one record.
    pub fn switch(&mut self) -> Result<(), SwitchError> {
        let Some(staging) = self.log.staging.filter(|staging| staging.first.is_some()) else {
            return Err(SwitchError::Nothing);
        };
        if staging.end.epoch != staging.epoch && !planted(Mutation::CutThenFill) {
            return Err(SwitchError::Epoch { ends_in: staging.end.epoch, adopts: staging.epoch });
        }
        let at = self.claim(MARK_LEN).map_err(SwitchError::Full)?;
        record::write_switch(self.memory.write(at, MARK_LEN), &self.label, staging.base.next, &staging.end);
        self.log.on_switch();
        self.refresh();
        let pending = self.memory.word(Word::WrittenPos) < self.switched_pos;
        self.switched_from =
            if pending { self.switched_from.min(staging.base.next) } else { staging.base.next };
        self.switched_pos = at + MARK_LEN as u64;
        // HighSeq is never above the end of the published records: where the new log is shorter it falls
        // first.
        let next = self.log.end.next;
        if next < self.memory.word(Word::HighSeq) {
            self.memory.set_word(Word::HighSeq, next);
        }
        // The slot of a switch names the seq behind it, so that slots rise along a run.
        self.publish(at, MARK_LEN, staging.end.next);
        Ok(())
    }

    /// Closes an open staging without using it; there rarely is one.
    #[inline]
    fn abandon_staged(&mut self) -> Result<(), Full> {
        if self.log.staging.is_none() { Ok(()) } else { self.abandon() }
    }

    #[cold]
    fn abandon(&mut self) -> Result<(), Full> {
        let at = self.claim(MARK_LEN)?;
        record::write_abandon(self.memory.write(at, MARK_LEN), &self.label, self.log.end.next);
        self.log.on_abandon();
        self.refresh();
        self.publish(at, MARK_LEN, self.log.end.next);
        Ok(())
    }

    fn check_len(&self, frame: &FrameView<'_>) -> Result<(), AppendError> {
        let (len, max) = (frame.bytes.len(), self.frame_len_max());
        if len > max { Err(AppendError::TooLong { len, max }) } else { Ok(()) }
    }

    fn copy_in(&mut self, frame: &FrameView<'_>) -> Result<u64, AppendError> {
        let at = self.claim(frame.bytes.len()).map_err(AppendError::Full)?;
        self.memory.write(at, frame.bytes.len()).copy_from_slice(frame.bytes);
        Ok(at)
    }

    /// Room for `len` bytes, if the segments hold the records that lay there and no reader needs them.
    #[inline]
    fn claim(&mut self, len: usize) -> Result<u64, Full> {
        let end = self.next_at + len as u64;
        if end <= self.room_until { Ok(self.next_at) } else { self.claim_freed(end) }
    }

    /// The same, up to `end`, where there was no room at the last check.
    #[cold]
    fn claim_freed(&mut self, end: u64) -> Result<u64, Full> {
        self.room_until = self.update_room();
        if end > self.room_until {
            return Err(Full { lag_bytes: self.head - self.memory.word(Word::WrittenPos) });
        }
        Ok(self.next_at)
    }

    /// The position up to which records that segments lack, or that must stay, are not overwritten.
    fn update_room(&self) -> u64 {
        let Geometry { ring_len, record_len_max, .. } = self.geometry;
        let written = self.memory.word(Word::WrittenPos) + ring_len;
        if self.log.staging.is_some() || self.pinned_from >= self.log.end.next {
            return written;
        }
        // If pinned frames have left the ring already there is no more room, until they are known to be
        // committed. The pinned part stays above the floor of frames that are surely there.
        let retained =
            self.find(self.pinned_from).map_or(0, |retained| retained.pos + ring_len - 3 * record_len_max);
        retained.min(written)
    }

    /// The record at `at` is complete: first its slot, then the words, then it is published.
    #[inline]
    fn publish(&mut self, at: u64, len: usize, slot_seq: Seq) {
        let block = at / BLOCK_LEN as u64;
        if self.slotted != Some(block) {
            self.slotted = Some(block);
            let slot = place_in(self.geometry.ring_len, at) / BLOCK_LEN as u64;
            self.memory.set_slot(slot as usize, (slot_seq, at));
        }
        self.head = at + len as u64;
        self.next_at = self.geometry.place(self.head);
        let published = if planted(Mutation::SentBeforeStored) { at } else { self.head };
        self.memory.set_word(Word::PublishedPos, published);
        self.memory.set_word(Word::HighSeq, self.log.end.next);
    }

    // ---- reading ----

    /// The invariants between any two calls; for tests and the simulator.
    pub fn invariants(&self) {
        assert!(
            self.head - self.memory.word(Word::WrittenPos) <= self.geometry.ring_len,
            "lag fits the ring"
        );
        assert_eq!(self.head, self.memory.word(Word::PublishedPos), "what is kept is published");
        assert_eq!(self.log.end.next, self.memory.word(Word::HighSeq), "the high mark is the log's end");
        for pair in self.log.runs.list().windows(2) {
            let [before, behind]: [Extent<u64>; 2] = [pair[0], pair[1]];
            assert_eq!(before.next_seq, behind.first_seq, "runs follow each other without holes");
            assert!(before.at < behind.at, "newer runs lie behind older ones");
        }
    }
}
