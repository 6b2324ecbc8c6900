//! What failover found, as results.

use super::load::Ended;
use super::{Arguments, How};
use crate::results::{Results, Round, Row, Series, Unit};
use crate::stats::Latencies;
use lockstep_wire::Nanos;
use std::fmt;

/// The process struck, and who tells what the machine does by itself.
const SUBJECT: &str = "lockstep";
const CALM: &str = "calm";

/// One takeover, or one window without.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Takeover {
    /// When the leader was struck, or the window ended.
    pub at: Nanos,
    /// When the window before it began.
    pub calm_from: Nanos,
    /// The process struck; 0 for nobody.
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

/// Something that is told of each takeover.
pub struct Metric {
    /// Its first word is what `--fail-if` calls it, and stands in no other.
    pub case: &'static str,
    subject: &'static str,
    words: &'static str,
    of: fn(&Takeover) -> Nanos,
    among: fn(&Takeover) -> bool,
}

/// The largest gap around a strike.
pub const GAP: Metric = Metric {
    case: "gap, the largest in committed delivery",
    subject: SUBJECT,
    words: "around a takeover",
    of: |takeover| takeover.gap_ns,
    among: |_| true,
};
const WITHOUT: Metric = Metric { subject: CALM, words: "without", of: |takeover| takeover.calm_ns, ..GAP };
/// The gap across the epochs.
pub const ACROSS: Metric = Metric {
    case: "across, from an epoch's last delivery to the next one's first",
    words: "across a takeover",
    of: |takeover| takeover.across_ns,
    ..GAP
};
/// Until the next leader stamps.
pub const STAMP: Metric = Metric {
    case: "stamp, from a strike to the next epoch's first",
    words: "first stamp",
    of: |takeover| takeover.stamp_ns,
    ..GAP
};
/// Until the rate is full again.
pub const FULL: Metric = Metric {
    case: "full, from a strike to all of the rate again",
    words: "full rate again",
    of: |takeover| takeover.full_ns,
    ..GAP
};
/// The longest wait of a message.
pub const WAIT: Metric = Metric {
    case: "wait, a message's longest from when it was due",
    words: "longest wait",
    of: |takeover| takeover.wait_ns,
    ..GAP
};
const CALM_ALONE: Metric =
    Metric { case: "calm, the largest gap of a window", subject: SUBJECT, words: "nobody struck", ..WITHOUT };

/// Windows of a cluster that we attached to: those in which somebody took over, and the others.
const GAP_SEEN: Metric = Metric { of: |window| window.calm_ns, among: |window| window.epochs > 0, ..GAP };
const WITHOUT_SEEN: Metric = Metric { among: |window| window.epochs == 0, ..WITHOUT };

/// Everything that was found.
pub struct Found {
    /// When the results began, ...
    pub origin: Nanos,
    /// ... and when counting did, and ended.
    pub counted: (Nanos, Nanos),
    /// Takeovers, or windows without.
    pub takeovers: Vec<Takeover>,
    /// Epochs that nobody's strike explains.
    pub unasked: u64,
    /// How the load ended.
    pub ended: Ended,
    /// Each journal's digest.
    pub journals: Vec<String>,
}

impl Found {
    /// Seconds since the results began.
    fn seconds(&self, at: Nanos) -> f64 {
        at.saturating_sub(self.origin) as f64 / 1e9
    }

