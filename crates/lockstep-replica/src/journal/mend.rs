//! # mend: restores the damaged bytes of a sealed segment
//!
//! Bytes of a sealed segment have changed. Mending restores the original bytes. The good records stay where
//! they are. Frames of the log lay between them, and other journals hold the same frames, byte for byte.
//! They are fetched, and each must follow the record before it by seq and chain. Then the next good record
//! must follow the last of them, and the whole must end where the next segment begins. So no frame is
//! trusted because of its source. Where the header is damaged, `meeting` says where the segment began.
//!
//! ```text
//!  segment  │ header │ good │  hole: bad bytes   │ good │ hole │ end, as index or last group mark say
//!                           └─ frames fetched: [from, next) ─┘ ─▶ written beside, synced, renamed, read back
//! ```
//!
//! Frames that a suffix replacement superseded (S7) are in no other journal in the same form, and no log
//! needs them: a lost part takes their place, as long as they were, so that every other record stays where
//! it is. `plan` decides which records are fetched, which are made anew, and which are lost. The replacement
//! itself is on the device before that. Index and checkpoint follow from the segments, and are computed
//! anew.

mod plan;

use crate::journal::BLOCK_LEN;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::extents::Extents;
use crate::journal::index::Index;
use crate::journal::meeting::{end_before, end_by_frame, end_of_records, header_of};
use crate::journal::packed::{file_of, packed, read_segment};
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, present};
use crate::journal::read::numbers;
use crate::journal::rebuild::LogRebuild;
use crate::journal::record::{Record, write_lost};
use crate::journal::segment::{GROUP_MARK_LEN, GroupMark, RECORDS_AT, SegmentHeader, write_group_mark};
use crate::journal::superblock::Superblock;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Chain, FrameView, Header, Identity, Seq};
use plan::{Hole, Signs, Step};

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
    /// The journal's cluster and owner.
    owner: (u64, Identity),
    /// Its header, where that is damaged, without the history.
    made_header: Option<SegmentHeader>,
    /// Its bytes up to the end of its records, as far as they could be read.
    bytes: Vec<u8>,
    /// What they were before anything was mended.
    signs: Signs,
    /// Where the log ended before it.
    before: LogEnd,
    /// The state that its records determine up to `at`.
    log: LogRebuild<u64>,
    at: usize,
    /// Where the present staging began, if there is one.
    stage_at: usize,
    /// The bad bytes at `at`, if there are some.
    hole: Option<Hole>,
    /// Where the next segment begins.
    after: LogEnd,
    /// The first frame there says so: epoch and time are those of that frame.
    is_by_frame: bool,
    /// Records behind this segment, which are on the device, replaced the log from here on.
    replaced_from: Seq,
    /// Where nothing says whether a damaged part went back in the log: whether it is taken to have done so.
    goes_back: bool,
    /// How often that was done.
    times_back: u32,
}

impl Mend {
    /// Reads what segment `number` still holds. The sealed segments are on the device; so is the one that is
    /// being filled, if a record in it replaced the log from `replaced_from` on. Every other of the `tries`
    /// before this one guessed otherwise. `Err` is the reason why it cannot be mended from frames.
    ///
    /// # Errors
    /// The store's, except for unreadable parts of the segment itself: these count as damaged.
    pub fn begin<S: Store>(
        store: &S,
        number: u64,
        replaced_from: Seq,
        tries: u32,
    ) -> Result<Result<Self, String>, StoreError> {
        let whole_header = header_of(store, number)?;
        let header = match whole_header {
            Some(header) => header,
            None => match end_before(store, number)? {
                Some(before) => made_header(store, number, before)?,
                None => {
                    let what = "neither its header, nor the checkpoint, nor the records of the segment before it say \
                                where it began";
                    return Ok(Err(what.to_string()));
                }
            },
        };
        let (after, is_by_frame) = match end_before(store, number + 1)? {
            Some(after) => (after, false),
            None => match end_by_frame(store, number + 1)? {
                Some(after) => (after, true),
                None => {
                    let what =
                        "neither its checkpoint nor the segment behind it says where the log ended with it";
                    return Ok(Err(what.to_string()));
                }
            },
        };
        let Some(end) = end_of_records(store, number)? else {
            return Ok(
                Err("neither its index nor a mark of its last group says how long it was".to_string()),
            );
        };
        let bytes = read_what_can_be(store, number, end as usize)?;
        let mut mend = Self {
            number,
            owner: (header.cluster, Identity::from_packed(header.identity)),
            made_header: Some(header).filter(|_| whole_header.is_none()),
            signs: Signs::of(&bytes),
            bytes,
            before: header.before(),
            log: LogRebuild::from_end(header.before(), Extents::bounded(1)),
            at: RECORDS_AT as usize,
            stage_at: 0,
            hole: None,
            after,
            is_by_frame,
            replaced_from: replaced_from.min(replaced_behind(store, number, after.next)?),
            goes_back: tries % 2 == 1,
            times_back: 0,
        };
        Ok(mend.advance().map(|()| mend))
    }

