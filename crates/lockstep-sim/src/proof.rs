//! # proof: every way in which runs of a replica begin and end
//!
//! The question (S9): is a journal that calls itself complete really complete, whatever the configuration
//! was then and is now, wherever a start failed or a run ended, and whatever was lost in between?
//! Conversely: is a journal that lost nothing never refused? All combinations are tried, over the code that
//! production runs and a disk that loses its cache ([`super::disk`]).
//!
//! ```text
//!  at rest ── way: configured, followed, path of the tail, start fails ─▶ run ── end: killed, stopped, or ──▶ at rest
//!     │                                                                         in any call                  │
//!     └── judged, and lost: tail, tail of before, unsynced sectors, a copy of the superblock, the machine ◀──┘
//! ```
//!
//! States at rest are distinguished by what the judgement depends on (`Kind`); one state of each kind begins
//! a second run, after which everything may be lost again. The reference model remembers over both runs what
//! was acknowledged and promised (`reference_model`).
//!
//! | | first run | later runs |
//! |---|---|---|
//! | configured | both | both |
//! | epoch followed, path of the tail | all | the epochs that differ in an ack's durability; each such path |
//! | deeds | all, with rolls and a suffix replacement while the ring wraps | each kind of them once |
//! | ends | each | each so-many-th ([`ProofScope::stride`]), another one for each state |
//! | a start that fails; what is lost | all | all |
//!
//! Not covered: three runs that depend on each other; a difference between two states of one kind; retention
//! and packing; a membership, as one journal has no votes to count for it.

mod frames;
mod lost;
mod mortal;
mod reference_model;
mod run;
mod stage;

use crate::disk::SimDisk;
use frames::{CLUSTER, HISTORY, ME, member, message};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::planted::Inherited;
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{FileName, TailSource, Word};
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::{Completeness, Inspection, format, open};
use lockstep_wire::{FrameView, Keyring};
use reference_model::ProofModel;
use run::{RING_LEN, RunEnd, StartConfig, deeds_count, inspection, run, settings};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;

pub use stage::{Begin, Stage};

/// The violation, in words, and the steps that lead to it.
pub type ProofViolation = String;

/// The most violations that are collected; further ones are dropped.
const VIOLATIONS_MAX: usize = 6;

/// Messages of the log before the first run: so many that the ring ends between the frames of its suffix
/// replacement and the mark that makes them the log. So there are two groups to copy for what was
/// acknowledged at once.
const CREATED_WITH: usize = 6;

/// Four facts.
type Facts = (bool, bool, bool, bool);
/// The result of an inspection with the tail at one path (complete, own ring, holds what was acknowledged),
/// and what the segments lack.
type Sight = (Option<(bool, bool, bool)>, Ahead);
/// The key that distinguishes states: the result with each path, whichever is which; its record; what was
/// acknowledged and promised; its faults; whether the device lacks something of older segments.
type Kind = ([Sight; 2], Option<(bool, Durability, (u64, u64), u64)>, Facts, Facts, bool);

/// The part of a ring that segments lack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Ahead {
    NoRing,
    Nothing,
    /// Records of one group.
    Records,
    /// Records on both sides of the ring's end: two groups.
    Wrapped,
}

impl Ahead {
    fn of(ring: Option<&MemoryTail>) -> Self {
        let Some(ring) = ring.filter(|ring| ring.label().is_some()) else { return Self::NoRing };
        let [written, published] = [Word::WrittenPos, Word::PublishedPos].map(|word| ring.word(word));
        let lap = |pos: u64| pos / RING_LEN as u64;
        match written >= published {
            true => Self::Nothing,
            false if lap(written) == lap(published - 1) => Self::Records,
            false => Self::Wrapped,
        }
    }
}

