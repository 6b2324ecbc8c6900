//! # compare: whether B is worse than A
//!
//! ```text
//!   A B   B A   A B   B A  …      each letter a run of that program, in its own process
//!    │     │     │     │
//!   B/A   B/A   B/A   B/A  …      judged: see `statistics`
//! ```
//!
//! Neighbours in time mostly ran on an equally fast machine, and alternating orders take away what it costs
//! to come first. The floors of both runs are the control: they are the same in A and B, and so must their
//! times be.
//!
//! Its own results are rows of ratios, so that table, JSON, CSV and page have them as they have all others.

mod contestant;
mod files;
pub mod statistics;

use crate::environment;
use crate::flags;
use crate::harness::Progress;
use crate::results::{Facts, Output, Results, Round, Row, RunResult, Unit, VALUE};
use contestant::{Contestant, Ran};
use lockstep::config;
use statistics::{Compared, Found, Judged, Rules};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a comparison of a program with itself may find a difference.
const ALARMS: f64 = 0.01;
/// The figures of subjects that are judged, where both have them; the first that a floor has is its control.
const JUDGED: [&str; 3] = ["p50", "p99", VALUE];
/// The figure of a row that has too few samples for those, such as the gap around one kill.
const OF_FEW: &str = "max";
/// The default measures, where nothing else is asked for: a turn takes some 0.4 seconds.
const MEASURE: [&str; 10] =
    ["latency", "--closed", "--only", "stamped", "--seconds", "0.03", "--warm-up", "0.02", "--rounds", "1"];

/// Runs two programs in turn, and says whether the second is worse.
///
/// Exit code 0: not worse. 3: worse, or not comparable as their floors differ. 1: nothing can be said.
///
/// Pairs of runs follow each other in the order AB BA AB BA. Judged are the ratios B/A of each pair: p50, p99
/// where enough samples tell it, messages per second; with an exact test (signed ranks, after Wilcoxon) that
/// is right for any noise as long as neither program is favoured. What moves the floors of both runs alike is
/// taken off where that makes the ratios less scattered. A program that is compared with itself is called
/// different in no more than 1 % of comparisons, all their figures and floors taken together.
///
/// Two files of results (`--json=FILE`) have no pairs: they are compared only if their floors agree within 5
/// %, and only a difference above 5 % that five or more rounds of each bear out (Mann and Whitney, 1 % for
/// each figure) is one.
#[derive(clap::Args)]
pub struct Arguments {
    /// A: a lockstep-bench, a script that behaves like one, or a file that `--json=FILE` wrote.
    a: PathBuf,
    /// B: of the same kind.
    b: PathBuf,
    /// Pairs of runs; else as many as there is time for.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=500))]
    rounds: Option<u32>,
    /// No pair is begun that would not be done by then.
    #[arg(long, default_value = "110s", value_parser = config::duration)]
    time: Duration,
    /// A smaller difference is none, however sure it is.
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = share)]
    least: f64,
    #[command(flatten)]
    output: Output,
    /// What both are asked to measure; its floors are the control.
    #[arg(last = true, value_name = "MEASURE ARGS", default_values = MEASURE)]
    measure: Vec<String>,
}

/// A share between none and a half, as `--least` takes it.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    flags::scaled(text, &[("%", 0.01)], 0.0..=0.5, "is no share; write 0% to 50%, like 1%")
}

/// A figure that two results have.
struct Common<'a> {
    a: &'a Row,
    b: &'a Row,
    figure: &'static str,
}

impl Common<'_> {
    /// B/A of the medians over the rounds.
    fn ratio(&self) -> Option<f64> {
        Some(self.b.spread(self.figure)?.median / self.a.spread(self.figure)?.median)
    }

    fn compared(&self) -> Compared {
        Compared {
            case: self.a.case.clone(),
            subject: self.a.subject.clone(),
            figure: self.figure.to_owned(),
            floor: self.a.floor,
            unit: self.a.unit,
            ratios: Vec::new(),
        }
    }
}

