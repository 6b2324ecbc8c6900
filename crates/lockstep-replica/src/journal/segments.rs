//! # segments: the log in files, written behind the tail
//!
//! Records get from the ring to the disk so that rolling over, checkpoints, retention and a full disk cost
//! the hot thread nothing. A side thread feeds whole records to a [`SegmentWriter`], in order. The writer
//! writes groups of whole blocks into a file whose blocks were all written before (so the file system has
//! no metadata to update). It seals a full file: index, checkpoint, next file.
//!
//! ```text
//!            write: record fits                     write: does not fit
//!  Filling ─────────────────────▶ Filling     Filling ────────────────▶ sealed, next one Filling
//!     │ store fails: nothing has changed, the same records are offered again
//! ```
//!
//! * A staging never spans two segments: so every segment can be read from its header on (S7).
//! * A failed write is tried again from where it stopped; `WrittenPos` stands still meanwhile, the tail
//!   fills, and the node refuses. When there is room again everything continues by itself.

mod ages;
mod retention;

use crate::journal::BLOCK_LEN;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::extents::Extents;
use crate::journal::index::Index;
use crate::journal::layout::{Geometry, TailLabel};
use crate::journal::packed::file_of;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, TailSource, Word, remove_derived};
use crate::journal::proof::RunRecord;
use crate::journal::read::numbers;
use crate::journal::rebuild::{LogRebuild, RebuildStep};
use crate::journal::record::Record;
use crate::journal::segment::{
    GROUP_MARK_LEN, GroupMark, RECORDS_AT, SegmentHeader, blank_sectors, write_group_mark,
};
use crate::journal::start::NOTHING_DURABLE;
use crate::journal::superblock::Superblock;
pub use ages::AgeClock;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{HEADER_LEN, Header, Nanos, Seq};
use retention::Sealed;
pub use retention::{NeededBy, Retained};
use std::fmt;

/// Most bytes that are copied as one group.
pub const RUN_LEN_MAX: u64 = 256 << 10;

/// The amount that is retained. 0 means: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Retention {
    /// Most bytes of sealed segments.
    pub bytes_max: u64,
    /// Segments whose newest frame is older than this are removed, in nanoseconds of an [`AgeClock`].
    pub age_ns_max: Nanos,
}

/// Why records were not written. Nothing has changed; the caller offers them again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// The store.
    Store(StoreError),
    /// The records themselves are bad: memory was damaged before they reached a segment.
    Damage(Damage),
}

impl WriteError {
    /// The store's error, if it may pass by itself.
    pub fn passing(&self) -> Option<StoreFault> {
        match self {
            Self::Store(error) => Some(error.fault).filter(|fault| fault.may_pass()),
            Self::Damage(_) => None,
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Damage(damage) => damage.fmt(f),
        }
    }
}

/// The segment that is being filled.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Filling {
    pub number: u64,
    /// The bytes from the start of the last block on; its records end where these do.
    pub block: Vec<u8>,
    pub block_at: u64,
    pub index: Index,
    /// Nothing may be added: the segment belongs to another tail.
    pub closed: bool,
    /// The segment was found damaged: its bytes are evidence and stay.
    pub evidence: bool,
    /// Behind its end a group may lie that was written in part, or whole and not recorded: the call failed,
    /// or the process died in it.
    pub overwritten: bool,
    /// Index and checkpoint may exist beside it: it was to be sealed, and no other segment began.
    pub sealed: bool,
}

impl Filling {
    fn end(&self) -> u64 {
        self.block_at + self.block.len() as u64
    }

    /// More is to be written: an index that does not cover it would hide it from readers, and a suffix
    /// replacement too. The removal of index and checkpoint is on the device before the records that they
    /// lack.
    fn unseal<S: Store>(&mut self, store: &mut S) -> Result<(), StoreError> {
        if remove_derived(store, self.number)? {
            store.sync(FileName::Segment(self.number))?;
        }
        self.sealed = false;
        Ok(())
    }

