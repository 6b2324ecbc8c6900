//! # overview: a journal's segments and log, for a reader that changes nothing
//!
//! A process may be writing the journal meanwhile, and retention may remove its oldest segments. So the end
//! of the log is determined first, and a reader goes no further: everything before it was written as a
//! whole. Bytes behind it are a write in progress, or the rest of one that a crash interrupted.

use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::gone::{ExpectedSegments, Gone, end_of, gone};
use crate::journal::index::Index;
use crate::journal::open::JournalOpenError;
use crate::journal::packed::file_of;
use crate::journal::ports::{FileName, Store, StoreError};
use crate::journal::reached::{end_at_own_hole, own_order, written_numbers};
use crate::journal::read::{LogReader, numbers};
use crate::journal::record::Record;
use crate::journal::recover;
use crate::journal::recovery::last_start;
use crate::journal::segment::{RECORDS_AT, SegmentHeader};
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Epoch, FrameView, Identity, Nanos, Seq};

/// The log that the segments of a journal hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredLog {
    /// The journal's owner by its newest segment, and its cluster.
    pub owner: Option<(Identity, u64)>,
    /// The oldest seq of the segments; the log's end if they hold none.
    pub oldest_seq: Seq,
    /// Where the log ended before that.
    pub start: LogEnd,
    /// Where the log ends.
    pub end: LogEnd,
    /// The tables at its end.
    pub checkpoint: Checkpoint,
    /// Its history, and the ancestors of that.
    pub lineage: Lineage,
    /// Everything below is committed, as its frames announce.
    pub commit_next: Seq,
    /// Behind the end lies a part of a group: file and offset.
    pub torn: Option<(FileName, u64)>,
    /// Behind the end lies something that was written and has changed.
    pub damage: Option<Damage>,
    /// Segments that should be there, and are not.
    pub gone: Vec<Gone>,
}

impl StoredLog {
    /// All that is known of its damage: what is gone, and what has changed behind its end.
    pub fn damages(&self) -> impl Iterator<Item = Damage> + '_ {
        self.gone.iter().map(Gone::damage).chain(self.damage.clone())
    }

    /// The frames that are missing for a reader of the log from `from` on (`None`: from its beginning) up to
    /// `to_next` (`None`: to its end), and that the reader would not miss: those before the first one that it
    /// meets, and those behind the last one.
    pub fn lacks(&self, from: Option<Seq>, to_next: Option<Seq>) -> Option<Damage> {
        let is_wanted =
            |gone: &&Gone| gone.from < self.oldest_seq && from.is_none_or(|from| from < self.oldest_seq);
        let before = self.gone.iter().find(is_wanted);
        let is_behind = |gone: &&Gone| gone.from >= self.end.next;
        let behind = self.damage.clone().or_else(|| self.gone.iter().find(is_behind).map(Gone::damage));
        let behind = behind.filter(|_| to_next.is_none_or(|next| next > self.end.next));
        before.map(Gone::damage).or(behind)
    }
}

/// The log of the segments in `store`, which should have those that are `expected`.
///
/// # Errors
/// Those of the files; or damage that leaves no log.
pub fn stored_log<S: Store>(store: &S, expected: ExpectedSegments) -> Result<StoredLog, JournalOpenError> {
    let (mut numbers, mut unwritten) = written_numbers(store)?;
    let hole = end_at_own_hole(store, &mut numbers, &mut unwritten)?;
    let headers = |number: Option<&u64>| -> Result<Option<SegmentHeader>, JournalOpenError> {
        Ok(number.map(|number| read_header(store, *number)).transpose()?.and_then(Result::ok))
    };
    let (oldest, newest) = (headers(numbers.first())?, headers(numbers.last())?);
    let (state, damage, torn) = recover::cold(store, &numbers, own_order(store)?, true)?;
    let (damage, torn) = (hole.damage.or(damage), torn.or(hole.torn));
    let (end, checkpoint) = (state.log.end, state.checkpoint);
    let lineage = last_start(&checkpoint).map_or(Lineage::of(checkpoint.history), |(lineage, _)| lineage);
    let start = oldest.map_or(end, |header| header.before());
    let at = |(number, offset)| (FileName::Segment(number), offset);
    Ok(StoredLog {
        owner: newest.map(|header| (Identity::from_packed(header.identity), header.cluster)),
        oldest_seq: start.next,
        start,
        end,
        commit_next: checkpoint.commit_next.clamp(start.next, end.next),
        checkpoint,
        lineage,
        torn: torn
            .map(|torn| (torn.number, torn.offset))
            .or(unwritten.last().map(|number| (*number, 0)))
            .map(at),
        damage,
        gone: gone(store, expected)?,
    })
}

