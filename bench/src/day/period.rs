//! A period of an endurance run: what was found in it, as lines on the screen and as rounds of rows.

use super::flat::{Level, mebibytes};
use crate::failover::How;
use crate::results::{Results, Round, Row, Unit};
use crate::stats::Latencies;
use crate::usage::Usage;
use lockstep_wire::Nanos;
use std::collections::BTreeMap;
use std::fmt;

/// Gaps between two committed deliveries: those around a takeover, and the longest of the others.
#[derive(Default)]
pub struct Gaps {
    /// The delivery before.
    last: Option<Nanos>,
    /// When the leader was struck, while the takeover is not over.
    struck: Option<Nanos>,
    around: Nanos,
    elsewhere: Nanos,
}

impl Gaps {
    /// Something was delivered at `at`.
    pub fn delivered(&mut self, at: Nanos) {
        let gap = self.last.map_or(0, |last| at.saturating_sub(last));
        let of = if self.struck.is_some_and(|struck| at > struck) {
            &mut self.around
        } else {
            &mut self.elsewhere
        };
        *of = (*of).max(gap);
        self.last = Some(at);
    }

    /// A takeover begins.
    pub fn strike(&mut self, at: Nanos) {
        (self.struck, self.around) = (Some(at), 0);
    }

    /// It is over: its longest gap.
    pub fn over(&mut self) -> Nanos {
        self.struck = None;
        self.around
    }

    /// The longest of the others since the last call.
    pub fn elsewhere(&mut self) -> Nanos {
        std::mem::take(&mut self.elsewhere)
    }
}

/// The samples of one process.
#[derive(Default)]
pub struct Samples {
    /// Its number, and since when it has had that.
    pub process: (u32, Nanos),
    /// Those that count.
    pub usages: Vec<Usage>,
}

/// Messages that were wrong so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Faults {
    /// Missing.
    pub lost: u64,
    /// Delivered again.
    pub twice: u64,
    /// Delivered behind a later one.
    pub disordered: u64,
}

/// The usage of each process, by its name; of one that was never old enough there is none.
pub type Levels = BTreeMap<String, Option<Level>>;

/// See the module.
pub struct Period {
    /// From 1.
    pub number: usize,
    /// Seconds since the run began, when it did, ...
    pub at_s: f64,
    /// ... and how long it was.
    pub seconds: f64,
    /// Of each message, from when it was due until it was delivered as committed.
    pub latencies: Latencies,
    /// Messages that were handed over.
    pub published: u64,
    /// Of the whole run until now.
    pub faults: Faults,
    /// Times that the publisher's window was full.
    pub backpressure: u64,
    /// The longest gap around each takeover.
    pub takeovers: Vec<(How, Nanos)>,
    /// The longest of the others.
    pub gap: Nanos,
    /// Processes that were restarted for room on the disk.
    pub restarts: u64,
    /// Of each process.
    pub levels: Levels,
    /// Bytes on the disk, by folder, at its end.
    pub disks: BTreeMap<String, u64>,
}

fn ms(ns: Nanos) -> f64 {
    ns as f64 / 1e6
}

impl fmt::Display for Period {
    /// A row of the run, and below it a line for each kind of usage.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, seconds, latencies, faults, takeovers, gap, restarts, levels, disks, .. } = self;
        let Faults { lost, twice, disordered } = faults;
        let figures = latencies.figures();
        let of = |name: &str| figures.get(name).map_or("-".into(), |ns| format!("{:.0}", ns / 1e3));
        let [p50, p99, p999, max] = ["p50", "p99", "p99.9", "max"].map(of);
        let takeovers: Vec<String> =
            takeovers.iter().map(|(how, gap)| format!("{} {:.1}", how.key(), ms(*gap))).collect();
        let takeovers = if takeovers.is_empty() { "none".to_owned() } else { takeovers.join(", ") };
        writeln!(
            f,
            "period {number}, {seconds:.0} s: {} messages; us: p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}; so far \
             {lost} lost, {twice} twice, {disordered} out of order; ms: gap at takeovers: {takeovers}, elsewhere {:.1}; \
             {restarts} restarts",
            latencies.len(),
            ms(*gap)
        )?;
        let line = |of: &dyn Fn(&Level) -> String| {
            let cells: Vec<String> = levels
                .iter()
                .map(|(name, level)| format!("{name} {}", level.as_ref().map_or("-".into(), of)))
                .collect();
            cells.join(", ")
        };
        let memory =
            |level: &Level| format!("{:.1} ({:.1})", mebibytes(level.resident), mebibytes(level.anonymous));
        writeln!(f, "  memory, MiB (without files): {}", line(&memory))?;
        writeln!(f, "  descriptors: {}", line(&|level| level.descriptors[1].to_string()))?;
        writeln!(f, "  threads: {}", line(&|level| level.threads.to_string()))?;
        let disks: Vec<String> =
            disks.iter().map(|(name, bytes)| format!("{name} {:.1}", mebibytes(*bytes))).collect();
        write!(f, "  disk, MiB: {}", disks.join(", "))
    }
}

/// A row that each process has: its case, its value, its unit.
type ProcessRow = (&'static str, fn(&Level) -> u64, Unit);

/// The name of a process or folder in JSON.
fn subject(name: &str) -> String {
    name.replace(' ', "-").replace('\'', "")
}

impl Period {
    /// Adds a round for each row.
    ///
    /// # Errors
    /// A histogram cannot be written.
    pub fn record(&self, results: &mut Results, rate: u64, size: usize) -> Result<(), String> {
        let (at_s, seconds) = (self.at_s, self.seconds);
        let mut add = |row: Row, round: Round| results.add(row, Round { at_s, seconds, ..round });
        let mut round =
            Round::of(&self.latencies)?.sent(rate as f64, self.published as f64 / seconds.max(1e-9));
        if self.backpressure > 0 {
            round.marks.push(format!("the window was full: {} times", self.backpressure));
        }
        let case = format!("committed, {size} B, {rate}/s");
        let row = Row::new(&case, "lockstep", "lockstep", Unit::Nanos);
        add(row.over([("bytes", size as f64), ("rate", rate as f64)]), round);
        let mut gaps = Latencies::new()?;
        gaps.record(self.gap);
        let case = "gap, the longest in committed delivery";
        add(Row::new(case, "calm", "elsewhere", Unit::Nanos).as_floor(true), Round::of(&gaps)?);
        for how in [How::Handover, How::Kill] {
            let mut gaps = Latencies::new()?;
            self.takeovers.iter().filter(|(of, _)| *of == how).for_each(|(_, gap)| gaps.record(*gap));
            let round = if gaps.is_empty() { Round::default() } else { Round::of(&gaps)? };
            add(Row::new(case, &how.key(), how.words(), Unit::Nanos), round);
        }
        for (name, level) in &self.levels {
            let rows: [ProcessRow; 4] = [
                ("memory", |level| level.resident, Unit::Bytes),
                ("memory that no file backs", |level| level.anonymous, Unit::Bytes),
                ("open descriptors", |level| level.descriptors[1], Unit::Count),
                ("threads", |level| level.threads, Unit::Count),
            ];
            for (case, value, unit) in rows {
                let round = level.as_ref().map(|level| Round::value(value(level) as f64));
                add(Row::new(case, &subject(name), name, unit), round.unwrap_or_default());
            }
        }
        for (name, bytes) in &self.disks {
            add(Row::new("disk", &subject(name), name, Unit::Bytes), Round::value(*bytes as f64));
        }
        Ok(())
    }
}