    /// The last block is as it should be: behind the end lies nothing but a mark that names that end.
    fn clear_behind<S: Store>(&mut self, store: &mut S) -> Result<(), StoreError> {
        let mut block = self.block.clone();
        block.resize((block.len() + GROUP_MARK_LEN).next_multiple_of(BLOCK_LEN), 0);
        let mark = GroupMark { before: self.end(), end: self.end(), blank: 0 };
        write_group_mark(&mut block, self.number, mark);
        store.write_at(FileName::Segment(self.number), self.block_at, &block)?;
        self.overwritten = false;
        Ok(())
    }
}

/// Writes segments, one record behind the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SegmentWriter {
    label: TailLabel,
    geometry: Geometry,
    segment_len: u64,
    filling: Option<Filling>,
    last_number: u64,
    /// The position behind the last record written.
    pos: u64,
    log: LogRebuild<u64>,
    /// The checkpoint at the log's end; `None` after a switch, until it is computed from the files.
    checkpoint: Option<Checkpoint>,
    /// Zeros in the spare file so far; `None` when it is finished.
    spare_len: Option<u64>,
    sealed: Option<Vec<Sealed>>,
    /// Sealed segments up to this one were packed, or cannot be.
    packed_to: Option<u64>,
    /// Sealed segments up to this one are on the device as a whole.
    synced_to: u64,
}

impl SegmentWriter {
    /// A writer behind everything that recovery found, for the tail and segment length of `sizes`:
    /// `filling` is the newest segment, `log` the log of all of them, and `pos` the tail's position there.
    /// The device is known to have the sealed ones up to `synced_to`.
    pub(crate) fn recovered(
        sizes: (TailLabel, Geometry, u64),
        filling: Option<Filling>,
        pos: u64,
        log: LogRebuild<u64>,
        checkpoint: Option<Checkpoint>,
        synced_to: u64,
    ) -> Self {
        let (label, geometry, segment_len) = sizes;
        Self {
            label,
            geometry,
            segment_len: segment_len.next_multiple_of(BLOCK_LEN as u64).max(2 * RECORDS_AT),
            last_number: filling.as_ref().map_or(0, |filling| filling.number),
            filling,
            pos,
            // It asks for no frame, so one run is enough.
            log: LogRebuild { runs: Extents::bounded(1), ..log },
            checkpoint,
            spare_len: Some(0),
            sealed: None,
            packed_to: None,
            synced_to,
        }
    }

    /// The log begins at the end of `checkpoint`, which is in the files. Panics if a segment was begun, or
    /// the log has that already.
    pub(crate) fn begin_behind(&mut self, checkpoint: Checkpoint) {
        let is_later = checkpoint.end.next > self.log.end.next;
        assert!(self.last_number == 0 && is_later, "S6: the segments hold a log");
        self.log = LogRebuild::from_end(checkpoint.end, Extents::bounded(1));
        self.checkpoint = Some(checkpoint);
    }

    /// The log's end by the segments.
    pub fn end(&self) -> LogEnd {
        self.log.end
    }

    /// The number of the segment that is being filled; those below are sealed.
    pub fn number(&self) -> u64 {
        self.last_number
    }

    /// Sealed segments up to this one are on the device as a whole.
    pub fn synced_to(&self) -> u64 {
        self.synced_to
    }

    /// The lowest seq from which a record of the segment that is being filled replaced the log.
    pub(crate) fn replaced_from(&self) -> Seq {
        self.filling.as_ref().map_or(Seq::MAX, |filling| filling.index.switched_from())
    }

    /// Waits until the device has the oldest sealed segment that is not known to be there. Returns whether
    /// there was one. In `process` nothing else brings a segment to the device before the stop.
    ///
    /// # Errors
    /// The store's.
    pub fn sync_sealed<S: Store>(&mut self, store: &mut S) -> Result<bool, StoreError> {
        let sealed_to = self.filling.as_ref().map_or(self.last_number, |filling| filling.number - 1);
        if self.synced_to >= sealed_to {
            return Ok(false);
        }
        // Retention may have removed some.
        let next =
            numbers(store)?.into_iter().find(|number| (self.synced_to + 1..=sealed_to).contains(number));
        if let Some(number) = next {
            store.sync(file_of(store, number))?;
        }
        self.synced_to = next.unwrap_or(sealed_to);
        Ok(next.is_some())
    }

