//! # scrub: checks sealed segments that no reader reads
//!
//! The scrub checks whether old bytes are still those that were written. Records carry their seal, so it is
//! enough to read them. The side thread does so slowly; [`verify`] does it at once for a journal that no
//! process has open. Behind damage the scrub continues at the next good record.

use crate::journal::base::base_of;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::derived::check_derived;
use crate::journal::extents::Extents;
use crate::journal::gone::{ExpectedSegments, Gone, gone};
use crate::journal::index::Index;
use crate::journal::open::JournalOpenError;
use crate::journal::packed::file_of;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, present};
use crate::journal::reached::{own_order, written_numbers};
use crate::journal::read::numbers;
use crate::journal::rebuild::{LogRebuild, RebuildStep};
use crate::journal::record::Record;
use crate::journal::recovery;
use crate::journal::segment::{RECORDS_AT, SegmentHeader};
use crate::journal::superblock::{NoSuperblock, Superblock};
use crate::journal::torn::{self, TailEnd, WriteOrder};
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::lineage::goes_on;
use lockstep_core::proto::log::LogEnd;

/// The segment that is being read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Current {
    header: SegmentHeader,
    offset: u64,
    /// The log by the records so far; `None` behind damage: then only their seals are checked.
    log: Option<LogRebuild<u64>>,
    /// The history of the last frame that went behind the log; 0 before any.
    history: u64,
    /// The same of the last frame that was staged.
    staged: u64,
    damaged: bool,
    /// The index that its records have.
    index: Index,
}

/// A reading of all segments, in steps.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Scrub {
    /// The last segment begun.
    number: u64,
    current: Option<Current>,
    /// Records read so far, over all segments.
    pub records: u64,
    /// Bytes read so far.
    pub bytes: u64,
    /// Segments finished.
    pub segments: u64,
    /// The end of the newest finished segment's log, if it is known.
    end: Option<LogEnd>,
    /// The history of the newest frame in finished segments, where it is known.
    history: u64,
    /// The newest finished segment, and the offset at which its records end.
    ended_at: Option<(u64, u64)>,
    /// The segment that the last step finished, if it did, and whether all of it was whole.
    finished: Option<(u64, bool)>,
    /// The index of the segment that the last step finished, if its file has another.
    index: Option<(u64, Vec<u8>)>,
}

impl Scrub {
    /// One whose next segment is `number`.
    pub(crate) fn before(number: u64) -> Self {
        Self { number: number.saturating_sub(1), ..Self::default() }
    }

    /// Reads about `budget_bytes` more, of segments below `limit` only (the one that is being filled is
    /// read when it is sealed). Pushes the damage. True when all were read; the next step begins
    /// anew.
    pub fn step<S: Store>(
        &mut self,
        store: &S,
        limit: u64,
        budget_bytes: u64,
        found: &mut Vec<Damage>,
    ) -> Result<bool, StoreError> {
        (self.finished, self.index) = (None, None);
        let (before, known) = (found.len(), self.current.as_ref().is_some_and(|current| current.damaged));
        match self.read(store, limit, budget_bytes, found) {
            // Retention has removed it meanwhile: the next one.
            Err(error) if error.fault == StoreFault::Missing && !numbers(store)?.contains(&self.number) => {
                self.current = None;
                Ok(false)
            }
            // An unreadable part is damaged; no other segment is damaged by it.
            Err(error) if error.fault == StoreFault::Failed && self.number > 0 => {
                let offset = self.current.take().map_or(0, |current| current.offset);
                found.push(Damage::new(file_of(store, self.number), offset, 0, error));
                self.finished = Some((self.number, false));
                Ok(false)
            }
            read => {
                let whole = !known && found.len() == before;
                self.finished = self.finished.map(|(number, _)| (number, whole));
                read
            }
        }
    }

    /// The index of the segment that the last step finished, if that is whole and its file has another one.
    pub(crate) fn take_index(&mut self) -> Option<(u64, Vec<u8>)> {
        self.index.take()
    }

    /// The segment that the last step was about; 0 where there was none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The segment that the last step finished, and whether all of it was undamaged.
    pub fn finished(&self) -> Option<(u64, bool)> {
        self.finished
    }