    /// The segment's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next missing frames; `None` when nothing is missing any more.
    pub fn missing(&self) -> Option<Missing> {
        let LogEnd { next: from, chain, .. } = self.end();
        self.hole.as_ref().map(|_| Missing { number: self.number, from, chain })
    }

    /// Where the next frame belongs.
    fn end(&self) -> LogEnd {
        self.log.staging.map_or(self.log.end, |staging| staging.end)
    }

    /// A frame that was fetched. `Err` is the reason why it cannot belong here.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(hole) = self.hole.take() else { return Ok(()) };
        self.put(&hole, bytes)?;
        self.hole = Some(hole);
        self.advance()
    }

    /// The next frame of a hole.
    fn put(&mut self, hole: &Hole, bytes: &[u8]) -> Result<(), String> {
        let frame = FrameView::from_prefix(bytes).map_err(|reject| format!("no frame: {reject}"))?;
        let (room, len) = (hole.room(self.at), frame.bytes.len());
        if len > room {
            return Err(format!(
                "{room} bytes are missing at byte {}, and the frame that others have there is longer",
                self.at
            ));
        }
        self.log.on_record(self.at as u64, &Record::Frame(frame)).map_err(|why| {
            format!("what others have does not follow what stands before byte {}: {why}", self.at)
        })?;
        self.bytes[self.at..self.at + len].copy_from_slice(frame.bytes);
        self.at += len;
        Ok(())
    }

    /// Passes the good records and what can be made, up to the next frames that are missing, or to the end.
    fn advance(&mut self) -> Result<(), String> {
        loop {
            if let Some(hole) = self.hole.take() {
                self.hole = self.fill(hole)?;
                if self.hole.is_some() {
                    return Ok(());
                }
            }
            if self.at == self.bytes.len() {
                break;
            }
            let Ok((record, len)) = Record::parse(&self.bytes[self.at..]) else {
                self.hole = Some(self.plan()?);
                continue;
            };
            self.log.on_record(self.at as u64, &record).map_err(|why| {
                format!("what stands at byte {} does not follow what is before it: {why}", self.at)
            })?;
            if let Record::Stage { .. } = record {
                self.stage_at = self.at;
            }
            self.at += len;
        }
        let after = if self.is_by_frame {
            LogEnd { next: self.after.next, chain: self.after.chain, ..self.log.end }
        } else {
            self.after
        };
        if self.log.end != after {
            return Err(format!(
                "it would end at {:?}, the next one begins behind {:?}",
                self.log.end, self.after
            ));
        }
        self.judge()
    }

    /// Whether the log's frames follow each other, up to where something behind this segment replaced them.
    fn judge(&self) -> Result<(), String> {
        let mut log = LogRebuild::from_end(self.before, Extents::unbounded());
        let records = |visit: &mut dyn FnMut(u64, &Record<'_>) -> Result<(), String>| {
            let mut at = RECORDS_AT as usize;
            while at < self.bytes.len() {
                let (record, len) = Record::parse(&self.bytes[at..]).map_err(|reject| reject.to_string())?;
                visit(at as u64, &record)?;
                at += len;
            }
            Ok::<(), String>(())
        };
        records(&mut |at, record| log.on_record(at, record).map(drop).map_err(|why| why.to_string()))?;
        let mut end: Option<LogEnd> = None;
        records(&mut |at, record| {
            let Record::Frame(frame) = record else { return Ok(()) };
            let header = frame.header;
            if !log.runs.hold(at, header.first_seq) {
                return Ok(());
            }
            let next = end.map_or(header.first_seq, |end| end.next);
            if next == header.first_seq && end.is_none_or(|end| end.chain == header.chain) {
                let behind = LogEnd { next: header.next_seq(), chain: frame.chain_after(), ..self.after };
                end = Some(behind);
                return Ok(());
            }
            Err(format!("the frame at byte {at} does not follow seq {next}"))
                .or_else(|why| if next >= self.replaced_from { Ok(()) } else { Err(why) })
        })?;
        let next = end.map_or(self.after.next, |end| end.next);
        if next < self.after.next.min(self.replaced_from) {
            Err(format!("nothing that is left has seq {next}"))
        } else {
            Ok(())
        }
    }

    /// Takes the next steps of a hole; returns it where frames are missing first.
    fn fill(&mut self, mut hole: Hole) -> Result<Option<Hole>, String> {
        while let Some(step) = hole.steps.first().copied() {
            if let Step::Frames { upto } = step
                && self.end().next < upto
                && hole.room(self.at) > 0
            {
                let LogEnd { next, chain, .. } = self.end();
                let Some(frame) = hole.good.remove(&(next, chain)) else { return Ok(Some(hole)) };
                self.put(&hole, &frame)?;
                continue;
            }
            hole.steps.remove(0);
            self.make(step, hole.end)?;
        }
        let LogEnd { next, .. } = self.end();
        self.lose(next, self.end(), hole.end)?;
        Ok(None)
    }

    /// The bytes up to `until` are a lost part, from seq `from` to `end`.
    fn lose(&mut self, from: Seq, end: LogEnd, until: usize) -> Result<(), String> {
        let (at, owner) = (self.at, self.owner);
        write_lost(&mut self.bytes[at..until], owner, from, &end);
        while self.at < until {
            self.pass()?;
        }
        Ok(())
    }

    /// Passes a record that was made at this place.
    fn pass(&mut self) -> Result<(), String> {
        let (record, len) = Record::parse(&self.bytes[self.at..]).map_err(|reject| reject.to_string())?;
        let passed = self.log.on_record(self.at as u64, &record);
        passed.map_err(|why| format!("what is made for byte {} does not follow: {why}", self.at))?;
        self.at += len;
        Ok(())
    }

    /// Its index.
    fn index(&self) -> Index {
        let mut index = Index::new(self.number, self.before.next);
        let mut at = RECORDS_AT as usize;
        while let Some(Ok((record, len))) = self.bytes.get(at..).map(Record::parse) {
            index.on_record(at as u64, &record, len);
            at += len;
        }
        index
    }

    /// Replaces the damaged segment with the mended one, with its index and its checkpoint. `Err` is the
    /// remaining difference afterwards.
    ///
    /// # Errors
    /// The store's: the old bytes are still there then.
    pub fn finish<S: Store>(mut self, store: &mut S) -> Result<Result<(), String>, StoreError> {
        let number = self.number;
        let end = self.bytes.len();
        if let Some(header) = &mut self.made_header {
            let (block, records) = self.bytes.split_at_mut(RECORDS_AT as usize);
            header.history = Header::peek(records).map_or(0, |header| header.history);
            block.copy_from_slice(&header.to_block());
        }
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
        // The old index leads to no wrong frame of the new segment, but not to each. The scrub sees it,
        // should nothing come after this.
        let index = self.index().to_bytes();
        if present(store, FileName::Index(number))?.is_none_or(|bytes| bytes != index) {
            store.replace(FileName::Index(number), &index)?;
        }
        let sealed = present(store, FileName::Checkpoint(number))?;
        if sealed.is_some_and(|bytes| Checkpoint::from_bytes(&bytes).is_err()) {
            let older: Vec<u64> = numbers(store)?.into_iter().filter(|older| *older <= number).collect();
            match Checkpoint::compute_without(store, &older, self.log.end, number)? {
                Ok(computed) => store.replace(FileName::Checkpoint(number), &computed.to_bytes())?,
                Err(damage) => return Ok(Err(format!("its checkpoint cannot be computed: {damage}"))),
            }
        }
        Ok(Ok(()))
    }
}

