//! # inspect: the content of a journal, before anything is changed
//!
//! An inspection determines whether this replica may continue, and what its journal still holds. It reads
//! superblock, segments and ring, and writes nothing: a start that fails afterwards, for whatever reason,
//! leaves everything as it was. Only [`Inspection::start`] and [`Inspection::begin`](super::start) use the
//! findings.

use crate::journal::base::before_oldest;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::damage::Damage;
use crate::journal::layout::{Geometry, TailLabel};
use crate::journal::open::{Cut, JournalOpenError, Settings};
use crate::journal::ports::{FileName, Store, TailMemory, Word};
use crate::journal::proof::{self, Completeness, JournalEvidence, RingEvidence, RingMismatch};
use crate::journal::reached::{self, written_numbers};
use crate::journal::recover::{self, RecoverError, RecoveredState, Torn};
use crate::journal::recovery::{self, PendingFounding};
use crate::journal::superblock::{Copies, Superblock};
use crate::journal::torn::WriteOrder;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Seq};

/// A journal that was inspected.
pub struct Inspection {
    pub(super) settings: Settings,
    /// The copy of the superblock that is in force, updated with the newer fields of the other one.
    pub(super) superblock: Superblock,
    pub(super) numbers: Vec<u64>,
    pub(super) state: RecoveredState,
    pub(super) ring: RingEvidence,
    /// The end of the log before the oldest segment: retention has removed all frames below.
    pub(super) base: LogEnd,
    /// The label of the ring, and its layout, where the ring is the journal's own.
    pub(super) own: Option<(TailLabel, Geometry)>,
    pub(super) torn: Option<Torn>,
    /// Segments that were begun, and whose content, or that of one before, never reached the device; newest
    /// first.
    pub(super) unwritten: Vec<u64>,
    /// The founding that goes behind the log in the first run of a history that was founded on it.
    pub(super) founding: Option<PendingFounding>,
    pub(super) high_next: Seq,
    /// The ring knows of a higher promise than the superblock.
    is_promise_ahead: bool,
    completeness: Completeness,
    damage: Vec<Damage>,
    findings: Vec<String>,
}

impl std::fmt::Debug for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (end, ring) = (self.end(), &self.ring);
        write!(f, "Looked({:?}, {ring:?}, log ends at {end:?}, {:?})", self.superblock, self.completeness)
    }
}

/// Inspects the journal in `store`, with the ring in `memory` if there is one.
///
/// # Errors
/// There is no journal, it belongs to another replica, it cannot be read, or damage leaves no usable log.
pub fn inspect<S: Store, M: TailMemory>(
    store: &S,
    memory: Option<&M>,
    settings: Settings,
) -> Result<Inspection, JournalOpenError> {
    let Copies { newest, older, damage } = Superblock::load(store)??;
    if newest.cluster != settings.cluster {
        return Err(JournalOpenError::Cluster { seen: newest.cluster, want: settings.cluster });
    }
    if newest.identity.replica != settings.replica {
        return Err(JournalOpenError::Replica { seen: newest.identity, want: settings.replica });
    }
    let (mut numbers, mut unwritten) = written_numbers(store)?;
    let mut sight = Sight::new(&newest, older.as_ref(), damage.is_some());
    let label = memory.and_then(|memory| memory.label());
    let mut ring = sight.ring(label.as_ref(), &settings)?;
    sight.note_outrun(&ring, memory);
    let recovered = match (&ring, memory, label) {
        (RingEvidence::Own, Some(memory), Some(label)) => {
            sight.read_ring(store, memory, label, &settings, &numbers)?
        }
        _ => None,
    };
    if sight.ring_damage.is_some() {
        ring = RingEvidence::Other(RingMismatch::Damaged);
    }
    let (mut state, own, torn) = match recovered {
        Some((state, label, geometry)) => (state, Some((label, geometry)), None),
        None => {
            let (state, torn) = sight.read_segments(store, memory, &mut numbers, &mut unwritten)?;
            (state, None, torn)
        }
    };
    let founding = sight.founding(store, &state)?;
    let (in_force, completeness) = sight.judge(&ring, state.log.end, &numbers);
    if completeness != Completeness::Complete {
        sight.name_short_log(&state, &numbers);
        // Memory that is needed and damaged is no remark.
        sight.damage.extend(sight.ring_damage.take());
    }
    let superblock = Superblock {
        generation: newest.generation,
        promised: sight.promised,
        history: sight.history(&state),
        oldest_number: sight.oldest_number(&numbers),
        run: proof::RunRecord { rings: sight.rings(), begun_to: sight.begun_to(), ..in_force.run },
        ..in_force
    };
    let findings = sight.remarks(damage, &completeness);
    if let Some(founding) = &founding {
        founding.apply(&mut state.checkpoint)?;
    }
    Ok(Inspection {
        settings,
        superblock,
        base: before_oldest(store, &numbers)?,
        numbers,
        state,
        ring,
        own,
        torn,
        unwritten,
        founding,
        high_next: sight.high_next,
        is_promise_ahead: sight.is_promise_ahead,
        completeness,
        damage: sight.damage,
        findings,
    })
}

