//! # recovery: the content of a journal, and a new history on it
//!
//! After a quorum is lost, recovery compares journals: which one holds most, and what may be missing from
//! it. It then makes that journal the beginning of a new history, so that a crash at any point leaves the
//! old journal or the new one. [`found`] writes the founding beside the segments, and then one superblock.
//! From that write on the journal is the founder's, and each inspection sees the founding behind the log,
//! where the next run puts it.
//!
//! ```text
//!  a's journal, synced ─▶ file `founding` ─▶ superblock: founder, history b, clean ─▶ log + founding
//!       crash: a's         crash: a's                        crash: b's, and the same again
//! ```
//!
//! Nothing of the log is rewritten. Segments keep the identity under which they were written.

use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::founding::Founding;
use crate::journal::inspect::Inspection;
use crate::journal::open::JournalOpenError;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, TailMemory, read_whole};
use crate::journal::reached::{end_at_hole, remove_unwritten, written_numbers};
use crate::journal::recover::{self, RecoveredState};
use crate::journal::start::clear;
use crate::journal::superblock::Superblock;
use crate::journal::tail::Tail;
use crate::journal::torn::WriteOrder;
use crate::journal::walk::read_header;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::window::Window;
use lockstep_wire::{EpochStartView, FrameView, Keys, MemberBody, Seq};

/// The findings of an inspection beside completeness and end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalSummary {
    /// The history of its log, and its ancestors.
    pub lineage: Lineage,
    /// The oldest seq that its segments hold; the log's end if they hold none.
    pub oldest_seq: Seq,
    /// The durability of acks by its last epoch start; `None` before the first.
    pub durability: Option<Durability>,
}

/// The start of a journal's log, and the histories to which it belongs.
///
/// # Errors
/// Those of the files.
pub fn holdings<S: Store>(store: &S, inspection: &Inspection) -> Result<JournalSummary, JournalOpenError> {
    let checkpoint = inspection.checkpoint();
    let oldest_seq = match written_numbers(store)?.0.first() {
        Some(oldest) => read_header(store, *oldest)?.map_or(inspection.end().next, |header| header.first_seq),
        None => inspection.end().next,
    };
    Ok(JournalSummary {
        lineage: lineage_of(checkpoint, inspection.superblock()),
        oldest_seq,
        durability: last_start(checkpoint).map(|(_, durability)| durability),
    })
}

/// The last epoch start of a log: its history's lineage, and the durability of acks.
pub(crate) fn last_start(checkpoint: &Checkpoint) -> Option<(Lineage, Durability)> {
    let frame = FrameView::from_prefix(&checkpoint.start_frame).ok()?;
    let start = EpochStartView::parse(frame.entries().next()?.payload).ok()?;
    let lineage = Lineage::of_start(frame.header.history, &start);
    Some((lineage, Durability::from_wire(start.body.durability)))
}

fn lineage_of(checkpoint: &Checkpoint, superblock: &Superblock) -> Lineage {
    last_start(checkpoint).map_or(Lineage::of(superblock.history), |(lineage, _)| lineage)
}

/// The replica that founds a history, and its initial state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founder {
    /// The new history's id, drawn at random.
    pub history: u64,
    /// The only member: a replica under an incarnation that was drawn for it.
    pub member: MemberBody,
    /// The machine's present boot.
    pub boot: [u64; 2],
    /// How much may be stamped and not yet committed.
    pub window: Window,
    /// The durability of acks.
    pub durability: Durability,
    /// The cluster, and the keys of a replica.
    pub keys: Keys,
}

