//! # recover: the log after a crash
//!
//! Recovery determines the log that this journal holds. The records determine it themselves: they are
//! replayed from the newest segment's header on, from the file up to the end of its written records, and
//! from the ring behind that. Both are the same sequence of bytes.
//!
//! ```text
//!  warm (the ring is there):  newest segment's header ─▶ its records up to `written`
//!                                                     ─▶ the ring's up to `published`
//!  cold (it is not):          newest segment's header ─▶ its records, a torn group cut
//! ```
//!
//! Below a high mark nothing is torn, only damaged: the marks are `written` and `published` while the ring
//! is there, and a clean stop afterwards. Without a mark `torn` decides between the two.

use crate::journal::BLOCK_LEN;
use crate::journal::base::base_of;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::extents::Extents;
use crate::journal::index::Index;
use crate::journal::layout::{Geometry, TailLabel};
use crate::journal::ports::{FileName, Store, StoreError, TailMemory, TailSource, Word};
use crate::journal::rebuild::{LogRebuild, RebuildStep};
use crate::journal::record::Record;
use crate::journal::segment::{RECORDS_AT, SegmentHeader};
use crate::journal::segments::Filling;
use crate::journal::torn::{self, TailEnd, WriteOrder};
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{HEADER_LEN, Header, Kind, Seq};

/// The errors of recovery: the store's, or damage that leaves no log at all.
pub(crate) enum RecoverError {
    Store(StoreError),
    Damage(Damage),
}

impl From<StoreError> for RecoverError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Damage> for RecoverError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// The result of replaying the records.
pub(crate) struct RecoveredState {
    /// The log, placed by positions of the ring (warm) or of the segment (cold).
    pub log: LogRebuild<u64>,
    /// The log up to the end of the segments.
    pub written: LogRebuild<u64>,
    /// The tables at the log's end, ...
    pub checkpoint: Checkpoint,
    /// ... and at the end of the segments' log, where that needed no second pass.
    pub written_checkpoint: Option<Checkpoint>,
    /// The newest segment.
    pub filling: Option<Filling>,
    /// The lowest seq that a switch replaced and segments do not hold.
    pub switched_from: Seq,
    /// The history of the newest frame that was read; 0 if none was.
    pub history: u64,
    /// The position of the first record that the ring still holds, where it is known (warm).
    pub first_retained: u64,
}

impl RecoveredState {
    /// The state by the segments alone.
    fn of_segments(log: LogRebuild<u64>, checkpoint: Checkpoint) -> Self {
        Self {
            written: log.clone(),
            written_checkpoint: Some(checkpoint.clone()),
            log,
            checkpoint,
            filling: None,
            switched_from: Seq::MAX,
            history: 0,
            first_retained: 0,
        }
    }
}

/// Records, applied in sequence.
struct Builder {
    log: LogRebuild<u64>,
    checkpoint: Checkpoint,
    /// From here on the ring is not overwritten yet, ...
    floor: u64,
    /// ... and the first record there.
    first_retained: Option<u64>,
    /// The end of the log below the present staging, ...
    base: LogEnd,
    /// ... and the lowest such end that a switch went back to, ...
    undone: Option<LogEnd>,
    /// ... which makes the tables those of another log: they must be computed again.
    stale: bool,
    /// The history of the newest frame.
    history: u64,
}

impl Builder {
    fn new(log: LogRebuild<u64>, checkpoint: Checkpoint, floor: u64, first_retained: Option<u64>) -> Self {
        Self { base: log.end, log, checkpoint, floor, first_retained, undone: None, stale: false, history: 0 }
    }

    fn on_record(&mut self, pos: u64, record: &Record<'_>) -> Result<(), String> {
        if let Record::Lost { from, end } = record
            && self.log.staging.is_none()
            && (*from, end.next) != (self.log.end.next, *from)
        {
            // A switch undoes it; without one the tables miss their end, and that is damage.
            self.undo(LogEnd { next: *from, ..self.log.end });
        }
        let step = self.log.on_record(pos, record).map_err(|why| why.to_string())?;
        if pos >= self.floor {
            self.first_retained.get_or_insert(pos);
        }
        if let Record::Frame(frame) = record {
            self.history = frame.header.history;
        }
        match (step, record) {
            (RebuildStep::Grown, Record::Frame(frame)) if !self.stale => {
                self.checkpoint.apply(frame).map_err(|wrong| wrong.to_string())?;
            }
            (RebuildStep::Marked, Record::Stage { base, .. }) => self.base = *base,
            (RebuildStep::Switched { .. }, _) => self.undo(self.base),
            _ => {}
        }
        Ok(())
    }