/// The journal's own ring cannot be read with these segments, whose log ends at `end`. If they lack records
/// that it knows them to hold, the ring is not damaged: within one boot of the machine only an older copy
/// of the folder, or a file system that was mounted again after an error, loses them.
fn rolled_back<M: TailMemory>(own: &M, end: LogEnd, numbers: &[u64]) -> Option<Damage> {
    // A log grows by its epoch first: where a suffix was replaced it may be shorter than an older one.
    let (epoch, written) = (Epoch(own.word(Word::WrittenEpoch)), own.word(Word::WrittenSeq));
    if (end.epoch, end.next) >= (epoch, written) || planted(Mutation::OlderCopyIsTorn) {
        return None;
    }
    let file = numbers.last().map_or("segments".to_string(), |number| FileName::Segment(*number).to_string());
    let what = format!(
        "the segments end at {} in epoch {}, and held everything below {written} in epoch {epoch}, as the tail knows: they \
         are an older copy of themselves, or their file system has lost a part of them",
        end.next, end.epoch
    );
    Some(Damage::new(file, 0, end.next, what))
}

/// The content of the superblock's copies, and the findings so far.
struct Sight<'a> {
    newest: &'a Superblock,
    older: Option<&'a Superblock>,
    half: bool,
    promised: Epoch,
    high_next: Seq,
    is_promise_ahead: bool,
    /// Damage of the ring, which may not be needed.
    ring_damage: Option<Damage>,
    damage: Vec<Damage>,
    /// Damage that the founder of this history found behind the ancestor's log.
    evidence: Vec<Damage>,
}

