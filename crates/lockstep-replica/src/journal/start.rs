//! # start: a run of a replica on its journal
//!
//! A journal is in use from its mark in the superblock on, and the mark is the last step of a start.
//! Everything outside the journal that may fail (a port, a device, memory) comes before, and each step
//! before the mark leaves a journal that is judged as before:
//!
//! ```text
//!  inspect ─▶ outside ─▶ torn end cut ─▶ a number for the ring ─▶ ring filled ─▶ its label ─▶ the mark
//!                        └──────────── only where there is no ring of ours ───────────────┘  both copies
//! ```

use crate::journal::BLOCK_LEN;
use crate::journal::base::settle;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::inspect::{Inspection, inspect};
use crate::journal::layout::{Geometry, TailLabel};
use crate::journal::open::{JournalOpenError, Settings};
use crate::journal::ports::{FileName, Store, StoreError, TailMemory, Word};
use crate::journal::proof::Completeness;
use crate::journal::reached::remove_unwritten;
use crate::journal::read::LogReader;
use crate::journal::recover::{RecoveredState, Torn, reslot};
use crate::journal::segments::{SegmentWriter, copy_behind};
use crate::journal::superblock::Superblock;
use crate::journal::tail::{RUNS_MAX, Tail};
use crate::journal::walk::read_header;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Seq};

/// A journal in use.
#[derive(Debug)]
pub struct OpenedJournal<M> {
    /// The tail, with the recovered log.
    pub tail: Tail<M>,
    /// The writer of the segments behind it.
    pub writer: SegmentWriter,
    /// The superblock as it now is on the device: in use.
    pub superblock: Superblock,
    /// The tables that the log has determined.
    pub checkpoint: Checkpoint,
    /// Retention has removed all frames below, and so they are committed, although no frame that is left may
    /// say so.
    pub removed_next: Seq,
}

/// Inspects a journal and uses it at once: for callers that need nothing else to start.
///
/// # Errors
/// Those of [`inspect`] and [`Inspection::begin`].
pub fn open<S: Store, M: TailMemory>(
    store: &mut S,
    memory: M,
    settings: Settings,
) -> Result<OpenedJournal<M>, JournalOpenError> {
    inspect(store, Some(&memory), settings)?.begin(store, memory)
}

impl Inspection {
    /// A start, in its order: `outside` obtains the ring's memory and everything else that may fail; then
    /// the journal is used. Any failure leaves a journal that is judged as before.
    ///
    /// # Errors
    /// Those of `outside` and of [`Inspection::begin`].
    pub fn start<S: Store, M: TailMemory, X, E: From<JournalOpenError>>(
        self,
        store: &mut S,
        outside: impl FnOnce(&Self) -> Result<(M, X), E>,
    ) -> Result<(OpenedJournal<M>, X), E> {
        if planted(Mutation::MarkedFirst) {
            let mut early = self.superblock;
            early.run =
                early.run.started(self.settings.boot, early.run.ring, self.settings.durability(), None);
            early.store_both(store).map_err(JournalOpenError::Store)?;
        }
        let (memory, outside) = outside(&self)?;
        Ok((self.begin(store, memory)?, outside))
    }

    /// Marks the journal as in use by a run with this inspection's settings, in `memory`: the inspected
    /// ring, if it was the journal's own, else any. From here on the replica may acknowledge and promise.
    ///
    /// # Errors
    /// It may have forgotten something (S9), the memory does not fit, or the store fails.
    pub fn begin<S: Store, M: TailMemory>(
        self,
        store: &mut S,
        memory: M,
    ) -> Result<OpenedJournal<M>, JournalOpenError> {
        if let Completeness::Incomplete(why) = self.completeness() {
            return Err(JournalOpenError::Incomplete(why.clone()));
        }
        remove_unwritten(store, self.numbers.last().copied(), &self.unwritten)?;
        if self.numbers.is_empty() {
            settle(store)?;
        }
        match self.own {
            Some((label, geometry)) => self.go_on(store, memory, label, geometry),
            None => self.begin_anew(store, memory),
        }
    }

