//! # guard: whether a change made lockstep slower than the last release
//!
//! ```text
//!   base ─┐   one row after the other, in pairs of runs      history/DATE-COMMIT.json
//!   own  ─┴─▶ latency, bursts, messages per second, … ────▶  history/index.html: all changes, row by row
//! ```
//!
//! Each row is a measure that [`compare`] runs with both programs in turn: it has the test,
//! the floors as control and the words. The history is what these ratios were, change by change; figures of
//! different days or machines are not compared with each other.

use crate::compare::{self, Contest};
use crate::environment;
use crate::harness::Progress;
use crate::report;
use crate::results::{Facts, Output, Results, Round, Row, RunResult, Unit, VALUE};
use crate::stats::Spread;
use lockstep::config;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A row: its name, its part of the time, and what is measured.
type MainRow = (&'static str, u32, &'static str);

/// The main rows. Short runs, many pairs: what the machine does meanwhile hits both. Each has the time for
/// some twenty, as fewer than fourteen tell nothing.
const ROWS: [MainRow; 6] = [
    ("stamped", 6, "latency --closed --only stamped --seconds 0.05 --warm-up 0.02 --rounds 1"),
    ("committed", 9, "latency --closed --only committed --seconds 0.1 --warm-up 0.05 --rounds 1"),
    ("paced", 10, "latency --only committed --rates 20k --seconds 0.25 --warm-up 0.1 --rounds 1"),
    ("throughput", 10, "throughput --only committed --milliseconds 150 --rounds 1"),
    ("gateway", 12, "gateway --only added --seconds 0.2 --rounds 1"),
    ("failover", 13, "failover --how kill --kills 1"),
];

/// The page of a history.
pub const PAGE: &str = "index.html";
/// What a row's place on the page is called.
const CHANGE: &str = "change";

/// Compares this program with that of the last release, in the rows that matter most.
///
/// Exit code 0: no row is worse. 3: one is, or nothing can be said of it, as its floors differ or a run
/// failed.
#[derive(clap::Args)]
pub struct Arguments {
    /// The lockstep-bench of the last release.
    #[arg(required_unless_present = "page")]
    base: Option<PathBuf>,
    /// For all rows together.
    #[arg(long, default_value = "10min", value_parser = config::duration)]
    time: Duration,
    /// A smaller difference is none, however sure it is.
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = compare::share)]
    least: f64,
    /// This row alone; may be given several times.
    #[arg(long = "row", value_name = "NAME", value_parser = ROWS.map(|(name, ..)| name))]
    rows: Vec<String>,
    /// Adds the results to this folder, and draws its page anew.
    #[arg(long, value_name = "FOLDER")]
    history: Option<PathBuf>,
    /// A word or a commit for this program: it stands in the name of the file.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"), value_parser = word)]
    change: String,
    /// The same for the last release's.
    #[arg(long, value_name = "NAME", default_value = "the last release", conflicts_with = "page")]
    beside: String,
    /// Draws the page of the folder anew, and measures nothing.
    #[arg(long, requires = "history", conflicts_with_all = ["base", "rows"])]
    page: bool,
    #[command(flatten)]
    output: Output,
}

/// What may stand in a file's name.
pub fn word(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("write letters, digits, '.', '-' and '_', like a commit".to_owned())
}

/// The measures of all rows, each as a command line has it.
pub fn measures() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|(.., measure)| *measure)
}