impl<'a> Sight<'a> {
    fn new(newest: &'a Superblock, older: Option<&'a Superblock>, half: bool) -> Self {
        let promised = older.map_or(newest.promised, |older| older.promised.max(newest.promised));
        let high_next = newest.high_next;
        Self {
            newest,
            older,
            half,
            promised,
            high_next,
            is_promise_ahead: false,
            ring_damage: None,
            damage: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// Numbers of rings that may have been assigned. An unreadable copy may be that of a start that
    /// assigned one more, and labelled a ring with it: that number is not assigned again.
    fn rings(&self) -> u64 {
        self.older.map_or(0, |older| older.run.rings).max(self.newest.run.rings) + u64::from(self.half)
    }

    /// The newest segment of which the device had a part: both copies tell the truth of that, but for one of
    /// a former owner, behind whose log a founder has removed what did not reach the device (seed 76280790).
    fn begun_to(&self) -> u64 {
        let older = self.older.filter(|older| older.identity == self.newest.identity);
        older.map_or(0, |older| older.run.begun_to).max(self.newest.run.begun_to)
    }

    /// The number of the oldest segment that is to be there; of a journal that does not record it, of the
    /// oldest one that is.
    fn oldest_number(&self, numbers: &[u64]) -> u64 {
        match self.older.map_or(0, |older| older.oldest_number).max(self.newest.oldest_number) {
            0 => numbers.first().copied().unwrap_or(1),
            recorded => recorded,
        }
    }

    fn history(&self, state: &RecoveredState) -> u64 {
        let known = [self.newest.history, self.older.map_or(0, |older| older.history), state.history];
        known.into_iter().find(|history| *history != 0).unwrap_or(0)
    }

    /// Whether the ring with this label may be read.
    fn ring(&self, label: Option<&TailLabel>, settings: &Settings) -> Result<RingEvidence, JournalOpenError> {
        if let Some(label) = label
            && (label.cluster != self.newest.cluster
                || label.identity.replica != self.newest.identity.replica)
        {
            return Err(JournalOpenError::Tail { cluster: label.cluster, identity: label.identity });
        }
        let run = proof::RunRecord { rings: self.rings(), ..self.newest.run };
        let ring = proof::ring(&run, self.newest.identity, settings.boot, label);
        let Some(label) = label.filter(|label| label.record_len_max as usize != settings.frame_len_max)
        else {
            return Ok(ring);
        };
        match ring {
            // The segments hold everything, and a new ring may have other sizes.
            RingEvidence::Own if self.newest.run.clean => Ok(RingEvidence::Other(RingMismatch::Unfit)),
            RingEvidence::Own => Err(JournalOpenError::Settings(format!(
                "the tail holds frames of up to {} bytes, now {} are wanted: start with the old size once, \
                 and stop in order",
                label.record_len_max, settings.frame_len_max
            ))),
            other => Ok(other),
        }
    }

    /// A ring of the last run that has other sizes is not read. Its words are: behind a stop in order it
    /// knows no more than the superblock, or that one is older.
    fn note_outrun<M: TailMemory>(&mut self, ring: &RingEvidence, memory: Option<&M>) {
        let unfit = ring == &RingEvidence::Other(RingMismatch::Unfit);
        let Some(memory) = memory.filter(|_| unfit) else { return };
        let (high, promised) = (memory.word(Word::HighSeq), Epoch(memory.word(Word::Promised)));
        let (stopped, known) = (self.newest.high_next, self.promised);
        if high <= stopped && promised <= known {
            return;
        }
        let what = format!(
            "it says that the log was stopped before seq {stopped}, with promise {known}; the tail, which has other sizes, \
             went on to seq {high} and promise {promised}: the journal is an older copy of itself"
        );
        self.damage.push(Damage::new(FileName::Superblock, 0, stopped, what));
    }

    /// The log by the ring of the last run: none where the ring is damaged, which is recorded.
    fn read_ring<S: Store, M: TailMemory>(
        &mut self,
        store: &S,
        memory: &M,
        label: TailLabel,
        settings: &Settings,
        numbers: &[u64],
    ) -> Result<Option<(RecoveredState, TailLabel, Geometry)>, JournalOpenError> {
        let geometry =
            Geometry::new(memory.ring_len(), settings.frame_len_max).map_err(JournalOpenError::Settings)?;
        // The word is the newer of the two, whatever else is wrong.
        let promised = Epoch(memory.word(Word::Promised));
        self.is_promise_ahead = promised > self.promised;
        self.promised = self.promised.max(promised);
        self.high_next = memory.word(Word::HighSeq);
        match recover::warm(store, memory, &label, &geometry, numbers) {
            Ok(state) => Ok(Some((state, label, geometry))),
            Err(RecoverError::Store(error)) => Err(JournalOpenError::Store(error)),
            Err(RecoverError::Damage(found)) => {
                self.ring_damage = Some(found);
                Ok(None)
            }
        }
    }

    /// The log by the segments alone. A sealed one without its content ends it: those behind are unwritten.
    fn read_segments<S: Store, M: TailMemory>(
        &mut self,
        store: &S,
        memory: Option<&M>,
        numbers: &mut Vec<u64>,
        unwritten: &mut Vec<u64>,
    ) -> Result<(RecoveredState, Option<Torn>), JournalOpenError> {
        let hole = reached::end_at_hole(store, numbers, unwritten, &self.newest.run)?;
        self.high_next = self.high_next.max(reached::known_next(store, unwritten)?);
        self.damage.extend(hole.damage);
        let order = WriteOrder::of(&self.newest.run);
        let (state, found, torn) = recover::cold(store, numbers, order, false)?;
        if let Some(torn) = torn.as_ref().filter(|_| order == WriteOrder::Cached) {
            self.high_next = self.high_next.max(reached::known_behind(store, torn)?);
        }
        self.damage.extend(found);
        let own = memory.filter(|_| self.ring_damage.is_some());
        self.damage.extend(own.and_then(|own| rolled_back(own, state.log.end, numbers)));
        Ok((state, torn.or(hole.torn)))
    }

    /// The founding that goes behind the log in the first run of a new history. Damage behind the
    /// ancestor's log was never the founder's, which has sent nothing yet: it is retained as evidence.
    fn founding<S: Store>(
        &mut self,
        store: &S,
        state: &RecoveredState,
    ) -> Result<Option<PendingFounding>, JournalOpenError> {
        let newest = self.newest;
        let founding = match recovery::pending(store, newest, &state.log.end, state.checkpoint.history) {
            Err(JournalOpenError::Damaged(found)) => {
                self.damage.push(found);
                None
            }
            pending => pending?,
        };
        let counts = planted(Mutation::EvidenceIsLoss);
        if !counts && founding.is_some() && newest.run.clean && newest.high_next == state.log.end.next {
            self.evidence.append(&mut self.damage);
        }
        Ok(founding)
    }

    /// Damage that is no loss, for the operator; that of a `copy` of the superblock is a loss if anything
    /// else is missing.
    fn remarks(&mut self, copy: Option<Damage>, completeness: &Completeness) -> Vec<String> {
        let ring = self.ring_damage.iter().map(|damage| {
            format!(
                "{damage}; nothing that was acknowledged is in it alone, and the tail is made anew from the \
                 segments"
            )
        });
        let evidence = self.evidence.iter().map(|damage| {
            format!(
                "{damage}; it lies behind the log on which this history was founded, and is kept as evidence"
            )
        });
        let mut remarks: Vec<String> = ring.chain(evidence).collect();
        match copy {
            Some(copy) if *completeness == Completeness::Complete => {
                remarks.push(format!("{copy}; nothing of it is missing, and it is written anew"));
            }
            copy => self.damage.extend(copy),
        }
        remarks
    }

    /// The copy by which the journal is judged, and the result. A start that was interrupted before both
    /// copies recorded it has not begun: the previous record is in force then.
    fn judge(&self, ring: &RingEvidence, end: LogEnd, numbers: &[u64]) -> (Superblock, Completeness) {
        let found = JournalEvidence {
            ring,
            end: (end.next, end.chain),
            newest: numbers.last().copied().unwrap_or(0),
            damage: self.damage.first().map(ToString::to_string),
            half: self.half,
        };
        let judged = |copy: &Superblock| {
            let run = proof::RunRecord { begun_to: self.begun_to(), ..copy.run };
            proof::judge(&run, (copy.high_next, copy.high_chain), &found)
        };
        let first = judged(self.newest);
        let second =
            self.older.filter(|_| first != Completeness::Complete).map(|older| (*older, judged(older)));
        match second {
            Some((older, Completeness::Complete)) => (older, Completeness::Complete),
            _ => (*self.newest, first),
        }
    }

    /// A log that does not end where it was stopped is damaged, and reported like any other damage.
    fn name_short_log(&mut self, state: &RecoveredState, numbers: &[u64]) {
        let (end, high) = (state.log.end, (self.newest.high_next, self.newest.high_chain));
        if !self.newest.run.clean || (end.next, end.chain) == high || !self.damage.is_empty() {
            return;
        }
        let what = format!(
            "the log ends at {} with chain {:#x}, but was stopped at {} with chain {:#x}",
            end.next, end.chain, high.0, high.1
        );
        let file = numbers.last().map_or("segments".to_string(), |n| FileName::Segment(*n).to_string());
        let offset = state.filling.as_ref().map_or(0, |filling| filling.index.end_offset);
        self.damage.push(Damage::new(file, offset, end.next, what));
    }
}

impl Inspection {
    /// Whether its replica may continue under its identity.
    pub fn completeness(&self) -> &Completeness {
        &self.completeness
    }

    /// Damage that was found, except damage that is no loss.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The required end of the log, for the operator.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Where the log ends.
    pub fn end(&self) -> LogEnd {
        self.founding.as_ref().map_or(self.state.log.end, |founding| founding.end)
    }

    /// Retention has removed all frames below, and so they are committed. 1 where they are gone without it:
    /// they need not have been.
    pub fn removed_next(&self) -> Seq {
        let is_gone = self.numbers.first().is_some_and(|oldest| *oldest > self.superblock.oldest_number);
        if is_gone && !planted(Mutation::GoneCommitted) { 1 } else { self.base.next }
    }

    /// The log was known to reach this seq.
    pub fn high_next(&self) -> Seq {
        self.high_next.max(self.end().next)
    }

    /// The superblock in force.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The highest promised epoch that is known.
    pub fn promised(&self) -> Epoch {
        self.superblock.promised
    }

    /// The tables that the log has determined.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.state.checkpoint
    }

    /// The state of the present ring.
    pub fn ring(&self) -> &RingEvidence {
        &self.ring
    }

    /// The same, with a reason from outside why its replica may have forgotten something.
    #[must_use]
    pub fn doubted(self, why: String) -> Self {
        Self { completeness: Completeness::Incomplete(why), ..self }
    }

    /// Whether the ring is the journal's own, and the segments hold everything that it holds: then a new ring
    /// may take its place. Within a boot, only the ring distinguishes an older copy of the segments from the
    /// last one.
    pub fn is_ring_spare(&self) -> bool {
        let (stopped, end) = (&self.superblock, self.end());
        self.ring == RingEvidence::Own
            && self.completeness == Completeness::Complete
            && stopped.run.clean
            && (end.next, end.chain) == (stopped.high_next, stopped.high_chain)
            && self.high_next <= stopped.high_next
            && !self.is_promise_ahead
    }

    /// A torn end that is cut when the journal is used.
    pub fn cut(&self) -> Option<Cut> {
        let (number, offset, len) = match (&self.torn, self.unwritten.last()) {
            (Some(torn), _) => (torn.number, torn.offset, torn.len),
            (None, Some(number)) => (*number, 0, 0),
            (None, None) => return None,
        };
        Some(Cut { file: FileName::Segment(number).to_string(), offset, len })
    }
}
