//! What failover found: a table for people, JSON for programs, and the verdict.

use super::How;
use super::load::Ended;
use crate::condition::Condition;
use crate::stats::Latencies;
use lockstep::wire::Nanos;
use serde_json::{Value, json};
use std::fmt;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.bench.failover/1";
/// The percentiles of a row; behind them comes the greatest.
const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0)];

/// One takeover, or one window without.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Takeover {
    /// Who was struck; 0 for nobody.
    pub victim: u32,
    /// The largest gap in committed delivery around it.
    pub gap_ns: Nanos,
    /// The same in the window before it.
    pub calm_ns: Nanos,
    /// The gap that the next epoch's first delivery ends: what the takeover itself costs.
    pub across_ns: Nanos,
    /// From the strike to the start of the next epoch, as the `stamped` subscriber saw it.
    pub stamp_ns: Nanos,
    /// From the strike to the first message that did not have to wait.
    pub full_ns: Nanos,
    /// The longest that a message waited, from when it was due.
    pub wait_ns: Nanos,
    /// Epochs that it took.
    pub epochs: u64,
    /// Messages that the `stamped` subscriber was told and that were taken back.
    pub retracted: u64,
    /// Gaps that the subscribers had repaired.
    pub gaps: u64,
}

/// Milliseconds of some nanoseconds.
fn ms(ns: Nanos) -> f64 {
    ns as f64 / 1e6
}

impl fmt::Display for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { victim, gap_ns, calm_ns, across_ns, stamp_ns, full_ns, retracted, epochs, .. } = self;
        write!(
            f,
            "replica {victim} struck: gap {:.2} ms (without: {:.2}), across it {:.2} ms, next epoch after {:.2} ms, \
             full rate after {:.2} ms, {retracted} retracted",
            ms(*gap_ns),
            ms(*calm_ns),
            ms(*across_ns),
            ms(*stamp_ns),
            ms(*full_ns)
        )?;
        if *epochs > 1 { write!(f, ", {epochs} epochs") } else { Ok(()) }
    }
}

/// A row of the table.
struct Row {
    key: &'static str,
    name: &'static str,
    of: fn(&Takeover) -> Nanos,
}

const GAP: Row =
    Row { key: "gap", name: "largest gap in committed delivery", of: |takeover| takeover.gap_ns };
const CALM: Row = Row { key: "calm", name: "  the same without a takeover", of: |takeover| takeover.calm_ns };
const CALM_ALONE: Row = Row { name: GAP.name, ..CALM };
const ACROSS: Row =
    Row { key: "across", name: "gap across the takeover itself", of: |takeover| takeover.across_ns };
const STAMP: Row =
    Row { key: "stamp", name: "first stamp of the next epoch", of: |takeover| takeover.stamp_ns };
const FULL: Row = Row { key: "full", name: "full rate again", of: |takeover| takeover.full_ns };
const WAIT: Row = Row { key: "wait", name: "longest wait of a message", of: |takeover| takeover.wait_ns };

/// Everything that is told.
pub struct Report {
    /// How the leader was taken away.
    pub how: How,
    /// Messages per second.
    pub rate: u64,
    /// Bytes of a message.
    pub size: usize,
    /// Milliseconds of a window.
    pub window_ms: u64,
    /// Niceness of the processes that computed beside it.
    pub hogs: Option<i32>,
    /// One row each.
    pub takeovers: Vec<Takeover>,
    /// Epochs that nobody's strike explains.
    pub unasked: u64,
    /// How the load ended.
    pub ended: Ended,
    /// Each journal's digest.
    pub journals: Vec<String>,
}