/// A header for segment `number`, which began at `before`: the owner is that of a segment beside it, or of
/// the journal. The ring from which it was copied is not known, and nobody looks for a sealed segment there.
fn made_header<S: Store>(store: &S, number: u64, before: LogEnd) -> Result<SegmentHeader, StoreError> {
    let beside = match header_of(store, number + 1)? {
        Some(header) => Some(header),
        None => header_of(store, number.saturating_sub(1))?,
    };
    let owner = match beside {
        Some(header) => Some((header.cluster, Identity::from_packed(header.identity))),
        None => Superblock::load(store)?.ok().map(|copies| (copies.newest.cluster, copies.newest.identity)),
    };
    let (cluster, identity) = owner.unwrap_or((0, Identity::from_packed(0)));
    Ok(SegmentHeader::of_no_ring(number, cluster, identity, &before))
}

/// The lowest seq from which a sealed segment behind `number`, whose log ends before `next`, replaced the
/// log. Behind a commit of all that log nothing does.
fn replaced_behind<S: Store>(store: &S, number: u64, next: Seq) -> Result<Seq, StoreError> {
    let numbers = numbers(store)?;
    let mut lowest = Seq::MAX;
    // The newest one is being filled.
    for &later in numbers.iter().take(numbers.len() - 1).filter(|later| **later > number) {
        lowest = lowest.min(Index::load(store, later, 0)?.switched_from());
        let checkpoint = present(store, FileName::Checkpoint(later))?;
        let checkpoint = checkpoint.and_then(|bytes| Checkpoint::from_bytes(&bytes).ok());
        if checkpoint.is_some_and(|checkpoint| checkpoint.commit_next >= next) {
            break;
        }
    }
    Ok(lowest)
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