    fn read<S: Store>(
        &mut self,
        store: &S,
        limit: u64,
        budget_bytes: u64,
        found: &mut Vec<Damage>,
    ) -> Result<bool, StoreError> {
        if self.current.is_none() && !self.begin(store, limit, found)? {
            self.number = 0;
            return Ok(true);
        }
        let Some(current) = self.current.as_mut() else { return Ok(false) };
        let number = current.header.number;
        let file = file_of(store, number);
        let mut walk = Walk::new(store, number, current.offset);
        let stop = current.offset.saturating_add(budget_bytes);
        while walk.offset() < stop {
            let (offset, what, is_bad) = match walk.step()? {
                WalkItem::Record(offset, record, bytes) => {
                    (self.records, self.bytes) = (self.records + 1, self.bytes + bytes.len() as u64);
                    current.index.on_record(offset, &record, bytes.len());
                    judge(current, offset, &record, found);
                    continue;
                }
                WalkItem::End(offset) => (offset, "nothing".to_string(), false),
                WalkItem::Bad(offset, reject) => (offset, reject.to_string(), true),
            };
            let sealed = (limit > number && limit != u64::MAX)
                || numbers(store)?.last().is_some_and(|newest| *newest > number);
            // A packed segment was whole when it was packed: nothing of it was ever torn.
            let is_packed = matches!(file, FileName::Packed(_));
            let is_damage = is_bad && is_packed
                || match torn::classify(store, number, (offset, is_bad), order_of(store, sealed)?)? {
                    TailEnd::Clean => false,
                    TailEnd::Torn(_) => sealed,
                    TailEnd::Damage(_) => true,
                    TailEnd::Grown => {
                        walk = Walk::new(store, number, offset);
                        continue;
                    }
                };
            let mut behind = None;
            if is_damage {
                let seq = current.log.as_ref().map_or(0, |log| log.end.next);
                found.push(Damage::new(file, offset, seq, what));
                current.damaged = true;
                current.log = None;
                behind = walk.resync()?;
            }
            if behind.is_none() {
                let ends = end_of(store, current, offset)?;
                // What the seal says was read behind the end, which may have moved on before.
                if !ends.is_empty() && !is_damage && torn::has_grown(store, number, offset)? {
                    walk = Walk::new(store, number, offset);
                    continue;
                }
                found.extend(ends);
                self.history = if current.history == 0 { self.history } else { current.history };
                self.ended_at = Some((number, offset));
                let Some(current) = self.current.take() else { return Ok(false) };
                self.end = current.log.map(|log| log.end);
                self.index = other_index(store, number, &current.index)?.filter(|_| !current.damaged);
                self.segments += 1;
                self.finished = Some((number, true));
                return Ok(false);
            }
        }
        current.offset = walk.offset();
        Ok(false)
    }

    fn begin<S: Store>(
        &mut self,
        store: &S,
        limit: u64,
        found: &mut Vec<Damage>,
    ) -> Result<bool, StoreError> {
        let next = numbers(store)?.into_iter().find(|number| *number > self.number && *number < limit);
        let Some(number) = next else { return Ok(false) };
        self.number = number;
        match read_header(store, number)? {
            Ok(header) => {
                let log = Some(LogRebuild::from_end(header.before(), Extents::bounded(1)));
                let index = Index::new(number, header.first_seq);
                self.current = Some(Current {
                    header,
                    offset: RECORDS_AT,
                    log,
                    history: 0,
                    staged: 0,
                    damaged: false,
                    index,
                });
            }
            // The newest one's content never reached the device: the log ends before it.
            Err(_) if written_numbers(store)?.1.contains(&number) => return Ok(false),
            Err(damage) => {
                found.push(damage);
                self.finished = Some((number, false));
            }
        }
        Ok(true)
    }
}

/// How a segment was written. A sealed one that is torn is damaged too.
fn order_of<S: Store>(store: &S, sealed: bool) -> Result<WriteOrder, StoreError> {
    if sealed { Ok(WriteOrder::Through) } else { own_order(store) }
}

/// The index that segment `number` has by its records, where its file says something else.
fn other_index<S: Store>(
    store: &S,
    number: u64,
    index: &Index,
) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let index = index.to_bytes();
    let differs = present(store, FileName::Index(number))?.is_some_and(|bytes| bytes != index);
    Ok(differs.then_some((number, index)))
}

/// Checks the derived files of a segment that was read to its end at `offset`. Returns the damage.
fn end_of<S: Store>(store: &S, current: &Current, offset: u64) -> Result<Vec<Damage>, StoreError> {
    let mut found = Vec::new();
    let number = current.header.number;
    let end = current.log.as_ref().map(|log| log.end);
    let seq = end.map_or(0, |end| end.next);
    if let Some(bytes) = present(store, FileName::Index(number))? {
        match Index::from_bytes(&bytes, number) {
            Err(damage) => found.push(damage),
            Ok(index) if index.end_offset > offset && !current.damaged => {
                let what = format!("it ends here, and was sealed at byte {}", index.end_offset);
                found.push(Damage::new(FileName::Segment(number), offset, seq, what));
            }
            Ok(_) => {}
        }
    }
    let checkpoint_file = FileName::Checkpoint(number);
    if let Some(bytes) = present(store, checkpoint_file)?
        && let Err(what) = Checkpoint::from_bytes(&bytes)
    {
        found.push(Damage::new(checkpoint_file, 0, 0, what));
    }
    let later = numbers(store)?.into_iter().find(|later| *later > number);
    // Where the one behind it is gone, that one is named (`gone`).
    if let (Some(later), Some(end)) = (later.filter(|later| *later == number + 1), end)
        && let Ok(next) = read_header(store, later)?
        && next.before() != end
    {
        let what = format!("it ends at {end:?}, the next one begins behind {:?}", next.before());
        found.push(Damage::new(FileName::Segment(number), offset, seq, what));
    }
    Ok(found)
}