impl Report {
    fn rows(&self) -> &'static [Row] {
        if self.how == How::None { &[CALM_ALONE, WAIT] } else { &[GAP, CALM, ACROSS, STAMP, FULL, WAIT] }
    }

    fn latencies(&self, row: &Row) -> Result<Latencies, String> {
        let mut latencies = Latencies::new()?;
        self.takeovers.iter().for_each(|takeover| latencies.record((row.of)(takeover)));
        Ok(latencies)
    }

    /// All values of the gaps with and without, each in ascending order.
    pub fn gaps(&self) -> [(&'static str, Vec<Nanos>); 2] {
        let sorted = |of: fn(&Takeover) -> Nanos| {
            let mut values: Vec<Nanos> = self.takeovers.iter().map(of).collect();
            values.sort_unstable();
            values
        };
        [(self.how.words(), sorted(GAP.of)), ("without a takeover", sorted(CALM.of))]
    }

    /// Messages that no subscriber has, or not all, or whose publisher was never told.
    fn lost(&self) -> u64 {
        let totals = &self.ended.totals;
        let short = |have: u64| totals.published.saturating_sub(have);
        let behind: u64 = totals.delivered.iter().map(|delivered| short(*delivered)).sum();
        (totals.faults.missing + behind).max(short(totals.committed))
    }

    fn counts(&self) -> [(&'static str, u64); 6] {
        let totals = &self.ended.totals;
        [
            ("retracted", totals.retracted),
            ("lost", self.lost()),
            ("duplicated", totals.faults.duplicated),
            ("reordered", totals.faults.reordered + totals.fates_wrong),
            ("takeovers", if self.how == How::None { self.unasked } else { self.takeovers.len() as u64 }),
            ("unasked", self.unasked),
        ]
    }

    /// What is wrong, whatever the limits are.
    fn wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        let told =
            self.counts().into_iter().filter(|(name, _)| ["lost", "duplicated", "reordered"].contains(name));
        wrongs.extend(
            told.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} messages {name}")),
        );
        let [committed, stamped] = &self.ended.digests;
        if committed != stamped {
            wrongs.push(format!("the subscribers' digests differ: {committed} committed, {stamped} stamped"));
        }
        for (id, digest) in (1..).zip(&self.journals).filter(|(_, digest)| *digest != committed) {
            wrongs.push(format!("journal {id} has the digest {digest}, the subscribers have {committed}"));
        }
        wrongs
    }

    /// Whether it ended as promised, and no condition holds.
    ///
    /// # Errors
    /// In words, all that is wrong.
    pub fn judge(&self, conditions: &[Condition]) -> Result<(), String> {
        let mut wrongs = self.wrongs();
        for condition in conditions {
            wrongs.extend(self.holds(condition)?);
        }
        if wrongs.is_empty() { Ok(()) } else { Err(wrongs.join("; ")) }
    }

    /// Says so if a condition holds. A percentile that too few takeovers tell is judged by the greatest.
    fn holds(&self, condition: &Condition) -> Result<Option<String>, String> {
        let Condition { text, row, figure, .. } = condition;
        let Some(figure) = figure else {
            let count = self.counts().into_iter().find(|(name, _)| name == row);
            let (_, count) = count.ok_or_else(|| format!("--fail-if {text}: there is no count '{row}'"))?;
            return Ok(condition.holds(count as f64).then(|| format!("{text}: it is {count}")));
        };
        let found = self.rows().iter().find(|known| known.key == row);
        let latencies =
            self.latencies(found.ok_or_else(|| format!("--fail-if {text}: there is no row '{row}'"))?)?;
        let greatest = latencies.max();
        let value = match PERCENTILES.iter().find(|(name, _)| name == figure) {
            Some((_, percentile)) => latencies.at(*percentile).or(greatest),
            None if figure == "max" => greatest,
            None => return Err(format!("--fail-if {text}: there is no figure '{figure}'")),
        };
        let held = value.filter(|value| condition.holds(*value as f64));
        Ok(held.map(|value| format!("{text}: it is {:.3} ms", ms(value))))
    }

    /// What `--json` prints.
    ///
    /// # Errors
    /// Never with these values.
    pub fn json(&self, environment: &[String]) -> Result<String, String> {
        let mut rows = serde_json::Map::new();
        for row in self.rows() {
            let latencies = self.latencies(row)?;
            let mut figures = serde_json::Map::new();
            for (name, percentile) in PERCENTILES {
                figures.insert(format!("{name}_ns"), json!(latencies.at(percentile)));
            }
            figures.insert("max_ns".into(), json!(latencies.max()));
            rows.insert(row.key.into(), Value::Object(figures));
        }
        let takeovers: Vec<Value> = self.takeovers.iter().map(|takeover| {
            let Takeover {
                victim, gap_ns, calm_ns, across_ns, stamp_ns, full_ns, wait_ns, epochs, retracted, gaps,
            } = *takeover;
            json!({
                "victim": victim, "gap_ns": gap_ns, "calm_ns": calm_ns, "across_ns": across_ns,
                "stamp_ns": stamp_ns, "full_ns": full_ns, "wait_ns": wait_ns, "epochs": epochs, "retracted": retracted, "gaps": gaps,
            })
        }).collect();
        let counts: serde_json::Map<_, _> =
            self.counts().into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect();
        let value = json!({
            "schema": SCHEMA,
            "environment": environment,
            "how": self.how.key(),
            "rate": self.rate,
            "size": self.size,
            "window_ms": self.window_ms,
            "hogs": self.hogs,
            "published": self.ended.totals.published,
            "resends": self.ended.totals.resends,
            "backpressure": self.ended.totals.backpressure,
            "counts": counts,
            "rows": rows,
            "digests": { "subscribers": self.ended.digests, "journals": self.journals },
            "wrong": self.wrongs(),
            "takeovers": takeovers,
        });
        serde_json::to_string_pretty(&value).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = self.takeovers.len();
        let what = if self.how == How::None { "windows" } else { "takeovers" };
        write!(
            f,
            "{}: {windows} {what} of {} ms, {}/s of {} B",
            self.how.words(),
            self.window_ms,
            self.rate,
            self.size
        )?;
        if let Some(niceness) = self.hogs {
            write!(f, ", a process computing on each core at nice {niceness}")?;
        }
        write!(f, "\n{:<36}", "ms")?;
        PERCENTILES.iter().try_for_each(|(name, _)| write!(f, "{name:>10}"))?;
        writeln!(f, "{:>10}", "max")?;
        for row in self.rows() {
            let latencies = self.latencies(row).map_err(|_| fmt::Error)?;
            write!(f, "{:<36}", row.name)?;
            let values = PERCENTILES.map(|(_, percentile)| latencies.at(percentile));
            for value in values.into_iter().chain([latencies.max()]) {
                let cell = value.map_or_else(|| String::from("-"), |value| format!("{:.2}", ms(value)));
                write!(f, "{cell:>10}")?;
            }
            writeln!(f)?;
        }
        let totals = &self.ended.totals;
        write!(f, "messages: {} published", totals.published)?;
        for (name, count) in &self.counts()[..4] {
            write!(f, ", {count} {name}")?;
        }
        writeln!(f, "; {} datagrams sent again, window full {} times", totals.resends, totals.backpressure)?;
        if self.how == How::None {
            writeln!(f, "takeovers: {}, and nobody was struck", self.unasked)?;
        } else {
            writeln!(f, "epochs beyond one for each takeover: {}", self.unasked)?;
        }
        match &self.wrongs()[..] {
            [] if self.journals.is_empty() => writeln!(f, "equal digests at both subscribers"),
            [] => writeln!(
                f,
                "equal digests at both subscribers after each takeover, and at the end of all {} journals",
                self.journals.len()
            ),
            wrongs => writeln!(f, "WRONG: {}", wrongs.join("; ")),
        }
    }
}
