//! # mend: restores the damaged bytes of a sealed segment
//!
//! Bytes of a sealed segment have changed. Mending restores the original bytes. The good records stay where
//! they are. Frames of the log lay between them, and other journals hold the same frames, byte for byte.
//! They are fetched, and each must follow the record before it by seq and chain. Then the next good record
//! must follow the last of them, and the whole must end where the next segment begins. So no frame is
//! trusted because of its source.
//!
//! ```text
//!  segment  │ header │ good │  hole: bad bytes   │ good │ hole │ end, as index or last group mark say
//!                           └─ frames fetched: [from, next) ─┘ ─▶ written beside, synced, renamed, read back
//! ```
//!
//! Frames that a suffix replacement superseded (S7) are in no other journal in the same form: such a hole
//! is not mended, and that is reported. Index and checkpoint follow from the segments, and are computed
//! anew.

use crate::journal::BLOCK_LEN;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::extents::Extents;
use crate::journal::index::Index;
use crate::journal::packed::{file_of, packed, read_segment};
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, read_whole};
use crate::journal::read::numbers;
use crate::journal::record::Record;
use crate::journal::replay::LogRebuild;
use crate::journal::segment::{GROUP_MARK_LEN, GroupMark, RECORDS_AT, write_group_mark};
use crate::journal::walk::{Walk, read_header};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Chain, FrameView, Seq};

/// Frames that a segment lacks: from this seq on, behind this chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Missing {
    /// The segment's number.
    pub number: u64,
    /// The first seq.
    pub from: Seq,
    /// The chain before it.
    pub chain: Chain,
}

/// A sealed segment that is being mended, in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mend {
    number: u64,
    /// Its bytes up to the end of its records, as far as they could be read.
    bytes: Vec<u8>,
    /// The state that its records determine up to `at`.
    log: LogRebuild<u64>,
    at: usize,
    /// The next good record, if bad bytes lie at `at`.
    hole_end: Option<usize>,
    /// Where the next segment begins.
    after: LogEnd,
}

impl Mend {
    /// Reads what segment `number` still holds. `Err` is the reason why it cannot be mended from frames.
    ///
    /// # Errors
    /// The store's, except for unreadable parts of the segment itself: these count as damaged.
    pub fn begin<S: Store>(store: &S, number: u64) -> Result<Result<Self, String>, StoreError> {
        let header = match read_header(store, number)? {
            Ok(header) => header,
            Err(damage) => return Ok(Err(format!("nothing else says where it began: {damage}"))),
        };
        let Some(later) = numbers(store)?.into_iter().find(|later| *later > number) else {
            return Ok(Err("no later segment says where it ends".to_string()));
        };
        let after = match read_header(store, later)? {
            Ok(later_header) if later == number + 1 => later_header.before(),
            Ok(_) => return Ok(Err(format!("the segment behind it is gone as well (next is {later})"))),
            Err(damage) => return Ok(Err(format!("the one behind it does not say where it ends: {damage}"))),
        };
        let sealed = match read_whole(store, FileName::Index(number)) {
            Ok(bytes) => Index::from_bytes(&bytes, number).ok().map(|index| index.end_offset),
            Err(_) => None,
        };
        let end = match sealed {
            Some(end) => Some(end),
            None => Walk::new(store, number, RECORDS_AT).last_mark()?.map(|mark| mark.end),
        };
        let Some(end) = end.filter(|end| *end >= RECORDS_AT) else {
            return Ok(
                Err("neither its index nor a mark of its last group says how long it was".to_string()),
            );
        };
        let mut mend = Self {
            number,
            bytes: read_what_can_be(store, number, end as usize)?,
            log: LogRebuild::from_end(header.before(), Extents::bounded(1)),
            at: RECORDS_AT as usize,
            hole_end: None,
            after,
        };
        Ok(mend.advance().map(|()| mend))
    }

    /// The segment's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next missing frames; `None` when nothing is missing any more.
    pub fn missing(&self) -> Option<Missing> {
        let LogEnd { next: from, chain, .. } = self.log.end;
        self.hole_end.map(|_| Missing { number: self.number, from, chain })
    }

