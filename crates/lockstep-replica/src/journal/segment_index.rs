//! # segment_index: the committed log's places in the segments, in stretches that can be sent from a file
//!
//! The segment index finds the bytes of the segments that hold the frames from a seq on, although superseded
//! frames stay where they were written (S7). It reads the records that the side thread reports as written,
//! once, and stores the runs of the log. From the runs and the sparse indices it names stretches of bytes
//! that hold whole frames of the log and nothing else. No byte between two rows of an index need be read.
//!
//! ```text
//!  side thread ─▶ Written {segment, offset, commit} ─▶ refresh ─▶ runs ─▶ locate(seq) ─▶ stretch, stretch …
//! ```
//!
//! A named segment is committed *in the log that the segments hold*: the commit in [`Written`] was read
//! before the records that are written now were published. So a suffix replacement that the hot thread has
//! made, and the segments lack, cannot be overlooked.

use crate::journal::damage::Damage;
use crate::journal::extents::Extents;
use crate::journal::index::{FramePosition, Index};
use crate::journal::meeting::end_before;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault};
use crate::journal::read::numbers;
use crate::journal::rebuild::LogRebuild;
use crate::journal::record::Record;
use crate::journal::segment::RECORDS_AT;
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Chain, Epoch, ReplayEndReason, Seq};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// The progress of the side thread, reported after each of its turns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Written {
    /// The segment that is being filled; 0 before the first.
    pub number: u64,
    /// Where its records end.
    pub offset: u64,
    /// Everything below is committed, in the log that segments hold up to here.
    pub commit_next: Seq,
    /// The history of the log, and its ancestors; history 0 while none is known.
    pub lineage: Lineage,
    /// The hot thread leads.
    pub leads: bool,
    /// Retention has removed the segments below; 0 if none.
    pub oldest: u64,
    /// Segments that are not served.
    pub damaged: Unserved,
}

/// Damaged segments, which are not served. A few are named; if there are more, all between the last one
/// that is named and the newest of them count as damaged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Unserved {
    named: [u64; UNSERVED_MAX],
    to: u64,
}

/// Damaged segments that are named one by one.
const UNSERVED_MAX: usize = 8;

impl Unserved {
    /// The segments with these numbers, in rising order.
    pub fn of(numbers: impl Iterator<Item = u64>) -> Self {
        let mut unserved = Self::default();
        for (place, number) in numbers.enumerate() {
            if let Some(named) = unserved.named.get_mut(place) {
                *named = number;
            }
            unserved.to = number;
        }
        unserved
    }

    /// Whether `later` lacks one of these.
    fn has_lost_one(&self, later: &Self) -> bool {
        let is_lost = |number: &u64| *number > 0 && !later.contains(*number);
        self.named.iter().chain([&self.to]).any(is_lost)
    }

    /// Whether `number` is one of them.
    pub fn contains(&self, number: u64) -> bool {
        let last = self.named[UNSERVED_MAX - 1];
        self.named.contains(&number) && number > 0 || last > 0 && (last..=self.to).contains(&number)
    }
}

impl Written {
    /// Whether a reader of `history` (0: of any) may be served this log from `from` on. If not, the reason,
    /// and with [`ReplayEndReason::BeyondCommit`] the seq at which a later history was founded on the
    /// reader's.
    pub fn admits(&self, history: u64, from: Seq) -> Result<(), (ReplayEndReason, Seq)> {
        let own = self.lineage.history();
        match self.lineage.left_at(history) {
            _ if own == 0 => Err((ReplayEndReason::Ahead, 0)),
            _ if history == 0 || history == own => Ok(()),
            None => Err((ReplayEndReason::OtherHistory, 0)),
            Some(left) if from > left.next => Err((ReplayEndReason::BeyondCommit, left.next)),
            Some(_) => Ok(()),
        }
    }
}

/// Bytes of one segment that hold whole, contiguous frames of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SegmentRange {
    /// The segment.
    pub number: u64,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// The first seq of the frame behind it.
    pub next: Seq,
}

/// The place of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SegmentPosition {
    /// The segment.
    pub number: u64,
    /// Where it begins.
    pub offset: u64,
    /// Its first seq.
    pub first_seq: Seq,
    /// The chain before it.
    pub chain: Chain,
}

