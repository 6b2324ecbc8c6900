//! # checkpoint: the tables that a log has determined, without the log
//!
//! A checkpoint holds the state that is needed to continue behind a segment without reading everything
//! before it: publishers, members, epochs, and the log's end (S8: all a function of the whole log,
//! committed or not). The side thread computes it from the previous checkpoint and the segment's frames, so
//! that 100,000 publishers cost the hot thread nothing. It is derived data with no `Seq` of its own: a
//! missing or damaged checkpoint is computed again.

use crate::journal::damage::Damage;
use crate::journal::layout::{FORMAT_VERSION, checksum_but_12};
use crate::journal::ports::{FileName, Store, StoreError, read_whole};
use crate::journal::read::LogReader;
use bytemuck::{Pod, Zeroable};
use lockstep_core::proto::lineage::goes_on;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::membership::{Membership, change_in};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{
    EntryKind, Epoch, EpochBase, EpochStartView, FrameView, MEMBERS_MAX, MemberBody, NAME_LEN_MAX, OpenView,
    OrderView, PublisherId, PublisherSeq, Seq, VERSION, VERSION_MIN, parse_genesis,
};
use std::collections::BTreeMap;
use std::fmt;

/// The log's state of one publisher.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PublisherRow {
    /// The name bound to the id.
    pub name: String,
    /// Its current incarnation.
    pub incarnation: u32,
    /// The nonce of that incarnation.
    pub nonce: [u64; 2],
    /// The number of its last message; 0 before the first.
    pub last: PublisherSeq,
    /// Whether it was closed.
    pub closed: bool,
}

/// The tables that a log has determined up to its end.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Checkpoint {
    /// The log's end.
    pub end: LogEnd,
    /// The history of its last frame; 0 before any.
    pub history: u64,
    /// The version of its last frame (VERSION-1); 0 before any.
    pub version: u8,
    /// Publishers by id.
    pub publishers: BTreeMap<PublisherId, PublisherRow>,
    /// The membership in force at the end.
    pub members: Vec<MemberBody>,
    /// The seq of the entry that set it; 0 before any.
    pub membership_seq: Seq,
    /// The last change of the membership, if no frame of the log has announced its commit: the seq of its
    /// entry, and the members before it, whose quorum counts too (S4).
    pub open_change: Option<(Seq, Membership)>,
    /// The log's epochs from the one in force at `commit_next` on, oldest first: the owners of lower seqs
    /// are final. The rows are at most one more than the entries above `commit_next`.
    pub epochs: Vec<EpochBase>,
    /// The frame of the last epoch start; empty if there is none. It determines the durability of acks, and
    /// newcomers ask for it long after retention has removed its segment.
    pub start_frame: Vec<u8>,
    /// The greatest commit that a frame of the log has announced.
    pub commit_next: Seq,
    /// The changes of the opens and closes at or above that commit, oldest first: a takeover may undo them.
    pub changes: Vec<ChangeRow>,
}

/// An open or close that is not known to be committed, and the state before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ChangeRow {
    /// Its seq.
    pub seq: Seq,
    /// Its publisher.
    pub publisher: PublisherId,
    /// The publisher's state in a log without it; incarnation 0 if the name was never opened.
    pub before: PublisherRow,
}

/// Why a frame does not belong behind a checkpoint.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Contradiction {
    /// The entry.
    pub seq: Seq,
    /// The error.
    pub what: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seq {} contradicts the log before it: {}", self.seq, self.what)
    }
}