    /// The store writes through to the device, and has done so since all earlier writes were there.
    pub fn is_through(&mut self) {
        self.synced_to = self.filling.as_ref().map_or(self.last_number, |filling| filling.number - 1);
    }

    /// Waits until the device has everything that was written.
    ///
    /// # Errors
    /// The store's.
    pub fn sync_all<S: Store>(&mut self, store: &mut S) -> Result<(), StoreError> {
        if planted(Mutation::OlderNotSynced) {
            self.synced_to = self.last_number.saturating_sub(1);
        }
        while self.sync_sealed(store)? {}
        match &self.filling {
            Some(filling) => store.sync(FileName::Segment(filling.number)),
            None => Ok(()),
        }
    }

    /// An orderly stop: everything that was written is brought to the device, and then the superblock
    /// records it.
    ///
    /// # Errors
    /// The store's: the stop is not clean.
    pub fn mark_clean<S: Store>(
        &mut self,
        store: &mut S,
        superblock: &mut Superblock,
    ) -> Result<(), StoreError> {
        if !planted(Mutation::CleanBeforeSynced) {
            self.sync_all(store)?;
        }
        let (end, synced_to, begun_to) = (self.log.end, self.last_number, self.last_number);
        let mut stopped = *superblock;
        stopped.run = RunRecord {
            clean: true,
            weakest_durability: Durability::Power,
            synced_to,
            begun_to,
            ..stopped.run
        };
        (stopped.high_next, stopped.high_chain) = (end.next, end.chain);
        stopped.store(store)?;
        *superblock = stopped;
        Ok(())
    }

    /// The segment that is being filled and where its records end; 0 where there is none.
    pub fn place(&self) -> (u64, u64) {
        let end = self.filling.as_ref().map_or(RECORDS_AT, Filling::end);
        (self.last_number, end)
    }

    /// The tail's position up to which segments hold everything.
    pub fn pos(&self) -> u64 {
        self.pos
    }

    /// Writes the records in `run`, which lie at `pos` in the tail, in one group.
    pub fn write<S: Store>(&mut self, store: &mut S, pos: u64, run: &[u8]) -> Result<(), WriteError> {
        assert_eq!(pos, self.geometry.place(self.pos), "records are written in their order");
        self.judge(pos, run)?;
        let fits = |filling: &Filling| {
            // In an empty one everything fits: the next would be as empty. A staging stays in one segment.
            let stays = filling.end() == RECORDS_AT || self.log.staging.is_some();
            let len = run.len() as u64 + (BLOCK_LEN + GROUP_MARK_LEN) as u64;
            !filling.closed && (stays || filling.end() + len <= self.segment_len)
        };
        if !self.filling.as_ref().is_some_and(fits) {
            self.roll(store, pos, run)?;
        }
        let Some(filling) = self.filling.as_mut() else { unreachable!("roll leaves a segment to fill") };
        if filling.sealed {
            filling.unseal(store)?;
        }
        let (start, before) = (filling.block.len(), filling.end());
        filling.block.extend_from_slice(run);
        let end = filling.end();
        let padded = (filling.block.len() + GROUP_MARK_LEN).next_multiple_of(BLOCK_LEN);
        filling.block.resize(padded, 0);
        let group = (start, (end - filling.block_at) as usize);
        let blank = blank_sectors(&filling.block, filling.number, group, before);
        write_group_mark(&mut filling.block, filling.number, GroupMark { before, end, blank });
        let written = store.write_at(FileName::Segment(filling.number), filling.block_at, &filling.block);
        if let Err(error) = written {
            filling.block.truncate(start);
            filling.overwritten = true;
            return Err(error.into());
        }
        filling.overwritten = false;
        filling.block.truncate((end - filling.block_at) as usize);
        let whole = filling.block.len() / BLOCK_LEN * BLOCK_LEN;
        filling.block.drain(..whole);
        filling.block_at += whole as u64;
        self.take_note(pos, before, run);
        self.pos = pos + run.len() as u64;
        Ok(())
    }