/// Every judged figure of every row that both have.
fn in_common<'a>(a: &'a Results, b: &'a Results) -> Vec<Common<'a>> {
    let mut common = Vec::new();
    for of_a in &a.rows {
        let Some(of_b) = b.rows.iter().find(|row| row.case == of_a.case && row.subject == of_a.subject)
        else {
            continue;
        };
        let both = |figure: &&str| of_a.spread(figure).is_some() && of_b.spread(figure).is_some();
        let mut figures: Vec<&str> = JUDGED.into_iter().filter(both).collect();
        figures.truncate(if of_a.floor { 1 } else { JUDGED.len() });
        if figures.is_empty() {
            figures.extend([OF_FEW].iter().filter(|figure| both(figure)));
        }
        common.extend(figures.into_iter().map(|figure| Common { a: of_a, b: of_b, figure }));
    }
    common
}

/// Compares, and says what is different.
///
/// # Errors
/// A program that fails, files that are none, too little to judge.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let (results, result) = match (is_program(&arguments.a)?, is_program(&arguments.b)?) {
        (true, true) => match contest(&arguments.contest())? {
            Ok(judged) => judged,
            Err(skipped) => {
                println!("{skipped}");
                return Ok(RunResult::Passed);
            }
        },
        (false, false) => {
            let (a, b) = (Results::read(&arguments.a)?, Results::read(&arguments.b)?);
            if in_common(&a, &b).is_empty() {
                return Err("the two files have no row in common".to_owned());
            }
            let (compared, judged) = files::judge(&a, &b)?;
            let mut results = Results::begin("compare", "two files of results, B/A", Facts::new());
            tell(&mut results, [&arguments.a, &arguments.b], &files::RULES);
            results.tell("A", format!("{}, {}", arguments.a.display(), a.began));
            results.tell("B", format!("{}, {}", arguments.b.display(), b.began));
            results.tell("judged", "subjects over their floors; alarms are those of each figure");
            for (name, of_a) in &a.environment {
                let of_b = b.environment.get(name).map_or("-", String::as_str);
                if of_a != of_b && name != "load" {
                    results.notes.push(format!("{name}: {of_a} for A, {of_b} for B"));
                }
            }
            let result = conclude(&mut results, &compared, &judged);
            (results, result)
        }
        _ => return Err("one of the two is a program and the other a file; give two of a kind".to_owned()),
    };
    match arguments.output.give(&results)? {
        RunResult::Passed => Ok(result),
        RunResult::Failed => Ok(RunResult::Failed),
    }
}

fn is_program(path: &Path) -> Result<bool, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !metadata.is_file() {
        return Err(format!("{}: neither a program nor a file of results", path.display()));
    }
    Ok(metadata.permissions().mode() & 0o111 != 0)
}

fn tell(results: &mut Results, [a, b]: [&Path; 2], rules: &Rules) {
    results.tell("A", a.display());
    results.tell("B", b.display());
    results.tell("false alarms", format!("{} % at most", rules.alarms * 100.0));
    results.tell("least", format!("{} %: a smaller difference is none", rules.least * 100.0));
}

/// Says by which profiles both were built. Where these differ, it is they that are compared; a program from before
/// they were told does not say.
fn tell_profiles(results: &mut Results, both: [&Results; 2]) {
    let [a, b] = both.map(|of| of.environment.get("profile").map_or("unknown", String::as_str));
    results.tell("profiles", format!("{a} for A, {b} for B"));
    if a != b {
        results.notes.push(format!("WARNING: the profiles of the two builds differ: {a} for A, {b} for B"));
    }
}

/// Two programs, and what they are asked for.
pub(crate) struct Contest<'a> {
    /// A and B.
    pub programs: [&'a Path; 2],
    /// What both measure.
    pub measure: Vec<String>,
    /// Pairs of runs; else as many as there is time for.
    pub rounds: Option<u32>,
    /// No pair is begun that would not be done by then.
    pub time: Duration,
    /// A smaller difference is none.
    pub least: f64,
}

impl Arguments {
    fn contest(&self) -> Contest<'_> {
        let Self { a, b, rounds, time, least, measure, .. } = self;
        Contest { programs: [a, b], measure: measure.clone(), rounds: *rounds, time: *time, least: *least }
    }
}

