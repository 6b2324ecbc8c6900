//! # languages: what the binding of a language costs, over the handle that it wraps
//!
//! ```text
//!   closed   program ─▶ leader ─▶ standbys ─▶ program     publish, poll until its own message is delivered committed
//!   read     load ─▶ leader ─▶ standbys ─▶ program        delivered committed messages a second
//!   apply    program                                      an input of the counter of docs/APPLY.md, without a cluster
//! ```
//!
//! Three replicas run on loopback, as production runs them. The programs of `bench/languages` have one loop
//! and one command line in each language, and so has the Rust row, a process of this program: a participant
//! that polls, and after an idle poll sleeps in the handle's `wait`. They take turns within each round, each
//! as a process of its own that warms up first. Samples are of the program's own monotonic clock; percentiles
//! are made here, of all alike.
//!
//! A reader that is slower than the stream is served by a journal, and is measured by that.

mod load;
pub mod program;

pub use load::{LoadArguments, publish};
pub use program::{LoopArguments, run_loop};

use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::environment;
use crate::flags;
use crate::fleet::Fleet;
use crate::harness::{Run, Shared, two_cores};
use crate::place::Place;
use crate::results::{Ratio, Round, Row, RunResult, Unit, VALUE};
use crate::stats::Latencies;
use load::Load;
use lockstep_io::host::FileSystem;
use lockstep_io::idle::Idle;
use program::Program;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Replicas of the cluster.
const REPLICAS: u32 = 3;
/// The row that the others are compared with.
const RUST: &str = "rust";
/// The other languages: the name of a program, and of its rows.
const LANGUAGES: [(&str, &str); 6] =
    [("c", "C"), ("cpp", "C++"), ("python", "Python"), ("java", "Java"), ("go", "Go"), ("node", "Node")];
/// Bytes that three journals take in a second of the load at most, ...
const LOAD_BYTES_PER_S: f64 = 1e9;
/// ... and the seconds that it takes to start and end beside a reader.
const START_S: f64 = 3.0;
/// The cases.
const CLOSED: &str = "publish to committed, one in flight";
const READ: &str = "received";
const APPLY: &str = "an input of a machine";

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// The folder of the programs, which `bench/languages/run` builds; without it Rust alone is measured.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Seconds of each program and round.
    #[arg(long, default_value_t = 1.0, value_parser = flags::seconds(0.05..=600.0))]
    seconds: f64,
    /// Seconds before those that count; a virtual machine compiles in them.
    #[arg(long, default_value_t = 1.0, value_parser = flags::seconds(0.05..=60.0))]
    warm_up: f64,
    /// Only `closed`, `read` or `apply`.
    #[arg(long, value_parser = ["closed", "read", "apply"])]
    only: Option<String>,
    /// What the replicas' hot threads do when there is nothing to do: `adapt`, `spin`, `yield` or `park`.
    #[arg(long, value_name = "STRATEGY", default_value = "adapt")]
    idle: Idle,
}

impl Arguments {
    fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == case)
    }
}

/// Measures, and says what each language costs.
///
/// # Errors
/// A process that did not start, or a program that failed: in its words.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(cores) = two_cores("languages", "replicas and programs") else { return Ok(RunResult::Passed) };
    let idle = arguments.idle;
    let mut run = Run::begin("languages", "one loop in each language", environment::facts());
    let (programs, absent) = programs(arguments.programs.as_deref())?;
    run.results.notes.extend(absent);
    let cluster = Cluster::on(&Site::loopback(REPLICAS), idle)?;
    run.results.configure(&cluster.config);
    let config = cluster.path();
    let mut fleet = Fleet::start(cluster, Place::hosts(REPLICAS as usize))?;
    fleet.await_whole()?;
    let Shared { rounds, output } = &arguments.shared;
    run.tell("rounds", format!("{rounds} of {} s, programs in turn", arguments.seconds));
    run.tell("warm-up", format!("{} s of each program", arguments.warm_up));
    run.tell(
        "idle",
        format!("{idle} for {REPLICAS} replicas on {} cores; programs sleep in `wait`", cores.len()),
    );
    run.tell("clock", "each program's own, monotonic");
    run.rounds(*rounds, |run, _| {
        if arguments.wants("closed") {
            let case = format!("{CLOSED}, {MESSAGE_LEN} B");
            samples(run, arguments, &programs, &config, ("closed", &case))?;
        }
        if arguments.wants("apply") {
            let machines: Vec<_> =
                programs.iter().filter(|program| program.has_machines()).cloned().collect();
            samples(run, arguments, &machines, &config, ("apply", APPLY))?;
        }
        if arguments.wants("read") {
            read(run, arguments, &programs, &config)?;
        }
        fleet.check_alive()
    })?;
    let mut aim = |words: &str, case: &str, names: &[&str], most: f64| {
        run.results.aim(words, |ratio: &Ratio| {
            let is_of = names.contains(&ratio.subject.as_str()) && ratio.case.contains(case);
            ratio.median("p50").filter(|_| is_of).map(|p50| p50 > most)
        });
    };
    aim("C and C++ within 3 % of Rust at p50", CLOSED, &["c", "cpp"], 1.03);
    aim("Java within 20 % of Rust at p50", CLOSED, &["java"], 1.2);
    aim("a machine's input in C++ and Java within 30 % of Rust's at p50", APPLY, &["cpp", "java"], 1.3);
    let batches = run.results.rows.iter().find(|row| row.subject == "python-batch");
    let conclusion = batches.and_then(|row| row.spread(VALUE)).map_or_else(
        || "nothing of it was measured".to_owned(),
        |rate| {
            format!("{}: {:.2} million", if rate.median < 1e6 { "missed" } else { "met" }, rate.median / 1e6)
        },
    );
    run.results.notes.push(format!("aim: Python receives 1 million messages/s in batches: {conclusion}"));
    let finished = run.finish(output);
    fleet.stop()?;
    finished
}

