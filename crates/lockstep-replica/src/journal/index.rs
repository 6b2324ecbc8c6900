//! The index of a sealed segment: the offsets of some of its frames, the breaks of the log, what processes
//! say in it that they need, and where trading days begin. Derived data: rebuilt from the segment if missing
//! or damaged.

use crate::journal::damage::Damage;
use crate::journal::extents::Extents;
use crate::journal::layout::{FORMAT_VERSION, checksum_but_12};
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, read_whole};
use crate::journal::record::Record;
use crate::journal::segment::RECORDS_AT;
use crate::journal::walk::{Walk, WalkItem};
use bytemuck::{Pod, Zeroable};
use lockstep_wire::{DayMark, Entry, EntryKind, JOURNALS, Nanos, Need, OrderView, PublisherId, Seq};

const INDEX_MAGIC: u64 = u64::from_le_bytes(*b"LKSINDX\0");
/// Bytes of a segment for one row: a reader walks at most this far to find a seq.
const STRIDE: u64 = 64 << 10;

/// A place in the segments: (number, offset).
pub type FramePosition = (u64, u64);

/// The content of a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u64)]
enum RowKind {
    /// A frame with first seq `seq` is at `offset`.
    Frame = 0,
    /// A staging begins at `offset`; the log ended at `seq`.
    Stage = 1,
    /// The staging was given up.
    Abandon = 2,
    /// The frames from `offset` on replace the log from `seq` on.
    Switch = 3,
    /// The publisher in the upper half needs the log from `seq` on, by an entry of the frame at `offset`.
    /// These rows stand behind all others.
    Need = 4,
    /// A trading day begins at `seq`, in a frame at `offset`. These rows stand behind all others too.
    Day = 5,
    /// The stream's time goes back at `seq`, in a frame at `offset`. So do these.
    SetBack = 6,
}

/// The bits of a row's kind below a publisher.
const KIND_BITS: u32 = 32;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
struct Row {
    kind: u64,
    seq: Seq,
    offset: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
struct Head {
    magic: u64,
    version: u32,
    checksum: u32,
    number: u64,
    end_offset: u64,
    timestamp: Nanos,
    rows: u64,
}

/// The index of one segment, finished or growing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Index {
    number: u64,
    rows: Vec<Row>,
    /// What publishers need, in the order of the records.
    needs: Vec<Row>,
    /// Where trading days begin, and where the stream's time goes back, in the order of the records.
    marks: Vec<Row>,
    /// Where the records end.
    pub end_offset: u64,
    /// The newest timestamp of its frames; 0 without frames.
    pub timestamp: Nanos,
    /// The offset of the last frame row.
    last_row: Option<u64>,
    /// The first offset of the staged frames, while there is a staging.
    staged: Option<Option<u64>>,
    next_seq: Seq,
}

/// The row of an entry in which a publisher asks for the log from a seq on.
fn need_row(entry: &Entry<'_>, offset: u64) -> Option<Row> {
    if entry.header.destination != JOURNALS || entry.kind() != EntryKind::Message {
        return None;
    }
    let Need { from } = Need::parse(entry.payload)?;
    let publisher = u64::from(entry.header.publisher);
    Some(Row { kind: publisher << KIND_BITS | RowKind::Need as u64, seq: from, offset })
}

/// The row of an entry at `seq` that begins a trading day, or sets the stream's time back.
fn mark_row(entry: &Entry<'_>, seq: Seq, offset: u64) -> Option<Row> {
    let kind = match entry.kind() {
        EntryKind::Day if DayMark::parse(entry.payload).is_ok_and(|mark| mark.is_start) => RowKind::Day,
        EntryKind::Order if OrderView::parse(entry.payload).ok()?.time_before().is_some() => RowKind::SetBack,
        _ => return None,
    };
    Some(Row { kind: kind as u64, seq, offset })
}

impl Index {
    /// The index of segment `number` before its first record; the log's next seq is `first_seq`.
    pub fn new(number: u64, first_seq: Seq) -> Self {
        Self {
            number,
            rows: Vec::new(),
            needs: Vec::new(),
            marks: Vec::new(),
            end_offset: RECORDS_AT,
            timestamp: 0,
            last_row: None,
            staged: None,
            next_seq: first_seq,
        }
    }