/// The tables at `end`, which lies on the log of the segments: from the newest checkpoint that fits, and the
/// frames behind it.
///
/// # Errors
/// Those of the files.
pub fn checkpoint_at<S: Store>(store: &S, end: LogEnd) -> Result<Result<Checkpoint, Damage>, StoreError> {
    Checkpoint::compute(store, &numbers(store)?, end)
}

/// A segment, for a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentOverview {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub file: FileName,
    /// Bytes of that file.
    pub bytes: u64,
    /// The log's next seq before it, and at its end.
    pub seqs: (Seq, Seq),
    /// The epochs of the first frame, and of the log at its end; `None` without frames.
    pub epochs: Option<(Epoch, Epoch)>,
    /// The timestamps of its first and its newest frame; 0 of the birth of a history and of the start of its
    /// first epoch, which have none.
    pub times: Option<(Nanos, Nanos)>,
    /// The last seq in it at which the stream's time goes back.
    pub set_back_at: Option<Seq>,
    /// A takeover replaced the log from this seq on with frames in it.
    pub replaced_from: Option<Seq>,
    /// It is full.
    pub is_sealed: bool,
}

/// The segments in `store`, oldest first, each or its damage. The cost is that of the sparse indices, and of
/// the newest segment's records.
///
/// # Errors
/// Those of the files.
pub fn overview<S: Store>(store: &S) -> Result<Vec<Result<SegmentOverview, Damage>>, StoreError> {
    let numbers = numbers(store)?;
    let headers: Vec<_> =
        numbers.iter().map(|number| read_header(store, *number)).collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for (at, header) in headers.iter().enumerate() {
        let header = match header {
            Ok(header) => header,
            Err(damage) => {
                rows.push(Err(damage.clone()));
                continue;
            }
        };
        let later = headers.get(at + 1).and_then(|later| later.as_ref().ok());
        rows.push(Ok(overview_of(store, header, later)?));
    }
    Ok(rows)
}

fn overview_of<S: Store>(
    store: &S,
    header: &SegmentHeader,
    later: Option<&SegmentHeader>,
) -> Result<SegmentOverview, StoreError> {
    let number = header.number;
    let index = Index::load(store, number, header.first_seq)?;
    let file = file_of(store, number);
    let end = match later {
        Some(later) => later.before(),
        None => end_of(store, header.number, header.before())?.log,
    };
    let first = match Walk::new(store, number, RECORDS_AT).step()? {
        WalkItem::Record(_, Record::Frame(frame), _) => Some((frame.header.epoch(), frame.header.timestamp)),
        // A takeover's frames: their epoch is at least that of the mark.
        WalkItem::Record(_, Record::Stage { epoch, base }, _) => Some((epoch, base.timestamp)),
        _ => None,
    };
    Ok(SegmentOverview {
        number,
        file,
        bytes: store.len(file)?,
        seqs: (header.first_seq, end.next),
        epochs: first.map(|(epoch, _)| (epoch, end.epoch)),
        times: first.map(|(_, time)| (time, index.timestamp.max(time))),
        set_back_at: index.set_back_at(),
        replaced_from: Some(index.switched_from()).filter(|from| *from != Seq::MAX),
        is_sealed: later.is_some(),
    })
}