/// Runs both in turn. The inner error is why this machine cannot measure that.
///
/// # Errors
/// A program that fails, too little to judge.
pub(crate) fn contest(contest: &Contest<'_>) -> Result<Result<(Results, RunResult), String>, String> {
    let [a, b] = contest.programs;
    let contestants = [Contestant::new(a)?, Contestant::new(b)?];
    let rules = Rules { alarms: ALARMS, least: contest.least };
    let mut results = Results::begin("compare", "two programs in turn, B/A", environment::facts());
    tell(&mut results, contest.programs, &rules);
    results.tell("measure", contest.measure.join(" "));
    results.tell("order", "AB BA AB BA …");
    let began = Instant::now();
    let progress = Progress::new("compare");
    let mut longest = Duration::ZERO;
    let mut pairs: Vec<Pair> = Vec::new();
    let enough = |pairs: usize, longest: Duration| match contest.rounds {
        Some(rounds) => pairs >= rounds as usize,
        None => pairs > 0 && began.elapsed() + longest > contest.time,
    };
    while !enough(pairs.len(), longest) {
        let pair_began = Instant::now();
        let until = contest.rounds.map_or_else(
            || format!("{} of {} s", began.elapsed().as_secs(), contest.time.as_secs()),
            |rounds| format!("of {rounds}"),
        );
        progress.say(&format!("pair {}, {until}", pairs.len() + 1));
        let first = pairs.len() % 2;
        let mut ran: [Option<Results>; 2] = [None, None];
        for index in [first, 1 - first] {
            match contestants[index].run(&contest.measure)? {
                Ran::Results(of_run) => ran[index] = Some(*of_run),
                Ran::Skipped(why) => return Ok(Err(why)),
            }
        }
        if let [Some(a), Some(b)] = ran {
            if pairs.is_empty() {
                tell_profiles(&mut results, [&a, &b]);
            }
            let pair = Pair::of(&a, &b, began.elapsed() - pair_began.elapsed(), pair_began.elapsed());
            pairs.push(pair);
        }
        longest = longest.max(pair_began.elapsed());
    }
    drop(progress);
    results.tell("pairs", format!("{} in {:.0} s", pairs.len(), began.elapsed().as_secs_f64()));
    let (compared, sparse): (Vec<_>, Vec<_>) = by_figure(&pairs).into_iter().partition(|one| {
        let ratios = one.ratios.iter().flatten().count();
        ratios * 4 >= pairs.len() * 3
    });
    for one in &sparse {
        let ratios = one.ratios.iter().flatten().count();
        let Compared { case, subject, figure, .. } = one;
        if one.floor {
            return Err(format!(
                "{case}, {subject}, {figure}: {ratios} of {} pairs have it; without its floor nothing is compared: \
                 measure for longer",
                pairs.len()
            ));
        }
        results.notes.push(format!(
            "{case}, {subject}, {figure}: not judged, {ratios} of {} pairs have it",
            pairs.len()
        ));
    }
    if compared.is_empty() {
        return Err("the two programs measured nothing in common".to_owned());
    }
    let judged = statistics::judge(&compared, &rules)?;
    let result = conclude(&mut results, &compared, &judged);
    for row in &mut results.rows {
        for (round, pair) in row.rounds.iter_mut().zip(&pairs) {
            (round.at_s, round.seconds) = (pair.at.as_secs_f64(), pair.took.as_secs_f64());
        }
    }
    Ok(Ok((results, result)))
}

/// One run of each, side by side: B/A of every figure.
struct Pair {
    /// Since the comparison began.
    at: Duration,
    took: Duration,
    figures: Vec<Compared>,
}

impl Pair {
    fn of(a: &Results, b: &Results, at: Duration, took: Duration) -> Self {
        let figures = in_common(a, b).into_iter();
        let figures = figures.map(|common| Compared { ratios: vec![common.ratio()], ..common.compared() });
        Self { at, took, figures: figures.collect() }
    }
}

