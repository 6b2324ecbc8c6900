//! What one request costs with each protocol on the same network, and what the next stronger guarantee costs
//! beside it.

use crate::card::{Card, Detector, Failures, Links, Model, Price, Prices, Time};
use crate::check::{Catalogue, Entry};
use crate::property::with_implied;
use crate::timed::{Cost, DETECTED_AFTER, LAN, SIZES, Timing};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Runs on the network whose delays vary, each with a seed of its own.
const LAN_RUNS: u64 = 100;

/// Numbers of one thing, with a multicast counted once and as a copy for each receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Sent {
    /// A multicast counts once.
    pub multicast: u64,
    /// Each copy counts.
    pub unicast: u64,
}

/// Nanoseconds until a process indicates what was requested, on the network whose delays vary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Latency {
    /// Half of all processes in all runs are faster.
    pub p50: u64,
    /// 99 of 100 are.
    pub p99: u64,
}

/// One protocol, and one kind of request to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// Its card.
    pub name: &'static str,
    /// The kind of request.
    pub request: &'static str,
    /// The text that it is of.
    pub source: &'static str,
    /// What it promises, and under which conditions: properties with those that they imply, and conditions of
    /// the model.
    pub guarantees: BTreeSet<&'static str>,
    /// Message delays to the first process, to a majority, and to all; `None` is never.
    pub delays: [Option<u64>; 3],
    /// Datagrams.
    pub datagrams: Sent,
    /// Bytes of messages.
    pub bytes: Sent,
    /// Datagrams that the busiest process sends and receives.
    pub busiest: u64,
    /// Latency; `None` if a process indicates nothing that does where delays do not vary.
    pub latency_ns: Option<Latency>,
    /// Message delays until all others that wait for something indicate it after p1 has crashed; `None` is
    /// never. Detectors have the crash after [`DETECTED_AFTER`].
    pub gap: Option<u64>,
    /// How its runs differ from those of the other rows, if they do.
    pub remark: Option<&'static str>,
}

/// A protocol that promises more than another one that answers the same request, with none between them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stronger {
    /// The kind of request.
    pub request: &'static str,
    /// The weaker one.
    pub from: &'static str,
    /// The stronger one.
    pub to: &'static str,
    /// What it promises besides.
    pub adds: Vec<&'static str>,
    /// More message delays to the last process that indicates something.
    pub delays: i64,
    /// More datagrams, with a multicast counted once.
    pub datagrams: i64,
    /// More copies of datagrams.
    pub copies: i64,
}

/// A protocol without a price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unpriced {
    /// Its card.
    pub name: &'static str,
    /// Why it has none.
    pub why: &'static str,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Comparison {
    /// Processes.
    pub processes: u8,
    /// The protocols that have a price, a row for each.
    pub protocols: Vec<Row>,
    /// The others.
    pub unpriced: Vec<Unpriced>,
    /// What the next stronger guarantee costs.
    pub stronger: Vec<Stronger>,
}

/// The conditions under which a card's properties hold, where weaker conditions are more of them.
fn conditions(model: &Model) -> Vec<&'static str> {
    let mut all = Vec::new();
    match model.links {
        Links::Fifo => {}
        Links::LossyFifo { .. } => all.push("links that lose"),
        Links::Perfect => all.push("links in any order"),
        Links::FairLoss { .. } => all.extend(["links in any order", "links that lose"]),
    }
    if let Time::Asynchronous { .. } = model.time {
        all.push("no bound on time");
    }
    match model.failures {
        Failures::None => return all,
        Failures::Stop { crashes, .. } => {
            all.push("crashes");
            if 2 * crashes >= model.n {
                all.push("crashes of half of the processes");
            }
        }
        Failures::Recovery { .. } => all.extend(["crashes", "restarts"]),
        Failures::Byzantine { .. } => all.extend(["crashes", "lies"]),
    }
    match model.detector {
        Detector::Perfect => {}
        Detector::EventuallyPerfect { .. } | Detector::Leader { .. } => all.push("wrong suspicions"),
        Detector::None => all.extend(["wrong suspicions", "no detector"]),
    }
    all
}

/// All that a card promises.
fn guarantees(card: &Card) -> BTreeSet<&'static str> {
    let properties = card.properties.iter().flat_map(|property| with_implied(property));
    properties.map(|property| property.name).chain(conditions(&card.model)).collect()
}

impl Row {
    fn of(entry: &Entry, price: &Price, n: u8) -> Option<Self> {
        let card = entry.card;
        let cost = entry.cost(price, n)?;
        Some(Self {
            name: card.name,
            request: price.request(),
            source: card.source,
            guarantees: guarantees(card),
            delays: cost.delays_of(n),
            datagrams: Sent { multicast: cost.multicast, unicast: cost.unicast },
            bytes: Sent { multicast: cost.multicast_bytes, unicast: cost.unicast_bytes },
            busiest: cost.busiest,
            latency_ns: latency(entry, price, n, &cost),
            gap: gap(entry, price, n, &cost),
            remark: entry.remark,
        })
    }

    fn is_weaker_than(&self, other: &Self) -> bool {
        self.request == other.request
            && self.guarantees.is_subset(&other.guarantees)
            && self.guarantees != other.guarantees
    }
}

/// Latency of all processes that have anything to indicate: those of a run without delays that vary.
fn latency(entry: &Entry, price: &Price, n: u8, cost: &Cost) -> Option<Latency> {
    let mut all = Vec::new();
    for seed in 0..LAN_RUNS {
        let run = entry.timed(&Timing::on_lan(price, n, seed))?;
        all.extend(run.cost.delays);
    }
    all.sort_unstable();
    let is_whole = !all.is_empty() && all.len() as u64 == LAN_RUNS * cost.delays.len() as u64;
    let at = |percent: usize| all[(all.len() * percent / 100).min(all.len() - 1)];
    is_whole.then(|| Latency { p50: at(50), p99: at(99) })
}