    /// In the ring of the last run.
    fn go_on<S: Store, M: TailMemory>(
        self,
        store: &mut S,
        mut memory: M,
        label: TailLabel,
        geometry: Geometry,
    ) -> Result<OpenedJournal<M>, JournalOpenError> {
        assert_eq!(memory.label(), Some(label), "the ring is the one that was looked at");
        let removed_next = self.removed_next();
        let Self { settings, mut superblock, mut state, numbers, base, .. } = self;
        let is_whole = reslot(&mut memory, &geometry, state.first_retained);
        let run = superblock.run;
        // All that was acknowledged by then is on the device, if every acknowledgement rested on it, and the
        // rest is brought there below; the segment that is being filled continues.
        let newest = numbers.last().copied().unwrap_or(0);
        let filled = newest - u64::from(state.filling.as_ref().is_some_and(|filling| !filling.closed));
        let settled = (run.clean || run.weakest_durability == Durability::Power).then_some((filled, newest));
        let durable = if settled.is_some() { memory.word(Word::WrittenSeq) } else { NOTHING_DURABLE };
        memory.set_word(Word::DurableSeq, durable);
        let log = state.log.clone().bounded(RUNS_MAX);
        let mut tail =
            Tail::recovered(memory, label, geometry, log, state.switched_from).of_journal(&numbers, base);
        let pos = tail.memory_mut().word(Word::WrittenPos);
        let sizes = (label, geometry, settings.segment_len);
        let synced_to = if run.clean { filled } else { run.synced_to };
        let mut writer = SegmentWriter::recovered(
            sizes,
            state.filling.take(),
            pos,
            state.written,
            state.written_checkpoint,
            synced_to,
        );
        let checkpoint = state.checkpoint;
        let reaches = is_whole && tail.reaches(checkpoint.commit_next);
        if !reaches && drained(store, &mut tail, &mut writer) {
            // Successive suffix replacements have filled the ring with superseded records, or a record that
            // segments hold has changed in it: it is made anew from these, as after an orderly stop.
            superblock.promised = superblock.promised.max(tail.promised());
            writer.mark_clean(store, &mut superblock)?;
            let inspection = inspect(store, None::<&M>, settings)?;
            return inspection.begin(store, tail.into_memory());
        }
        if settled.is_some() && !run.clean {
            // As in a new ring: what a run that died has written may be in the cache, up to its newest file.
            writer.sync_all(store)?;
        }
        superblock.run = run.started(settings.boot, label.generation, settings.durability(), settled);
        superblock.high_next = self.high_next.max(tail.end().next);
        mark(store, &mut superblock, &mut tail)?;
        Ok(OpenedJournal { tail, writer, superblock, checkpoint, removed_next })
    }

    /// In a new ring, filled from the segments.
    fn begin_anew<S: Store, M: TailMemory>(
        self,
        store: &mut S,
        memory: M,
    ) -> Result<OpenedJournal<M>, JournalOpenError> {
        let geometry = Geometry::new(memory.ring_len(), self.settings.frame_len_max)
            .map_err(JournalOpenError::Settings)?;
        let removed_next = self.removed_next();
        let Self { settings, mut superblock, state, numbers, base, torn, founding, .. } = self;
        if let Some(torn) = &torn {
            clear(store, torn)?;
        }
        // A number is assigned once: a ring that was labelled, and never used, is never taken for another.
        superblock.run.rings += 1;
        if !planted(Mutation::RingNumberTwice) {
            superblock.store(store)?;
        }
        let label = TailLabel {
            cluster: superblock.cluster,
            identity: superblock.identity,
            boot: settings.boot,
            generation: superblock.run.rings,
            record_len_max: settings.frame_len_max as u32,
        };
        let newest = numbers.last().copied().unwrap_or(0);
        let run = superblock.run.started(
            settings.boot,
            label.generation,
            settings.durability(),
            Some((newest, newest)),
        );
        let end = founding.as_ref().map_or(state.log.end, |founding| founding.end);
        superblock.high_next = self.high_next.max(end.next);
        if planted(Mutation::MarkedBeforeLabel) {
            superblock.run = run;
            superblock.store_both(store)?;
        }
        let from = refill_from(store, &numbers, &state, memory.ring_len())?;
        let mut tail =
            refilled(store, memory, label, &numbers[from..], state.log.end)?.of_journal(&numbers, base);
        if let Some(founding) = &founding {
            founding.put(&mut tail)?;
        }
        let pos = tail.memory_mut().word(Word::WrittenPos);
        let sizes = (label, geometry, settings.segment_len);
        let mut writer = SegmentWriter::recovered(
            sizes,
            state.filling,
            pos,
            state.written,
            state.written_checkpoint,
            superblock.run.synced_to,
        );
        if !superblock.run.clean {
            // A run that died may have left its newest file, or the file's name, in the cache: the record
            // counts it as stored.
            writer.sync_all(store)?;
        }
        superblock.run = run;
        mark(store, &mut superblock, &mut tail)?;
        Ok(OpenedJournal { tail, writer, superblock, checkpoint: state.checkpoint, removed_next })
    }
}