    /// The log behind `base` is another one from now on.
    fn undo(&mut self, base: LogEnd) {
        let lowest = self.undone.filter(|undone| undone.next <= base.next);
        self.undone = lowest.or(Some(base));
        self.stale = true;
    }
}

/// The end of a scan of a segment.
enum RecoverStop {
    Reached,
    Blank,
    Bad(String),
}

struct Scan {
    stop: RecoverStop,
    index: Index,
    pos: u64,
}

impl Scan {
    /// Nothing, if it reached the required end; else the reason.
    fn reached(&self, header: &SegmentHeader) -> Result<(), RecoverError> {
        let what = match &self.stop {
            RecoverStop::Reached => return Ok(()),
            RecoverStop::Blank => "it ends before what was written",
            RecoverStop::Bad(what) => what,
        };
        let (file, offset) = (FileName::Segment(header.number), self.index.end_offset);
        Err(Damage::new(file, offset, self.index.next_seq(), what).into())
    }
}

/// Reads segment `header.number` into `visit`, up to the position `until` or as far as possible.
fn scan<S: Store>(
    store: &S,
    header: &SegmentHeader,
    until: Option<u64>,
    mut visit: impl FnMut(u64, &Record<'_>) -> Result<(), String>,
) -> Result<Scan, StoreError> {
    let geometry = header.geometry();
    let mut walk = Walk::new(store, header.number, RECORDS_AT);
    let mut index = Index::new(header.number, header.first_seq);
    let mut pos = header.first_pos;
    let stop = loop {
        match until {
            Some(until) if geometry.place(pos) == geometry.place(until) => break RecoverStop::Reached,
            Some(until) if pos > until => {
                break RecoverStop::Bad("the written position is inside a record".into());
            }
            _ => {}
        }
        match walk.step()? {
            WalkItem::Record(offset, record, bytes) => {
                let at = geometry.place(pos);
                if let Err(why) = visit(at, &record) {
                    break RecoverStop::Bad(why);
                }
                index.on_record(offset, &record, bytes.len());
                pos = at + bytes.len() as u64;
            }
            WalkItem::End(_) => break RecoverStop::Blank,
            WalkItem::Bad(_, reject) => break RecoverStop::Bad(reject.to_string()),
        }
    };
    Ok(Scan { stop, index, pos })
}

/// Reads the ring's records in `from..until` into `visit`.
fn scan_ring<T: TailSource>(
    memory: &T,
    geometry: &Geometry,
    from: u64,
    until: u64,
    mut visit: impl FnMut(u64, &Record<'_>) -> Result<(), String>,
) -> Result<(), (u64, String)> {
    let mut at = geometry.place(from);
    while at < until {
        let bytes = memory.read(at, geometry.record_len_max as usize);
        let (record, len) = Record::parse(bytes).map_err(|reject| (at, reject.to_string()))?;
        if at + len as u64 > until {
            return Err((at, "a record beyond the published end".to_string()));
        }
        visit(at, &record).map_err(|why| (at, why))?;
        at = geometry.place(at + len as u64);
    }
    Ok(())
}

/// The log of a journal whose ring is there; damage means that this ring cannot be used.
pub(crate) fn warm<S: Store, M: TailMemory>(
    store: &S,
    memory: &M,
    label: &TailLabel,
    geometry: &Geometry,
    numbers: &[u64],
) -> Result<RecoveredState, RecoverError> {
    let (written, published) = (memory.word(Word::WrittenPos), memory.word(Word::PublishedPos));
    if written > published || published - written > geometry.ring_len {
        let what = format!("its words contradict each other: written {written}, published {published}");
        return Err(Damage::new("tail", published, 0, what).into());
    }
    let newest = newest_header(store, numbers)?;
    // Without one the tail is newer than every segment: nothing was written behind it yet.
    let header = newest.filter(|header| header.tail_generation == label.generation);
    let ring = Ring { memory, label, geometry, floor: geometry.floor(published), written };
    let WrittenPart { mut builder, filling, start, older_history } = match &header {
        Some(header) => ring.behind_its_segment(store, header, numbers)?,
        None => ring.behind_older_segments(store, newest.as_ref(), numbers)?,
    };
    let written_log = builder.log.clone();
    let written_checkpoint = (!builder.stale).then(|| builder.checkpoint.clone());
    let before = builder.undone.take();
    scan_ring(memory, geometry, written, published, |pos, record| builder.on_record(pos, record))
        .map_err(|(pos, what)| Damage::new("tail", pos, builder.log.end.next, what))?;
    let switched_from = builder.undone.map_or(Seq::MAX, |base| base.next);
    let lowest = before.into_iter().chain(builder.undone).min_by_key(|base| base.next);
    let high = memory.word(Word::HighSeq);
    if builder.log.end.next < high {
        let what = format!("the log ends at {}, its high mark is {high}", builder.log.end.next);
        return Err(Damage::new("tail", published, builder.log.end.next, what).into());
    }
    if let Some(base) = lowest {
        let older = if header.is_some() { but_last(numbers) } else { numbers };
        builder.checkpoint = recompute(store, older, start, &builder.log, base, |apply| {
            if let Some(header) = &header {
                scan(store, header, Some(written), &mut *apply)?.reached(header)?;
            }
            let again = scan_ring(memory, geometry, written, published, apply);
            again.map_err(|(pos, what)| Damage::new("tail", pos, base.next, what).into())
        })?;
    }
    let Builder { log, checkpoint, history, first_retained, .. } = builder;
    let history = if history == 0 { older_history } else { history };
    Ok(RecoveredState {
        log,
        written: written_log,
        checkpoint,
        written_checkpoint,
        filling,
        switched_from,
        history,
        first_retained: first_retained.unwrap_or(published),
    })
}

/// A ring that a last run left, and the segments' state of it.
struct Ring<'a, M> {
    memory: &'a M,
    label: &'a TailLabel,
    geometry: &'a Geometry,
    /// From here on it is not overwritten yet.
    floor: u64,
    /// Up to here the side thread has written it into segments.
    written: u64,
}

/// The log up to where the side thread has written it.
struct WrittenPart {
    builder: Builder,
    /// The newest segment, which is not full.
    filling: Option<Filling>,
    /// The end of the older segments' log.
    start: LogEnd,
    /// The history of that log.
    older_history: u64,
}

impl<M: TailMemory> Ring<'_, M> {
    /// The newest segment was written from this ring.
    fn behind_its_segment<S: Store>(
        &self,
        store: &S,
        header: &SegmentHeader,
        numbers: &[u64],
    ) -> Result<WrittenPart, RecoverError> {
        let before = header.before();
        let (log, first) = self.window(header.first_pos, before).read(store, self.memory, numbers)?;
        let base = Checkpoint::compute(store, but_last(numbers), before)??;
        let mut builder = Builder::new(log, base, self.floor, first);
        let found = scan(store, header, Some(self.written), |pos, record| builder.on_record(pos, record))?;
        found.reached(header)?;
        let filling = Some(filling(store, header, found.index, false)?);
        Ok(WrittenPart { builder, filling, start: before, older_history: header.history })
    }

    /// All segments were written from rings before this one.
    fn behind_older_segments<S: Store>(
        &self,
        store: &S,
        newest: Option<&SegmentHeader>,
        numbers: &[u64],
    ) -> Result<WrittenPart, RecoverError> {
        let (start, checkpoint, filling, older_history) = match newest {
            Some(header) => {
                let (state, found) = scan_whole(store, header, but_last(numbers))?;
                let filling = filling(store, header, found.index, true)?;
                (state.log.end, state.checkpoint, Some(filling), state.history)
            }
            None => {
                let base = base_of(store)??;
                (base.end, base.clone(), None, base.history)
            }
        };
        let (log, first) = self.window(self.written, start).read(store, self.memory, numbers)?;
        let builder = Builder::new(log, checkpoint, self.floor, first);
        Ok(WrittenPart { builder, filling, start, older_history })
    }

    fn window(&self, until: u64, end: LogEnd) -> Window<'_> {
        Window { label: self.label, geometry: self.geometry, floor: self.floor, until, end }
    }
}

