//! `lockstep sim`: the cluster over a virtual network, disk and clock, judged after every step.
//!
//! Many seeds, and what they generated; or one of them, with its story as text or as a picture.

use crate::args::SimArgs;
use crate::failure::{FAILED, INTEGRITY, SimFailure};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_io::clock::Utc;
use lockstep_process::stop::Stop;
use lockstep_sim::explore::{self, ExploreScope, Explored};
use lockstep_sim::many::{Tally, caught, run_plans, run_sets};
use lockstep_sim::shrink::{RunRecipe, shrink};
use lockstep_sim::year::MONTHS;
use lockstep_sim::{Plan, svg};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs that make a failing one simpler.
const TRIES: usize = 300;
/// Lines of a failure's story.
const LINES: usize = 60;
/// A run of so many seeds must have generated every fault.
const SEEDS_FOR_ALL: u64 = 4_000;

/// Runs what the flags ask for.
pub fn run(args: &SimArgs) -> Result<u8, SimFailure> {
    if args.explore {
        return explore(args);
    }
    match args.seed {
        Some(seed) => one(args, seed),
        None => many(args),
    }
}

/// Every interleaving to a depth, and random walks where it is deeper.
fn explore(args: &SimArgs) -> Result<u8, SimFailure> {
    for reader in [None, Some(Delivery::Committed), Some(Delivery::Stamped)] {
        let what = match reader {
            None => "three replicas",
            Some(Delivery::Committed) => "three replicas and a reader of what is committed",
            Some(Delivery::Stamped) => "three replicas and a reader of what is stamped",
        };
        let scope = ExploreScope { reader, depth: args.depth, ..ExploreScope::default() };
        report_explored(what, "all interleavings", explore::explore(&scope))?;
        let wide = ExploreScope { heartbeats: true, crashes: 2, losses: 1, round_max: 4, ..scope };
        report_explored(what, "random walks", explore::walk(&wide, new_seed(), args.walk))?;
    }
    Ok(0)
}

fn report_explored(what: &str, how: &str, found: Result<Explored, String>) -> Result<(), SimFailure> {
    let found = found.map_err(|why| SimFailure::new(FAILED, why))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}, {how}: {found}")?;
    match found.story {
        None => Ok(()),
        Some(story) => Err(SimFailure::new(INTEGRITY, story)),
    }
}

/// What the flags say of one run.
fn recipe(args: &SimArgs, seed: u64) -> RunRecipe {
    RunRecipe {
        seed,
        healed: args.calm.clone(),
        faults: args.faults.as_ref().map(|list| list.0.clone()),
        messages: args.messages,
    }
}

fn one(args: &SimArgs, seed: u64) -> Result<u8, SimFailure> {
    let recipe = recipe(args, seed);
    let plan = if args.year { Plan::of_year(seed, MONTHS) } else { recipe.plan() };
    let tells = args.verbose || args.trace || args.svg.is_some();
    let mut out = std::io::stdout().lock();
    if args.verbose {
        writeln!(out, "{}", describe(&plan))?;
    }
    let (story, end) = match caught(&plan, tells) {
        Ok(outcome) => {
            let words = format!(
                "seed {seed} is clean: {} steps, {:.1} ms of its own time, {:.1} ms from the end of the faults to the \
                 last message\n{}",
                outcome.steps,
                outcome.virtual_ns as f64 / 1e6,
                outcome.recovery_ns as f64 / 1e6,
                outcome.coverage
            );
            (outcome.story, Ok(words))
        }
        Err(failure) => (failure.story.clone(), Err(failure)),
    };
    if args.trace {
        write!(out, "{story}")?;
    } else if args.verbose {
        write!(out, "{}", story.without_datagrams())?;
    }
    if let Some(path) = &args.svg {
        picture(path, &svg::draw(&story))?;
    }
    match end {
        Ok(words) => {
            writeln!(out, "{words}")?;
            Ok(0)
        }
        Err(failure) => Err(SimFailure::new(INTEGRITY, failure)),
    }
}

fn picture(path: &Path, text: &str) -> Result<(), SimFailure> {
    std::fs::write(path, text)
        .map_err(|error| SimFailure::new(FAILED, format!("writing the picture {}: {error}", path.display())))
}