/// A machine at rest: its files, and the rest of its memory.
#[derive(Clone)]
struct Rest {
    disk: SimDisk,
    /// The rings at the two paths for a tail.
    rings: [Option<MemoryTail>; 2],
    /// The ring before the last run, ...
    saved_ring: Option<MemoryTail>,
    /// ... and the files then.
    saved_disk: Option<SimDisk>,
    /// The path with the memory of the last run, as long as that memory is unchanged.
    run_path: Option<usize>,
    boot: u64,
    /// A copy of the superblock was damaged.
    half: bool,
    /// A bit on the device has changed.
    is_changed: bool,
    /// The files are older than the memory.
    is_rolled_back: bool,
    /// The last start was interrupted before its end.
    is_interrupted: bool,
    reference: ProofModel,
    story: Vec<String>,
}

impl Rest {
    /// The paths for a tail that differ: where neither has a ring, they are alike.
    fn paths(&self) -> &'static [usize] {
        if self.rings.iter().all(Option::is_none) { &[0] } else { &[0, 1] }
    }

    /// Returns as an error the evidence that proves it complete, inspected with the tail at `path`.
    fn may_be_refused(&self, path: usize) -> Result<(), &'static str> {
        // Two faults at once: the surviving copy may be that of the interrupted start.
        let is_excused = self.is_rolled_back || self.half && self.is_interrupted;
        if self.run_path == Some(path) && !is_excused {
            return Err("the memory of its last run");
        }
        if self.reference.settled && !self.half && !self.is_changed && !self.is_rolled_back {
            return Err("all of it on the device");
        }
        Ok(())
    }
}

/// The scope of the search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProofScope {
    /// Runs, one after the other.
    pub generations: u32,
    /// After the first generation each so-many-th call is tried in which a run may die, eight times as many
    /// of the deeds after which it is killed, and one at which it is stopped; each state begins with another
    /// one. Of the first run all ends are tried.
    pub stride: u64,
    /// Threads.
    pub jobs: usize,
}

/// The size of the search.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tried {
    /// Runs.
    pub runs: u64,
    /// States that were judged, each with both configurations and with the tail of each path.
    pub judged: u64,
    /// Kinds of states that began a next generation.
    pub kinds: u64,
    /// Inspections that found a complete journal, ...
    pub complete: u64,
    /// ... and an incomplete one.
    pub incomplete: u64,
}

impl Tried {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.judged += other.judged;
        self.complete += other.complete;
        self.incomplete += other.incomplete;
    }
}

/// Tries everything in `scope`, up to the first generation with violations.
///
/// # Errors
/// Some of those violations, each with its story.
pub fn explore(scope: &ProofScope) -> Result<Tried, ProofViolation> {
    let mut tried = Tried::default();
    let mut frontier = vec![created()?];
    for generation in 1..=scope.generations {
        let (found, next) = one_generation(&frontier, generation, scope)?;
        tried.add(&found);
        tried.kinds += frontier.len() as u64;
        frontier = next;
    }
    Ok(tried)
}

/// A formatted journal with the genesis of a history: a run of its own, in `power`.
fn created() -> Result<Rest, ProofViolation> {
    let words = |error: lockstep_replica::journal::JournalOpenError| error.to_string();
    let mut disk = SimDisk::default();
    format(&mut disk, CLUSTER, ME, [1, 1]).map_err(words)?;
    disk.set_power(true);
    let mut opened =
        open(&mut disk, MemoryTail::new(RING_LEN), settings(1, Durability::Power)).map_err(words)?;
    bootstrap(&mut opened.tail, &Keyring::none(CLUSTER), HISTORY, &[member()])?;
    let mut reference_model = ProofModel::new();
    reference_model.on_appended(opened.tail.end());
    for _ in 0..CREATED_WITH {
        let bytes = message(&opened.tail.end(), 0);
        let frame = FrameView::from_prefix(&bytes).map_err(|reject| reject.to_string())?;
        opened.tail.append(&frame).map_err(|error| format!("the tail refuses a frame: {error:?}"))?;
        reference_model.on_appended(opened.tail.end());
    }
    let copied =
        lockstep_replica::journal::copy_behind(opened.tail.memory_mut(), &mut opened.writer, &mut disk, true);
    copied.map_err(|error| error.to_string())?;
    let marked = opened.writer.mark_clean(&mut disk, &mut opened.superblock);
    marked.map_err(|error| error.to_string())?;
    Ok(Rest {
        disk,
        rings: [Some(opened.tail.into_memory()), None],
        saved_ring: None,
        saved_disk: None,
        run_path: Some(0),
        boot: 1,
        half: false,
        is_changed: false,
        is_rolled_back: false,
        is_interrupted: false,
        reference: reference_model,
        story: Vec::new(),
    })
}

