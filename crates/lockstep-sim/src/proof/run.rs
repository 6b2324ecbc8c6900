//! One run of a replica on its journal, to any of its ends. The journal's code is production's: inspection,
//! start, the tail, the side thread's turns. Acks and promises are simulated here, by the rule that the
//! engine uses.

use super::frames::{CLUSTER, FRAME_LEN_MAX, ME, epoch, epoch_start, message};
use super::mortal::{CrashState, CrashingStore, Died};
use super::{ProofViolation, Rest};
use crate::disk::{DiskFault, SimDisk};
use lockstep_core::proto::accept::rests_on;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::side::{Inputs, SideSettings, SideStep, SideThread};
use lockstep_replica::journal::{
    Completeness, Inspection, JournalOpenError, OpenedJournal, Settings, Tail, inspect,
};
use lockstep_wire::{Epoch, FrameView, Seq};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Bytes of a ring: it wraps in the first run.
pub(super) const RING_LEN: usize = 12 << 10;
/// Bytes of a segment: two or three groups.
const SEGMENT_LEN: u64 = 12 << 10;

/// The way in which a replica is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StartConfig {
    /// The configuration.
    pub(super) configured: Durability,
    /// The durability of acks in the epoch that it follows; in the second half of the run it is the other
    /// one, if `turns`.
    pub(super) follows: Durability,
    pub(super) turns: bool,
    /// The path of its tail, of two.
    pub(super) path: usize,
    /// Something else that it needs is missing.
    pub(super) fails: bool,
}

/// The way in which a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RunEnd {
    /// It is killed after so many of its deeds.
    Killed(usize),
    /// It is stopped cleanly after so many of its deeds.
    Stopped(usize),
    /// It dies in its `call`th call that changes files, at its start, while it runs or while it stops
    /// cleanly; `salt` decides how much of that call is done.
    InFiles { call: u64, salt: u64 },
    /// It dies in a call that changes the words or the label of its memory, at its start.
    InMemory { call: u64 },
}

/// A deed of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RunAction {
    Append(usize),
    Copy,
    Speak,
    Promise,
    Exchange,
    Turn,
}

/// Those of the first run.
const DEEDS: [RunAction; 20] = [
    RunAction::Append(2),
    RunAction::Speak,
    RunAction::Copy,
    RunAction::Speak,
    RunAction::Append(2),
    RunAction::Copy,
    RunAction::Promise,
    RunAction::Speak,
    RunAction::Copy,
    RunAction::Speak,
    RunAction::Exchange,
    RunAction::Speak,
    RunAction::Copy,
    RunAction::Turn,
    RunAction::Append(2),
    RunAction::Speak,
    RunAction::Copy,
    RunAction::Speak,
    RunAction::Append(1),
    RunAction::Speak,
];

/// Those of a later run: it acknowledges what it found, brings it to the files, and does each thing once
/// more.
const LATER_DEEDS: [RunAction; 12] = [
    RunAction::Speak,
    RunAction::Copy,
    RunAction::Speak,
    RunAction::Append(2),
    RunAction::Speak,
    RunAction::Copy,
    RunAction::Promise,
    RunAction::Exchange,
    RunAction::Speak,
    RunAction::Copy,
    RunAction::Turn,
    RunAction::Speak,
];

/// The deeds of the run of this generation.
fn deeds(generation: u32) -> &'static [RunAction] {
    if generation == 1 { &DEEDS } else { &LATER_DEEDS }
}

/// The number of deeds of the run of this generation.
pub(super) fn deeds_count(generation: u32) -> usize {
    deeds(generation).len()
}

/// The settings of a start.
pub(super) fn settings(boot: u64, configured: Durability) -> Settings {
    Settings {
        cluster: CLUSTER,
        replica: ME.replica,
        boot: [boot, boot],
        power: configured == Durability::Power,
        frame_len_max: FRAME_LEN_MAX,
        segment_len: SEGMENT_LEN,
    }
}

/// Inspects the journal, with the tail at `path`. `None`: it is damaged beyond inspection.
pub(super) fn inspection(
    rest: &Rest,
    path: usize,
    configured: Durability,
) -> Result<Option<Inspection>, ProofViolation> {
    match inspect(&rest.disk, rest.rings[path].as_ref(), settings(rest.boot, configured)) {
        Ok(inspection) => Ok(Some(inspection)),
        Err(JournalOpenError::Damaged(_)) => Ok(None),
        Err(error) => Err(format!("it does not open: {error}")),
    }
}

/// A start was interrupted: its mark may be stored all the same, and then it is the last run.
fn note_interrupted(after: &mut Rest, way: &StartConfig) -> Result<(), ProofViolation> {
    after.is_interrupted = true;
    let is_marked = inspection(after, way.path, way.configured)?.is_some_and(|inspection| {
        inspection.ring() == &RingEvidence::Own && !inspection.superblock().run.clean
    });
    if is_marked {
        after.run_path = Some(way.path);
        after.reference.settled &= way.configured == Durability::Power;
    }
    Ok(())
}