/// Compares, and saves what was found.
///
/// # Errors
/// A folder that cannot be written.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let (Some(base), false) = (&arguments.base, arguments.page) else {
        return arguments.history.as_deref().map_or(Ok(()), draw).map(|()| RunResult::Passed);
    };
    let own = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let is_chosen =
        |row: &&MainRow| arguments.rows.is_empty() || arguments.rows.iter().any(|name| name == row.0);
    let rows: Vec<&MainRow> = ROWS.iter().filter(is_chosen).collect();
    let parts: u32 = rows.iter().map(|row| row.1).sum();
    let mut results =
        Results::begin("guard", "this program beside that of the last release, B/A", environment::facts());
    results.tell("A", &arguments.beside);
    results.tell("B", &arguments.change);
    results.tell("least", format!("{} %: a smaller difference is none", arguments.least * 100.0));
    let progress = Progress::new("guard");
    let mut failed = Vec::new();
    for (name, part, measure) in rows {
        progress.say(name);
        let contest = Contest {
            programs: [base, &own],
            measure: measure.split(' ').map(str::to_owned).collect(),
            rounds: None,
            time: arguments.time * *part / parts,
            least: arguments.least,
        };
        match compare::contest(&contest) {
            Ok(Ok((of_row, result))) => {
                if result == RunResult::Failed {
                    failed.push(*name);
                }
                merge(&mut results, name, of_row);
            }
            Ok(Err(skipped)) => results.notes.push(format!("{name}: {skipped}")),
            // The other rows count all the same.
            Err(why) => {
                failed.push(*name);
                results.notes.push(format!("{name}: nothing can be said: {why}"));
            }
        }
    }
    drop(progress);
    let conclusion = match failed.as_slice() {
        [] => "no row is worse".to_owned(),
        rows => format!("worse, or nothing can be said: {}", rows.join(", ")),
    };
    results.tell("verdict", &conclusion);
    results.notes.push(conclusion);
    if let Some(folder) = &arguments.history {
        save(folder, &arguments.change, &results)?;
        draw(folder)?;
    }
    match (arguments.output.give(&results)?, failed.is_empty()) {
        (RunResult::Passed, true) => Ok(RunResult::Passed),
        _ => Ok(RunResult::Failed),
    }
}

/// Adds a row's results.
fn merge(results: &mut Results, name: &str, of_row: Results) {
    let named = |row: Row| Row { case: format!("{name}: {}", row.case), ..row };
    results.rows.extend(of_row.rows.into_iter().map(named));
    results.notes.extend(of_row.notes.into_iter().map(|note| format!("{name}: {note}")));
    for of_method in ["measure", "pairs"] {
        let Some(text) = of_row.method.get(of_method) else { continue };
        results.tell(&format!("{name}: {of_method}"), text);
    }
}

/// Writes the results as a file of the history: of each figure the least, the median and the greatest of its
/// ratios, and no paths of this machine. Names in the order of time are in the order of the alphabet.
pub fn save(folder: &Path, change: &str, results: &Results) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("creating {}: {error}", folder.display()))?;
    let time: String = results.began.chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    let mut shorter = Results { command: vec!["guard".to_owned()], ..results.clone() };
    for row in &mut shorter.rows {
        let Some(Spread { min, median, max }) = row.spread(VALUE) else { continue };
        row.rounds = [min, median, max].map(Round::value).to_vec();
    }
    shorter.save(&folder.join(format!("{time}-{change}.json")))
}

/// The page of all changes in `folder`.
pub fn draw(folder: &Path) -> Result<(), String> {
    let fails = |error: std::io::Error| format!("reading {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fails)? {
        let path = entry.map_err(fails)?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
    files.sort();
    let all = files.iter().map(|path| Results::read(path)).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(format!("{}: no results of a guard are here", folder.display()));
    }
    let page = report::page_of(vec![("history".to_owned(), history(&all))])?;
    let path = folder.join(PAGE);
    std::fs::write(&path, page).map_err(|error| format!("writing {}: {error}", path.display()))
}

/// All changes as one result, the oldest first: each figure is a line over the changes.
fn history(all: &[Results]) -> Results {
    let mut history =
        Results::begin("history", "each change beside the last release before it, B/A", Facts::new());
    for (number, change) in (1..).zip(all) {
        let fact = |facts: &Facts, name: &str| facts.get(name).cloned().unwrap_or_default();
        let rows = change.rows.iter().filter(|row| !row.floor && row.unit == Unit::Ratio);
        history.rows.extend(rows.map(|row| Row {
            case: format!("{}, {number}", row.case),
            axes: [(CHANGE.to_owned(), f64::from(number))].into(),
            ..row.clone()
        }));
        history.notes.push(format!(
            "{CHANGE} {number}: {} on {}, {}: {}",
            fact(&change.method, "B"),
            change.began.chars().take(10).collect::<String>(),
            fact(&change.environment, "cpu"),
            fact(&change.method, "verdict"),
        ));
    }
    history
}