    /// Records the record at `offset`, which has `len` bytes.
    pub fn on_record(&mut self, offset: u64, record: &Record<'_>, len: usize) {
        let mut row = |kind: RowKind, seq, offset| self.rows.push(Row { kind: kind as u64, seq, offset });
        match record {
            Record::Frame(frame) => {
                let seq = frame.header.first_seq;
                for (seq, entry) in (seq..).zip(frame.entries()) {
                    self.needs.extend(need_row(&entry, offset));
                    self.marks.extend(mark_row(&entry, seq, offset));
                }
                self.timestamp = self.timestamp.max(frame.header.timestamp);
                match &mut self.staged {
                    Some(first) => {
                        first.get_or_insert(offset);
                    }
                    None => {
                        // Behind a staging the log begins a new run: it needs a row.
                        if self.last_row.is_none_or(|last| offset - last >= STRIDE) {
                            row(RowKind::Frame, seq, offset);
                            self.last_row = Some(offset);
                        }
                        self.next_seq = frame.header.next_seq();
                    }
                }
            }
            Record::Stage { .. } => {
                row(RowKind::Stage, self.next_seq, offset);
                self.staged = Some(None);
                self.last_row = None;
            }
            Record::Abandon => {
                row(RowKind::Abandon, self.next_seq, offset);
                if let Some(Some(first)) = self.staged.take() {
                    self.marks.retain(|mark| mark.offset < first);
                }
            }
            Record::Switch { from, end } => {
                if let Some(Some(first)) = self.staged.take() {
                    row(RowKind::Switch, *from, first);
                    self.marks.retain(|mark| mark.seq < *from || mark.offset >= first);
                }
                self.next_seq = end.next;
            }
            // Among staged frames it is passed as they are.
            Record::Lost { from, end } if self.staged.is_none() => {
                row(RowKind::Switch, *from, offset);
                row(RowKind::Stage, *from, offset);
                self.marks.retain(|mark| mark.seq < *from);
                (self.last_row, self.next_seq) = (None, end.next);
            }
            Record::Lost { .. } => {}
        }
        self.end_offset = offset + len as u64;
    }

    /// The log's next seq behind the records applied.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// The publishers that say in this segment what they need, and what: the last word of each counts.
    pub fn needs(&self) -> impl Iterator<Item = (PublisherId, Seq)> {
        self.needs.iter().map(|row| ((row.kind >> KIND_BITS) as PublisherId, row.seq))
    }

    /// Where trading days begin in this segment's part of the log.
    pub fn days(&self) -> impl Iterator<Item = Seq> {
        self.marks.iter().filter(|row| row.kind == RowKind::Day as u64).map(|row| row.seq)
    }

    /// The last seq of this segment's part of the log at which the stream's time goes back.
    pub fn set_back_at(&self) -> Option<Seq> {
        let marks = self.marks.iter().filter(|row| row.kind == RowKind::SetBack as u64);
        marks.map(|row| row.seq).max()
    }

    /// The lowest seq from which a record of this segment replaces the log's suffix; [`Seq::MAX`] if none
    /// does.
    pub fn switched_from(&self) -> Seq {
        let switches = self.rows.iter().filter(|row| row.kind == RowKind::Switch as u64);
        switches.map(|row| row.seq).min().unwrap_or(Seq::MAX)
    }

    /// Replays the breaks of this segment's log into `runs`.
    pub fn replay(&self, runs: &mut Extents<FramePosition>) {
        for row in &self.rows {
            let at = (self.number, row.offset);
            match row.kind {
                kind if kind == RowKind::Frame as u64 => runs.grow(at, row.seq),
                kind if kind == RowKind::Stage as u64 => runs.close(at, row.seq),
                kind if kind == RowKind::Switch as u64 => runs.replace(row.seq, at),
                _ => {}
            }
        }
    }

    /// The last known place of a frame at or before `seq` among the records in `from..limit`, which are
    /// one run of the log.
    pub fn hint(&self, seq: Seq, from: u64, limit: u64) -> u64 {
        let frame = RowKind::Frame as u64;
        let inside = |row: &&Row| row.kind == frame && (from..limit).contains(&row.offset) && row.seq <= seq;
        self.rows.iter().filter(inside).map(|row| row.offset).max().unwrap_or(from)
    }