impl Checkpoint {
    /// Applies the next frame of the log. On an error the checkpoint has not changed in any way that a
    /// caller may use.
    pub fn apply(&mut self, frame: &FrameView<'_>) -> Result<(), Contradiction> {
        let first = frame.header.first_seq;
        let wrong = |seq, what: &dyn fmt::Debug| Contradiction { seq, what: format!("{what:?}") };
        let end = self.end.follow(frame).map_err(|misfit| wrong(first, &misfit))?;
        if !goes_on(self.history, frame) {
            let what =
                format!("history {:x} behind {:x}, and no founding", { frame.header.history }, self.history);
            return Err(Contradiction { seq: first, what });
        }
        if !may_follow_version(self.version, frame) {
            let what = format!("version {} behind {}, and no order", frame.header.version, self.version);
            return Err(Contradiction { seq: first, what });
        }
        for (seq, entry) in (first..).zip(frame.entries()) {
            match entry.kind() {
                // The content of the one is in the frame's header; the other is for people.
                EntryKind::ChangeCommitted | EntryKind::Order => {}
                EntryKind::Message | EntryKind::Day => {
                    // The right to publish is judged where frames are made and received, not here.
                    if let Some(row) = self.publishers.get_mut(&{ entry.header.publisher }) {
                        row.last = row.last.max(entry.header.publisher_seq);
                    }
                }
                EntryKind::Open => {
                    let open = OpenView::parse(entry.payload).map_err(|reject| wrong(seq, &reject))?;
                    let before = self.publishers.get(&{ entry.header.publisher }).cloned();
                    let last = before.as_ref().map_or(0, |row| row.last);
                    let row = PublisherRow {
                        name: open.name.to_string(),
                        incarnation: open.body.incarnation,
                        nonce: match &before {
                            Some(before) if planted(Mutation::SealForgetsNonce) => before.nonce,
                            _ => open.body.nonce,
                        },
                        last,
                        closed: false,
                    };
                    let never = PublisherRow { incarnation: 0, nonce: [0; 2], ..row.clone() };
                    let before = before.unwrap_or(never);
                    self.changes.push(ChangeRow { seq, publisher: entry.header.publisher, before });
                    self.publishers.insert(entry.header.publisher, row);
                }
                EntryKind::Close => {
                    if let Some(row) = self.publishers.get_mut(&{ entry.header.publisher }) {
                        let publisher = entry.header.publisher;
                        self.changes.push(ChangeRow { seq, publisher, before: row.clone() });
                        let closed = !planted(Mutation::SealForgetsClose);
                        (row.closed, row.last) = (closed, row.last.max(entry.header.publisher_seq));
                    }
                }
                EntryKind::Genesis => {
                    let members = parse_genesis(entry.payload).map_err(|reject| wrong(seq, &reject))?;
                    self.begin(members.collect(), frame.header.epoch(), seq);
                }
                EntryKind::EpochStart => {
                    let start = EpochStartView::parse(entry.payload).map_err(|reject| wrong(seq, &reject))?;
                    self.begin(start.members().collect(), start.epoch(), seq);
                    if self.start_frame.is_empty() || !planted(Mutation::SealKeepsStart) {
                        self.start_frame = frame.bytes.to_vec();
                    }
                }
                EntryKind::Membership => {
                    // A counter of commits reads the first entry only.
                    let Some((before, after)) = change_in(frame).filter(|_| seq == first) else {
                        let what =
                            "a membership entry that is not the first of its frame, or without members";
                        return Err(Contradiction { seq, what: what.into() });
                    };
                    self.members = after.members().to_vec();
                    self.open_change = Some((seq, before));
                    self.membership_seq = seq;
                }
            }
        }
        self.commit_next = self.commit_next.max(frame.header.commit_next);
        self.open_change = self
            .open_change
            .filter(|(seq, _)| *seq >= self.commit_next && !planted(Mutation::SealForgetsChange));
        self.changes.retain(|change| change.seq >= self.commit_next && !planted(Mutation::SealForgetsUndo));
        let is_behind = |row: &&EpochBase| row.base < self.commit_next;
        let behind = self.epochs.iter().skip(1).take_while(is_behind).count();
        self.epochs.drain(..behind);
        (self.end, self.history, self.version) = (end, frame.header.history, frame.header.version);
        Ok(())
    }

    fn begin(&mut self, members: Vec<MemberBody>, epoch: Epoch, base: Seq) {
        self.members = members;
        self.membership_seq = base;
        self.epochs.push(EpochBase { epoch: epoch.0, base });
    }

    /// The checkpoint of the log that ends at `end`: the newest file that fits, and the frames behind it in
    /// the segments `numbers`.
    pub(crate) fn compute<S: Store>(
        store: &S,
        numbers: &[u64],
        end: LogEnd,
    ) -> Result<Result<Self, Damage>, StoreError> {
        Self::compute_without(store, numbers, end, u64::MAX)
    }

    /// The same from files of segments below `without` only; where none of them fits, from the first frame
    /// on.
    pub(crate) fn compute_without<S: Store>(
        store: &S,
        numbers: &[u64],
        end: LogEnd,
        without: u64,
    ) -> Result<Result<Self, Damage>, StoreError> {
        let files = store.list()?.into_iter();
        let is_checkpoint = |file| if let FileName::Checkpoint(number) = file { Some(number) } else { None };
        let mut candidates: Vec<u64> =
            files.filter_map(is_checkpoint).filter(|number| *number < without).collect();
        candidates.sort_unstable();
        let mut problem = None;
        for number in candidates.into_iter().rev() {
            match Self::load(store, number)? {
                Ok(base) if base.end.next <= end.next => match base.advance(store, numbers, end)? {
                    Ok(done) => return Ok(Ok(done)),
                    Err(damage) => problem = Some(damage),
                },
                Err(damage) => problem = Some(damage),
                Ok(_) => {}
            }
        }
        let computed = Self::default().advance(store, numbers, end)?;
        Ok(computed.map_err(|damage| problem.unwrap_or(damage)))
    }