/// Runs from `rest` on, until `end`. `None` where that end is not reached, or nothing may begin.
pub(super) fn run(
    rest: &Rest,
    way: &StartConfig,
    end: RunEnd,
    generation: u32,
) -> Result<Option<Rest>, ProofViolation> {
    let mut after = rest.clone();
    after.saved_disk = Some(rest.disk.clone());
    after.disk.set_power(way.configured == Durability::Power);
    let grave = Rc::new(CrashState::default());
    match end {
        RunEnd::InFiles { call, salt } => after.disk.arm(DiskFault::Death, call, salt),
        RunEnd::InMemory { call } => grave.arm(Some(call)),
        RunEnd::Killed(_) | RunEnd::Stopped(_) => {}
    }
    let seen = inspection(rest, way.path, way.configured)?;
    let Some(seen) = seen.filter(|seen| seen.completeness() == &Completeness::Complete) else {
        return Ok(None);
    };
    let is_own = seen.ring() == &RingEvidence::Own;
    // A ring that continues exists nowhere in its old state; one that is reused may exist again in it, in
    // another tmpfs.
    if !is_own && let Some(ring) = &rest.rings[way.path] {
        after.saved_ring = Some(ring.clone());
    }
    let ring = after.rings[way.path].take().unwrap_or_else(|| MemoryTail::new(RING_LEN));
    let memory = CrashingStore::new(ring, &grave);
    let Some(died) = begin_and_run(&mut after, seen, memory, way, end, generation, &grave)? else {
        return Ok(None);
    };
    if died && !is_own {
        // The ring at that path is overwritten, or not: it is no memory of a run any more.
        after.run_path = after.run_path.filter(|path| *path != way.path);
    }
    after.rings[way.path] = grave.take();
    after.disk.revive();
    if died {
        note_interrupted(&mut after, way)?;
    }
    Ok(Some(after))
}