    /// Every record of `run` is undamaged: bytes that are written once are trusted for years.
    fn judge(&self, pos: u64, run: &[u8]) -> Result<(), WriteError> {
        let mut at = 0;
        while at < run.len() {
            match Record::parse(&run[at..]) {
                Ok((_, len)) => at += len,
                Err(reject) => {
                    let damage = Damage::new("tail", pos + at as u64, self.log.end.next, reject);
                    return Err(WriteError::Damage(damage));
                }
            }
        }
        Ok(())
    }

    /// The records of `run` are in the segment, from `offset` on: log, index and checkpoint follow.
    fn take_note(&mut self, pos: u64, offset: u64, run: &[u8]) {
        let mut at = 0;
        while let Ok((record, len)) = Record::parse(&run[at..]) {
            let step = self.log.on_record(pos + at as u64, &record);
            let step = step.unwrap_or_else(|why| panic!("the tail published {why} at {}", pos + at as u64));
            if let Some(filling) = &mut self.filling {
                filling.index.on_record(offset + at as u64, &record, len);
            }
            match (step, record) {
                (RebuildStep::Grown, Record::Frame(frame)) => {
                    if let Some(Err(wrong)) = self.checkpoint.as_mut().map(|table| table.apply(&frame)) {
                        panic!("the tail published what cannot be: {wrong}");
                    }
                }
                (RebuildStep::Switched { .. }, _) => self.checkpoint = None,
                _ => {}
            }
            at += len;
            if at >= run.len() {
                break;
            }
        }
    }

    /// Seals the present segment and begins the next one, for the records of `run` at `pos`.
    fn roll<S: Store>(&mut self, store: &mut S, pos: u64, run: &[u8]) -> Result<(), WriteError> {
        self.seal(store)?;
        while !self.prepare(store, RUN_LEN_MAX)? {}
        let number = self.last_number + 1;
        let mut header = SegmentHeader::new(number, self.label.cluster, self.label.identity, &self.log.end);
        header.history = Header::peek(run).map_or(0, |header| header.history);
        header.tail_generation = self.label.generation;
        header.first_pos = pos;
        header.ring_len = self.geometry.ring_len;
        header.record_len_max = self.label.record_len_max;
        store.write_at(FileName::Spare, 0, &header.to_block())?;
        store.rename(FileName::Spare, FileName::Segment(number))?;
        self.spare_len = Some(0);
        self.last_number = number;
        self.filling = Some(Filling {
            number,
            block: Vec::new(),
            block_at: RECORDS_AT,
            index: Index::new(number, self.log.end.next),
            closed: false,
            evidence: false,
            overwritten: false,
            sealed: false,
        });
        Ok(())
    }

    /// Writes index and checkpoint beside the segment that is full. Repeated as a whole if it fails.
    fn seal<S: Store>(&mut self, store: &mut S) -> Result<(), WriteError> {
        let Some(filling) = &mut self.filling else { return Ok(()) };
        let number = filling.number;
        if filling.overwritten && !filling.evidence {
            filling.clear_behind(store)?;
        }
        filling.sealed = true;
        store.replace(FileName::Index(number), &filling.index.to_bytes())?;
        let computed = match &self.checkpoint {
            Some(checkpoint) => Ok(checkpoint.clone()),
            None => Checkpoint::compute(store, &numbers(store)?, self.log.end)?,
        };
        let checkpoint = computed.map_err(WriteError::Damage)?;
        store.replace(FileName::Checkpoint(number), &checkpoint.to_bytes())?;
        self.checkpoint = Some(checkpoint);
        let end = filling.end();
        let used = (end + GROUP_MARK_LEN as u64).next_multiple_of(BLOCK_LEN as u64);
        if !filling.evidence && store.len(FileName::Segment(number))? > used {
            store.truncate(FileName::Segment(number), used)?;
        }
        if let Some(sealed) = &mut self.sealed {
            let (timestamp, next_seq) = (filling.index.timestamp, self.log.end.next);
            let switched_from = filling.index.switched_from();
            let (needs, days) = (filling.index.needs().collect(), filling.index.days().collect());
            sealed.push(Sealed { number, len: used, timestamp, next_seq, switched_from, needs, days });
        }
        self.filling = None;
        Ok(())
    }