/// Why a lookup failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SegmentIndexError {
    /// The files could not be read.
    Store(StoreError),
    /// Their content is damaged.
    Damage(Damage),
}

impl SegmentIndexError {
    /// Whether retention has merely removed the range.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Store(error) if error.fault == StoreFault::Missing)
    }
}

impl From<StoreError> for SegmentIndexError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for SegmentIndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Damage(damage) => damage.fmt(f),
        }
    }
}

/// Indices of sealed segments in the cache: one for each place of a reader, for a few readers.
const INDICES_MAX: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub struct SegmentIndex {
    log: LogRebuild<FramePosition>,
    /// The log's next seq before each segment.
    firsts: BTreeMap<u64, Seq>,
    /// The newest segment's index, as far as it was read.
    growing: Index,
    number: u64,
    offset: u64,
    indices: VecDeque<(u64, Arc<Index>)>,
    damaged: Unserved,
}

impl Default for SegmentIndex {
    fn default() -> Self {
        Self {
            log: LogRebuild::from_end(LogEnd::BLANK, Extents::unbounded()),
            firsts: BTreeMap::new(),
            growing: Index::new(0, 1),
            number: 0,
            offset: 0,
            indices: VecDeque::new(),
            damaged: Unserved::default(),
        }
    }
}

impl SegmentIndex {
    /// The end of the log that was read so far.
    pub fn end(&self) -> LogEnd {
        self.log.end
    }

    /// The epoch of that log.
    pub fn epoch(&self) -> Epoch {
        self.log.end.epoch
    }

    /// The oldest seq that segments hold; the log's end if they hold none.
    pub fn oldest_seq(&self) -> Seq {
        let run = self.log.runs.list().first().map_or(self.log.end.next, |run| run.first_seq);
        self.firsts.first_key_value().map_or(run, |(_, first)| run.max(*first))
    }

    /// Reads what was written since the last call, up to `to`, and forgets segments that retention removed.
    /// The cost is that of the new records; the first call costs the indices of all segments.
    ///
    /// # Errors
    /// The files cannot be read, or their content is invalid.
    pub fn refresh<S: Store>(&mut self, store: &S, to: &Written) -> Result<(), SegmentIndexError> {
        if self.firsts.first_key_value().is_some_and(|(number, _)| *number < to.oldest) {
            self.forget_below(to.oldest);
        }
        let before = std::mem::replace(&mut self.damaged, to.damaged);
        if before.has_lost_one(&self.damaged) {
            // What was mended may have its frames elsewhere in the segment.
            let mut again = Self { damaged: to.damaged, ..Self::default() };
            if again.refresh(store, to).is_ok() {
                *self = again;
                return Ok(());
            }
        }
        if (to.number, to.offset) <= (self.number, self.offset) {
            return Ok(());
        }
        if to.number > self.number {
            self.take_sealed(store, to.number)?;
        }
        let mut walk = Walk::new(store, self.number, self.offset);
        while walk.offset() < to.offset {
            let at = walk.offset();
            match walk.step()? {
                WalkItem::Record(offset, record, bytes) => {
                    self.log
                        .on_record((self.number, offset), &record)
                        .map_err(|why| damage(self.number, offset, self.log.end.next, &why))?;
                    self.growing.on_record(offset, &record, bytes.len());
                    self.offset = offset + bytes.len() as u64;
                }
                WalkItem::End(_) => return Err(damage(self.number, at, self.log.end.next, &"nothing")),
                WalkItem::Bad(_, reject) => return Err(damage(self.number, at, self.log.end.next, &reject)),
            }
        }
        Ok(())
    }

    fn forget_below(&mut self, oldest: u64) {
        self.firsts.retain(|number, _| *number >= oldest);
        self.log.runs.forget_below((oldest, 0));
    }

