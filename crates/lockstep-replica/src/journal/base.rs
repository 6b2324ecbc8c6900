//! # base: the checkpoint with which a journal begins whose log lacks its beginning
//!
//! Retention leaves the checkpoint of the last segment that it removes, and a backup of such a journal begins
//! with it, as number 0. So a node without a log can begin there as well: the oldest journal that can be had
//! gives that checkpoint and what follows it. A checkpoint is a function of the log, so whose it is makes no
//! difference. Should retention remove what follows before the node has stored a frame of it, a later
//! checkpoint takes the place of the first.
//!
//! ```text
//!  giver:   ...7.ckp │ 8.seg  9.seg ...            joiner:  0.ckp │ 1.seg  2.seg ...
//!               └────── parts over TCP ──────────────────────▶┘
//! ```
//!
//! The file is replaced as a whole: a crash leaves the journal as it was, or one that begins there.

use crate::journal::checkpoint::{ChangeRow, Checkpoint};
use crate::journal::damage::Damage;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, read_whole};
use crate::journal::segment_index::{SegmentIndex, SegmentIndexError};
use crate::journal::walk::read_header;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{
    EpochBase, EpochStartView, FrameView, Header, MEMBERS_MAX, MemberBody, ReplayCheckpointBody, Seq,
};
use std::collections::BTreeSet;

const _: () = assert!(
    size_of::<MemberBody>().is_multiple_of(8) && size_of::<EpochBase>().is_multiple_of(8),
    "a checkpoint is sent in parts of 8 bytes",
);

/// The file of a journal's own first checkpoint: segments count from 1.
pub const BASE: FileName = FileName::Checkpoint(0);

/// The tables with which a journal begins that has no segment: those of [`BASE`], or those of no log.
pub(crate) fn base_of<S: Store>(store: &S) -> Result<Result<Checkpoint, Damage>, StoreError> {
    match Checkpoint::load(store, 0) {
        Err(StoreError { fault: StoreFault::Missing, .. }) => Ok(Ok(Checkpoint::default())),
        loaded => loaded,
    }
}