    /// Whether the next segment will be needed soon and is not ready.
    pub fn is_spare_due(&self) -> bool {
        let half = self.filling.as_ref().is_none_or(|filling| filling.end() > self.segment_len / 2);
        half && self.spare_len.is_some()
    }

    /// Reserves the file that will be the next segment, so that rolling over has nothing left to do.
    /// `process` needs no more than that.
    pub fn reserve<S: Store>(&mut self, store: &mut S) -> Result<(), StoreError> {
        if self.spare_len == Some(0) {
            store.reserve(FileName::Spare, self.segment_len)?;
            self.spare_len = None;
        }
        Ok(())
    }

    /// The same for `power`, where a first write into reserved blocks would cost each group a commit of the
    /// file system: `len` more bytes of zeros; true when the file is ready.
    pub fn prepare<S: Store>(&mut self, store: &mut S, len: u64) -> Result<bool, StoreError> {
        let Some(done) = self.spare_len else { return Ok(true) };
        if done == 0 {
            store.reserve(FileName::Spare, self.segment_len)?;
        }
        let len = len.next_multiple_of(BLOCK_LEN as u64).min(self.segment_len - done);
        store.write_at(FileName::Spare, done, &vec![0; len as usize])?;
        self.spare_len = (done + len < self.segment_len).then_some(done + len);
        Ok(self.spare_len.is_none())
    }
}

/// Copies published records that are not yet written into the segments, one group at most; returns how many
/// bytes were copied. [`publish_position`] is called next.
///
/// # Errors
/// The store's, or the tail's memory is damaged: nothing has changed then.
pub fn copy_group<T: TailSource, S: Store>(
    source: &T,
    writer: &mut SegmentWriter,
    store: &mut S,
) -> Result<u64, WriteError> {
    let published = source.word(Word::PublishedPos);
    let start = writer.geometry.place(writer.pos);
    let mut end = start;
    while end < published && end - start < RUN_LEN_MAX {
        let header = Header::peek(source.read(end, HEADER_LEN));
        let len = header.map_or(0, |header| u64::from(header.length));
        if len < HEADER_LEN as u64 || len > writer.geometry.record_len_max {
            let damage = Damage::new("tail", end, writer.log.end.next, "length of a record");
            return Err(WriteError::Damage(damage));
        }
        end += len;
        // A record that ends where the ring does is the last of its lap, too.
        if writer.geometry.place(end) != end || end.is_multiple_of(writer.geometry.ring_len) {
            break;
        }
    }
    if end > start {
        writer.write(store, start, source.read(start, (end - start) as usize))?;
    }
    Ok(end - start)
}

/// Stores the words that report the end of the segments to the hot thread, the position last; `durable`
/// means that the device has all of it.
pub fn publish_position<T: TailSource>(source: &mut T, writer: &SegmentWriter, durable: bool) {
    let next = writer.log.end.next;
    // Before the position: it determines the log to which the seq belongs.
    let on_device = if durable { next } else { NOTHING_DURABLE };
    if source.word(Word::DurableSeq) != on_device {
        source.set_word(Word::DurableSeq, on_device);
    }
    source.set_word(Word::WrittenSeq, next);
    if source.word(Word::WrittenEpoch) != writer.log.end.epoch.0 {
        source.set_word(Word::WrittenEpoch, writer.log.end.epoch.0);
    }
    source.set_word(Word::WrittenPos, writer.pos);
}

/// Both, for a store that writes through to the device (`power`) or does not.
///
/// # Errors
/// As [`copy_group`].
pub fn copy_behind<T: TailSource, S: Store>(
    source: &mut T,
    writer: &mut SegmentWriter,
    store: &mut S,
    power: bool,
) -> Result<u64, WriteError> {
    let copied = copy_group(source, writer, store)?;
    if copied > 0 {
        publish_position(source, writer, power);
    }
    Ok(copied)
}
