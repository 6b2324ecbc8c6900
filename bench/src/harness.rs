//! # harness: every measure is contestant × load × probe, in rounds
//!
//! ```text
//!   contestant   what is started, connected and taken down         `contestant`, `field`, `client`
//!   load         when the next message leaves                      a `Measure` of a client
//!   probe        what is recorded of a message                     `stats`, `stalls`, `taps`
//!   rounds       contestants take turns within each round           here: `Run`
//!   results      one type for table, JSON, CSV, page, compare      `results`
//!   arguments    the flags that all measures share                  here: `Shared`
//! ```
//!
//! A measure is a file that names its contestants, gives each a load, and records what the probe found as
//! rounds of rows. Rounds alternate: within one round every contestant runs once, so that a ratio is that of
//! neighbours in time. [`Run`] owns what a run has from its first line to its verdict.

use crate::results::{Facts, Output, Results, Round, Row, RunResult};
use crate::stats::Latencies;
use lockstep_instructions::build;
use lockstep_process::cpu;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The flags that all measures share. A measure sets its own default with `mut_arg`.
#[derive(Clone, clap::Args)]
pub struct Shared {
    /// Rounds; each runs every contestant and every row once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub rounds: u64,
    /// Where results go, and what makes a run fail.
    #[command(flatten)]
    pub output: Output,
}

/// A run of a measure: its results, the time since it began, and one line of progress on the terminal.
pub struct Run {
    /// What was found so far.
    pub results: Results,
    began: Instant,
    progress: Progress,
}

impl Run {
    /// A run of `measure` that begins now. A build that is not by the measured profile says so, now and in the
    /// results.
    pub fn begin(measure: &'static str, title: &str, environment: Facts) -> Self {
        let mut results = Results::begin(measure, title, environment);
        if let Some(warning) = build::warning() {
            eprintln!("lockstep-bench: WARNING: {warning}");
            results.notes.push(format!("WARNING: {warning}"));
        }
        Self { results, began: Instant::now(), progress: Progress::new(measure) }
    }

    /// Records how it was measured.
    pub fn tell(&mut self, name: &str, value: impl ToString) {
        self.results.tell(name, value);
    }

    /// Shows what is done now; on a terminal only.
    pub fn show(&self, text: &str) {
        self.progress.say(text);
    }

    /// Seconds since the run began.
    pub fn at_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Does `turn` once for each round, with the number of the round, from 1.
    ///
    /// # Errors
    /// Those of a turn.
    pub fn rounds(
        &mut self,
        rounds: u64,
        mut turn: impl FnMut(&mut Self, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        (1..=rounds).try_for_each(|number| {
            self.show(&format!("round {number} of {rounds}"));
            turn(self, number)
        })
    }

    /// Adds a round to `row`, which has no rounds itself: it began at `at` and counted for `counted`.
    pub fn record(&mut self, row: Row, at: Instant, counted: Duration, round: Round) {
        let at_s = at.duration_since(self.began).as_secs_f64();
        self.results.add(row, Round { at_s, seconds: counted.as_secs_f64(), ..round });
    }

    /// Ends the run: writes the results and judges them.
    ///
    /// # Errors
    /// As [`Output::give`].
    pub fn finish(self, output: &Output) -> Result<RunResult, String> {
        let Self { results, progress, .. } = self;
        drop(progress);
        output.give(&results)
    }
}

/// The cores of this process; fewer than two are none, and `measure` is SKIPPED, as `whose` need one each.
pub fn two_cores(measure: &str, whose: &str) -> Option<Vec<usize>> {
    let cores = cpu::cores();
    if cores.len() < 2 {
        println!("SKIPPED: {measure}: {whose} need a core each, this machine has {}", cores.len());
        return None;
    }
    Some(cores)
}

/// Binds this thread to a core.
///
/// # Errors
/// The system does not let it.
pub fn pin(core: usize) -> Result<(), String> {
    cpu::pin(core).note.map_or(Ok(()), Err)
}

/// A round of something too short to be timed alone: each of `batches` is the time of so many operations, and
/// the figures are those of one, as means of a batch. So a batch's histogram is not that of the row, and is
/// left out.
pub fn per_operation(batches: &Latencies, operations: u64) -> Round {
    let one = |(name, ns): (String, f64)| (name, ns / operations as f64);
    Round {
        figures: batches.figures().into_iter().map(one).collect(),
        samples: batches.len(),
        ..Round::default()
    }
}

/// One line that is written over and over, and is gone with this; nothing of it is ever in a file.
pub struct Progress {
    what: &'static str,
    shown: bool,
}

impl Progress {
    /// Of a measure.
    pub fn new(what: &'static str) -> Self {
        Self { what, shown: std::io::stderr().is_terminal() }
    }

    /// Shows what is done now.
    pub fn say(&self, text: &str) {
        if self.shown {
            // A terminal that does not take it gets nothing.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {text}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
