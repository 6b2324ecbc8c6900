//! # reached: the segments that reached the device
//!
//! In `process` the kernel brings a segment to the device when it likes, and the superblock records up to
//! which sealed one the device has each as a whole. A power failure may take any part of a newer one, also
//! of a sealed one with whole ones behind it. The log then ends where the first of them lacks something: a
//! node whose log ends there could not be given what is behind.
//!
//! ```text
//!   1  2  3 │ 4  5▒▒  6  7 │ 8
//!   synced  │ 4, a part of 5 ─▶ the log; 6 and 7 lie behind a hole, 8 is empty: unwritten
//! ```

use crate::journal::BLOCK_LEN;
use crate::journal::damage::Damage;
use crate::journal::gone::end_of;
use crate::journal::packed::read_segment;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, remove_derived, remove_if_there};
use crate::journal::proof::RunRecord;
use crate::journal::read::numbers;
use crate::journal::record::Record;
use crate::journal::recover::Torn;
use crate::journal::superblock::Superblock;
use crate::journal::torn::{self, TailEnd, WriteOrder};
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::Seq;

/// Bytes that are read at once.
const CHUNK_LEN: usize = 256 << 10;

/// The numbers of all segments, ascending, without a newest one that is empty on the device; and the number
/// of that one. A segment is begun before anything of it is brought to the device. Where the power fails
/// then its file is there, and empty or all zeros: the log ends with the segment before.
pub(crate) fn written_numbers<S: Store>(store: &S) -> Result<(Vec<u64>, Vec<u64>), StoreError> {
    let mut numbers = numbers(store)?;
    let unwritten = match numbers.last() {
        Some(newest) if is_unwritten(store, *newest) && !writes_through(store)? => numbers.pop(),
        _ => None,
    };
    Ok((numbers, Vec::from_iter(unwritten)))
}

/// Whether all that the last run wrote was on the device at once: then such a file has lost its content.
fn writes_through<S: Store>(store: &S) -> Result<bool, StoreError> {
    Ok(last_run(store)?.is_some_and(|run| run.weakest_durability == Durability::Power))
}

