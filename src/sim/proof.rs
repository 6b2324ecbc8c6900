//! # proof: every way in which runs of a replica begin and end
//!
//! The question (S9): is a journal that calls itself complete complete, whatever was configured then and now,
//! wherever a start failed or a run ended, and whatever was lost in between? And the other way round: is one
//! that lost nothing never refused? All of it is tried, over the code that production runs and a disk whose
//! cache forgets ([`super::disk`]).
//!
//! ```text
//!  at rest ── way: configured, followed, path of the tail, start fails ─▶ run ── end: killed, stopped, or ──▶ at rest
//!     │                                                                         in any call                  │
//!     └── judged, and lost: tail, tail of before, unsynced sectors, a copy of the superblock, the machine ◀──┘
//! ```
//!
//! What is at rest is told apart by what it is judged by; one of each kind goes into the next generation.

mod frames;
mod ghost;
mod lost;
mod mortal;
mod run;

use crate::engine::bootstrap::bootstrap;
use crate::journal::memory::MemoryTail;
use crate::journal::ports::FileName;
use crate::journal::proof::Ring;
use crate::journal::{Completeness, Looked, format, open};
use crate::proto::commit::Durability;
use crate::proto::log::LogEnd;
use crate::sim::disk::Disk;
use frames::{CLUSTER, HISTORY, ME, member};
use ghost::Ghost;
use run::{DEEDS_COUNT, End, Way, looked, run, settings};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;

/// What went wrong, in words, and how one gets there.
pub type Violation = String;

/// Violations that are gathered; more say no more.
const VIOLATIONS_MAX: usize = 6;

/// Four facts.
type Facts = (bool, bool, bool, bool);
/// What a state is told apart by: what a look with each path says (complete, own ring, holds what was said), its
/// record, what was said, and what became of it.
type Kind = (Vec<Option<(bool, bool, bool)>>, Option<(bool, Durability, u64, u64)>, Facts, Facts, usize);

/// A machine at rest: its files, and what is left of its memory.
#[derive(Clone)]
struct Rest {
    disk: Disk,
    /// What lies at two paths for a tail.
    rings: [Option<MemoryTail>; 2],
    /// What lay there before the last run, ...
    kept_ring: Option<MemoryTail>,
    /// ... and what the files were then.
    kept_disk: Option<Disk>,
    /// The path with the memory of the last run, as long as it is there as it was left.
    run_path: Option<usize>,
    boot: u64,
    /// A copy of the superblock was damaged.
    half: bool,
    /// A bit of what is on the device has changed.
    is_changed: bool,
    /// The files are older than the memory.
    is_rolled_back: bool,
    /// The last start was interrupted before it was through.
    is_interrupted: bool,
    ghost: Ghost,
    story: Vec<String>,
}

impl Rest {
    /// Errors with what it has that proves it complete, looked at with the tail at `path`.
    fn may_be_refused(&self, path: usize) -> Result<(), &'static str> {
        // Two faults at once: the copy that is left may be that of the start that was interrupted.
        let is_excused = self.is_rolled_back || self.half && self.is_interrupted;
        if self.run_path == Some(path) && !is_excused {
            return Err("the memory of its last run");
        }
        if self.ghost.settled && !self.half && !self.is_changed && !self.is_rolled_back {
            return Err("all of it on the device");
        }
        Ok(())
    }
}

/// How much is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Runs, one behind the other.
    pub generations: u32,
    /// Of the ends of a run each so-many-th one is tried behind the first generation, where each state begins with
    /// another one; behind the first run all of them are.
    pub stride: u64,
    /// Threads.
    pub jobs: usize,
}

/// How much was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tried {
    /// Runs.
    pub runs: u64,
    /// States that were judged, each by both configurations and with the tail of each path.
    pub judged: u64,
    /// Kinds of states that a next generation began with.
    pub kinds: u64,
    /// Looks that found a complete journal, ...
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
pub fn explore(scope: &Scope) -> Result<Tried, Violation> {
    let mut tried = Tried::default();
    let mut frontier = vec![born()?];
    for generation in 1..=scope.generations {
        let (found, next) = one_generation(&frontier, generation, scope)?;
        tried.add(&found);
        tried.kinds += frontier.len() as u64;
        frontier = next;
    }
    Ok(tried)
}

/// A journal that was formatted, and on which a history was born: a run of its own, in `power`.
fn born() -> Result<Rest, Violation> {
    let words = |error: crate::journal::OpenError| error.to_string();
    let mut disk = Disk::default();
    format(&mut disk, CLUSTER, ME, [1, 1]).map_err(words)?;
    disk.set_power(true);
    let mut opened =
        open(&mut disk, MemoryTail::new(24 << 10), settings(1, Durability::Power)).map_err(words)?;
    bootstrap(&mut opened.tail, HISTORY, &[member()], 1)?;
    let end = opened.tail.end();
    let copied = crate::journal::copy_behind(opened.tail.memory_mut(), &mut opened.writer, &mut disk, true);
    copied.map_err(|error| error.to_string())?;
    let marked = opened.writer.mark_clean(&mut disk, &mut opened.superblock);
    marked.map_err(|error| error.to_string())?;
    Ok(Rest {
        disk,
        rings: [Some(opened.tail.into_memory()), None],
        kept_ring: None,
        kept_disk: None,
        run_path: Some(0),
        boot: 1,
        half: false,
        is_changed: false,
        is_rolled_back: false,
        is_interrupted: false,
        ghost: Ghost::new(vec![LogEnd::BLANK, end]),
        story: Vec::new(),
    })
}