    /// Tells all of it.
    ///
    /// # Errors
    /// Never with these values.
    pub fn fill(&self, arguments: &Arguments, results: &mut Results) -> Result<(), String> {
        let none = arguments.how == How::None;
        let metrics: &[Metric] = match (&arguments.config, none) {
            (Some(_), _) => &[GAP_SEEN, WITHOUT_SEEN, WAIT],
            (None, true) => &[CALM_ALONE, WAIT],
            (None, false) => &[GAP, WITHOUT, ACROSS, STAMP, FULL, WAIT],
        };
        let (from, to) = self.counted;
        for metrics in metrics {
            let mut latencies = Latencies::new()?;
            let meant = self.takeovers.iter().filter(|takeover| (metrics.among)(takeover));
            meant.for_each(|takeover| latencies.record((metrics.of)(takeover)));
            let seconds = (to - from) as f64 / 1e9;
            let round = Round { at_s: self.seconds(from), seconds, ..Round::of(&latencies)? };
            let axes = [("bytes", arguments.size as f64), ("rate", arguments.rate as f64)];
            let row = Row::new(metrics.case, metrics.subject, metrics.words, Unit::Nanos).over(axes);
            results.add(row.as_floor(metrics.subject == CALM), round);
        }
        results.series = self.series(arguments.how);
        let totals = &self.ended.totals;
        let takeovers = if none { self.unasked } else { self.takeovers.len() as u64 };
        let counts = [
            ("published", totals.published),
            ("retracted", totals.retracted),
            ("lost", totals.lost()),
            ("duplicated", totals.faults.duplicated),
            ("reordered", totals.faults.reordered + totals.outcomes_wrong),
            ("takeovers", takeovers),
            ("unasked", self.unasked),
            ("gaps", totals.gaps),
            ("resends", totals.resends),
            ("backpressure", totals.backpressure),
        ];
        results.counts.extend(counts.map(|(name, count)| (name.to_owned(), count)));
        self.judge(results);
        results.notes.push(
            "takeovers: epochs that followed a strike; unasked: epochs that none explains; resends: datagrams \
             sent again; backpressure: times that the publisher's window was full; gaps: those that the \
             subscribers had repaired"
                .to_owned(),
        );
        Ok(())
    }

    /// Each takeover's own figures, over time; strikes are marked.
    fn series(&self, how: How) -> Vec<Series> {
        let of = |name: &str, of: fn(&Takeover) -> Nanos| Series {
            name: name.to_owned(),
            unit: Unit::Nanos,
            points: self.takeovers.iter().map(|one| (self.seconds(one.at), of(one) as f64)).collect(),
            marks: Vec::new(),
        };
        let mark = |one: &Takeover| (self.seconds(one.at), format!("{}: {one}", how.key()));
        if how == How::None {
            let unasked = self.takeovers.iter().filter(|one| one.epochs > 0);
            let marks =
                unasked.map(|one| (self.seconds(one.at), "an epoch that nobody asked for".to_owned()));
            let gaps = Series { marks: marks.collect(), ..of("largest gap of each window", WITHOUT.of) };
            return vec![gaps, of("longest wait of each window", WAIT.of)];
        }
        let mut gaps = of("largest gap of each window, with a strike and without", GAP.of);
        let before = |one: &Takeover| (self.seconds(one.calm_from), one.calm_ns as f64);
        gaps.points.extend(self.takeovers.iter().map(before));
        gaps.points.sort_by(|one, other| one.0.total_cmp(&other.0));
        gaps.marks = self.takeovers.iter().map(mark).collect();
        let rest = [
            ("gap across each takeover", ACROSS.of),
            ("first stamp after each strike", STAMP.of),
            ("full rate after each strike", FULL.of),
            ("longest wait of a message around each strike", WAIT.of),
        ];
        [gaps].into_iter().chain(rest.map(|(name, value)| of(name, value))).collect()
    }

    /// The errors found, whatever the limits are; and that the digests are equal, where they are.
    fn judge(&self, results: &mut Results) {
        let metrics = ["lost", "duplicated", "reordered"].map(|name| (name, results.counts[name]));
        let metrics = metrics.into_iter().filter(|(_, count)| *count > 0);
        results.wrongs.extend(metrics.map(|(name, count)| format!("{count} messages {name}")));
        let [committed, stamped] = &self.ended.digests;
        let before = results.wrongs.len();
        if committed != stamped {
            let differ = format!("the subscribers' digests differ: {committed} committed, {stamped} stamped");
            results.wrongs.push(differ);
        }
        for (id, digest) in (1..).zip(&self.journals).filter(|(_, digest)| *digest != committed) {
            let id: u32 = id;
            let differ = format!("journal {id} has the digest {digest}, the subscribers have {committed}");
            results.wrongs.push(differ);
        }
        if results.wrongs.len() == before {
            let equal = format!("equal at 2 subscribers and {} journals: {committed}", self.journals.len());
            results.tell("digests", equal);
        }
    }
}