/// The word [`Word::DurableSeq`] while the device's progress is unknown: an ack that names nothing.
pub(super) const NOTHING_DURABLE: u64 = 1;

/// The journal is in use from now on: both copies record it, and the words contain the promise. The epoch of
/// a log without a record is a promise too: a process may have died between the checkpoint that it began
/// behind and the promise.
fn mark<S: Store, M: TailMemory>(
    store: &mut S,
    superblock: &mut Superblock,
    tail: &mut Tail<M>,
) -> Result<(), StoreError> {
    if planted(Mutation::MarkedInOneCopy) {
        superblock.store(store)?;
    } else {
        superblock.store_both(store)?;
    }
    tail.promise(superblock.promised);
    if tail.is_untouched() && !planted(Mutation::BaseNotPromised) {
        tail.promise(tail.end().epoch);
    }
    let Epoch(promised) = superblock.promised;
    tail.memory_mut().set_word(Word::PromisedStored, promised);
    Ok(())
}

/// Writes the records that segments lack. False if that cannot be done now: then the ring stays as it is.
fn drained<S: Store, M: TailMemory>(store: &mut S, tail: &mut Tail<M>, writer: &mut SegmentWriter) -> bool {
    let end = tail.end();
    loop {
        match copy_behind(tail.memory_mut(), writer, store, false) {
            Ok(0) => return writer.end() == end,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// The first of the segments that fill a new ring: the newest, the one before where it has too little to
/// fill the ring, and however many it takes to reach the last commit. A segment may be full of staged
/// frames that never won, and then hold little of the log.
fn refill_from<S: Store>(
    store: &S,
    numbers: &[u64],
    state: &RecoveredState,
    ring_len: u64,
) -> Result<usize, StoreError> {
    let used = state.filling.as_ref().map_or(0, |filling| filling.index.end_offset);
    let newest = numbers.len().saturating_sub(1);
    let mut from = newest.saturating_sub(usize::from(used < ring_len));
    let commit_next = state.checkpoint.commit_next;
    while from > 0 && read_header(store, numbers[from])?.is_ok_and(|header| header.first_seq >= commit_next) {
        from -= 1;
    }
    Ok(from)
}

/// A new ring with the newest frames of the segments `numbers`, as many as fit.
fn refilled<S: Store, M: TailMemory>(
    store: &S,
    memory: M,
    label: TailLabel,
    numbers: &[u64],
    end: LogEnd,
) -> Result<Tail<M>, JournalOpenError> {
    let mut reader = LogReader::over(store, numbers, 1)?;
    let mut memory = Some(memory);
    let mut tail: Option<Tail<M>> = None;
    while let Some(Ok(frame)) = reader.next()? {
        if frame.header.next_seq() > end.next {
            break;
        }
        if let Some(memory) = memory.take() {
            let before = LogEnd {
                next: frame.header.first_seq,
                epoch: frame.header.epoch(),
                chain: frame.header.chain,
                timestamp: frame.header.timestamp,
            };
            tail = Some(Tail::blank(memory, label, before).map_err(JournalOpenError::Settings)?);
        }
        if let Some(tail) = &mut tail {
            let what = |error| {
                JournalOpenError::Settings(format!("seq {} from the segments: {error:?}", {
                    frame.header.first_seq
                }))
            };
            tail.refill(&frame).map_err(what)?;
        }
    }
    let mut tail = match (tail, memory) {
        (Some(tail), _) if tail.end() == end => tail,
        // The last record of the segments is no frame, or cannot be read: an empty ring behind the log.
        (Some(tail), _) => Tail::blank(tail.into_memory(), label, end).map_err(JournalOpenError::Settings)?,
        (None, Some(memory)) => Tail::blank(memory, label, end).map_err(JournalOpenError::Settings)?,
        (None, None) => unreachable!("the memory is in the tail or at hand"),
    };
    tail.memory_mut().set_label(label);
    Ok(tail)
}

/// S7: bytes behind the log's end are cleared before anything is appended.
pub(super) fn clear<S: Store>(store: &mut S, torn: &Torn) -> Result<(), StoreError> {
    let file = FileName::Segment(torn.number);
    let at = torn.offset / BLOCK_LEN as u64 * BLOCK_LEN as u64;
    let mut block = vec![0; BLOCK_LEN];
    let taken = store.read_at(file, at, &mut block)?;
    block[taken.min((torn.offset - at) as usize)..].fill(0);
    store.write_at(file, at, &block)?;
    store.truncate(file, at + BLOCK_LEN as u64)?;
    store.sync(file)
}