/// The run without p1 takes so long until as many processes as else, but for p1, have indicated something.
fn gap(entry: &Entry, price: &Price, n: u8, cost: &Cost) -> Option<u64> {
    let run = entry.timed(&Timing::without_leader(price, n))?;
    let wanted = cost.delays.len().min(usize::from(n) - 1);
    run.cost.delays.get(wanted.checked_sub(1)?).copied()
}

impl Comparison {
    /// Compares all protocols of a catalogue that have a price, among `n` processes.
    pub fn of(catalogue: &Catalogue, n: u8) -> Self {
        let rows = |entry: &'static Entry| {
            let prices = entry.card.prices.all().iter();
            prices.filter_map(move |price| Row::of(entry, price, n))
        };
        let protocols: Vec<Row> = catalogue.entries().flat_map(rows).collect();
        let unpriced = catalogue.entries().filter_map(|entry| match entry.card.prices {
            Prices::Of(_) => None,
            Prices::None(why) => Some(Unpriced { name: entry.card.name, why }),
        });
        let unpriced = unpriced.collect();
        let mut stronger = Vec::new();
        for from in &protocols {
            for to in protocols.iter().filter(|to| from.is_weaker_than(to)) {
                let is_between = |row: &Row| from.is_weaker_than(row) && row.is_weaker_than(to);
                if protocols.iter().any(is_between) {
                    continue;
                }
                let all = |row: &Row| row.delays.iter().flatten().last().copied().unwrap_or(0) as i64;
                stronger.push(Stronger {
                    request: from.request,
                    from: from.name,
                    to: to.name,
                    adds: to.guarantees.difference(&from.guarantees).copied().collect(),
                    delays: all(to) - all(from),
                    datagrams: to.datagrams.multicast as i64 - from.datagrams.multicast as i64,
                    copies: to.datagrams.unicast as i64 - from.datagrams.unicast as i64,
                });
            }
        }
        Self { processes: n, protocols, unpriced, stronger }
    }
}

/// A number, or a dash.
pub(crate) fn or_dash(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// p50 and p99 in microseconds, or dashes.
pub(crate) fn latencies(row: &Row) -> [String; 2] {
    let micros = |ns: u64| format!("{}.{}", ns / 1000, ns % 1000 / 100);
    match row.latency_ns {
        Some(Latency { p50, p99 }) => [p50, p99].map(micros),
        None => [None, None].map(or_dash),
    }
}

/// What the figures are of, in words.
pub(crate) fn conditions_in_words(n: u8) -> String {
    format!(
        "One request among {n} processes. Delays, datagrams and bytes where nothing fails; formulas are checked for \
         {SIZES:?} processes.\nLatency of all processes in {LAN_RUNS} runs: a message takes {} µs and up to a quarter more, \
         and one in {} is late by some {} µs.\nGap: p1 is dead, detectors have it after {DETECTED_AFTER} delays, and all \
         others that wait for something have it after so many; - is never.\nA crash is that of p1, and its delays \
         are counted from that detection on.",
        LAN.delay_ns / 1000,
        1_000_000 / LAN.lateness,
        LAN.late_ns / 1000,
    )
}

/// The rows whose runs differ from those of the others, and how, a line each.
pub(crate) fn remarks(rows: &[Row]) -> Vec<String> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        if let Some(remark) = row.remark {
            names.entry(remark).or_default().push(row.name);
        }
    }
    names.iter().map(|(remark, names)| format!("{}: {remark}", names.join(", "))).collect()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", conditions_in_words(self.processes))?;
        remarks(&self.protocols).iter().try_for_each(|remark| writeln!(f, "{remark}"))?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<36} {:>17} {:>19} {:>19} {:>7} {:>13} {:>5}",
            "", "message delays", "datagrams", "bytes", "busiest", "latency, µs", "gap"
        )?;
        writeln!(
            f,
            "{:<36} {:>5} {:>5} {:>5} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6} {:>6} {:>5}",
            "",
            "first",
            "most",
            "all",
            "multicast",
            "unicast",
            "multicast",
            "unicast",
            "process",
            "p50",
            "p99",
            ""
        )?;
        for row in &self.protocols {
            let [first, most, all] = row.delays.map(or_dash);
            let [p50, p99] = latencies(row);
            writeln!(
                f,
                "{:<26} {:<9} {first:>5} {most:>5} {all:>5} {:>9} {:>9} {:>9} {:>9} {:>7} {p50:>6} {p99:>6} {:>5}",
                row.name,
                row.request,
                row.datagrams.multicast,
                row.datagrams.unicast,
                row.bytes.multicast,
                row.bytes.unicast,
                row.busiest,
                or_dash(row.gap),
            )?;
        }
        writeln!(f, "\nWhat the next stronger guarantee costs: delays, datagrams, copies")?;
        for step in &self.stronger {
            writeln!(
                f,
                "{:<9} {:<26} to {:<26} {:>+4} {:>+4} {:>+4}  adds {}",
                step.request,
                step.from,
                step.to,
                step.delays,
                step.datagrams,
                step.copies,
                step.adds.join(", ")
            )?;
        }
        if !self.unpriced.is_empty() {
            writeln!(f, "\nWithout a price:")?;
        }
        self.unpriced.iter().try_for_each(|it| writeln!(f, "{:<26} {}", it.name, it.why))
    }
}