    /// Segments up to `newest` have begun; those below are sealed, and their indices describe them.
    fn take_sealed<S: Store>(&mut self, store: &S, newest: u64) -> Result<(), SegmentIndexError> {
        let present: Vec<u64> = numbers(store)?.into_iter().filter(|number| *number <= newest).collect();
        let oldest = present.first().copied().unwrap_or(newest);
        self.forget_below(oldest);
        // The part of the newest one that was read so far is read again from its index, as the segment is
        // sealed now.
        let known = self.number;
        let mut log =
            std::mem::replace(&mut self.log, LogRebuild::from_end(LogEnd::BLANK, Extents::unbounded()));
        if known > 0 && present.contains(&known) {
            let rest = Index::load(store, known, 0)?;
            self.finish(store, &mut log, rest.end_offset)?;
        }
        for &number in present.iter().filter(|number| **number > known) {
            // A damaged header does not keep the others from being served.
            let before = match read_header(store, number)? {
                Ok(header) => header.before(),
                Err(damage) => end_before(store, number)?.ok_or(SegmentIndexError::Damage(damage))?,
            };
            self.firsts.insert(number, before.next);
            if number < newest {
                Index::load(store, number, before.next)?.replay(&mut log.runs);
            } else {
                log.end = before;
                log.staging = None;
                self.growing = Index::new(number, before.next);
            }
        }
        self.log = log;
        (self.number, self.offset) = (newest, RECORDS_AT);
        Ok(())
    }

    /// Reads the rest of the segment that was the newest one.
    fn finish<S: Store>(
        &mut self,
        store: &S,
        log: &mut LogRebuild<FramePosition>,
        end_offset: u64,
    ) -> Result<(), SegmentIndexError> {
        let mut walk = Walk::new(store, self.number, self.offset);
        while walk.offset() < end_offset {
            let WalkItem::Record(offset, record, _) = walk.step()? else { break };
            log.on_record((self.number, offset), &record)
                .map_err(|why| damage(self.number, offset, log.end.next, &why))?;
        }
        Ok(())
    }

    /// The frame of the log that holds `seq`; `None` if no segment has it.
    ///
    /// # Errors
    /// As [`SegmentIndex::refresh`].
    pub fn locate<S: Store>(
        &mut self,
        store: &S,
        seq: Seq,
    ) -> Result<Option<SegmentPosition>, SegmentIndexError> {
        if seq < self.oldest_seq() || seq >= self.log.end.next {
            return Ok(None);
        }
        let Some(run) = self.log.runs.find(seq).map(|index| self.log.runs.list()[index]) else {
            return Ok(None);
        };
        let last = run.end.map_or(u64::MAX, |end| end.0);
        let within = self.firsts.range(run.at.0..=last).take_while(|(number, first)| {
            // Within a run seqs rise; the first segment begins before it.
            **number == run.at.0 || **first <= seq
        });
        let number = within.last().map_or(run.at.0, |(number, _)| *number);
        self.judge(number, seq)?;
        let from = if number == run.at.0 { run.at.1 } else { RECORDS_AT };
        let limit = run.end.filter(|end| end.0 == number).map_or(u64::MAX, |end| end.1);
        let hint = self.index(store, number)?.hint(seq, from, limit);
        let mut walk = Walk::new(store, number, hint);
        loop {
            match walk.step()? {
                WalkItem::Record(offset, Record::Frame(frame), _) if frame.header.next_seq() > seq => {
                    let header = frame.header;
                    if header.first_seq > seq {
                        return Err(damage(number, offset, seq, &"a frame is missing before this one"));
                    }
                    return Ok(Some(SegmentPosition {
                        number,
                        offset,
                        first_seq: header.first_seq,
                        chain: header.chain,
                    }));
                }
                WalkItem::Record(..) => {}
                WalkItem::End(offset) => {
                    return Err(damage(number, offset, seq, &"the log does not go on there"));
                }
                WalkItem::Bad(offset, reject) => return Err(damage(number, offset, seq, &reject)),
            }
        }
    }