/// Brings the checkpoint with which a journal without segments begins to the device. A process that died in
/// the call that stores it may have left it in the kernel's cache alone, and a stop brings segments there,
/// nothing else (seed 71055631).
pub(crate) fn settle<S: Store>(store: &mut S) -> Result<(), StoreError> {
    match read_whole(store, BASE) {
        Ok(bytes) => store.replace(BASE, &bytes),
        Err(StoreError { fault: StoreFault::Missing, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The end of the log before the oldest segment, or of the checkpoint with which a journal without segments
/// begins; that of no log where it cannot be read.
pub(crate) fn before_oldest<S: Store>(store: &S, numbers: &[u64]) -> Result<LogEnd, StoreError> {
    match numbers.first() {
        Some(&oldest) => Ok(read_header(store, oldest)?.map_or(LogEnd::BLANK, |header| header.before())),
        None => Ok(base_of(store)?.map_or(LogEnd::BLANK, |base| base.end)),
    }
}

/// The checkpoint with which a node without a log begins that reads `index`, and what it is to ask for next:
/// the oldest one in `store` that lies on the committed log, which ends at `bound`. Where that ends above
/// `until`, only the seq of its end, or `bound` if there is none: another journal may have an older one, and
/// the node asks again if no journal has. The oldest entry that a journal keeps says less: the checkpoint
/// there may be of a suffix that was replaced. Where retention has left nothing that is committed, the
/// checkpoint ends at `bound`: what follows may wait for the very node that asks (seed 50063036).
///
/// # Errors
/// Those of the files.
pub fn offered<S: Store>(
    store: &S,
    index: &mut SegmentIndex,
    until: Seq,
    bound: Seq,
) -> Result<Result<Checkpoint, Seq>, SegmentIndexError> {
    let numbered = |file| if let FileName::Checkpoint(number) = file { Some(number) } else { None };
    let mut numbers: Vec<u64> = store.list()?.into_iter().filter_map(numbered).collect();
    numbers.sort_unstable();
    for number in numbers {
        // A damaged one is computed again when it is needed here; the next one serves as well.
        let Ok(checkpoint) = Checkpoint::load(store, number)? else { continue };
        let LogEnd { next, chain, .. } = checkpoint.end;
        // One of a log that a takeover has replaced has another chain.
        let bound = if planted(Mutation::BaseAboveCommit) { index.end().next } else { bound };
        let begins = index.begin(store, next, Some(chain), bound)?;
        let is_there = match begins {
            Ok(Some(spot)) => spot.first_seq == next,
            Ok(None) => next == bound,
            Err(_) => false,
        };
        if is_there && judge(&checkpoint).is_ok() {
            return Ok(if next <= until { Ok(checkpoint) } else { Err(next) });
        }
    }
    Ok(Err(bound))
}

/// Whether a replica can go on behind `checkpoint`: whatever it was made of, its parts fit each other.
///
/// # Errors
/// The part that does not fit.
pub fn judge(checkpoint: &Checkpoint) -> Result<(), &'static str> {
    if planted(Mutation::BaseUnjudged) {
        return Ok(());
    }
    let Checkpoint { end, epochs, members, publishers, .. } = checkpoint;
    if end.next <= 1 || end.epoch.round() == 0 {
        return Err("the end of a log whose first epoch has begun");
    }
    if members.is_empty() || members.len() > MEMBERS_MAX || checkpoint.membership_seq >= end.next {
        return Err("members");
    }
    let rises = epochs.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].base < pair[1].base);
    let last = epochs.last().filter(|last| last.epoch == end.epoch.0 && last.base < end.next);
    if !rises || last.is_none() {
        return Err("epochs");
    }
    if checkpoint.commit_next > end.next || checkpoint.open_change.is_some_and(|(seq, _)| seq >= end.next) {
        return Err("commit");
    }
    // Ids are given in order, each to one name.
    let names: BTreeSet<&str> = publishers.values().map(|row| row.name.as_str()).collect();
    if !publishers.keys().copied().eq(1..=publishers.len() as u32) || names.len() != publishers.len() {
        return Err("publishers");
    }
    let changes = checkpoint.changes.iter().map(|change| change.seq);
    let undoes = |change: &ChangeRow| change.seq < end.next && publishers.contains_key(&change.publisher);
    if !checkpoint.changes.iter().all(undoes) || !changes.is_sorted() {
        return Err("what may be undone");
    }
    let frame = FrameView::from_prefix(&checkpoint.start_frame).map_err(|_| "the last epoch start")?;
    let start = frame.entries().next().and_then(|entry| EpochStartView::parse(entry.payload).ok());
    let start = start.ok_or("the last epoch start")?;
    if start.epoch() != end.epoch || frame.header.next_seq() > end.next {
        return Err("the last epoch start");
    }
    let lineage = Lineage::of_start(frame.header.history, &start);
    if checkpoint.history == 0 || lineage.history() != checkpoint.history {
        return Err("history");
    }
    Ok(())
}

/// The parts of a checkpoint so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckpointParts {
    bytes: Vec<u8>,
    len: u64,
}

impl CheckpointParts {
    /// The next part. Returns the checkpoint once it is whole.
    ///
    /// # Errors
    /// The part is not the next one of the same checkpoint, or no log can begin with the whole checkpoint.
    pub fn take(
        &mut self,
        header: &Header,
        body: &ReplayCheckpointBody,
        part: &[u8],
    ) -> Result<Option<Checkpoint>, &'static str> {
        let is_first = self.bytes.is_empty();
        if body.offset != self.bytes.len() as u64 || !is_first && body.len != self.len {
            return Err("a part that is not the next one");
        }
        self.len = body.len;
        self.bytes.extend_from_slice(part);
        if (self.bytes.len() as u64) < self.len {
            return Ok(None);
        }
        let checkpoint = Checkpoint::from_bytes(&std::mem::take(&mut self.bytes))?;
        judge(&checkpoint)?;
        let named = LogEnd {
            next: header.first_seq,
            epoch: header.epoch(),
            chain: header.chain,
            timestamp: header.timestamp,
        };
        if named != checkpoint.end || header.history != checkpoint.history {
            return Err("another end than its parts name");
        }
        Ok(Some(checkpoint))
    }
}

/// Whether `frame`, which comes behind a checkpoint, is the next one of its log.
pub fn is_followed_by(checkpoint: &Checkpoint, frame: &FrameView<'_>) -> bool {
    checkpoint.clone().apply(frame).is_ok()
}
