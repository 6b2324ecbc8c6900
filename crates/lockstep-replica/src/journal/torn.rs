//! # torn: is a segment's end torn by a power failure, or damaged?
//!
//! Bytes that are no record lie behind the last good one. They may be cut if they are the rest of a torn
//! group. If they are damage, they are evidence that stays, and the replica must not vote. When the power
//! fails in the middle of a group, any of its sectors may be new and the others old. So good records behind
//! a bad one prove nothing by themselves: they may be of the same group. But these facts tell damage from a
//! torn group for certain.
//!
//! ```text
//!   ── on the device ──│── the last group: any of its sectors, or all ──│
//!                    before                                            end ─▶ only zeros
//! ```
//!
//! * A mark names the end of the group before its own: up to there everything was on the device (`before`).
//! * Records behind a marked end, or further away than a group is long, belong to a group that was begun
//!   when the one in question was on the device.
//! * A torn record lacks a sector. Old sectors of a group that is written for the first time are zeros, or
//!   the mark of the group before. A bad record all of whose sectors hold something was written as a whole,
//!   perhaps acknowledged, and has changed since.
//! * A record may hold a sector's worth of zeros of its own. So the group's mark counts its blank sectors:
//!   if no more are found, and no old mark lies within the group, no sector is missing, and the bad bytes
//!   have changed. Where the mark itself is missing, the group was never there as a whole.
//!
//! All but the last two of them follow from the order in which a run by `power` writes. By `process` the
//! kernel brings the sectors to the device, those of any group and in any order: a mark, or a good record of
//! a later group, shows nothing about what lies before. The log ends at the first record that lacks a sector.
//!
//! A reader without the lock looks several times at a file that may grow meanwhile, and any two looks may
//! contradict each other. Records are written in order: each of these facts shows that the record in question
//! was there as a whole when the fact was read. So that record is read once more behind them. If it is good
//! now, nothing was torn or damaged: the segment has grown.

use crate::journal::BLOCK_LEN;
use crate::journal::packed::read_segment;
use crate::journal::ports::{Store, StoreError};
use crate::journal::proof::RunRecord;
use crate::journal::segment::{GROUP_MARK_LEN, GroupMark, SECTOR_LEN, blank_sectors, group_mark};
use crate::journal::segments::RUN_LEN_MAX;
use crate::journal::walk::{Walk, WalkItem};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{DATAGRAM_LEN_MAX, HEADER_LEN, Header};

/// How the groups of a segment reach the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WriteOrder {
    /// Each of them before the next one is written, or all of them, as after a stop in order.
    Through,
    /// Their sectors when the kernel brings them there.
    Cached,
}

impl WriteOrder {
    /// That of the segments that a run with this record was not known to have on the device.
    pub(crate) fn of(run: &RunRecord) -> Self {
        let is_through = run.clean || run.weakest_durability == Durability::Power;
        if is_through || planted(Mutation::CachedIsThrough) { Self::Through } else { Self::Cached }
    }
}

/// Longest group: the record that makes it long enough is its last.
const GROUP_LEN_MAX: u64 = RUN_LEN_MAX + DATAGRAM_LEN_MAX as u64;

/// How a segment's records end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TailEnd {
    /// Nothing was written behind them.
    Clean,
    /// The last group did not reach the device as a whole, or one before it (by `process`). The last one was
    /// to end at this offset, if its mark did reach the device.
    Torn(Option<u64>),
    /// Bytes that were on the device have changed; the text gives the proof.
    Damage(String),
    /// A good record stands there now: a process is writing the segment.
    Grown,
}

/// Checks segment `number` from `offset` on, where its good records end. `bad` means that something else
/// than nothing lies there.
pub(crate) fn classify<S: Store>(
    store: &S,
    number: u64,
    (offset, bad): (u64, bool),
    order: WriteOrder,
) -> Result<TailEnd, StoreError> {
    let end = classify_once(store, number, (offset, bad), order)?;
    Ok(if end != TailEnd::Clean && has_grown(store, number, offset)? { TailEnd::Grown } else { end })
}

/// Whether a good record stands at `offset` of segment `number` now, where none was when it was read.
pub(crate) fn has_grown<S: Store>(store: &S, number: u64, offset: u64) -> Result<bool, StoreError> {
    Ok(matches!(Walk::new(store, number, offset).step()?, WalkItem::Record(..)))
}