    /// The farthest row behind `from` and before `limit`, with a seq of at most `bound`, up to which there
    /// are frames of the log and nothing else: (seq, offset). `from` and `limit` are inside one run.
    pub fn last_row(&self, from: u64, limit: u64, bound: Seq) -> Option<(Seq, u64)> {
        let is = |row: &Row, kind: RowKind| row.kind == kind as u64;
        // Frames that were staged have no rows, and the record that made them the log lies behind them.
        let pairs = self.rows.iter().zip(self.rows.iter().skip(1).map(Some).chain([None]));
        let mut staged = pairs.filter(|(row, _)| is(row, RowKind::Switch) && row.offset <= from);
        if staged.any(|(_, next)| next.is_none_or(|next| from < next.offset)) {
            return None;
        }
        let ahead = |row: &&Row| {
            is(row, RowKind::Frame) && row.offset > from && row.offset < limit && row.seq <= bound
        };
        self.rows.iter().filter(ahead).map(|row| (row.seq, row.offset)).max_by_key(|(_, offset)| *offset)
    }

    /// Its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = Head {
            magic: INDEX_MAGIC,
            version: FORMAT_VERSION,
            checksum: 0,
            number: self.number,
            end_offset: self.end_offset,
            timestamp: self.timestamp,
            rows: (self.rows.len() + self.needs.len() + self.marks.len()) as u64,
        };
        let mut bytes = bytemuck::bytes_of(&head).to_vec();
        bytes.extend_from_slice(bytemuck::cast_slice(&self.rows));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.needs));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.marks));
        let checksum = checksum_but_12(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The index in `bytes`, for readers: it no longer grows.
    pub fn from_bytes(bytes: &[u8], number: u64) -> Result<Self, Damage> {
        let damage = |what: &str| Damage::new(FileName::Index(number), 0, 0, what);
        let head = bytes.get(..size_of::<Head>()).ok_or_else(|| damage("too short"))?;
        let head: Head = bytemuck::pod_read_unaligned(head);
        if head.magic != INDEX_MAGIC || head.version != FORMAT_VERSION || head.number != number {
            return Err(damage("no index of this segment and format"));
        }
        if head.checksum != checksum_but_12(bytes) {
            return Err(damage("checksum"));
        }
        let rows = &bytes[size_of::<Head>()..];
        if rows.len() as u64 != head.rows.saturating_mul(size_of::<Row>() as u64) {
            return Err(damage("count of rows"));
        }
        let rows = rows.chunks_exact(size_of::<Row>()).map(bytemuck::pod_read_unaligned);
        let (needs, rows): (Vec<_>, Vec<_>) =
            rows.partition(|row: &Row| row.kind as u32 == RowKind::Need as u32);
        let is_mark = |row: &Row| [RowKind::Day as u64, RowKind::SetBack as u64].contains(&row.kind);
        let (marks, rows) = rows.into_iter().partition(is_mark);
        Ok(Self {
            rows,
            needs,
            marks,
            end_offset: head.end_offset,
            timestamp: head.timestamp,
            ..Self::new(number, 0)
        })
    }

    /// The index of segment `number`: from its file, or computed from the segment up to its end or its
    /// first damage.
    pub fn load<S: Store>(store: &S, number: u64, first_seq: Seq) -> Result<Self, StoreError> {
        match read_whole(store, FileName::Index(number)) {
            Ok(bytes) => {
                if let Ok(index) = Self::from_bytes(&bytes, number) {
                    return Ok(index);
                }
            }
            Err(StoreError { fault: StoreFault::Missing, .. }) => {}
            Err(error) => return Err(error),
        }
        Self::rebuild(store, number, first_seq)
    }

    /// The index as computed from the segment.
    pub fn rebuild<S: Store>(store: &S, number: u64, first_seq: Seq) -> Result<Self, StoreError> {
        let mut index = Self::new(number, first_seq);
        let mut walk = Walk::new(store, number, RECORDS_AT);
        while let WalkItem::Record(offset, record, bytes) = walk.step()? {
            index.on_record(offset, &record, bytes.len());
        }
        Ok(index)
    }
}