/// Whether the record is valid at its place.
fn judge(current: &mut Current, offset: u64, record: &Record<'_>, found: &mut Vec<Damage>) {
    let Some(log) = current.log.as_mut() else { return };
    let judged = log.on_record(offset, record).map_err(|why| why.to_string());
    let judged = match (judged, record) {
        (Ok(RebuildStep::Grown), Record::Frame(frame)) => {
            let before = std::mem::replace(&mut current.history, frame.header.history);
            let is_founded = goes_on(before, frame);
            is_founded
                .then_some(())
                .ok_or_else(|| "a frame of another history, which nothing founds".to_string())
        }
        (Ok(RebuildStep::Staged), Record::Frame(frame)) => {
            current.staged = frame.header.history;
            Ok(())
        }
        // The staged frames are the log now: its history is that of its last frame.
        (Ok(RebuildStep::Switched { .. }), _) => {
            current.history = current.staged;
            Ok(())
        }
        (judged, _) => judged.map(drop),
    };
    if let Err(why) = judged {
        found.push(Damage::new(FileName::Segment(current.header.number), offset, log.end.next, why));
        current.log = None;
        current.damaged = true;
    }
}

/// The findings of [`verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// The damage.
    pub damage: Vec<Damage>,
    /// Where the log ends; `None` where damage hides it.
    pub end: Option<LogEnd>,
    /// The history of the newest frame, where it is known.
    history: u64,
    /// The newest segment, and the offset at which its records end.
    ended_at: Option<(u64, u64)>,
}

/// Reads the segments in `store` from number `from` on, and checks the files that are derived from them.
///
/// # Errors
/// The store's.
pub fn verify_segments<S: Store>(store: &S, from: u64) -> Result<Verified, StoreError> {
    let mut damage = Vec::new();
    let mut scrub = Scrub { number: from.saturating_sub(1), ..Scrub::default() };
    while !scrub.step(store, u64::MAX, u64::MAX, &mut damage)? {}
    if damage.is_empty() {
        damage = check_derived(store, from, scrub.end.unwrap_or(LogEnd::BLANK), scrub.ended_at)?;
    }
    let Scrub { segments, records, bytes, end, history, ended_at, .. } = scrub;
    Ok(Verified { segments, records, bytes, damage, end, history, ended_at })
}

/// Reads everything that a journal has on disk, and names what is gone.
///
/// # Errors
/// The store's.
pub fn verify<S: Store>(store: &S) -> Result<Verified, StoreError> {
    let mut verified = verify_from(store, 0)?;
    if let Ok(copies) = Superblock::load(store)? {
        let gone = gone(store, ExpectedSegments::of(&copies.newest))?;
        verified.damage.extend(gone.iter().map(Gone::damage));
    }
    Ok(verified)
}

/// Reads the superblock and the segments from number `from` on that are there. Where a process writes the
/// journal meanwhile, the newest segment may look damaged, and is to be read again.
///
/// # Errors
/// The store's.
pub fn verify_from<S: Store>(store: &S, from: u64) -> Result<Verified, StoreError> {
    let (superblock, mut damage) = match Superblock::load(store)? {
        Ok(copies) => (Some(copies.newest), Vec::from_iter(copies.damage)),
        Err(NoSuperblock::Damaged(found)) => (None, vec![found]),
        Err(NoSuperblock::Version(version)) => {
            (None, vec![Damage::new(FileName::Superblock, 0, 0, format!("format version {version}"))])
        }
    };
    let mut verified = verify_segments(store, from)?;
    damage.append(&mut verified.damage);
    // Without a segment the log is what the checkpoint covers with which it begins.
    let base = base_of(store)?.map_or(LogEnd::BLANK, |base| base.end);
    verified.end = verified.end.or(Some(base).filter(|base| *base != LogEnd::BLANK));
    let end = verified.end.unwrap_or(LogEnd::BLANK);
    if let Some(superblock) = superblock.filter(|superblock| superblock.run.clean && damage.is_empty())
        && (end.next, end.chain) != (superblock.high_next, superblock.high_chain)
    {
        let what = format!(
            "they end at seq {} with chain {:#x}; the last stop was at {} with chain {:#x}",
            end.next, end.chain, superblock.high_next, superblock.high_chain
        );
        let (number, offset) = verified.ended_at.unwrap_or((1, 0));
        damage.push(Damage::new(FileName::Segment(number), offset, end.next, what));
    }
    if let Some(superblock) = &superblock
        && let Err(JournalOpenError::Damaged(found)) =
            recovery::pending(store, superblock, &end, verified.history)
    {
        damage.push(found);
    }
    Ok(Verified { damage, ..verified })
}