/// The record of the last run; a copy of the files has none.
fn last_run<S: Store>(store: &S) -> Result<Option<RunRecord>, StoreError> {
    match Superblock::load(store) {
        Ok(Ok(copies)) => Ok(Some(copies.newest.run)),
        Ok(Err(_)) | Err(StoreError { fault: StoreFault::Missing, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether all bytes in the file of segment `number` are zero: none was written.
fn is_unwritten<S: Store>(store: &S, number: u64) -> bool {
    is_zero(store, number, u64::MAX)
}

/// Whether no byte of segment `number` before `end`, whole blocks, was written.
fn is_zero<S: Store>(store: &S, number: u64, end: u64) -> bool {
    let (mut chunk, mut at) = (vec![0; BLOCK_LEN], 0);
    loop {
        // One that is damaged or gone is named by its reader.
        let Ok(Ok(taken)) = read_segment(store, number, at, &mut chunk) else { return false };
        if chunk[..taken].iter().any(|byte| *byte != 0) {
            return false;
        }
        at += taken as u64;
        if taken < chunk.len() || at >= end {
            return true;
        }
        chunk.resize(CHUNK_LEN, 0);
    }
}

/// What a sealed segment without its content makes of the log of a run that did not stop in order.
#[derive(Default)]
pub(crate) struct Hole {
    /// The log ends there, in the newest segment that is left.
    pub torn: Option<Torn>,
    /// All that was written was on the device at once: such a segment has changed since.
    pub damage: Option<Damage>,
}

/// How the newest segment was written, by the journal's own record. A copy was made of what was there.
pub(crate) fn own_order<S: Store>(store: &S) -> Result<WriteOrder, StoreError> {
    Ok(last_run(store)?.map_or(WriteOrder::Through, |run| WriteOrder::of(&run)))
}

/// As [`end_at_hole`], by the journal's own record.
pub(crate) fn end_at_own_hole<S: Store>(
    store: &S,
    numbers: &mut Vec<u64>,
    unwritten: &mut Vec<u64>,
) -> Result<Hole, StoreError> {
    last_run(store)?.map_or(Ok(Hole::default()), |run| end_at_hole(store, numbers, unwritten, &run))
}

/// Cuts `numbers`, those of all segments that were written, behind the first one that lacks a part of its
/// content: those behind it are `unwritten`, newest first. Reads the segments that `run` does not have on the
/// device.
pub(crate) fn end_at_hole<S: Store>(
    store: &S,
    numbers: &mut Vec<u64>,
    unwritten: &mut Vec<u64>,
    run: &RunRecord,
) -> Result<Hole, StoreError> {
    if run.clean || planted(Mutation::HoleIsNoEnd) {
        return Ok(Hole::default());
    }
    let Some((left, at, seq)) = find_hole(store, numbers, run)? else { return Ok(Hole::default()) };
    if run.weakest_durability == Durability::Power {
        let what = "nothing, and a later segment begins behind what was there";
        let damage = Damage::new(FileName::Segment(at.number), at.offset, seq, what);
        return Ok(Hole { damage: Some(damage), torn: None });
    }
    unwritten.extend(numbers.split_off(left).iter().rev());
    let torn = Some(at).filter(|at| numbers.last() == Some(&at.number));
    Ok(Hole { torn, damage: None })
}

/// How many of the segments `numbers` the log has, if one of those that `run` does not have on the device
/// lacks something that the next one follows; from where on it does, and from which seq on (0: not known).
fn find_hole<S: Store>(
    store: &S,
    numbers: &[u64],
    run: &RunRecord,
) -> Result<Option<(usize, Torn, Seq)>, StoreError> {
    let first = numbers.partition_point(|number| *number <= run.synced_to);
    for (at, pair) in numbers.windows(2).enumerate().skip(first) {
        let (number, next) = (pair[0], pair[1]);
        let Ok(header) = read_header(store, number)? else {
            // The blocks behind it may have reached the device (seed 78280358).
            let begun = Torn { number, offset: 0, len: 0 };
            return Ok(is_zero(store, number, BLOCK_LEN as u64).then_some((at, begun, 0)));
        };
        if next > number + 1 {
            // Files that are gone are named by themselves.
            return Ok(None);
        }
        let Ok(follower) = read_header(store, next)? else { continue };
        let end = end_of(store, number, header.before())?;
        if end.log.next >= follower.first_seq {
            continue;
        }
        let is_lost = match torn::classify(store, number, (end.offset, end.is_bad), WriteOrder::of(run))? {
            TailEnd::Clean | TailEnd::Torn(_) => true,
            // Bytes that have changed on the device are found when they are read, and mended.
            TailEnd::Damage(_) | TailEnd::Grown => false,
        };
        let torn = Torn { number, offset: end.offset, len: 0 };
        return Ok(is_lost.then_some((at + 1, torn, end.log.next)));
    }
    Ok(None)
}

/// Removes the segments that no log has, newest first, with what was computed of them. A process that dies
/// in between leaves the same hole, or less behind it.
pub(crate) fn remove_unwritten<S: Store>(
    store: &mut S,
    newest: Option<u64>,
    unwritten: &[u64],
) -> Result<(), StoreError> {
    for &number in unwritten {
        remove_derived(store, number)?;
        remove_if_there(store, FileName::Packed(number))?;
        remove_if_there(store, FileName::Segment(number))?;
    }
    // The segment that the log ends in may have lost what its index and its checkpoint describe.
    if let Some(number) = newest.filter(|_| !unwritten.is_empty()) {
        remove_derived(store, number)?;
    }
    Ok(())
}

/// The log was known to reach this seq at least, by the segments that lie behind its end.
pub(crate) fn known_next<S: Store>(store: &S, unwritten: &[u64]) -> Result<Seq, StoreError> {
    let mut known = 0;
    for &number in unwritten {
        if let Ok(header) = read_header(store, number)? {
            known = known.max(end_of(store, number, header.before())?.log.next);
        }
    }
    Ok(known)
}

/// The log was known to reach this seq at least, by the records behind the end of its last segment that the
/// power has left.
pub(crate) fn known_behind<S: Store>(store: &S, torn: &Torn) -> Result<Seq, StoreError> {
    let (mut walk, mut known) = (Walk::new(store, torn.number, torn.offset), 0);
    while walk.resync()?.is_some() {
        while let WalkItem::Record(_, record, _) = walk.step()? {
            if let Record::Frame(frame) = record {
                known = known.max(frame.header.next_seq());
            }
        }
    }
    Ok(known)
}
