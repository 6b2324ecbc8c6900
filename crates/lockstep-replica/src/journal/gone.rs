//! # gone: segments that should be there, and are not
//!
//! Segments have numbers without holes. The superblock records the oldest one that is to be there, before
//! retention or a trim removes those below it, and the newest one that was on the device. So a segment that
//! was removed on purpose differs from one that is gone, also where it was the first or the last one.

use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::extents::Extents;
use crate::journal::meeting::header_of;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault};
use crate::journal::read::numbers;
use crate::journal::rebuild::LogRebuild;
use crate::journal::segment::RECORDS_AT;
use crate::journal::superblock::Superblock;
use crate::journal::walk::{Walk, WalkItem};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::Seq;

/// Segments in a row that are gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Gone {
    /// The number of the first one, ...
    pub first: u64,
    /// ... and of the last one.
    pub last: u64,
    /// The first seq that they held; 0 if it is unknown.
    pub from: Seq,
    /// The seq behind those that they held; 0 if it is unknown.
    pub to_next: Seq,
}

impl Gone {
    /// Its report: the first file, and the seqs.
    pub fn damage(&self) -> Damage {
        let rest = if self.last > self.first {
            format!(" and those up to {}", FileName::Segment(self.last))
        } else {
            String::new()
        };
        let seqs = match (self.from, self.to_next) {
            (0, 0) => String::new(),
            (0, to_next) => format!(", with seqs up to {}", to_next - 1),
            (from, to_next) if to_next > from => format!(", with seqs {from} to {}", to_next - 1),
            (from, _) => format!(", with what lay from seq {from} on"),
        };
        let what = format!(
            "the file is gone{rest}{seqs}; neither retention nor a trim removed it: bring it back from a copy of this \
             folder, or replace this node"
        );
        Damage::new(FileName::Segment(self.first), 0, self.from, what)
    }
}

/// The numbers that a journal's segments should have: the oldest one (0: not known), and the newest one at
/// least.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ExpectedSegments {
    /// The oldest one.
    pub oldest: u64,
    /// The newest one that was there.
    pub newest: u64,
    /// Where the log of all of them ended; 0 where that is not known.
    pub end: Seq,
}

impl ExpectedSegments {
    /// What a superblock records.
    pub fn of(superblock: &Superblock) -> Self {
        let end = if superblock.run.clean { superblock.high_next } else { 0 };
        Self { oldest: superblock.oldest_number, newest: superblock.run.begun_to, end }
    }
}

/// The segments in `store` that are gone, in rising order.
///
/// # Errors
/// The store's.
pub fn gone<S: Store>(store: &S, expected: ExpectedSegments) -> Result<Vec<Gone>, StoreError> {
    let present = numbers(store)?;
    // An index or a checkpoint outlives its segment only if another program removed the segment.
    let derived = store.list()?.into_iter().filter_map(|file| match file {
        FileName::Index(number) | FileName::Checkpoint(number) => Some(number),
        _ => None,
    });
    let before_first = present.first().map_or(0, |first| first - 1);
    let newest = derived.filter(|number| *number > before_first).max().unwrap_or(0).max(expected.newest);
    let oldest = if expected.oldest == 0 { before_first + 1 } else { expected.oldest };
    let mut next = oldest;
    let mut runs = Vec::new();
    for number in present.iter().copied().filter(|number| *number >= oldest).chain([newest + 1]) {
        if number > next {
            runs.push((next, number - 1));
        }
        next = next.max(number + 1);
    }
    runs.into_iter().map(|(first, last)| described(store, (first, last), expected)).collect()
}

/// The seqs of segments that are gone, as far as their neighbours tell.
fn described<S: Store>(
    store: &S,
    (first, last): (u64, u64),
    expected: ExpectedSegments,
) -> Result<Gone, StoreError> {
    let after = begin_of(store, last + 1)?;
    let to_next = after.unwrap_or(if last >= expected.newest { expected.end } else { 0 });
    Ok(Gone { first, last, from: end_before(store, first)?, to_next })
}

/// The first seq of segment `number`.
fn begin_of<S: Store>(store: &S, number: u64) -> Result<Option<Seq>, StoreError> {
    Ok(header_of(store, number)?.map(|header| header.first_seq))
}

/// The seq with which segment `number` began: where the one before it ended.
fn end_before<S: Store>(store: &S, number: u64) -> Result<Seq, StoreError> {
    let Some(before) = number.checked_sub(1).filter(|before| *before > 0) else { return Ok(1) };
    match Checkpoint::load(store, before) {
        Ok(Ok(checkpoint)) => return Ok(checkpoint.end.next),
        Err(error) if !is_unreadable(&error) => return Err(error),
        _ => {}
    }
    match header_of(store, before)? {
        Some(header) => match end_of(store, before, header.before()) {
            Ok(end) => Ok(end.log.next),
            Err(error) if is_unreadable(&error) => Ok(0),
            Err(error) => Err(error),
        },
        None => Ok(0),
    }
}

/// Whether a neighbour shows nothing because it is missing or cannot be read: that is damage of its own.
pub(crate) fn is_unreadable(error: &StoreError) -> bool {
    matches!(error.fault, StoreFault::Missing | StoreFault::Failed)
}

/// Where the records of a segment end that can be read.
pub(crate) struct RecordsEnd {
    /// The log with them, ...
    pub log: LogEnd,
    /// ... their offset, ...
    pub offset: u64,
    /// ... and whether something else than nothing lies there.
    pub is_bad: bool,
}

/// Where the log ends with the records of segment `number` that can be read; it began at `before`.
pub(crate) fn end_of<S: Store>(store: &S, number: u64, before: LogEnd) -> Result<RecordsEnd, StoreError> {
    let mut log = LogRebuild::from_end(before, Extents::bounded(1));
    let mut walk = Walk::new(store, number, RECORDS_AT);
    loop {
        let offset = walk.offset();
        let is_bad = match walk.step()? {
            WalkItem::Record(offset, record, _) => match log.on_record(offset, &record) {
                Ok(_) => continue,
                Err(_) => true,
            },
            WalkItem::End(_) => false,
            WalkItem::Bad(..) => true,
        };
        return Ok(RecordsEnd { log: log.end, offset, is_bad });
    }
}