/// The figures of all pairs, with their ratios in order: nothing where too few samples of a run told one.
fn by_figure(pairs: &[Pair]) -> Vec<Compared> {
    let mut all: Vec<Compared> = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        for one in &pair.figures {
            let same = |other: &Compared| {
                (&other.case, &other.subject, &other.figure) == (&one.case, &one.subject, &one.figure)
            };
            let place = match all.iter().position(same) {
                Some(place) => place,
                None => {
                    all.push(Compared { ratios: vec![None; pairs.len()], ..one.clone() });
                    all.len() - 1
                }
            };
            all[place].ratios[index] = one.ratios.first().copied().flatten();
        }
    }
    all
}

/// Writes rows and verdicts, and says whether B is worse.
fn conclude(results: &mut Results, compared: &[Compared], judged: &[Judged]) -> RunResult {
    let both = || compared.iter().zip(judged);
    for (one, judged) in both() {
        results.rows.push(Row {
            case: format!("{}: {}", one.case, one.figure),
            subject: one.subject.clone(),
            words: one.subject.clone(),
            floor: one.floor,
            unit: Unit::Ratio,
            axes: BTreeMap::new(),
            rounds: one.ratios.iter().map(|ratio| ratio.map_or_else(Round::default, Round::value)).collect(),
        });
        let name = format!("{}, {}, {}", one.case, one.subject, one.figure);
        results.notes.push(format!("{name}: {}", words(one, judged)));
    }
    let worse: Vec<String> = both()
        .filter(|(one, judged)| !one.floor && judged.found == Found::Worse)
        .map(|(one, _)| format!("{} of {}", one.figure, one.case))
        .collect();
    let (result, words) = if judged.iter().any(|judged| judged.found == Found::NotComparable) {
        let apart =
            both().filter(|(one, _)| one.floor).map(|(_, judged)| (judged.shift.estimate - 1.0).abs());
        let most = apart.fold(0.0, f64::max) * 100.0;
        (RunResult::Failed, format!("not comparable: the floors differ by {most:.1} %"))
    } else if worse.is_empty() {
        (RunResult::Passed, "B is not worse than A".to_owned())
    } else {
        (RunResult::Failed, format!("B is worse than A: {}", worse.join(", ")))
    };
    results.tell("verdict", &words);
    results.notes.push(words);
    result
}

/// The statement about one figure.
fn words(one: &Compared, judged: &Judged) -> String {
    let Judged { shift, .. } = *judged;
    let sign = if shift.estimate >= 1.0 { 100.0 } else { -100.0 };
    let percent = |ratio: f64| (ratio - 1.0) * sign;
    let (low, high) = (percent(shift.least), percent(shift.greatest));
    let size = format!("by {:.1} % [{:.1}, {:.1}]", percent(shift.estimate), low.min(high), low.max(high));
    let over = match judged.corrected {
        0.0 => "",
        share if share < 1.0 => ", half of what the floors moved taken off",
        _ => ", what the floors moved taken off",
    };
    let possible = shift.possible() * 100.0;
    let [worse, better] = match one.unit {
        Unit::Nanos | Unit::MessagesPerSecond | Unit::DatagramsPerSecond | Unit::BytesPerSecond => {
            ["slower", "faster"]
        }
        Unit::Instructions | Unit::Count | Unit::Bytes | Unit::SecondsPerMillion | Unit::Ratio => {
            ["worse", "better"]
        }
    };
    match (judged.found, one.floor) {
        (Found::NotComparable, _) => format!("not comparable; B/A is {:.3}", shift.estimate),
        (Found::Worse | Found::Better, true) => format!("this floor differs {size}"),
        (Found::Same, true) => format!("this floor agrees within {possible:.1} %"),
        (Found::Worse, false) => format!("B is {worse} than A {size}{over}"),
        (Found::Better, false) => format!("B is {better} than A {size}{over}"),
        (Found::Same, false) if shift.certain() => {
            format!("B differs from A {size}, which is too little to matter")
        }
        (Found::Same, false) => {
            format!("no difference found; one of {possible:.1} % or more would have been{over}")
        }
    }
}
