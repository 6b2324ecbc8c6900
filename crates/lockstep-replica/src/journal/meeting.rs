//! # meeting: where the log ends between two segments
//!
//! Three places say where a segment began: its header, the checkpoint of the segment before it, and the
//! records of that one. Each has a checksum, so the first of them that is whole is believed. Where none is
//! whole nothing is guessed.
//!
//! ```text
//!  segment 6: header │ records ─▶ end │ 6.ckpt: end │ segment 7: header: before │ frame: seq, chain
//!                                 └───────── the same end of the log ─────────┘
//! ```
//!
//! The first frame of the later segment has the seq and the chain, which no other log has, but neither the
//! epoch nor the time of the end. That suffices to judge records that were mended, and not for a header.

use crate::journal::checkpoint::Checkpoint;
use crate::journal::gone::{end_of, is_unreadable};
use crate::journal::index::Index;
use crate::journal::packed::{file_of, packed_len};
use crate::journal::ports::{FileName, Store, StoreError, present};
use crate::journal::record::Record;
use crate::journal::segment::{RECORDS_AT, SegmentHeader, group_mark};
use crate::journal::walk::{Walk, WalkItem, read_header};
use crate::journal::{BLOCK_LEN, packed::read_segment};
use lockstep_core::proto::log::LogEnd;

/// The header of segment `number`, if that is there and whole.
///
/// # Errors
/// The store's.
pub(crate) fn header_of<S: Store>(store: &S, number: u64) -> Result<Option<SegmentHeader>, StoreError> {
    Ok(readable(read_header(store, number))?.and_then(Result::ok))
}

/// The end of the log with which segment `number` began, by its header, by the checkpoint of the segment
/// before it, or by the records of that one. `None` where nothing that is whole says it.
///
/// # Errors
/// The store's.
pub(crate) fn end_before<S: Store>(store: &S, number: u64) -> Result<Option<LogEnd>, StoreError> {
    let mut first = number;
    let mut end = loop {
        if let Some(header) = header_of(store, first)? {
            break header.before();
        }
        match readable(present(store, FileName::Checkpoint(first.saturating_sub(1))))?.flatten() {
            Some(bytes) => {
                if let Ok(checkpoint) = Checkpoint::from_bytes(&bytes) {
                    break checkpoint.end;
                }
            }
            // All logs begin there, unless one begins behind a checkpoint.
            None if first <= 1 => break LogEnd::BLANK,
            None => {}
        }
        if first <= 1 {
            return Ok(None);
        }
        first -= 1;
    };
    for earlier in first..number {
        match end_of_whole(store, earlier, end)? {
            Some(behind) => end = behind,
            None => return Ok(None),
        }
    }
    Ok(Some(end))
}

/// The same by the first frame of segment `number`: the seq and the chain are those of the end; epoch and
/// time are those of the frame.
///
/// # Errors
/// The store's.
pub(crate) fn end_by_frame<S: Store>(store: &S, number: u64) -> Result<Option<LogEnd>, StoreError> {
    let mut walk = Walk::new(store, number, RECORDS_AT);
    Ok(match readable(walk.step())? {
        Some(WalkItem::Record(_, Record::Frame(frame), _)) => {
            let header = frame.header;
            let (next, chain, timestamp) = (header.first_seq, header.chain, header.timestamp);
            Some(LogEnd { next, epoch: header.epoch(), chain, timestamp })
        }
        _ => None,
    })
}

/// The offset at which the records of a sealed segment end, by its index or by the mark of its last group.
///
/// # Errors
/// The store's.
pub(crate) fn end_of_records<S: Store>(store: &S, number: u64) -> Result<Option<u64>, StoreError> {
    let index = readable(present(store, FileName::Index(number)))?.flatten();
    let sealed = index.and_then(|bytes| Index::from_bytes(&bytes, number).ok());
    let end = match sealed {
        Some(index) => Some(index.end_offset),
        None => match mark_at_end(store, number)? {
            Some(end) => Some(end),
            None => Walk::new(store, number, RECORDS_AT).last_mark()?.map(|mark| mark.end),
        },
    };
    Ok(end.filter(|end| *end >= RECORDS_AT))
}

/// The end by the mark in the last block of the file, where a sealed segment has it. What lies before may
/// be unreadable.
fn mark_at_end<S: Store>(store: &S, number: u64) -> Result<Option<u64>, StoreError> {
    let len = match file_of(store, number) {
        FileName::Packed(_) => readable(packed_len(store, number))?.flatten(),
        file => readable(store.len(file))?,
    };
    let Some(at) = len.and_then(|len| len.checked_sub(BLOCK_LEN as u64)) else { return Ok(None) };
    let mut block = vec![0; BLOCK_LEN];
    let read = readable(read_segment(store, number, at, &mut block))?;
    let is_whole = matches!(read, Some(Ok(BLOCK_LEN)));
    Ok(group_mark(&block, number).filter(|_| is_whole).map(|mark| mark.end))
}

/// Where the log ends behind segment `number`, which began at `before`, if all its records are whole.
fn end_of_whole<S: Store>(store: &S, number: u64, before: LogEnd) -> Result<Option<LogEnd>, StoreError> {
    let Some(sealed_at) = readable(end_of_records(store, number))?.flatten() else { return Ok(None) };
    let end = readable(end_of(store, number, before))?;
    Ok(end.filter(|end| !end.is_bad && end.offset == sealed_at).map(|end| end.log))
}

/// What cannot be read, or is not there, says nothing: that is its own damage.
fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_unreadable(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