/// How two logs compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogComparison {
    /// They have no seq in common.
    Apart,
    /// They are equal from the first common seq to the last one.
    Equal {
        /// The first one.
        from: Seq,
        /// The exclusive end.
        to_next: Seq,
    },
    /// They part here.
    Parts {
        /// The first seq compared.
        from: Seq,
        /// The first seq at which they differ.
        seq: Seq,
        /// The difference.
        difference: LogDifference,
    },
}

/// The difference of two logs at a seq.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogDifference {
    /// The entries differ: the epoch of its frame, and the bytes of each.
    Entry([(Epoch, Vec<u8>); 2]),
    /// The entries of the frames are equal, and the frames are not: epoch and first seq of each.
    Frame([(Epoch, Seq); 2]),
    /// The chains before the frame differ: the logs parted before the first common seq.
    Earlier,
}

/// Compares the logs of two journals up to the ends, frame by frame.
///
/// # Errors
/// Those of the files, and damage in either.
pub fn compare<S: Store>(
    stores: [&S; 2],
    logs: [&StoredLog; 2],
) -> Result<Result<LogComparison, Damage>, StoreError> {
    let from = logs[0].oldest_seq.max(logs[1].oldest_seq);
    let to_next = logs[0].end.next.min(logs[1].end.next);
    if from >= to_next {
        return Ok(Ok(LogComparison::Apart));
    }
    let mut readers = [read_from(stores[0], from)?, read_from(stores[1], from)?];
    let mut next = from;
    while next < to_next {
        let [a, b] = &mut readers;
        let (a, b) = match (a.next()?, b.next()?) {
            (Some(Ok(a)), Some(Ok(b))) => (a, b),
            (Some(Err(damage)), _) | (_, Some(Err(damage))) => return Ok(Err(damage)),
            _ => return Ok(Ok(LogComparison::Equal { from, to_next: next })),
        };
        if let Some((seq, difference)) = difference_of(&a, &b, next == from) {
            return Ok(Ok(LogComparison::Parts { from, seq, difference }));
        }
        next = a.header.next_seq();
    }
    Ok(Ok(LogComparison::Equal { from, to_next: next.min(to_next) }))
}

fn read_from<S: Store>(store: &S, from: Seq) -> Result<LogReader<'_, S>, StoreError> {
    LogReader::over(store, &numbers(store)?, from)
}

fn difference_of(a: &FrameView<'_>, b: &FrameView<'_>, is_first: bool) -> Option<(Seq, LogDifference)> {
    let place =
        |frame: &FrameView<'_>| (frame.header.first_seq, frame.header.next_seq(), frame.header.epoch());
    if place(a) == place(b) && a.header.chain == b.header.chain && a.chain_after() == b.chain_after() {
        return None;
    }
    let seq = a.header.first_seq.max(b.header.first_seq);
    if is_first && a.header.first_seq == b.header.first_seq && a.header.chain != b.header.chain {
        return Some((seq, LogDifference::Earlier));
    }
    let entries = |frame: &FrameView<'_>| -> Vec<(Epoch, Vec<u8>)> {
        let skipped = (seq - frame.header.first_seq) as usize;
        let bytes =
            |entry: lockstep_wire::Entry<'_>| [bytemuck::bytes_of(entry.header), entry.payload].concat();
        frame.entries().skip(skipped).map(|entry| (frame.header.epoch(), bytes(entry))).collect()
    };
    let differs = (seq..).zip(entries(a).into_iter().zip(entries(b))).find(|(_, (a, b))| a != b);
    Some(match differs {
        Some((seq, (a, b))) => (seq, LogDifference::Entry([a, b])),
        None => {
            let frame = |frame: &FrameView<'_>| (frame.header.epoch(), frame.header.first_seq);
            (seq, LogDifference::Frame([frame(a), frame(b)]))
        }
    })
}