    /// Whether a reader may be served the frames below `bound` from `seq` on. Its log has `chain` there,
    /// which is compared if it is known. Returns the place of the first frame, if there is one yet, or the
    /// reason.
    ///
    /// # Errors
    /// As [`SegmentIndex::refresh`].
    pub fn begin<S: Store>(
        &mut self,
        store: &S,
        seq: Seq,
        chain: Option<Chain>,
        bound: Seq,
    ) -> Result<Result<Option<SegmentPosition>, ReplayEndReason>, SegmentIndexError> {
        if seq < self.oldest_seq() {
            return Ok(Err(ReplayEndReason::TooOld));
        }
        if seq > bound {
            return Ok(Err(ReplayEndReason::Ahead));
        }
        let spot = self.locate(store, seq)?;
        let found = spot.map_or(self.log.end.chain, |spot| spot.chain);
        if chain.is_some_and(|wanted| wanted != found) {
            return Ok(Err(ReplayEndReason::ChainMismatch));
        }
        Ok(Ok(spot.filter(|spot| spot.first_seq < bound)))
    }

    /// The bytes from `offset` of segment `number` on, where the frame with first seq `seq` begins: whole
    /// frames below `bound`, about `len_max` bytes of them; `None` if the segment or its run ends there.
    ///
    /// # Errors
    /// As [`SegmentIndex::refresh`].
    pub fn stretch<S: Store>(
        &mut self,
        store: &S,
        (number, offset): FramePosition,
        seq: Seq,
        bound: Seq,
        len_max: u64,
    ) -> Result<Option<SegmentRange>, SegmentIndexError> {
        let Some(run) = self.log.runs.find(seq).map(|index| self.log.runs.list()[index]) else {
            return Ok(None);
        };
        let inside = (run.at <= (number, offset)) && run.end.is_none_or(|end| (number, offset) < end);
        let bound = bound.min(run.next_seq).min(self.log.end.next);
        if !inside || seq >= bound {
            return Ok(None);
        }
        self.judge(number, seq)?;
        let limit = run.end.filter(|end| end.0 == number).map_or(u64::MAX, |end| end.1);
        let limit = limit.min(offset.saturating_add(len_max).saturating_add(1));
        if let Some((next, end)) = self.index(store, number)?.last_row(offset, limit, bound) {
            return Ok(Some(SegmentRange { number, offset, len: end - offset, next }));
        }
        // Less than a row remains: frame by frame, up to the bound.
        let mut walk = Walk::new(store, number, offset);
        let (mut next, mut end) = (seq, offset);
        while end < limit {
            match walk.step()? {
                WalkItem::Record(at, Record::Frame(frame), bytes) if frame.header.next_seq() <= bound => {
                    next = frame.header.next_seq();
                    end = at + bytes.len() as u64;
                }
                WalkItem::Bad(at, reject) if next == seq => return Err(damage(number, at, seq, &reject)),
                WalkItem::Record(..) | WalkItem::End(_) | WalkItem::Bad(..) => break,
            }
        }
        Ok((next > seq).then_some(SegmentRange { number, offset, len: end - offset, next }))
    }

    /// A damaged record is not served, not even in part.
    fn judge(&self, number: u64, seq: Seq) -> Result<(), SegmentIndexError> {
        if self.damaged.contains(number) {
            return Err(damage(number, 0, seq, &"found before, and not mended yet"));
        }
        Ok(())
    }

    fn index<S: Store>(&mut self, store: &S, number: u64) -> Result<&Index, StoreError> {
        if number == self.number {
            return Ok(&self.growing);
        }
        match self.indices.iter().position(|(known, _)| *known == number) {
            Some(at) => {
                if let Some(found) = self.indices.remove(at) {
                    self.indices.push_back(found);
                }
            }
            None => {
                if self.indices.len() == INDICES_MAX {
                    self.indices.pop_front();
                }
                let first = self.firsts.get(&number).copied().unwrap_or(0);
                self.indices.push_back((number, Arc::new(Index::load(store, number, first)?)));
            }
        }
        match self.indices.back() {
            Some((_, index)) => Ok(index),
            None => Err(StoreError {
                doing: format!("keeping {}", FileName::Index(number)),
                fault: StoreFault::Failed,
                why: "no room".into(),
            }),
        }
    }
}

fn damage(number: u64, offset: u64, seq: Seq, what: &dyn fmt::Display) -> SegmentIndexError {
    SegmentIndexError::Damage(Damage::new(FileName::Segment(number), offset, seq, what))
}