/// Founds a history on the log that the segments in `store` hold; `previous` is the superblock that names
/// their owner. A torn end is cleared, and everything is on the device before the one write that makes the
/// journal the founder's. Returns the new superblock.
///
/// # Errors
/// The segments hold no log, a history was founded here already that no run has begun to use, or the device
/// fails. Then the journal is unchanged.
pub fn found<S: Store>(
    store: &mut S,
    previous: &Superblock,
    founder: &Founder,
) -> Result<Superblock, JournalOpenError> {
    let (mut numbers, mut unwritten) = written_numbers(store)?;
    let hole = end_at_hole(store, &mut numbers, &mut unwritten, &previous.run)?;
    let (state, _, torn) = recover::cold(store, &numbers, WriteOrder::of(&previous.run), false)?;
    remove_unwritten(store, numbers.last().copied(), &unwritten)?;
    if let Some(torn) = torn.or(hole.torn).as_ref() {
        clear(store, torn)?;
    }
    let RecoveredState { log, checkpoint, .. } = state;
    // A damaged one, which no other node ever received, is made anew.
    if let Ok(Some(_)) = pending(store, previous, &log.end, checkpoint.history) {
        return Err(JournalOpenError::Settings(format!(
            "history {:016x} was founded on this journal already, and nobody has used it yet: start its sequencer",
            previous.history
        )));
    }
    let lineage = lineage_of(&checkpoint, previous);
    let founding = Founding {
        keys: &founder.keys,
        history: founder.history,
        ancestor: &lineage,
        end: log.end,
        epochs: &checkpoint.epochs,
        promised: previous.promised,
        member: founder.member,
        window: founder.window,
        durability: founder.durability,
    };
    let frame = founding.frame().map_err(JournalOpenError::Settings)?;
    // A packed segment was synced when it was packed.
    for number in numbers.iter().filter(|_| !planted(Mutation::FoundedOnUnsynced)) {
        match store.sync(FileName::Segment(*number)) {
            Ok(()) | Err(StoreError { fault: StoreFault::Missing, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut superblock = Superblock {
        generation: previous.generation,
        history: founder.history,
        // Of an epoch of the ancestor history; everything of this one is above it.
        promised: previous.promised,
        high_next: log.end.next,
        high_chain: log.end.chain,
        oldest_number: previous.oldest_number,
        ..Superblock::fresh(previous.cluster, founder.member.identity(), founder.boot)
    };
    // The segments name the rings of former runs: the founder's first ring gets another number.
    if let Some(newest) = numbers.last()
        && let Ok(header) = read_header(store, *newest)?
    {
        superblock.run.rings = previous.run.rings.max(header.tail_generation);
    }
    if planted(Mutation::FounderFirst) {
        superblock.store(store)?;
    }
    if planted(Mutation::FounderInherits) {
        superblock.run = previous.run;
    }
    store.replace(FileName::Founding, &frame)?;
    // The second copy names the former owner, or no owner.
    superblock.store_both(store)?;
    Ok(superblock)
}

/// The founding of a journal's history, not yet in its segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PendingFounding {
    bytes: Vec<u8>,
    /// Where the log ends with it.
    pub end: LogEnd,
}

impl PendingFounding {
    fn frame(&self) -> FrameView<'_> {
        FrameView::from_prefix(&self.bytes).expect("it was read when it was found")
    }

    /// The tables contain it.
    pub fn apply(&self, checkpoint: &mut Checkpoint) -> Result<(), JournalOpenError> {
        checkpoint.apply(&self.frame()).map_err(|wrong| damaged(self.end.next - 1, &wrong.to_string()))
    }

    /// It goes behind the log of the ancestor.
    pub fn put<M: TailMemory>(&self, tail: &mut Tail<M>) -> Result<(), JournalOpenError> {
        let unfit = |what| JournalOpenError::Settings(format!("the founding of the history: {what:?}"));
        tail.append(&self.frame()).map_err(unfit).map(drop)
    }
}

fn damaged(seq: Seq, what: &str) -> JournalOpenError {
    JournalOpenError::Damaged(Damage::new(FileName::Founding, 0, seq, what))
}

/// The founding of the history that the superblock names, if the log of the journal (it ends at `end`, in
/// `history`) is still the ancestor's: it is to be put behind that log.
pub(crate) fn pending<S: Store>(
    store: &S,
    superblock: &Superblock,
    end: &LogEnd,
    history: u64,
) -> Result<Option<PendingFounding>, JournalOpenError> {
    let is_known = superblock.history == 0 || history == superblock.history;
    if is_known && !planted(Mutation::AnyFoundingIsOurs) {
        return Ok(None);
    }
    let bytes = match read_whole(store, FileName::Founding) {
        Ok(bytes) => bytes,
        Err(StoreError { fault: StoreFault::Missing, .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let frame = FrameView::from_prefix(&bytes).map_err(|reject| damaged(end.next, &reject.to_string()))?;
    let header = frame.header;
    // One of a recovery that did not reach its superblock belongs to no history.
    let is_ours = header.history == superblock.history && header.identity() == superblock.identity;
    if !is_ours && !planted(Mutation::AnyFoundingIsOurs) {
        return Ok(None);
    }
    let unfit = |misfit| damaged(end.next, &format!("it does not follow the log ({misfit:?})"));
    let end = end.follow(&frame).map_err(unfit)?;
    Ok(Some(PendingFounding { bytes, end }))
}
