//! Reads a segment from front to back, record by record, through a buffer.

use crate::journal::BLOCK_LEN;
use crate::journal::damage::Damage;
use crate::journal::packed::{SegmentReader, read_segment};
use crate::journal::ports::{FileName, Store, StoreError};
use crate::journal::record::Record;
use crate::journal::segment::{GROUP_MARK_LEN, GroupMark, RECORDS_AT, SegmentHeader, group_mark};
use lockstep_wire::{DATAGRAM_LEN_MAX, FrameView, HEADER_LEN, Header, MAGIC, Reject};

/// Bytes that are read at once.
const CHUNK_LEN: usize = 256 << 10;

/// The header of segment `number`.
pub fn read_header<S: Store>(store: &S, number: u64) -> Result<Result<SegmentHeader, Damage>, StoreError> {
    let mut block = vec![0; BLOCK_LEN];
    Ok(match read_segment(store, number, 0, &mut block)? {
        Ok(taken) => SegmentHeader::from_block(&block[..taken], number),
        Err(damage) => Err(damage),
    })
}

/// The content at a place of a segment.
#[derive(Debug)]
pub enum WalkItem<'a> {
    /// A good record, and its bytes.
    Record(u64, Record<'a>, &'a [u8]),
    /// Nothing: zeros, a group's mark, or the file's end.
    End(u64),
    /// Something else.
    Bad(u64, Reject),
}

/// A reader of one segment.
pub struct Walk<'s, S> {
    store: &'s S,
    number: u64,
    reader: SegmentReader,
    chunk: Vec<u8>,
    /// So many of its bytes are read; those behind are of an earlier read.
    chunk_len: usize,
    chunk_at: u64,
    at: u64,
    /// Nothing can be read from here on: a packed segment is damaged there.
    damaged_at: Option<u64>,
}

impl<'s, S: Store> Walk<'s, S> {
    /// Reads segment `number` from `offset` on, which is the start of a record.
    pub fn new(store: &'s S, number: u64, offset: u64) -> Self {
        Self {
            store,
            number,
            reader: SegmentReader::default(),
            chunk: Vec::new(),
            chunk_len: 0,
            chunk_at: 0,
            at: offset.max(RECORDS_AT),
            damaged_at: None,
        }
    }

    /// Where the next record should start.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Makes the bytes from `at` on available, at least a largest record's if the file has them.
    fn fill(&mut self) -> Result<usize, StoreError> {
        let inside = self.at >= self.chunk_at;
        let have = if inside { (self.chunk_at + self.chunk_len as u64).saturating_sub(self.at) } else { 0 };
        if have < DATAGRAM_LEN_MAX as u64 {
            // Reads start at a block too: a file may be open with O_DIRECT.
            let start = self.at / BLOCK_LEN as u64 * BLOCK_LEN as u64;
            let wanted = chunk_len(self.store, self.number, start);
            if self.chunk.len() < wanted {
                self.chunk.resize(wanted, 0);
            }
            let read = self.reader.read(self.store, self.number, start, &mut self.chunk)?;
            let taken = *read.as_ref().unwrap_or(&0);
            self.chunk_len = taken;
            self.chunk_at = start;
            self.damaged_at = self.peek_next(start + taken as u64, read.is_err())?;
        }
        Ok((self.at - self.chunk_at) as usize)
    }

    /// Whether the buffer ends at `end` because something behind it is damaged, and not because the segment
    /// ends.
    fn peek_next(&self, end: u64, damaged: bool) -> Result<Option<u64>, StoreError> {
        let is_damaged = damaged
            || self.chunk_len < CHUNK_LEN && read_segment(self.store, self.number, end, &mut [0])?.is_err();
        Ok(is_damaged.then_some(end))
    }

