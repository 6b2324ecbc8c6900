//! # instructions: what a message costs each role, to the instruction
//!
//! Time on a shared machine drifts by a third; instructions do not. Callgrind counts those of one
//! function and all that it calls, in a release build for the baseline CPU, and the same binary gives
//! the same count every time. So a budget can be held to 2 %: `bench/instructions.toml` has the figures,
//! and whoever raises one says why in the commit.
//!
//! ```text
//!   instructions ──starts──▶ valgrind --toggle-collect=<role> lockstep-bench turns <pattern>  ──▶ totals: N
//!        └── N / messages ── compared with ── bench/instructions.toml
//! ```
//!
//! Behind the figures stands where a leader's instructions go, stage by stage, and what each stage takes
//! alone in cycles of the CPU's counter.
//!
//! Not counted: the kernel, and the device, whose memory lies ready ([`desk::Desk`]). Valgrind shows
//! AVX2 and SSE 4.2 to code that looks for them at run time, so the checksum is counted on the path that
//! production takes.

mod cycles;
mod desk;
mod stages;
mod world;

use crate::cluster::{MESSAGE_LEN, MTU};
use crate::environment;
use crate::harness::Run;
use crate::results::{Output, Results, Round, Row, RunResult, Unit};
use cycles::Counter;
use serde::Deserialize;
use stages::Stage;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
pub use world::{Pattern, Watched, World};

/// Steps of a measurement: the tail's ring comes round, and what happens once weighs nothing.
const STEPS: usize = 4_000;
/// A figure may be this much above its budget.
const TOLERANCE: f64 = 1.02;

/// The messages submitted in one step, by name.
const PATTERNS: &[(&str, Pattern)] = &[
    ("one", Pattern { datagrams: &[1] }),
    // Sixteen do not fit one datagram of MTU 1500: fifteen and one, as a publisher sends them.
    ("packed16", Pattern { datagrams: &[15, 1] }),
    ("single16", Pattern { datagrams: &[1; 16] }),
    ("full", Pattern { datagrams: &[15] }),
];

/// A figure.
struct Case {
    key: &'static str,
    what: &'static str,
    pattern: &'static str,
    /// The functions in which is counted, as callgrind's pattern.
    counted: &'static str,
    /// What it is divided by, per step.
    per_step: f64,
    /// What the project aims at.
    aim: Option<f64>,
}

const fn case(
    key: &'static str,
    what: &'static str,
    pattern: &'static str,
    counted: &'static str,
    per_step: f64,
) -> Case {
    Case { key, what, pattern, counted, per_step, aim: None }
}

const LEADER: &str = "*lockstep_bench_leader_turn*";
const STANDBY: &str = "*lockstep_bench_standby_turn*";
const STAMPED: &str = "*lockstep_bench_stamped_turn*";
const COMMITTED: &str = "*lockstep_bench_committed_turn*";
const PUBLISHER: &str = "*lockstep_bench_publisher_*";
/// All stages of a leader together.
const TURN: &str = "the whole turn";

const CASES: &[Case] = &[
    Case {
        aim: Some(350.0),
        ..case("leader_1", "leader, per message: one submission of one", "one", LEADER, 1.0)
    },
    Case {
        aim: Some(180.0),
        ..case(
            "leader_16",
            "leader, per message: 16 in a batch of two submissions (15 + 1)",
            "packed16",
            LEADER,
            16.0,
        )
    },
    case(
        "leader_16_single",
        "leader, per message: 16 in a batch of 16 submissions of one",
        "single16",
        LEADER,
        16.0,
    ),
    case(
        "leader_ack",
        "leader, per ack, in a turn of its own",
        "one",
        "*lockstep_bench_leader_hears_ack*",
        1.0,
    ),
    case("standby_1", "standby, per frame of one, its ack included", "one", STANDBY, 1.0),
    case("standby_15", "standby, per frame of 15, its ack included", "full", STANDBY, 1.0),
    case("stamped_1", "subscriber (stamped), per message: frames of one; two turns", "one", STAMPED, 1.0),
    case("stamped_15", "subscriber (stamped), per message: frames of 15", "full", STAMPED, 15.0),
    case(
        "committed_1",
        "subscriber (committed), per message: frames of one; two turns",
        "one",
        COMMITTED,
        1.0,
    ),
    case("committed_15", "subscriber (committed), per message: frames of 15", "full", COMMITTED, 15.0),
    case("publisher_1", "publisher, per message: from publish to its fate", "one", PUBLISHER, 1.0),
    case("publisher_15", "publisher, per message: the same, 15 to a datagram", "full", PUBLISHER, 15.0),
];

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,
    /// Fail where a figure is more than 2 % above its budget.
    #[arg(long)]
    check: bool,
    /// The budget.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml"))]
    budget: std::path::PathBuf,
    /// Keep callgrind's files here, for callgrind_annotate.
    #[arg(long)]
    keep: Option<std::path::PathBuf>,
    /// Only figures whose key contains this.
    #[arg(long)]
    only: Option<String>,
}

/// The hidden subcommand that runs under callgrind.
#[derive(clap::Args)]
pub struct TurnsArguments {
    pattern: String,
}