/// Every run from each of `frontier`, and every loss after it. Returns one state of each kind.
fn one_generation(
    frontier: &[Rest],
    generation: u32,
    scope: &ProofScope,
) -> Result<(Tried, Vec<Rest>), ProofViolation> {
    let stride = if generation == 1 { 1 } else { scope.stride.max(1) };
    let begun =
        frontier.iter().flat_map(|rest| ways(rest, generation).into_iter().map(move |way| (rest, way)));
    let tasks = (0..).zip(begun).map(|(task, (rest, way))| (rest.clone(), way, task % stride));
    let tasks: Mutex<Vec<(Rest, StartConfig, u64)>> = Mutex::new(tasks.collect());
    let shared = Mutex::new(Shared::default());
    let work = || {
        loop {
            let is_enough = locked(&shared).violations.len() >= VIOLATIONS_MAX;
            let task = locked(&tasks).pop();
            let Some((rest, way, first)) = task.filter(|_| !is_enough) else { return };
            let mut own = Shared::default();
            let done = all_ends(&rest, &way, generation, (first, stride), &mut own);
            let mut all = locked(&shared);
            all.tried.add(&own.tried);
            for (kind, rest) in own.kinds {
                all.keep(kind, rest);
            }
            all.violations.extend(done.err());
        }
    };
    let planted = Inherited::of_this_thread();
    std::thread::scope(|threads| {
        for _ in 0..scope.jobs.max(1) {
            threads.spawn(|| planted.run(work));
        }
    });
    let Shared { tried, kinds, violations } =
        shared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match violations.is_empty() {
        true => Ok((tried, kinds.into_values().collect())),
        false => Err(violations.join("\n\n")),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The common results of the threads.
#[derive(Default)]
struct Shared {
    tried: Tried,
    kinds: BTreeMap<Kind, Rest>,
    violations: Vec<ProofViolation>,
}

impl Shared {
    /// Retains one of each kind: the same one, whichever thread was faster.
    fn keep(&mut self, kind: Kind, rest: Rest) {
        match self.kinds.entry(kind) {
            Entry::Vacant(place) => drop(place.insert(rest)),
            Entry::Occupied(mut known) if rest.story < known.get().story => drop(known.insert(rest)),
            Entry::Occupied(_) => {}
        }
    }
}

/// How the run of `generation` may be started from `rest`.
fn ways(rest: &Rest, generation: u32) -> Vec<StartConfig> {
    use Durability::{Power, Process};
    let mut ways = Vec::new();
    for configured in [Process, Power] {
        for &path in rest.paths() {
            let followed: &[(Durability, bool)] = match configured {
                Process if generation == 1 => {
                    &[(Process, false), (Power, false), (Process, true), (Power, true)]
                }
                Process => &[(Power, false), (Process, true)],
                // A run in `power` acknowledges alike in every epoch, if it is right: the first one shows
                // that.
                Power if generation == 1 => &[(Process, false), (Power, false)],
                Power => &[(Process, false)],
            };
            ways.extend(followed.iter().map(|&(follows, turns)| StartConfig {
                configured,
                follows,
                turns,
                path,
                fails: false,
            }));
            ways.push(StartConfig { configured, follows: Process, turns: false, path, fails: true });
        }
    }
    ways
}

/// All ends of a run that begins with `rest`, or each `stride`th from `first` on.
fn all_ends(
    rest: &Rest,
    way: &StartConfig,
    generation: u32,
    (first, stride): (u64, u64),
    found: &mut Shared,
) -> Result<(), ProofViolation> {
    let mut to = |end: RunEnd| -> Result<bool, ProofViolation> {
        let with_story =
            |why: ProofViolation| format!("{why}\n  {}\n  then {way:?} {end:?}", rest.story.join("\n  "));
        let Some(mut after) = run(rest, way, end, generation).map_err(with_story)? else { return Ok(false) };
        found.tried.runs += 1;
        after.story.push(format!("{way:?} {end:?}"));
        for lost in lost::all(&after) {
            let with_story = |why: ProofViolation| format!("{why}\n  {}", lost.story.join("\n  "));
            let kind = judge(&lost, &mut found.tried).map_err(with_story)?;
            // A machine that was rolled back has no binding acks or promises.
            if let Some(kind) = kind.filter(|_| !lost.is_rolled_back) {
                found.keep(kind, lost);
            }
        }
        Ok(true)
    };
    if way.fails {
        return to(RunEnd::Stopped(0)).map(drop);
    }
    let deeds = deeds_count(generation);
    let sparse = stride.div_ceil(8);
    for count in (0..=deeds).skip((first % sparse) as usize).step_by(sparse as usize) {
        to(RunEnd::Killed(count))?;
        if generation == 1 {
            to(RunEnd::Stopped(count))?;
        }
    }
    if generation > 1 {
        to(RunEnd::Stopped(first as usize % (deeds + 1)))?;
    }
    // The process dies before the call had any effect, after all of it, or within.
    for salt in [0, 1, 6] {
        let mut call = (first + salt) % stride;
        while to(RunEnd::InFiles { call, salt })? {
            call += stride;
        }
    }
    let mut call = first;
    while to(RunEnd::InMemory { call })? {
        call += stride;
    }
    Ok(())
}

/// Judges a state as each of the next starts would find it. `None` where none of them may begin.
fn judge(rest: &Rest, tried: &mut Tried) -> Result<Option<Kind>, ProofViolation> {
    tried.judged += 1;
    let mut record = None;
    let mut may_begin = false;
    let mut seen: [Sight; 2] = [(None, Ahead::NoRing); 2];
    for &path in rest.paths() {
        for configured in [Durability::Process, Durability::Power] {
            let inspection = inspection(rest, path, configured)?;
            let is_complete = inspection
                .as_ref()
                .is_some_and(|inspection| inspection.completeness() == &Completeness::Complete);
            may_begin |= is_complete;
            let holds = inspection
                .as_ref()
                .map(|inspection| rest.reference.judge(&inspection.end(), inspection.promised()));
            if let Some(inspection) = inspection.as_ref().filter(|_| is_complete) {
                tried.complete += 1;
                // Rolled-back files prove nothing, unless memory continues where it was.
                let has_memory = rest.run_path == Some(path) && inspection.ring() == &RingEvidence::Own;
                if !rest.is_rolled_back || has_memory {
                    holds.clone().unwrap_or(Ok(()))?;
                }
            } else {
                tried.incomplete += 1;
                rest.may_be_refused(path).map_err(|has| {
                    let why = inspection.as_ref().map(Inspection::completeness);
                    format!("REFUSED: it has {has}, and is called incomplete: {why:?}")
                })?;
            }
            if configured == Durability::Process {
                let sight = inspection.as_ref().zip(holds).map(|(inspection, holds)| {
                    (is_complete, inspection.ring() == &RingEvidence::Own, holds.is_ok())
                });
                seen[path] = (sight, Ahead::of(rest.rings[path].as_ref()));
                record = record.or_else(|| inspection.map(|inspection| inspection.superblock().run));
            }
        }
    }
    seen.sort();
    let newest = rest.disk.newest_segment();
    let record = record.map(|run| {
        let synced =
            (newest.saturating_sub(run.synced_to).min(2), newest.saturating_sub(run.begun_to).min(2));
        (run.clean, run.weakest_durability, synced, run.rings.saturating_sub(run.ring).min(2))
    });
    let flags = (rest.disk.is_dirty(), rest.half, rest.is_changed, rest.is_interrupted);
    let is_older = |file: FileName| is_segment(&file) && file != FileName::Segment(newest);
    let is_older_dirty = rest.disk.is_dirty_where(is_older);
    Ok(may_begin.then_some((seen, record, rest.reference.class(), flags, is_older_dirty)))
}

/// The files of a journal that hold segments.
fn is_segment(file: &FileName) -> bool {
    matches!(file, FileName::Segment(_))
}