fn describe(plan: &Plan) -> String {
    let mut out = format!(
        "seed {}: {} replicas, {} publishers of {} messages, {} subscribers, {:?}, {:?}\nedge: {:?}\nfaults for {} ms:",
        plan.seed,
        plan.replicas,
        plan.publishers,
        plan.messages,
        plan.subscribers,
        plan.durability,
        plan.network,
        plan.edges,
        plan.fault_phase_ns / 1_000_000
    );
    for (index, fault) in plan.faults.iter().enumerate() {
        out += &format!("\n{index:>4}  {:>9.3} ms  {:?}", fault.at_ns as f64 / 1e6, fault.what);
    }
    out
}

/// Seeds one after the other; a line each minute. SIGINT and SIGTERM end it as its time limit does.
fn many(args: &SimArgs) -> Result<u8, SimFailure> {
    let first = args.first.unwrap_or_else(new_seed);
    let begun = Instant::now();
    let limit = args.seconds.map(Duration::from_secs);
    eprintln!("seeds from {first} on, {} at a time", args.jobs);
    let seeds = if limit.is_some() && args.seeds.is_none() { u64::MAX } else { args.seeds.unwrap_or(10_000) };
    let (stop, reported_minutes) = (Stop::by_signals()?, AtomicU64::new(0));
    let goes_on = |done: &Tally| {
        let minutes = begun.elapsed().as_secs() / 60;
        if reported_minutes.fetch_max(minutes, Ordering::Relaxed) < minutes {
            eprintln!("{minutes} min: {} seeds, {} events", done.runs, done.total.steps);
        }
        limit.is_none_or(|limit| begun.elapsed() < limit) && !stop.flag().load(Ordering::Acquire)
    };
    let tally = match args.sets {
        true => run_sets((first, seeds), args.jobs, 1, goes_on),
        false => run_plans((first, seeds), args.jobs, 1, |seed| args.plan_of(seed), goes_on),
    };
    let took = begun.elapsed();
    report(&tally, first, took, args.jobs)?;
    if let Some(failure) = tally.failures.first() {
        let again = |flags: &str| format!("{failure}\nsee it again: lockstep sim {flags}");
        let why = match (args.year, args.sets) {
            (true, _) => again(&format!("--seed {} --year --verbose", failure.seed)),
            (_, true) => again(&format!("--sets --first {} --seeds 1", failure.seed)),
            _ => explain(failure, args.svg.as_deref())?,
        };
        return Err(SimFailure::new(INTEGRITY, why));
    }
    let missing = tally.total.coverage.missing();
    if tally.runs >= SEEDS_FOR_ALL && args.runs_all() && !missing.is_empty() {
        let words = format!("{} runs never generated: {}", tally.runs, missing.join("; "));
        return Err(SimFailure::new(FAILED, words));
    }
    Ok(0)
}

/// A seed that no run has used: the clock's microseconds.
fn new_seed() -> u64 {
    Utc::now().0 / 1_000
}

fn report(tally: &Tally, first: u64, took: Duration, jobs: usize) -> Result<(), SimFailure> {
    let (runs, total) = (tally.runs, &tally.total);
    let seconds = took.as_secs_f64();
    let mut out = std::io::stdout().lock();
    write!(out, "{}", total.coverage)?;
    writeln!(
        out,
        "{runs} seeds from {first} on are clean: {} events, {:.0} events/s, {:.2} ms a seed and thread, {seconds:.1} s; \
         longest recovery {:.1} ms of its own time; {:.1} hours passed in all of them; digest of all traces {:016x}",
        total.steps,
        total.steps as f64 / seconds,
        1e3 * seconds * jobs as f64 / runs.max(1) as f64,
        total.recovery_ns as f64 / 1e6,
        total.virtual_ns as f64 / 3.6e12,
        total.trace_digest
    )?;
    Ok(())
}

/// A failure, its simplest form, the faults that it needs, and the end of its story.
fn explain(failure: &lockstep_sim::RunFailure, picture_path: Option<&Path>) -> Result<String, SimFailure> {
    eprintln!("{failure}\nmaking it simpler …");
    let (recipe, simplest) = shrink(failure, TRIES);
    let plan = recipe.plan();
    let story = match caught(&plan, true) {
        Err(failed) => failed.story,
        Ok(outcome) => outcome.story,
    };
    if let Some(path) = picture_path {
        picture(path, &svg::draw(&story))?;
    }
    Ok(format!(
        "{}\n{simplest}\n\n{}\nsee it again: lockstep sim {recipe} --trace\nas it was:    lockstep sim --seed {} --trace",
        story.tail(LINES),
        describe(&plan),
        failure.seed
    ))
}