/// The part of the log that ring and older segments have in common, so that repairs reach behind the newest
/// segment: from the oldest segment's start that the ring still holds, up to `until`, where the log must
/// end at `end`. If that cannot be read, the window begins at `until`.
struct Window<'a> {
    label: &'a TailLabel,
    geometry: &'a Geometry,
    floor: u64,
    until: u64,
    end: LogEnd,
}

impl Window<'_> {
    /// That part, and the position of its first record if there is one.
    fn read<S: Store, M: TailMemory>(
        &self,
        store: &S,
        memory: &M,
        numbers: &[u64],
    ) -> Result<(LogRebuild<u64>, Option<u64>), StoreError> {
        let starts = [self.first_frame(memory), self.first_segment(store, numbers)?];
        for (from, before) in starts.into_iter().flatten() {
            let mut log = LogRebuild::from_end(before, Extents::unbounded());
            let visit = |pos, record: &Record<'_>| {
                log.on_record(pos, record).map(drop).map_err(|why| why.to_string())
            };
            let readable = scan_ring(memory, self.geometry, from, self.until, visit).is_ok();
            if readable && log.end == self.end && log.staging.is_none() {
                return Ok((log, Some(from)));
            }
        }
        Ok((LogRebuild::from_end(self.end, Extents::unbounded()), None))
    }

    /// The first record that a slot names, if it is a frame: its header describes the log before it. A
    /// wrong slot, or a frame that was only staged, is detected: reading on from there misses the log's
    /// end.
    fn first_frame<M: TailMemory>(&self, memory: &M) -> Option<(u64, LogEnd)> {
        let block_len = BLOCK_LEN as u64;
        let blocks = self.floor / block_len..self.until.div_ceil(block_len);
        let mut slots = blocks.map(|block| {
            let (_, pos) = memory.slot((block * block_len % self.geometry.ring_len / block_len) as usize);
            (block, pos)
        });
        let in_ring = |(block, pos): &(u64, u64)| {
            pos / block_len == *block && (self.floor..self.until).contains(pos) && pos % 8 == 0
        };
        let (_, pos) = slots.find(in_ring)?;
        let first = Header::peek(memory.read(self.geometry.place(pos), HEADER_LEN))?;
        let before = LogEnd {
            next: first.first_seq,
            epoch: first.epoch(),
            chain: first.chain,
            timestamp: first.timestamp,
        };
        (first.kind == Kind::Frame as u8).then_some((pos, before))
    }

    /// The oldest segment of this tail that begins where the ring is not overwritten yet.
    fn first_segment<S: Store>(
        &self,
        store: &S,
        numbers: &[u64],
    ) -> Result<Option<(u64, LogEnd)>, StoreError> {
        let mut start = None;
        for &number in numbers.iter().rev() {
            match read_header(store, number)? {
                Ok(header) if header.tail_generation != self.label.generation => break,
                Ok(header) if header.first_pos >= self.until => {}
                Ok(header) if header.first_pos >= self.floor => {
                    start = Some((header.first_pos, header.before()))
                }
                _ => break,
            }
        }
        Ok(start)
    }
}