    /// A frame that was fetched. `Err` is the reason why it cannot belong here.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(hole_end) = self.hole_end else { return Ok(()) };
        let frame = FrameView::from_prefix(bytes).map_err(|reject| format!("no frame: {reject}"))?;
        let end = self.at + frame.bytes.len();
        if end > hole_end {
            return Err(format!(
                "{} bytes are missing at byte {}, and the frame that others have there is longer: what stood here \
                 was superseded",
                hole_end - self.at,
                self.at
            ));
        }
        self.log.on_record(self.at as u64, &Record::Frame(frame)).map_err(|why| {
            format!("what others have does not follow what stands before byte {}: {why}", self.at)
        })?;
        self.bytes[self.at..end].copy_from_slice(frame.bytes);
        self.at = end;
        if self.at < hole_end {
            return Ok(());
        }
        self.hole_end = None;
        self.advance()
    }

    /// Passes the good records up to the next hole, or to the end.
    fn advance(&mut self) -> Result<(), String> {
        while self.at < self.bytes.len() {
            let Ok((record, len)) = Record::parse(&self.bytes[self.at..]) else {
                if self.log.staging.is_some() {
                    let at = self.at;
                    return Err(format!("what stood at byte {at} belongs to an exchange of the log's end"));
                }
                self.hole_end = Some(self.next_good());
                return Ok(());
            };
            self.log.on_record(self.at as u64, &record).map_err(|why| {
                format!("what stands at byte {} does not follow what is before it: {why}", self.at)
            })?;
            self.at += len;
        }
        if self.log.end != self.after {
            return Err(format!(
                "it would end at {:?}, the next one begins behind {:?}",
                self.log.end, self.after
            ));
        }
        Ok(())
    }

    fn next_good(&self) -> usize {
        let is_good = |at: &usize| Record::parse(&self.bytes[*at..]).is_ok();
        (self.at + 8..self.bytes.len()).step_by(8).find(is_good).unwrap_or(self.bytes.len())
    }

    /// Replaces the damaged segment with the mended one, with its index and its checkpoint. `Err` is the
    /// remaining difference afterwards.
    ///
    /// # Errors
    /// The store's: the old bytes are still there then.
    pub fn finish<S: Store>(mut self, store: &mut S) -> Result<Result<(), String>, StoreError> {
        let number = self.number;
        let end = self.bytes.len();
        self.bytes.resize((end + GROUP_MARK_LEN).next_multiple_of(BLOCK_LEN), 0);
        let mark = GroupMark { before: end as u64, end: end as u64, blank: 0 };
        write_group_mark(&mut self.bytes, number, mark);
        match file_of(store, number) {
            file @ FileName::Packed(_) => store.replace(file, &packed(number, &self.bytes))?,
            file => store.replace(file, &self.bytes)?,
        }
        let mut back = vec![0; self.bytes.len()];
        if read_segment(store, number, 0, &mut back)? != Ok(back.len()) || back != self.bytes {
            return Ok(Err("what was written is not what is read back".to_string()));
        }
        let Ok(header) = read_header(store, number)? else { return Ok(Err("its header".to_string())) };
        let index = Index::rebuild(store, number, header.first_seq)?.to_bytes();
        if present(store, FileName::Index(number))?.is_none_or(|bytes| bytes != index) {
            store.replace(FileName::Index(number), &index)?;
        }
        let sealed = present(store, FileName::Checkpoint(number))?;
        if sealed.is_some_and(|bytes| Checkpoint::from_bytes(&bytes).is_err()) {
            let older: Vec<u64> = numbers(store)?.into_iter().filter(|older| *older <= number).collect();
            match Checkpoint::compute_without(store, &older, self.after, number)? {
                Ok(computed) => store.replace(FileName::Checkpoint(number), &computed.to_bytes())?,
                Err(damage) => return Ok(Err(format!("its checkpoint cannot be computed: {damage}"))),
            }
        }
        Ok(Ok(()))
    }
}

/// The first `len` bytes of a segment; zeros where nothing can be read.
fn read_what_can_be<S: Store>(store: &S, number: u64, len: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; len];
    let mut at = 0;
    // As much as possible at once; block by block where a read fails.
    let mut most = len;
    while at < len {
        let until = len.min(at + most);
        let read = match read_segment(store, number, at as u64, &mut bytes[at..until]) {
            Ok(read) => read.unwrap_or(0),
            Err(error) if error.fault == StoreFault::Failed => 0,
            Err(error) => return Err(error),
        };
        at += read;
        if at < until {
            if most == BLOCK_LEN {
                let next = (at + 1).next_multiple_of(BLOCK_LEN).min(len);
                bytes[at..next].fill(0);
                at = next;
            }
            most = BLOCK_LEN;
        }
    }
    Ok(bytes)
}

fn present<S: Store>(store: &S, file: FileName) -> Result<Option<Vec<u8>>, StoreError> {
    match read_whole(store, file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError { fault: StoreFault::Missing, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