fn classify_once<S: Store>(
    store: &S,
    number: u64,
    (offset, bad): (u64, bool),
    order: WriteOrder,
) -> Result<TailEnd, StoreError> {
    let walk = Walk::new(store, number, offset);
    let last_mark = walk.last_mark()?;
    let before = last_mark.map_or(0, |mark| mark.before);
    let mark = last_mark.filter(|mark| mark.end > offset);
    let marked_end = mark.map(|mark| mark.end);
    let behind = Walk::new(store, number, offset).resync()?;
    if !bad && behind.is_none() && marked_end.is_none() {
        return Ok(TailEnd::Clean);
    }
    if order == WriteOrder::Through && before > offset {
        let what = format!("in a group that was on the device when the next one was written ({before})");
        return Ok(TailEnd::Damage(what));
    }
    let group_end = marked_end.unwrap_or(offset + GROUP_LEN_MAX);
    // A search begins 8 bytes behind the offset that it is passed.
    if order == WriteOrder::Through
        && let Some(later) = Walk::new(store, number, group_end - 8).resync()?
    {
        return Ok(TailEnd::Damage(format!(
            "and good records of a later group behind it from byte {later} on"
        )));
    }
    let whole = match mark.filter(|mark| mark.before <= offset) {
        Some(mark) => !planted(Mutation::BlankIsTorn) && is_whole(store, number, &mark)?,
        None => false,
    };
    if whole || !lacks_sector(store, number, offset, behind, group_end)? {
        return Ok(TailEnd::Damage("in a record all of which was on the device".to_string()));
    }
    Ok(TailEnd::Torn(marked_end))
}

/// Whether no sector of the group with this mark is missing: no sector is blank that was not meant to be.
fn is_whole<S: Store>(store: &S, number: u64, mark: &GroupMark) -> Result<bool, StoreError> {
    let start = mark.before / BLOCK_LEN as u64 * BLOCK_LEN as u64;
    let len = (mark.end - start).next_multiple_of(BLOCK_LEN as u64);
    let mut bytes = vec![0; len as usize];
    let taken = read_segment(store, number, start, &mut bytes)?.unwrap_or(0);
    bytes[taken..].fill(0);
    let group = ((mark.before - start) as usize, (mark.end - start) as usize);
    // Zeros may also have been meant to replace the mark of the group before.
    let is_replaced = |(index, block): (usize, &[u8])| {
        let old = group_mark(block, number).is_some_and(|old| old.end <= mark.before);
        !old || (index + 1) * BLOCK_LEN - GROUP_MARK_LEN >= group.1
    };
    let replaced = bytes.chunks_exact(BLOCK_LEN).enumerate().all(is_replaced);
    Ok(replaced && blank_sectors(&bytes, number, group, mark.before) <= mark.blank)
}

/// Whether a sector of the bad record at `offset` looks as it did before its group was written. `behind` is
/// the next good record; the record's group ends at `group_end` or before.
fn lacks_sector<S: Store>(
    store: &S,
    number: u64,
    offset: u64,
    behind: Option<u64>,
    group_end: u64,
) -> Result<bool, StoreError> {
    let start = offset / BLOCK_LEN as u64 * BLOCK_LEN as u64;
    let len = (group_end - start).next_multiple_of(BLOCK_LEN as u64);
    let mut bytes = vec![0; len as usize];
    let taken = read_segment(store, number, start, &mut bytes)?.unwrap_or(0);
    bytes.truncate(taken);
    let own_len = Header::peek(bytes.get((offset - start) as usize..).unwrap_or_default())
        .map(|header| u64::from(header.length))
        .filter(|len| (HEADER_LEN as u64..=DATAGRAM_LEN_MAX as u64).contains(len));
    let end = own_len.map(|len| offset + len).or(behind).unwrap_or(group_end).min(group_end);
    let (from, until) = ((offset - start) as usize, (end - start) as usize);
    let is_old = |at: usize| {
        // A file that ends inside the record lacks its rest.
        let Some(sector) = bytes.get(at..at + SECTOR_LEN) else { return true };
        let marked = group_mark(sector, number).is_some_and(|mark| mark.end <= offset);
        let written = SECTOR_LEN - if marked { GROUP_MARK_LEN } else { 0 };
        sector[from.saturating_sub(at).min(written)..written].iter().all(|byte| *byte == 0)
    };
    Ok((from / SECTOR_LEN * SECTOR_LEN..until).step_by(SECTOR_LEN).any(is_old))
}
