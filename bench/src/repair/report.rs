//! What repair found, as results.

use super::load::Published;
use super::reader::Read;
use super::{Arguments, Of};
use crate::results::{Results, Round, Row, Series, Unit};
use crate::stats::{Latencies, Spread};
use lockstep_core::engine::counters::Counter;
use std::collections::BTreeMap;
use std::time::Duration;

/// The report of each replica.
pub(super) const COUNTED: [(&str, Counter); 7] = [
    ("requests heard", Counter::NacksIn),
    ("frames repaired", Counter::RepairsOut),
    ("of them by a leader", Counter::RepairsByLeader),
    ("of them to all at once", Counter::RepairsMulticast),
    ("ranges referred", Counter::NacksReferred),
    ("ranges limited", Counter::NacksLimited),
    ("receivers given up", Counter::RequestersDropped),
];

/// What a window was like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Without,
    With,
    CatchingUp,
    After,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Without, Self::With, Self::CatchingUp, Self::After];

    /// As `--fail-if` calls it.
    fn key(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::With => "with",
            Self::CatchingUp => "catching-up",
            Self::After => "after",
        }
    }
}

/// A window, by number from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kind: Kind,
    /// Seconds since the results began.
    pub at_s: f64,
    /// How long it lasted.
    pub seconds: f64,
    /// Messages that were published in it.
    pub published: u64,
}

/// What a process holds, in bytes: when counting began, and at most.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Memory {
    pub first: u64,
    pub most: u64,
}