/// Every run from each of `frontier`, and what may be lost after it. Returns one state of each kind.
fn one_generation(
    frontier: &[Rest],
    generation: u32,
    scope: &Scope,
) -> Result<(Tried, Vec<Rest>), Violation> {
    let stride = if generation == 1 { 1 } else { scope.stride.max(1) };
    let begun = frontier.iter().flat_map(|rest| ways().into_iter().map(move |way| (rest, way)));
    let tasks = (0..).zip(begun).map(|(task, (rest, way))| (rest.clone(), way, task % stride));
    let tasks: Mutex<Vec<(Rest, Way, u64)>> = Mutex::new(tasks.collect());
    let shared = Mutex::new(Shared::default());
    std::thread::scope(|threads| {
        for _ in 0..scope.jobs.max(1) {
            threads.spawn(|| {
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
            });
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

/// What threads have found together.
#[derive(Default)]
struct Shared {
    tried: Tried,
    kinds: BTreeMap<Kind, Rest>,
    violations: Vec<Violation>,
}

impl Shared {
    /// Keeps one of each kind: the same one, whichever thread was faster.
    fn keep(&mut self, kind: Kind, rest: Rest) {
        match self.kinds.entry(kind) {
            Entry::Vacant(place) => drop(place.insert(rest)),
            Entry::Occupied(mut known) if rest.story < known.get().story => drop(known.insert(rest)),
            Entry::Occupied(_) => {}
        }
    }
}

fn ways() -> Vec<Way> {
    use Durability::{Power, Process};
    let mut ways = Vec::new();
    for configured in [Process, Power] {
        for path in [0, 1] {
            for (follows, turns) in [(Process, false), (Power, false), (Process, true), (Power, true)] {
                // Who is configured for the device speaks alike in every epoch, if it is right.
                if configured == Process || !turns {
                    ways.push(Way { configured, follows, turns, path, fails: false });
                }
            }
            ways.push(Way { configured, follows: Process, turns: false, path, fails: true });
        }
    }
    ways
}

/// All ends of a run that begins with `rest`, or each `stride`th from `first` on.
fn all_ends(
    rest: &Rest,
    way: &Way,
    generation: u32,
    (first, stride): (u64, u64),
    found: &mut Shared,
) -> Result<(), Violation> {
    let mut to = |end: End| -> Result<bool, Violation> {
        let told = |why: Violation| format!("{why}\n  {}\n  then {way:?} {end:?}", rest.story.join("\n  "));
        let Some(mut after) = run(rest, way, end, generation).map_err(told)? else { return Ok(false) };
        found.tried.runs += 1;
        after.story.push(format!("{way:?} {end:?}"));
        for lost in lost::all(&after) {
            let told = |why: Violation| format!("{why}\n  {}", lost.story.join("\n  "));
            let kind = judge(&lost, &mut found.tried).map_err(told)?;
            // What a machine does that was rolled back binds nobody.
            if !lost.is_rolled_back {
                found.keep(kind, lost);
            }
        }
        Ok(true)
    };
    if way.fails {
        return to(End::Stopped).map(drop);
    }
    for deeds in (0..=DEEDS_COUNT).skip(first as usize).step_by(stride as usize) {
        to(End::Killed(deeds))?;
    }
    to(End::Stopped)?;
    // Dead before anything of the call, behind all of it, or within.
    for salt in [0, 1, 6] {
        let mut call = first;
        while to(End::InFiles { call, salt })? {
            call += stride;
        }
    }
    let mut call = first;
    while to(End::InMemory { call })? {
        call += stride;
    }
    Ok(())
}

/// Judges a state as each of the next starts would find it.
fn judge(rest: &Rest, tried: &mut Tried) -> Result<Kind, Violation> {
    tried.judged += 1;
    let mut seen = Vec::new();
    for path in [0, 1] {
        for configured in [Durability::Process, Durability::Power] {
            let looked = looked(rest, path, configured)?;
            let is_complete =
                looked.as_ref().is_some_and(|looked| looked.completeness() == &Completeness::Complete);
            if let Some(looked) = looked.as_ref().filter(|_| is_complete) {
                tried.complete += 1;
                // Files that were rolled back cannot tell, unless memory goes on where it was.
                let has_memory = rest.run_path == Some(path) && looked.ring() == &Ring::Own;
                if !rest.is_rolled_back || has_memory {
                    rest.ghost.judge(&looked.end(), looked.promised())?;
                }
            } else {
                tried.incomplete += 1;
                rest.may_be_refused(path).map_err(|has| {
                    let why = looked.as_ref().map(Looked::completeness);
                    format!("REFUSED: it has {has}, and is called incomplete: {why:?}")
                })?;
            }
            if configured == Durability::Process {
                seen.push(looked.as_ref().map(|looked| {
                    let holds = rest.ghost.judge(&looked.end(), looked.promised()).is_ok();
                    (is_complete, looked.ring() == &Ring::Own, holds)
                }));
            }
        }
    }
    let newest = rest.disk.newest_segment();
    let record = looked(rest, 0, Durability::Process)?.map(|looked| {
        let run = looked.superblock().run;
        let synced = newest.saturating_sub(run.synced_to).min(2);
        (run.clean, run.spoken, synced, run.rings.saturating_sub(run.ring).min(2))
    });
    let rings = rest.rings.iter().filter(|ring| ring.is_some()).count();
    let flags = (rest.disk.is_dirty(), rest.half, rest.is_changed, rest.is_interrupted);
    Ok((seen, record, rest.ghost.class(), flags, rings))
}

/// Which of a journal's files hold segments.
fn is_segment(file: &FileName) -> bool {
    matches!(file, FileName::Segment(_))
}