/// A start after the inspection `seen`, with the ring in `memory`, and the run behind it. Returns whether
/// the process died in its start; `None` where `end` is not reached.
fn begin_and_run(
    after: &mut Rest,
    seen: Inspection,
    memory: CrashingStore,
    way: &StartConfig,
    end: RunEnd,
    generation: u32,
    crash: &CrashState,
) -> Result<Option<bool>, ProofViolation> {
    let fails = way.fails;
    let record = seen.superblock().run;
    let is_known = record.clean || record.weakest_durability == Durability::Power;
    let Rest { disk, reference, run_path, is_interrupted, half, .. } = after;
    let mut memory = Some(memory);
    let started = catch_unwind(AssertUnwindSafe(|| {
        seen.start(disk, |_| match memory.take() {
            Some(memory) if !fails => Ok((memory, ())),
            unused => {
                drop(unused);
                Err(JournalOpenError::Settings("no port".into()))
            }
        })
    }));
    let reached_in_memory = matches!(end, RunEnd::InMemory { .. }) && !crash.is_armed();
    match started {
        // At its start or never.
        Ok(Ok(_)) if matches!(end, RunEnd::InMemory { .. }) => Ok(None),
        Ok(Ok((opened, ()))) => {
            reference.on_begun(&opened.tail.end())?;
            // A damaged copy of the superblock may have been the one that recorded it.
            reference.settled &= way.configured == Durability::Power && (is_known || !*half);
            *run_path = Some(way.path);
            (*is_interrupted, *half) = (false, false);
            let mut run = ProofRun::new(opened, *way, generation);
            Ok(run.to(end, disk, reference)?.then_some(false))
        }
        Ok(Err(_)) if matches!(end, RunEnd::InFiles { .. }) && disk.is_dead() => Ok(Some(true)),
        Ok(Err(_)) if fails => Ok(Some(false)),
        Ok(Err(error)) => Err(format!("a start that nothing hinders fails: {error}")),
        Err(panic) if panic.is::<Died>() && reached_in_memory => Ok(Some(true)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A process.
pub(super) struct ProofRun {
    tail: Tail<CrashingStore>,
    side: SideThread,
    way: StartConfig,
    follows: Durability,
    generation: u32,
    now: u64,
}

impl ProofRun {
    pub(super) fn new(opened: OpenedJournal<CrashingStore>, way: StartConfig, generation: u32) -> Self {
        let power = way.configured == Durability::Power;
        let settings = SideSettings { scrub_bytes_per_s: 0, ..SideSettings::new(power) };
        let side = SideThread::new(opened.writer, opened.superblock, settings);
        Self { tail: opened.tail, side, way, follows: way.follows, generation, now: 0 }
    }

    /// Returns whether that end was reached.
    fn to(
        &mut self,
        end: RunEnd,
        disk: &mut SimDisk,
        reference_model: &mut super::ProofModel,
    ) -> Result<bool, ProofViolation> {
        let all = deeds(self.generation);
        let count = if let RunEnd::Killed(count) | RunEnd::Stopped(count) = end { count } else { all.len() };
        for deed in &all[..count] {
            if !self.act(*deed, disk, reference_model)? {
                return Ok(true);
            }
        }
        if matches!(end, RunEnd::Killed(_)) {
            return Ok(true);
        }
        if !self.stop(disk)? {
            return Ok(true);
        }
        reference_model.settled = true;
        Ok(matches!(end, RunEnd::Stopped(_)))
    }

    /// Stops cleanly. Returns whether it reached the end of that.
    pub(super) fn stop(&mut self, disk: &mut SimDisk) -> Result<bool, ProofViolation> {
        loop {
            match self.turn(disk, true) {
                SideStep::Again | SideStep::Pause(_) => {}
                SideStep::Stopped => return Ok(true),
                SideStep::Failed(_) if disk.is_dead() => return Ok(false),
                SideStep::Failed(error) => return Err(format!("a stop that nothing hinders fails: {error}")),
            }
        }
    }

    fn turn(&mut self, disk: &mut SimDisk, stop: bool) -> SideStep {
        self.now += 10_000_000;
        let inputs = Inputs {
            now: self.now,
            stop,
            committed: 1,
            device: self.follows == Durability::Power,
            ..Inputs::default()
        };
        self.side.turn(disk, self.tail.memory_mut(), &inputs, &mut Vec::new())
    }

    /// Returns whether the process still lives.
    pub(super) fn act(
        &mut self,
        deed: RunAction,
        disk: &mut SimDisk,
        reference_model: &mut super::ProofModel,
    ) -> Result<bool, ProofViolation> {
        match deed {
            RunAction::Append(count) => {
                for _ in 0..count {
                    let end = self.append(message(&self.tail.end(), self.generation as u8))?;
                    reference_model.on_appended(end);
                }
            }
            RunAction::Copy => {
                // Urgent work, then the rest.
                for _ in 0..2 {
                    match self.turn(disk, false) {
                        SideStep::Failed(_) if disk.is_dead() => return Ok(false),
                        SideStep::Failed(error) => return Err(format!("the side thread fails: {error}")),
                        _ => {}
                    }
                }
                let (power, spoken) = (self.way.configured, self.side.superblock().run.weakest_durability);
                if power == Durability::Power && spoken == Durability::Power {
                    reference_model.settled = true;
                } else if power == Durability::Power && self.tail.durable_next() == self.tail.end().next {
                    let late = "a run in power has all of its log on the device, and does not say so";
                    return Err(late.to_string());
                }
            }
            RunAction::Speak => self.speak(reference_model),
            RunAction::Promise => self.tail.promise(epoch(100 * self.generation)),
            RunAction::Exchange => return self.exchange(reference_model).map(|()| true),
            RunAction::Turn if self.way.turns => {
                self.follows = match self.follows {
                    Durability::Process => Durability::Power,
                    Durability::Power => Durability::Process,
                }
            }
            RunAction::Turn => {}
        }
        Ok(true)
    }

    fn append(&mut self, bytes: Vec<u8>) -> Result<LogEnd, ProofViolation> {
        let frame = FrameView::from_prefix(&bytes).map_err(|reject| reject.to_string())?;
        self.tail.append(&frame).map_err(|error| format!("the tail refuses a frame: {error:?}"))?;
        Ok(self.tail.end())
    }

    /// The permitted reports: the bound of an ack, and a promise.
    pub(super) fn may_send(&self) -> (Seq, Epoch) {
        let acked = match rests_on(self.way.configured, self.follows) {
            Durability::Process => self.tail.end().next,
            Durability::Power => self.tail.durable_next(),
        };
        let promised = match self.way.configured {
            Durability::Process => self.tail.promised(),
            Durability::Power => self.tail.promised().min(self.tail.promise_stored()),
        };
        (acked, promised)
    }

    /// Acknowledges and promises everything that is permitted now.
    fn speak(&self, reference_model: &mut super::ProofModel) {
        let (acked, promised) = self.may_send();
        reference_model.on_acked(acked);
        reference_model.epoch_sent = reference_model.epoch_sent.max(promised);
    }

    /// From here on acks have this durability in the epoch that is followed.
    pub(super) fn follow(&mut self, durability: Durability) {
        self.follows = durability;
    }

    /// The last two frames are replaced by those of a new epoch.
    fn exchange(&mut self, reference_model: &mut super::ProofModel) -> Result<(), ProofViolation> {
        let from = reference_model.back(2);
        let adopts: Epoch = epoch(100 * self.generation);
        self.tail.stage(from, adopts).map_err(|error| format!("no staging: {error:?}"))?;
        let mut ends = Vec::new();
        for index in 0..3 {
            let Some(base) = self.tail.staged_end() else { return Err("nothing is staged".into()) };
            let bytes = if index == 0 {
                epoch_start(&base, adopts)
            } else {
                message(&base, self.generation as u8 | 0x80)
            };
            let frame = FrameView::from_prefix(&bytes).map_err(|reject| reject.to_string())?;
            self.tail.stage_frame(&frame).map_err(|error| format!("not staged: {error:?}"))?;
            ends.extend(self.tail.staged_end());
        }
        self.tail.switch().map_err(|error| format!("no exchange: {error:?}"))?;
        reference_model.on_suffix_replaced(from, ends);
        Ok(())
    }
}