/// Everything that was found.
pub(super) struct Found {
    pub leader: u32,
    pub published: Published,
    pub reads: Vec<Read>,
    /// Window 1 first.
    pub windows: Vec<Window>,
    pub memory: BTreeMap<String, Memory>,
    /// How long the one that stood still took, and what it lacked.
    pub caught_up: Option<(Duration, u64)>,
    /// What the one that stood still lacked, over time.
    pub behind: Vec<(f64, f64)>,
    /// What was done, and when.
    pub marks: Vec<(f64, String)>,
    /// By replica, in the order of [`COUNTED`].
    pub counted: [Vec<u64>; COUNTED.len()],
    pub journals: Vec<String>,
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Found {
    /// The readers that are measured: all, or all but the one that is hit.
    fn measured(&self, arguments: &Arguments) -> &[Read] {
        let spared = arguments.of == Of::One || arguments.stop.is_some();
        &self.reads[..self.reads.len() - usize::from(spared)]
    }

    /// The latencies of window `number` at each measured reader.
    fn latencies(&self, arguments: &Arguments, number: usize) -> Result<Vec<Latencies>, String> {
        let of = |read: &Read| {
            let text = read.windows.get(number).ok_or("a reader does not tell of a window")?;
            Latencies::decode(text)
        };
        self.measured(arguments).iter().map(of).collect()
    }

    /// Tells all of it.
    ///
    /// # Errors
    /// A reader's histogram is none.
    pub(super) fn fill(&self, arguments: &Arguments, results: &mut Results) -> Result<(), String> {
        self.rows(arguments, results)?;
        self.over_time(arguments, results)?;
        self.count(results);
        self.note(results);
        self.judge(results);
        Ok(())
    }

    /// A row for each kind of window, a round for each window and measured reader.
    fn rows(&self, arguments: &Arguments, results: &mut Results) -> Result<(), String> {
        let Arguments { rate, size, .. } = *arguments;
        let what = format!("{}%", f64::from(arguments.loss) / 1e4);
        let with = match (arguments.stop, arguments.of) {
            (Some(seconds), _) => format!("one stands still, {seconds} s"),
            (None, Of::All) => format!("every path loses {what}"),
            (None, Of::One) => format!("one loses {what}"),
        };
        let measured = self.measured(arguments).len();
        let case = format!("committed, {rate}/s of {size} B, {measured} of {} readers", self.reads.len());
        let axes = [("bytes", size as f64), ("rate", rate as f64), ("readers", measured as f64)];
        for kind in Kind::ALL {
            let words = match kind {
                Kind::Without => "nothing is lost",
                Kind::With => &with,
                Kind::CatchingUp => "it catches up",
                Kind::After => "afterwards",
            };
            for (number, window) in (1..).zip(&self.windows).filter(|(_, window)| window.kind == kind) {
                for latencies in self.latencies(arguments, number)? {
                    let Window { at_s, seconds, published, .. } = *window;
                    let mut round = Round { at_s, seconds, ..Round::of(&latencies)? };
                    // It lasts as long as it lasts: too short to tell a rate.
                    if kind != Kind::CatchingUp {
                        round = round.sent(rate as f64, published as f64 / seconds);
                    }
                    let row = Row::new(&case, kind.key(), words, Unit::Nanos).over(axes);
                    results.add(row.as_floor(kind == Kind::Without), round);
                }
            }
        }
        Ok(())
    }

    fn over_time(&self, arguments: &Arguments, results: &mut Results) -> Result<(), String> {
        let (mut medians, mut greatest) = (Vec::new(), Vec::new());
        for (number, window) in (1..).zip(&self.windows) {
            let at_readers = self.latencies(arguments, number)?;
            let p50 = Spread::of(at_readers.iter().filter_map(|one| Some(one.at(50.0)? as f64)));
            let max = at_readers.iter().filter_map(Latencies::max).max();
            medians.extend(p50.map(|p50| (window.at_s, p50.median)));
            greatest.extend(max.map(|max| (window.at_s, max as f64)));
        }
        let series = |name: &str, unit, points: Vec<(f64, f64)>| Series {
            name: name.to_owned(),
            unit,
            points,
            marks: self.marks.clone(),
        };
        results.series.push(series("p50 of each window, median of readers", Unit::Nanos, medians));
        results.series.push(series("greatest of each window, at any reader", Unit::Nanos, greatest));
        if !self.behind.is_empty() {
            let behind = self.behind.clone();
            results.series.push(series("messages that the last reader lacks", Unit::Count, behind));
        }
        Ok(())
    }

    fn count(&self, results: &mut Results) {
        let sum = |of: fn(&Read) -> u64| self.reads.iter().map(of).sum::<u64>();
        let Published { messages, resends, backpressure, .. } = self.published;
        let lost = self.reads.iter().map(|read| messages.saturating_sub(read.messages)).sum();
        let counts = [
            ("published", messages),
            ("lost", lost),
            ("wrong", sum(|read| read.wrong)),
            ("gaps", sum(|read| read.gaps)),
            ("requests", sum(|read| read.requests)),
            ("repaired", sum(|read| read.repairs)),
            ("refusals", sum(|read| read.refusals)),
            ("replays", sum(|read| read.replays)),
            ("replayed", sum(|read| read.replayed)),
            ("resends", resends),
            ("backpressure", backpressure),
        ];
        results.counts.extend(counts.map(|(name, count)| (name.to_owned(), count)));
        if let Some((_, lacked)) = self.caught_up {
            results.counts.insert("lacked".to_owned(), lacked);
        }
    }

    fn note(&self, results: &mut Results) {
        for (id, read) in (1..).zip(&self.reads) {
            let Read { gaps, requests, repairs, refusals, replays, replayed, .. } = read;
            let id: u32 = id;
            results.notes.push(format!(
                "reader {id}: {gaps} gaps, {requests} requests, {repairs} repairs, {refusals} reasons instead, \
                 {replays} replays, {replayed} replayed"
            ));
        }
        for (index, id) in (1..=self.journals.len() as u32).enumerate() {
            let counts: Vec<String> = COUNTED
                .iter()
                .zip(&self.counted)
                .map(|((words, _), counts)| format!("{} {words}", counts.get(index).copied().unwrap_or(0)))
                .collect();
            let leads = if id == self.leader { ", leads" } else { "" };
            results.notes.push(format!("replica {id}{leads}: {}", counts.join(", ")));
        }
        let memory_of = |(name, Memory { first, most }): (&String, &Memory)| {
            format!("{name} {:.1}, {:.1}", mebibytes(*first), mebibytes(*most))
        };
        let memory_of: Vec<String> = self.memory.iter().map(memory_of).collect();
        results.notes.push(format!("MiB resident at first, and at most: {}", memory_of.join("; ")));
        let late_ms = self.published.late_ns as f64 / 1e6;
        results.notes.push(format!("messages were handed over up to {late_ms:.1} ms late"));
        if let Some((took, lacked)) = self.caught_up {
            results.notes.push(format!(
                "the one that stood still lacked {lacked} messages and had caught up after {:.2} s",
                took.as_secs_f64()
            ));
        }
    }

    /// Whether everybody has everything, once, in one order.
    fn judge(&self, results: &mut Results) {
        let (digest, messages) = (&self.reads[0].digest, self.published.messages);
        for (id, read) in (1..).zip(&self.reads) {
            let id: u32 = id;
            let Read { messages: has, wrong, digest: its, .. } = read;
            if *has != messages || *wrong > 0 {
                results.wrongs.push(format!("reader {id} has {has} of {messages} messages, {wrong} wrong"));
            }
            if its != digest {
                results.wrongs.push(format!("reader {id} has the digest {its}, reader 1 {digest}"));
            }
        }
        for (id, journal) in (1..).zip(&self.journals).filter(|(_, journal)| *journal != digest) {
            let id: u32 = id;
            results.wrongs.push(format!("journal {id} has the digest {journal}, the readers {digest}"));
        }
        if results.wrongs.is_empty() {
            let (readers, journals) = (self.reads.len(), self.journals.len());
            results.tell("digests", format!("equal at {readers} readers and {journals} journals: {digest}"));
        }
    }
}