/// The file of figures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// The compiler that they were measured with: another one counts otherwise.
    rustc: String,
    /// Instructions by key.
    instructions: BTreeMap<String, f64>,
}

/// Runs one pattern: what callgrind watches.
///
/// # Errors
/// An unknown pattern, or a cluster that did not do its work.
pub fn turns(arguments: &TurnsArguments) -> Result<(), String> {
    let (_, pattern) = PATTERNS
        .iter()
        .find(|(name, _)| *name == arguments.pattern)
        .ok_or_else(|| format!("there is no pattern '{}'", arguments.pattern))?;
    lockstep_io::choose_instructions();
    let mut world = World::new()?;
    for _ in 0..STEPS {
        world.step(*pattern);
    }
    world.check((STEPS * pattern.messages()) as u64, STEPS)
}

/// Measures all roles, gives out what was found, and checks the budget if asked to.
///
/// # Errors
/// A figure above its budget, or a measurement that could not be made. A missing valgrind is none: it
/// prints SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    if let Some(reason) = cannot_count() {
        println!("SKIPPED: instructions: {reason}");
        return Ok(RunResult::Passed);
    }
    let budget = read_budget(&arguments.budget);
    let mut run = Run::begin("instructions", "instructions per message of each role", environment::facts());
    run.tell("messages", format!("{MESSAGE_LEN} B, MTU {MTU}, baseline CPU"));
    run.tell("steps", STEPS);
    let mut figures = BTreeMap::new();
    let wanted = |case: &&Case| arguments.only.as_ref().is_none_or(|only| case.key.contains(only.as_str()));
    for case in CASES.iter().filter(wanted) {
        run.show(case.key);
        let counted = count(case, arguments.keep.as_deref())?;
        let figure = counted.per_step / case.per_step;
        figures.insert(case.key, figure);
        let name = format!("{}: {}", case.key, case.what);
        let allowed = budget.as_ref().ok().and_then(|budget| budget.instructions.get(case.key));
        for (subject, value) in [("budget", allowed.copied()), ("aim", case.aim)] {
            let row = Row::new(&name, subject, subject, Unit::Instructions).as_floor(true);
            value.into_iter().for_each(|value| run.results.add(row.clone(), Round::value(value)));
        }
        run.results.add(Row::new(&name, "lockstep", "counted", Unit::Instructions), Round::value(figure));
        if case.counted == LEADER {
            add_stages(&mut run.results, case, &counted);
        }
    }
    let result = run.finish(&arguments.output)?;
    if !arguments.check {
        return Ok(result);
    }
    let budget = budget?;
    let above = compare(&figures, &budget.instructions);
    if above.is_empty() {
        return Ok(result);
    }
    Err(format!(
        "instructions per message rose by more than 2 % above {}:\n  {}\nMake it cheaper, or raise the figure in a \
         commit that says why. (The budget is that of {}; this is {}.)",
        arguments.budget.display(),
        above.join("\n  "),
        budget.rustc,
        environment::rustc()
    ))
}

/// A figure's key, what it is, and instructions per message.
pub type Counted = (&'static str, &'static str, f64);

/// All figures; or why there are none here.
///
/// # Errors
/// A measurement that could not be made.
pub fn counts() -> Result<Result<Vec<Counted>, String>, String> {
    if let Some(reason) = cannot_count() {
        return Ok(Err(reason));
    }
    let of = |case: &Case| Ok((case.key, case.what, count(case, None)?.per_step / case.per_step));
    CASES.iter().map(of).collect::<Result<Vec<_>, String>>().map(Ok)
}

/// Why no count of this build would mean anything.
fn cannot_count() -> Option<String> {
    if cfg!(debug_assertions) {
        return Some(String::from(
            "this is a debug build; cargo run --release -p lockstep-bench -- instructions",
        ));
    }
    if cfg!(target_feature = "avx") {
        return Some(String::from(
            "this build is not for the baseline CPU; take target-cpu out of RUSTFLAGS",
        ));
    }
    let found =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => None,
        _ => Some(String::from("valgrind is missing (apt-get install valgrind)")),
    }
}

/// What callgrind has found of a case.
struct Counts {
    /// Instructions of a step.
    per_step: f64,
    /// The same by stage, of a leader; or why not.
    stages: Result<BTreeMap<Stage, u64>, String>,
}

/// Counts the instructions of `case`.
fn count(case: &Case, keep: Option<&Path>) -> Result<Counts, String> {
    let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let folder = keep.map_or_else(std::env::temp_dir, Path::to_path_buf);
    std::fs::create_dir_all(&folder).map_err(|error| format!("making {}: {error}", folder.display()))?;
    let file = folder.join(format!("callgrind.{}.{}", case.key, std::process::id()));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={}", case.counted))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .args(["--dump-instr=yes", "--compress-pos=no", "--compress-strings=no"])
        .arg(&itself)
        .args(["turns", case.pattern])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("starting valgrind: {error}"))?;
    let counted = std::fs::read_to_string(&file);
    if keep.is_none() {
        // The file may be missing where valgrind failed; that is reported below.
        let _ = std::fs::remove_file(&file);
    }
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("counting {}: {}:\n{stderr}", case.key, output.status));
    }
    let counted = counted.map_err(|error| format!("reading {}: {error}", file.display()))?;
    let total = totals(&counted).ok_or_else(|| format!("{} has no totals", file.display()))?;
    if total == 0 {
        return Err(format!("{}: callgrind found no function {}", case.key, case.counted));
    }
    let stages = if case.counted == LEADER { stages::of(&counted, &itself) } else { Ok(BTreeMap::new()) };
    Ok(Counts { per_step: total as f64 / STEPS as f64, stages })
}