    /// The record here; moves behind it. Does not move at the end and at something bad.
    pub fn step(&mut self) -> Result<WalkItem<'_>, StoreError> {
        let start = self.fill()?;
        let here = self.at;
        let bytes = self.chunk[..self.chunk_len].get(start..).unwrap_or_default();
        match Record::parse(bytes) {
            Err(_) if self.damaged_at.is_some() => Ok(WalkItem::Bad(here, Reject::Checksum)),
            Ok((record, len)) => {
                self.at += len as u64;
                Ok(WalkItem::Record(here, record, &bytes[..len]))
            }
            Err(_) if is_blank(bytes, here, self.number) => Ok(WalkItem::End(here)),
            Err(reject) => Ok(WalkItem::Bad(here, reject)),
        }
    }

    /// The frame with this header, which the last step went behind.
    pub fn passed(&self, header: &Header) -> Option<FrameView<'_>> {
        let start = self.at.checked_sub(u64::from(header.length))?.checked_sub(self.chunk_at)?;
        FrameView::parse(self.chunk[..self.chunk_len].get(start as usize..)?).ok()
    }

    /// Moves to the next good record behind something bad; `None` if there is none.
    pub fn resync(&mut self) -> Result<Option<u64>, StoreError> {
        self.at += 8;
        loop {
            let start = self.fill()?;
            let bytes = self.chunk[..self.chunk_len].get(start..).unwrap_or_default();
            // A record that might reach beyond the buffer is searched after the next read; after the last
            // read every place with room for a header is one.
            let more = bytes.len().checked_sub(DATAGRAM_LEN_MAX).filter(|more| *more > 0);
            let places = more.unwrap_or_else(|| bytes.len().saturating_sub(HEADER_LEN - 1));
            let is_good = |at: &usize| {
                bytes[*at..*at + 4] == MAGIC.to_le_bytes() && Record::parse(&bytes[*at..]).is_ok()
            };
            if let Some(skip) = (0..places).step_by(8).find(is_good) {
                self.at += skip as u64;
                return Ok(Some(self.at));
            }
            if more.is_none() {
                return Ok(None);
            }
            self.at += places.next_multiple_of(8) as u64;
        }
    }

    /// The mark at or behind the present place of the group that ends last.
    pub fn last_mark(&self) -> Result<Option<GroupMark>, StoreError> {
        let mut best: Option<GroupMark> = None;
        let mut at = self.at / BLOCK_LEN as u64 * BLOCK_LEN as u64;
        let (mut reader, mut chunk) =
            (SegmentReader::default(), vec![0; chunk_len(self.store, self.number, at)]);
        loop {
            let Ok(taken) = reader.read(self.store, self.number, at, &mut chunk)? else {
                return Ok(best);
            };
            let marks = chunk[..taken].chunks_exact(BLOCK_LEN).filter_map(|b| group_mark(b, self.number));
            best = best.into_iter().chain(marks).max_by_key(|mark| mark.end);
            if taken < CHUNK_LEN {
                return Ok(best);
            }
            at += taken as u64;
        }
    }
}

/// The bytes that a buffer needs for one read of segment `number` from `start` on. A short file needs few,
/// and zeroing the others costs more than reading it.
fn chunk_len<S: Store>(store: &S, number: u64, start: u64) -> usize {
    // The length of a packed segment is another one than that of its file.
    let len = store.len(FileName::Segment(number)).map_or(u64::MAX, |len| len.saturating_sub(start));
    (len.min(CHUNK_LEN as u64) as usize).next_multiple_of(BLOCK_LEN)
}

/// Whether nothing was written from here to the end of the block: zeros and perhaps a group's mark. The
/// next block must begin with zeros as well.
fn is_blank(bytes: &[u8], at: u64, number: u64) -> bool {
    let in_block = (at % BLOCK_LEN as u64) as usize;
    let zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let left = BLOCK_LEN - in_block;
    if in_block == 0 {
        // A group that ended close to its block's end has its mark in a block of its own.
        let block = &bytes[..bytes.len().min(BLOCK_LEN)];
        let marked = block.len() == BLOCK_LEN && group_mark(block, number).is_some();
        return zeros(if marked { &block[..BLOCK_LEN - GROUP_MARK_LEN] } else { block });
    }
    let (here, next) = bytes.split_at(left.min(bytes.len()));
    let next = &next[..next.len().min(BLOCK_LEN)];
    let marked = |block: &[u8]| {
        block.len() >= GROUP_MARK_LEN && group_mark(block, number).is_some_and(|mark| mark.end == at)
    };
    if marked(here) {
        return zeros(&here[..here.len() - GROUP_MARK_LEN]);
    }
    zeros(here) && (zeros(next) || (marked(next) && zeros(&next[..next.len() - GROUP_MARK_LEN])))
}