/// The programs that there are, Rust first, and why the others are not.
fn programs(folder: Option<&Path>) -> Result<(Vec<Program>, Vec<String>), String> {
    let (mut programs, mut absent) = (vec![Program::own(RUST)?], Vec::new());
    let Some(folder) = folder else {
        absent
            .push("SKIPPED: the other languages: `bench/languages/run` builds and measures them".to_owned());
        return Ok((programs, absent));
    };
    for (name, words) in LANGUAGES {
        let path = folder.join(name);
        let why = path.with_extension("absent");
        if path.exists() {
            programs.push(Program::at(path, name, words));
        } else {
            let why =
                std::fs::read_to_string(&why).unwrap_or_else(|error| format!("{}: {error}", why.display()));
            absent.push(format!("SKIPPED: {words}: {}", why.trim()));
        }
    }
    Ok((programs, absent))
}

/// A round of what programs print samples of: its word for them, and its case.
fn samples(
    run: &mut Run,
    arguments: &Arguments,
    programs: &[Program],
    config: &Path,
    (word, case): (&str, &str),
) -> Result<(), String> {
    for program in programs {
        let at = Instant::now();
        let samples = program.samples(config, word, arguments.warm_up, arguments.seconds)?;
        let mut latencies = Latencies::new()?;
        samples.iter().for_each(|ns| latencies.record(*ns));
        let row = Row::new(case, program.name, program.words, Unit::Nanos).as_floor(program.name == RUST);
        run.record(row, at, Duration::from_secs_f64(arguments.seconds), Round::of(&latencies)?);
    }
    Ok(())
}

/// Whether the disk of the journals takes what the load writes beside one more reader: retention removes
/// nothing of the present day.
pub fn require_room(folder: &Path, seconds: f64) -> Result<(), String> {
    let free = FileSystem::of_folder(folder).map_err(|error| error.to_string())?.free_bytes;
    let wanted = (seconds * LOAD_BYTES_PER_S) as u64;
    if free >= wanted {
        return Ok(());
    }
    Err(format!(
        "{} has {} MiB free, and the load writes up to {} MiB beside the next reader: take fewer --rounds or \
         --seconds, or set TMPDIR to a folder on a larger disk",
        folder.display(),
        free >> 20,
        wanted >> 20
    ))
}

/// A round of the readers, beside a load that publishes as fast as it can.
fn read(run: &mut Run, arguments: &Arguments, programs: &[Program], config: &Path) -> Result<(), String> {
    let seconds = arguments.warm_up + arguments.seconds + START_S;
    for program in programs {
        for &mode in program.modes() {
            require_room(config.parent().unwrap_or(config), seconds)?;
            let at = Instant::now();
            let load = Load::start(config)?;
            let received = program.read(config, mode, arguments.warm_up, arguments.seconds)?;
            load.end()?;
            let (name, words) = mode.of(program);
            let row = Row::new(&format!("{READ}, {MESSAGE_LEN} B"), &name, &words, Unit::MessagesPerSecond);
            let round = Round { samples: received.messages, ..Round::value(received.rate()) };
            run.record(row.as_floor(program.name == RUST), at, Duration::from_nanos(received.took_ns), round);
        }
    }
    Ok(())
}