/// The sum at the end of callgrind's file.
fn totals(file: &str) -> Option<u64> {
    file.lines().rev().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

fn read_budget(path: &Path) -> Result<Budget, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Stages above its budget, or has none.
fn compare(figures: &BTreeMap<&'static str, f64>, budget: &BTreeMap<String, f64>) -> Vec<String> {
    let judge = |(key, &figure): (&&'static str, &f64)| match budget.get(*key) {
        None => Some(format!("{key}: {figure:.1}, and no budget")),
        Some(&allowed) if figure > allowed * TOLERANCE => Some(format!(
            "{key}: {figure:.1} instead of {allowed:.1} ({:+.1} %)",
            (figure / allowed - 1.0) * 100.0
        )),
        Some(_) => None,
    };
    figures.iter().filter_map(judge).collect()
}

/// What a stage's instructions in all steps are for one message.
fn per_message(case: &Case, instructions: u64) -> f64 {
    instructions as f64 / STEPS as f64 / case.per_step
}

/// A leader's stages: instructions where callgrind counted them, cycles of each alone.
fn add_stages(results: &mut Results, case: &Case, counts: &Counts) {
    let stages = match &counts.stages {
        Ok(stages) => stages,
        Err(reason) => return results.notes.push(format!("SKIPPED: stages of {}: {reason}", case.key)),
    };
    let mut add = |what: &str, subject: &str, unit, value| {
        let row = Row::new(&format!("{}, {what}", case.key), subject, subject, unit);
        results.add(row, Round::value(value));
    };
    let of_stage = |stage: &Stage| per_message(case, stages.get(stage).copied().unwrap_or(0));
    for stage in Stage::ALL {
        add("by stage", stage.name(), Unit::Instructions, of_stage(&stage));
    }
    add("by stage", TURN, Unit::Instructions, Stage::ALL.iter().map(of_stage).sum());
    let pattern = PATTERNS.iter().find(|(name, _)| *name == case.pattern).map(|(_, pattern)| *pattern);
    let measured = Counter::new().and_then(|counter| {
        let pattern = pattern.ok_or_else(|| format!("there is no pattern '{}'", case.pattern))?;
        Ok((counter.per_ns(), cycles::of(&counter, pattern)?))
    });
    match measured {
        Ok((per_ns, (alone, turn))) => {
            let what = "cycles of each stage alone";
            alone.iter().for_each(|(stage, ticks)| add(what, stage.name(), Unit::Count, *ticks));
            add(what, TURN, Unit::Count, turn);
            results.tell("cycles", format!("of the CPU's counter (TSC), {per_ns:.3} a ns"));
        }
        Err(reason) => results.notes.push(format!("SKIPPED: cycles of {}: {reason}", case.key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_more_than_two_percent_above_its_budget_fails() {
        let budget = BTreeMap::from([(String::from("leader_1"), 500.0)]);
        let judge = |figure| compare(&BTreeMap::from([("leader_1", figure)]), &budget);
        assert!(judge(400.0).is_empty() && judge(500.0).is_empty() && judge(509.9).is_empty());
        assert_eq!(judge(510.1).len(), 1);
        assert!(judge(600.0)[0].contains("600.0 instead of 500.0 (+20.0 %)"), "{:?}", judge(600.0));
    }

    #[test]
    fn a_figure_without_a_budget_fails() {
        assert_eq!(compare(&BTreeMap::from([("leader_1", 1.0)]), &BTreeMap::new()).len(), 1);
    }

    #[test]
    fn every_figure_has_a_budget_and_every_budget_a_figure() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml");
        let budget = read_budget(Path::new(path)).expect("a budget that can be read");
        let mut keys: Vec<&str> = CASES.iter().map(|case| case.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, budget.instructions.keys().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn every_pattern_is_stamped_accepted_delivered_and_confirmed_whole() {
        for (name, pattern) in PATTERNS {
            let mut world = World::new().expect("a cluster that meets");
            for _ in 0..300 {
                world.step(*pattern);
            }
            let messages = 300 * pattern.messages() as u64;
            world.check(messages, 300).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
            assert!(world.check(messages + 1, 300).is_err(), "one message less would be noticed");
        }
    }

    #[test]
    fn the_last_totals_of_a_callgrind_file_are_read() {
        assert_eq!(totals("events: Ir\nfn=(1) x\n1 2\ntotals: 1740002\n"), Some(1_740_002));
        assert_eq!(totals("events: Ir\n"), None);
    }
}
