//! # trial: your state machine under the faults that lockstep itself is judged under
//!
//! A [`Trial`] runs a whole cluster in a simulated network, with gateways, clients that send your messages,
//! and copies of your machine, thousands of times: datagrams are lost, doubled and late, replicas crash,
//! stall and lose their disks, leaders are replaced, copies are killed and come back from snapshots of which
//! some are torn. Time is virtual, so that a second of it takes some milliseconds, and a seed gives the same
//! run every time.
//!
//! Judged after each input: your invariant; that all copies have the same state at the same seq, also those
//! that were restored; that no message is applied twice or lost; that a damaged snapshot is never used; that
//! each timer fires once, in order, and none early; that a twin that is restored from a snapshot now and then
//! publishes the same and has the same state; the same of each timer that is pending when a copy's run is
//! over, to which time leaps; and at the end of each seed, run a second time, that the same inputs gave the
//! same state. The report says how much of the machine was run.
//!
//! ```
//! use lockstep_machine::{Input, InputEvent, Output, StateMachine};
//! use lockstep_sim::trial::Trial;
//! use std::collections::BTreeMap;
//! use std::io::{self, Read, Write};
//!
//! /// How much each user has: they send each other one at a time.
//! #[derive(Default)]
//! struct Purses(BTreeMap<u32, i64>);
//!
//! impl StateMachine for Purses {
//!     const VERSION: u32 = 1;
//!     fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
//!         if let InputEvent::Message { publisher, payload: [to, ..], user: Some(_), .. } = input.event {
//!             *self.0.entry(publisher).or_default() -= 1;
//!             *self.0.entry(u32::from(*to)).or_default() += 1;
//!             output.publish(publisher, b"sent");
//!         }
//!     }
//!     fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
//!         self.0.iter().try_for_each(|(user, has)| writeln!(out, "{user} {has}"))
//!     }
//!     fn restore(from: &mut impl Read) -> io::Result<Self> {
//!         let text = io::read_to_string(from)?;
//!         let row = |line: &str| line.split_once(' ').and_then(|(user, has)| Some((user.parse().ok()?, has.parse().ok()?)));
//!         Ok(Self(text.lines().map(row).collect::<Option<_>>().ok_or(io::ErrorKind::InvalidData)?))
//!     }
//! }
//!
//! let report = Trial::new(Purses::default)
//!     .messages(|_user, number| vec![number as u8])
//!     .invariant(|purses| match purses.0.values().sum() {
//!         0 => Ok(()),
//!         sum => Err(format!("{sum} was made of nothing")),
//!     })
//!     .run(3)
//!     .unwrap();
//! assert!(report.coverage.messages > 0 && report.coverage.restored > 0, "{report}");
//! ```

mod watched;

pub use self::watched::TrialCoverage;

use self::watched::Watched;
use crate::coverage::Event;
use crate::edge::{CopyOf, JudgeOf, MachineCopy, MachineUnderTest};
use crate::many::caught_with;
use crate::outcome::RunFailure;
use crate::plan::Plan;
use crate::shrink::{RunRecipe, shrink_with};
use lockstep_machine::{Input, ReplicaSettings, SnapshotError, StateMachine};
use lockstep_wire::Cursor;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// Runs in which a failure is made simpler.
const SHRINK_TRIES: usize = 60;
/// Lines of a failure's story that are displayed.
const STORY_LINES: usize = 40;

/// See the module.
#[must_use = "`run` judges"]
pub struct Trial<M> {
    new: Rc<dyn Fn() -> M>,
    message: Rc<dyn Fn(usize, u64) -> Vec<u8>>,
    invariant: JudgeOf<M>,
    first: u64,
    repeated: u64,
}

/// What a trial without a failure has judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TrialReport {
    /// Seeds that were run.
    pub seeds: u64,
    /// States that were judged.
    pub inputs_judged: u64,
    /// How much of the machine was run.
    pub coverage: TrialCoverage,
    /// The last seed that was run: the next trial may begin behind it.
    pub last_seed: u64,
}

/// In one line: seeds, states, and how much of the machine was run.
impl fmt::Display for TrialReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, inputs_judged, coverage, .. } = self;
        write!(f, "{seeds} seeds, {inputs_judged} states judged: {coverage}")
    }
}

