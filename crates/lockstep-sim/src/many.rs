//! Many seeds on several threads, until one fails, all are done, or the caller has seen enough.

use crate::edge::MachineUnderTest;
use crate::outcome::{Outcome, RunFailure};
use crate::plan::Plan;
use crate::sets::run_set;
use crate::world::{run, run_with};
use lockstep_core::proto::planted::Inherited;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The results of many runs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Clean runs.
    pub runs: u64,
    /// Their sum.
    pub total: Outcome,
    /// The failures of the smallest seeds that failed; a run after the first one was already under way.
    pub failures: Vec<RunFailure>,
}

/// Runs the seeds from `first` on, `seeds` of them, on `jobs` threads, for as long as `goes_on` returns true
/// for the tally so far. Ends early after `failures_max` failures.
pub fn run_many(
    first: u64,
    seeds: u64,
    jobs: usize,
    failures_max: usize,
    goes_on: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    run_wanted(first, seeds, jobs, failures_max, |_| true, goes_on)
}

/// The same, of those seeds alone whose plan is wanted.
pub fn run_wanted(
    first: u64,
    seeds: u64,
    jobs: usize,
    failures_max: usize,
    is_wanted: impl Fn(&Plan) -> bool + Sync,
    goes_on: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    let plan_of = |seed| Some(Plan::of_seed(seed)).filter(&is_wanted);
    run_plans((first, seeds), jobs, failures_max, plan_of, goes_on)
}

/// The same, of so many seeds from the `first` on, with the plans that `plan_of` gives for them.
pub fn run_plans(
    (first, seeds): (u64, u64),
    jobs: usize,
    failures_max: usize,
    plan_of: impl Fn(u64) -> Option<Plan> + Sync,
    goes_on: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    run_seeds((first, seeds), jobs, failures_max, |seed| Some(caught(&plan_of(seed)?, false)), goes_on)
}

/// The same, of sets: each seed is several clusters.
pub fn run_sets(
    (first, seeds): (u64, u64),
    jobs: usize,
    failures_max: usize,
    goes_on: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    let run = |seed| Some(caught_run(seed, || run_set(seed)));
    run_seeds((first, seeds), jobs, failures_max, run, goes_on)
}

/// The same, of what `run` makes of a seed; `None` where it is passed over.
fn run_seeds(
    (first, seeds): (u64, u64),
    jobs: usize,
    failures_max: usize,
    run: impl Fn(u64) -> Option<Result<Outcome, RunFailure>> + Sync,
    goes_on: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    let lock = || tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = |done: &Tally| done.failures.len() >= failures_max || !goes_on(done);
            if seed >= first.saturating_add(seeds) || is_over(&lock()) {
                return;
            }
            // A panic is a failure like any other: a broken invariant in words.
            let Some(outcome) = run(seed) else { continue };
            match outcome {
                Ok(outcome) => {
                    let mut tally = lock();
                    tally.runs += 1;
                    tally.total.add(&outcome);
                }
                Err(failure) => lock().failures.push(failure),
            }
        }
    };
    let planted = Inherited::of_this_thread();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| planted.run(work));
        }
    });
    let mut tally = tally.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    tally.failures.sort_by_key(|failure| failure.seed);
    tally
}

/// Runs a plan; a panic of the code under test is a failure of the rule `PANIC`.
pub fn caught(plan: &Plan, tells: bool) -> Result<Outcome, RunFailure> {
    caught_run(plan.seed, || run(plan, tells))
}

/// The same, with copies of another machine at the edge.
pub(crate) fn caught_with(
    plan: &Plan,
    tells: bool,
    machine: Rc<dyn MachineUnderTest>,
) -> Result<Outcome, RunFailure> {
    caught_run(plan.seed, || run_with(plan, tells, machine))
}

fn caught_run(seed: u64, run: impl FnOnce() -> Result<Outcome, RunFailure>) -> Result<Outcome, RunFailure> {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Err(RunFailure {
            seed,
            step: 0,
            violation: format!("PANIC: {words}"),
            story: crate::story::Story::default(),
        })
    })
}