/// Everything that a segment determines, and its end. Nothing staged survives: the next segment begins
/// behind the log.
fn scan_whole<S: Store>(
    store: &S,
    header: &SegmentHeader,
    older: &[u64],
) -> Result<(RecoveredState, Scan), RecoverError> {
    let base = Checkpoint::compute(store, older, header.before())??;
    let mut builder =
        Builder::new(LogRebuild::from_end(header.before(), Extents::unbounded()), base, 0, None);
    let found = scan(store, header, None, |pos, record| builder.on_record(pos, record))?;
    builder.log.staging = None;
    if let Some(base) = builder.undone {
        let until = Some(found.pos);
        builder.checkpoint = recompute(store, older, header.before(), &builder.log, base, |apply| {
            scan(store, header, until, apply)?.reached(header)
        })?;
    }
    let Builder { log, checkpoint, history, .. } = builder;
    let history = if history == 0 { header.history } else { history };
    Ok((RecoveredState { history, ..RecoveredState::of_segments(log, checkpoint) }, found))
}

/// The tables at the end of `log` after a switch went back to `base`: the undone part is read again, up to
/// `start` from the segments `older`, behind it by `again`.
fn recompute<S: Store>(
    store: &S,
    older: &[u64],
    start: LogEnd,
    log: &LogRebuild<u64>,
    base: LogEnd,
    again: impl FnOnce(&mut dyn FnMut(u64, &Record<'_>) -> Result<(), String>) -> Result<(), RecoverError>,
) -> Result<Checkpoint, RecoverError> {
    let lower = if base.next < start.next { base } else { start };
    let mut checkpoint = Checkpoint::compute(store, older, lower)??;
    again(&mut |pos, record| match record {
        Record::Frame(frame) if frame.header.first_seq == checkpoint.end.next => {
            if log.runs.hold(pos, frame.header.first_seq) {
                checkpoint.apply(frame).map_err(|wrong| wrong.to_string())?;
            }
            Ok(())
        }
        _ => Ok(()),
    })?;
    if checkpoint.end != log.end {
        let what = format!("tables end at {:?}, the log at {:?}", checkpoint.end, log.end);
        return Err(Damage::new("segments", 0, checkpoint.end.next, what).into());
    }
    Ok(checkpoint)
}

/// The slots of the ring's records from `at` on, written again: they are not part of the surviving memory.
/// Returns whether each of these records is whole. Those that segments hold were read there; here a changed
/// one may be taken for another.
pub(crate) fn reslot<M: TailMemory>(memory: &mut M, geometry: &Geometry, mut at: u64) -> bool {
    let published = memory.word(Word::PublishedPos);
    let mut slotted = None;
    while at < published {
        let bytes = memory.read(at, geometry.record_len_max as usize);
        let (Some(header), Ok((_, len))) = (Header::peek(bytes), Record::parse(bytes)) else { return false };
        let block = at / BLOCK_LEN as u64;
        if slotted != Some(block) {
            slotted = Some(block);
            let switch = header.kind == Kind::Switch as u8;
            let seq = if switch { header.commit_next } else { header.first_seq };
            memory.set_slot((at % geometry.ring_len) as usize / BLOCK_LEN, (seq, at));
        }
        at = geometry.place(at + len as u64);
    }
    true
}

/// The log of a journal whose ring is gone, and the fault at its end. Where a process may be writing it
/// (`beside_a_writer`) the log ends where it did when this reading got there.
pub(crate) fn cold<S: Store>(
    store: &S,
    numbers: &[u64],
    order: WriteOrder,
    beside_a_writer: bool,
) -> Result<(RecoveredState, Option<Damage>, Option<Torn>), RecoverError> {
    let Some(header) = newest_header(store, numbers)? else {
        let base = base_of(store)??;
        let (log, history) = (LogRebuild::from_end(base.end, Extents::unbounded()), base.history);
        let state = RecoveredState { history, ..RecoveredState::of_segments(log, base) };
        return Ok((state, None, None));
    };
    let (mut state, found) = scan_whole(store, &header, but_last(numbers))?;
    let offset = found.index.end_offset;
    let file = FileName::Segment(header.number);
    let bad = match &found.stop {
        RecoverStop::Bad(what) => Some(what.as_str()),
        _ => None,
    };
    let (damage, torn) = match torn::classify(store, header.number, (offset, bad.is_some()), order)? {
        TailEnd::Clean => (None, None),
        TailEnd::Torn(end) => {
            let len = end.map_or(0, |end| end - offset);
            (None, Some(Torn { number: header.number, offset, len }))
        }
        TailEnd::Damage(reason) => {
            let what = format!("{} {reason}", bad.unwrap_or("nothing"));
            (Some(Damage::new(file, offset, state.log.end.next, what)), None)
        }
        // With the lock held no file grows: then the device reads differently each time.
        TailEnd::Grown if beside_a_writer => (None, None),
        TailEnd::Grown => {
            let what = "nothing at the first look, and a good record at the second one";
            (Some(Damage::new(file, offset, state.log.end.next, what)), None)
        }
    };
    let mut filling = filling(store, &header, found.index, true)?;
    filling.evidence = damage.is_some();
    state.filling = Some(filling);
    Ok((state, damage, torn))
}

/// A group that did not reach the device completely.
pub(crate) struct Torn {
    pub number: u64,
    pub offset: u64,
    pub len: u64,
}

fn newest_header<S: Store>(store: &S, numbers: &[u64]) -> Result<Option<SegmentHeader>, RecoverError> {
    Ok(match numbers.last() {
        Some(&newest) => Some(read_header(store, newest)??),
        None => None,
    })
}

fn but_last(numbers: &[u64]) -> &[u64] {
    numbers.split_last().map_or(&[], |(_, older)| older)
}

/// The segment as a writer continues it.
fn filling<S: Store>(
    store: &S,
    header: &SegmentHeader,
    index: Index,
    closed: bool,
) -> Result<Filling, StoreError> {
    let block_at = index.end_offset / BLOCK_LEN as u64 * BLOCK_LEN as u64;
    let mut block = vec![0; BLOCK_LEN];
    store.read_at(FileName::Segment(header.number), block_at, &mut block)?;
    block.truncate((index.end_offset - block_at) as usize);
    let number = header.number;
    // A run may have died in its last group, or behind a seal.
    Ok(Filling { number, block, block_at, index, closed, evidence: false, overwritten: true, sealed: true })
}