/// A failure: the seed, the simplest run that breaks the same rule, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct TrialFailure {
    /// The run, as flags: a seed, and what is left out of its plan.
    pub recipe: RunRecipe,
    /// The rule and what has broken it, with the story of the simplest run.
    pub failure: RunFailure,
}

impl fmt::Display for TrialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recipe, failure } = self;
        write!(f, "{}", failure.story.tail(STORY_LINES))?;
        write!(f, "{failure}\nthe simplest run of it: {recipe}; again: `.first({}).run(1)`", recipe.seed)
    }
}

/// As [`Display`](fmt::Display): this is what a test prints.
impl fmt::Debug for TrialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<M: StateMachine + 'static> Trial<M> {
    /// Of the machine that `new` makes, at the stream's beginning.
    pub fn new(new: impl Fn() -> M + 'static) -> Self {
        let message = Rc::new(|_, number: u64| number.to_le_bytes().to_vec());
        Self { new: Rc::new(new), message, invariant: Rc::new(|_| Ok(())), first: 1, repeated: 1 }
    }

    /// What client `user` (from 0) sends as its message `number` (from 1). Default: the number.
    pub fn messages(mut self, message: impl Fn(usize, u64) -> Vec<u8> + 'static) -> Self {
        self.message = Rc::new(message);
        self
    }

    /// What must hold after each input; the error says what does not.
    pub fn invariant(mut self, invariant: impl Fn(&M) -> Result<(), String> + 'static) -> Self {
        self.invariant = Rc::new(invariant);
        self
    }

    /// The first seed. Default 1.
    pub fn first(mut self, seed: u64) -> Self {
        self.first = seed;
        self
    }

    /// Runs one seed in so many a second time, to see that the same inputs give the same states. Default 1:
    /// each. A machine whose determinism a shorter trial has shown takes half the time with a larger number.
    pub fn repeated(mut self, one_in: u64) -> Self {
        self.repeated = one_in.max(1);
        self
    }

    /// Runs `seeds` seeds.
    ///
    /// # Errors
    /// A rule is broken: with the simplest run that breaks it.
    pub fn run(self, seeds: u64) -> Result<TrialReport, Box<TrialFailure>> {
        self.run_each(seeds, |_| {})
    }

    /// As [`run`](Self::run); `on_seed` is called behind each seed with it.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn run_each(self, seeds: u64, on_seed: impl Fn(u64)) -> Result<TrialReport, Box<TrialFailure>> {
        let mut report = TrialReport::default();
        let with_clients = (self.first..).filter(|seed| Plan::of_seed(*seed).edges.is_some());
        for seed in with_clients.take(usize::try_from(seeds).unwrap_or(usize::MAX)) {
            let is_repeated = report.seeds.is_multiple_of(self.repeated);
            let run = self.run_seed(seed, is_repeated)?;
            report.inputs_judged += run.judged;
            report.coverage.add(&run.coverage);
            (report.seeds, report.last_seed) = (report.seeds + 1, seed);
            on_seed(seed);
        }
        check_timers(&report).map_err(|violation| {
            let recipe = RunRecipe::of_seed(report.last_seed);
            let seed = report.last_seed;
            Box::new(TrialFailure {
                recipe,
                failure: RunFailure { seed, step: 0, violation, story: Default::default() },
            })
        })?;
        Ok(report)
    }

    /// Applies these inputs to the machine and its twin, which is restored from a snapshot after every so
    /// many of them, with no world around: timers fire before the first input that is at or behind their
    /// time, and in the end time leaps to those that are pending. It judges what [`run`](Self::run) judges of
    /// one copy.
    ///
    /// # Errors
    /// The rule that is broken, in words.
    pub fn apply<'a>(
        self,
        inputs: impl IntoIterator<Item = Input<'a>>,
        every: u64,
    ) -> Result<TrialReport, String> {
        let (seen, mut report) = (watched::begin(), TrialReport::default());
        let mut watched = Watched::alone(&*self.new, every);
        for input in inputs {
            // Behind a failure time does not leap.
            let judged = watched.apply_next(&input, &self.invariant);
            judged.inspect_err(|violation| seen.find(violation.clone()))?;
            report.inputs_judged += 1;
        }
        drop(watched); // time leaps
        if let Some(violation) = seen.found.take() {
            return Err(violation);
        }
        report.coverage = seen.coverage.get();
        check_timers(&report).map(|()| report)
    }

    fn run_seed(&self, seed: u64, is_repeated: bool) -> Result<OneRun, Box<TrialFailure>> {
        let run = || self.run_once(&Plan::of_seed(seed), false);
        let runs = run().and_then(|first| Ok((first, if is_repeated { run()? } else { first })));
        let (first, second) = runs.map_err(|failure| {
            let run = |plan: &Plan| self.run_once(plan, false).map(drop);
            let (recipe, failure) = shrink_with(&failure, SHRINK_TRIES, &run);
            // A machine that is not deterministic may not fail again.
            let again = self.run_once(&recipe.plan(), true).err();
            let failure = again.filter(|again| again.rule() == failure.rule()).unwrap_or(failure);
            Box::new(TrialFailure { recipe, failure })
        })?;
        if first.states == second.states {
            return Ok(first);
        }
        let violation = "MACHINE: the same seed gave other states the second time: the machine uses something beside its \
                         inputs (see docs/APPLY.md)";
        let failure =
            RunFailure { seed, step: 0, violation: violation.to_owned(), story: Default::default() };
        Err(Box::new(TrialFailure { recipe: RunRecipe::of_seed(seed), failure }))
    }

    fn run_once(&self, plan: &Plan, tells: bool) -> Result<OneRun, RunFailure> {
        let states = Rc::new(Cell::new((0_u64, 0_u64)));
        let (invariant, counted) = (Rc::clone(&self.invariant), Rc::clone(&states));
        let judge: JudgeOf<Watched<M>> = Rc::new(move |machine| {
            let (digest, count) = counted.get();
            counted.set((digest.rotate_left(5).wrapping_add(machine.digest()), count + 1));
            machine.judge(&invariant)
        });
        let (new, message) = (Rc::clone(&self.new), Rc::clone(&self.message));
        let seen = watched::begin();
        let outcome = caught_with(plan, tells, Rc::new(UnderTrial { new, message, judge }))?;
        if let Some(violation) = seen.found.take() {
            return Err(RunFailure {
                seed: plan.seed,
                step: outcome.steps,
                violation,
                story: Default::default(),
            });
        }
        let mut coverage = seen.coverage.get();
        coverage.snapshots = outcome.coverage.get(Event::Snapshots);
        coverage.takeovers = outcome.coverage.get(Event::Takeovers);
        let (states, judged) = states.get();
        Ok(OneRun { states, judged, coverage })
    }
}