    fn advance<S: Store>(
        mut self,
        store: &S,
        numbers: &[u64],
        end: LogEnd,
    ) -> Result<Result<Self, Damage>, StoreError> {
        // Most often the checkpoint asked for is in memory, and no segment need be opened.
        if self.end.next < end.next {
            let mut reader = LogReader::over(store, numbers, self.end.next)?;
            while self.end.next < end.next {
                let damage = match reader.next()? {
                    Some(Ok(frame)) => match self.apply(&frame) {
                        Ok(()) => continue,
                        Err(wrong) => Damage::new("segments", 0, wrong.seq, wrong),
                    },
                    Some(Err(damage)) => damage,
                    None => Damage::new("segments", 0, self.end.next, "no segment holds it any more"),
                };
                return Ok(Err(damage));
            }
        }
        if self.end == end {
            return Ok(Ok(self));
        }
        let what = format!("a checkpoint of another log: it ends at {:?}, this log at {end:?}", self.end);
        Ok(Err(Damage::new("segments", 0, end.next, what)))
    }

    /// The checkpoint at the end of segment `number`, whose file was listed.
    pub(crate) fn load<S: Store>(store: &S, number: u64) -> Result<Result<Self, Damage>, StoreError> {
        let file = FileName::Checkpoint(number);
        Ok(Self::from_bytes(&read_whole(store, file)?).map_err(|what| Damage::new(file, 0, 0, what)))
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    magic: u64,
    version: u32,
    checksum: u32,
    next: u64,
    epoch: u64,
    chain: u64,
    timestamp: u64,
    membership_seq: u64,
    commit_next: u64,
    members: u64,
    epochs: u64,
    publishers: u64,
    changes: u64,
    /// Of the open change: its seq (0: none), that of the membership before it, and how many those are.
    change_seq: u64,
    before_seq: u64,
    before: u64,
    /// Bytes of the last epoch start's frame.
    start_len: u64,
    history: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct PublisherBytes {
    id: u32,
    incarnation: u32,
    nonce: [u64; 2],
    last: u64,
    closed: u32,
    name_len: u32,
}

/// The seventh byte is its own version: one of another is computed again. A log of the oldest version has the
/// older file, which a release that reads no newer log reads as well.
const CHECKPOINT_MAGIC: u64 = u64::from_le_bytes(*b"LKSCKP6\0");
/// The same, and behind the head the version of the log, as a u64.
const VERSIONED_MAGIC: u64 = u64::from_le_bytes(*b"LKSCKP7\0");
const _: () = assert!(size_of::<Head>() == 136 && size_of::<PublisherBytes>() == 40);

impl Checkpoint {
    /// Its file: a head, the log's version if that is not the oldest, members, those before the open change,
    /// epochs, publishers with their names behind each, changes likewise, the frame of the last epoch start.
    pub fn to_bytes(&self) -> Vec<u8> {
        let before = self.open_change.map_or_else(Membership::default, |(_, before)| before);
        let head = Head {
            magic: if self.version > VERSION_MIN { VERSIONED_MAGIC } else { CHECKPOINT_MAGIC },
            version: FORMAT_VERSION,
            checksum: 0,
            next: self.end.next,
            epoch: self.end.epoch.0,
            chain: self.end.chain,
            timestamp: self.end.timestamp,
            membership_seq: self.membership_seq,
            commit_next: self.commit_next,
            members: self.members.len() as u64,
            epochs: self.epochs.len() as u64,
            publishers: self.publishers.len() as u64,
            changes: self.changes.len() as u64,
            change_seq: self.open_change.map_or(0, |(seq, _)| seq),
            before_seq: before.seq,
            before: before.members().len() as u64,
            start_len: self.start_frame.len() as u64,
            history: self.history,
        };
        let mut bytes = bytemuck::bytes_of(&head).to_vec();
        if head.magic == VERSIONED_MAGIC {
            bytes.extend_from_slice(&u64::from(self.version).to_le_bytes());
        }
        bytes.extend_from_slice(bytemuck::cast_slice(&self.members));
        bytes.extend_from_slice(bytemuck::cast_slice(before.members()));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.epochs));
        for (id, row) in &self.publishers {
            put_publisher(&mut bytes, *id, row);
        }
        for change in &self.changes {
            bytes.extend_from_slice(&change.seq.to_le_bytes());
            put_publisher(&mut bytes, change.publisher, &change.before);
        }
        bytes.extend_from_slice(&self.start_frame);
        let checksum = checksum_but_12(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The inverse of [`Checkpoint::to_bytes`], or the fault found.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = bytes;
        let head: Head = take(&mut rest).ok_or("too short")?;
        if ![CHECKPOINT_MAGIC, VERSIONED_MAGIC].contains(&head.magic) || head.version != FORMAT_VERSION {
            return Err("no checkpoint of this format");
        }
        if head.checksum != checksum_but_12(bytes) {
            return Err("checksum");
        }
        let version = match head.magic {
            VERSIONED_MAGIC => take::<u64>(&mut rest).ok_or("the log's version")?,
            _ if head.next == 1 => 0,
            _ => u64::from(VERSION_MIN),
        };
        let mut checkpoint = Self {
            version: u8::try_from(version)
                .ok()
                .filter(|version| *version <= VERSION)
                .ok_or("the log's version")?,
            end: LogEnd {
                next: head.next,
                epoch: Epoch(head.epoch),
                chain: head.chain,
                timestamp: head.timestamp,
            },
            history: head.history,
            membership_seq: head.membership_seq,
            commit_next: head.commit_next,
            ..Self::default()
        };
        for _ in 0..head.members {
            checkpoint.members.push(take(&mut rest).ok_or("members")?);
        }
        if head.before > MEMBERS_MAX as u64 {
            return Err("members before the change");
        }
        let mut before = Vec::new();
        for _ in 0..head.before {
            before.push(take(&mut rest).ok_or("members before the change")?);
        }
        if head.change_seq > 0 {
            checkpoint.open_change = Some((head.change_seq, Membership::collect(before, head.before_seq)));
        }
        for _ in 0..head.epochs {
            checkpoint.epochs.push(take(&mut rest).ok_or("epochs")?);
        }
        for _ in 0..head.publishers {
            let (id, row) = take_publisher(&mut rest)?;
            checkpoint.publishers.insert(id, row);
        }
        for _ in 0..head.changes {
            let seq = take(&mut rest).ok_or("changes")?;
            let (publisher, before) = take_publisher(&mut rest)?;
            checkpoint.changes.push(ChangeRow { seq, publisher, before });
        }
        if rest.len() as u64 != head.start_len {
            return Err("the epoch start at its end");
        }
        checkpoint.start_frame = rest.to_vec();
        Ok(checkpoint)
    }
}

/// VERSION-1: whether `frame` may follow a log of `version` (0: an empty one). A version never falls, and
/// rises by the order with which the frame begins, or where a history is founded.
fn may_follow_version(version: u8, frame: &FrameView<'_>) -> bool {
    let Some(first) = frame.entries().next() else { return false };
    let rises_to = match first.kind() {
        EntryKind::Order => OrderView::parse(first.payload).ok().and_then(|order| order.version()),
        EntryKind::EpochStart => EpochStartView::parse(first.payload)
            .ok()
            .and_then(|start| start.founded_on())
            .map(|_| frame.header.version),
        _ => None,
    };
    let is = frame.header.version;
    version == 0 || is == rises_to.unwrap_or(version) && is >= version
}

fn put_publisher(bytes: &mut Vec<u8>, id: PublisherId, row: &PublisherRow) {
    let fixed = PublisherBytes {
        id,
        incarnation: row.incarnation,
        nonce: row.nonce,
        last: row.last,
        closed: u32::from(row.closed),
        name_len: row.name.len() as u32,
    };
    bytes.extend_from_slice(bytemuck::bytes_of(&fixed));
    bytes.extend_from_slice(row.name.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn take_publisher(rest: &mut &[u8]) -> Result<(PublisherId, PublisherRow), &'static str> {
    let fixed: PublisherBytes = take(rest).ok_or("publishers")?;
    let len = fixed.name_len as usize;
    let name = rest.get(..len).filter(|_| len <= NAME_LEN_MAX).ok_or("publisher's name")?;
    let row = PublisherRow {
        name: String::from_utf8(name.to_vec()).map_err(|_| "publisher's name")?,
        incarnation: fixed.incarnation,
        nonce: fixed.nonce,
        last: fixed.last,
        closed: fixed.closed != 0,
    };
    *rest = rest.get(len.next_multiple_of(8)..).ok_or("publisher's padding")?;
    Ok((fixed.id, row))
}

fn take<T: Pod>(rest: &mut &[u8]) -> Option<T> {
    let (front, behind) = rest.split_at_checked(size_of::<T>())?;
    *rest = behind;
    Some(bytemuck::pod_read_unaligned(front))
}