/// A run without a failure.
#[derive(Clone, Copy)]
struct OneRun {
    /// A digest of all states.
    states: u64,
    /// How many were judged.
    judged: u64,
    coverage: TrialCoverage,
}

/// A machine whose timers never fire was not tried.
fn check_timers(report: &TrialReport) -> Result<(), String> {
    let TrialCoverage { timers_set, timers_fired, timers_cancelled, .. } = report.coverage;
    if timers_set == 0 || timers_fired > 0 {
        return Ok(());
    }
    Err(format!(
        "MACHINE: none of {timers_set} timers that were set has ever fired, and {timers_cancelled} were cancelled: what the \
         machine does then was not tried; run more seeds, or set timers that are not cancelled each time"
    ))
}

/// A user's machine, as the world sees it.
struct UnderTrial<M: StateMachine> {
    new: Rc<dyn Fn() -> M>,
    message: Rc<dyn Fn(usize, u64) -> Vec<u8>>,
    judge: JudgeOf<Watched<M>>,
}

impl<M: StateMachine + 'static> MachineUnderTest for UnderTrial<M> {
    fn copy(&self, settings: ReplicaSettings) -> Box<dyn MachineCopy> {
        Box::new(CopyOf::begin(Watched::new(&*self.new), settings, Rc::clone(&self.judge)))
    }

    fn restore(
        &self,
        settings: ReplicaSettings,
        saved: &[u8],
    ) -> Result<(Box<dyn MachineCopy>, Cursor), SnapshotError> {
        let (copy, cursor) =
            CopyOf::restore(&Watched::new(&*self.new), saved, settings, Rc::clone(&self.judge))?;
        Ok((Box::new(copy), cursor))
    }

    fn message(&self, user: usize, number: u64) -> Option<Vec<u8>> {
        Some((self.message)(user, number))
    }
}
