//! The counters of a process as `lockstep counters --json` and `lockstep top` have them.

use super::snapshot::{CounterLine, ProcessLine, Quantiles};
use lockstep_core::engine::counters::{CounterKind, Described};
use lockstep_core::engine::durations::Durations;
use lockstep_metrics::{Life, Process, Value, state_of};
use std::time::Duration;

/// The values of a process that were counted since `before`; of one that began later, all of them.
pub fn counted_since(process: &Process, before: &Process) -> Vec<Value> {
    let is_same = before.pid == process.pid;
    let earlier = |(index, (row, _)): (usize, &(Described, Value))| {
        // The rows of one file stand in one order, unless some were left out.
        let same = before.rows.get(index).filter(|(other, _)| other.name == row.name);
        same.map(|(_, value)| value.clone()).or_else(|| before.value(&row.name).cloned())
    };
    let rows = process.rows.iter().enumerate();
    rows.map(|row| match earlier(row).filter(|_| is_same) {
        Some(earlier) => row.1.1.since(&earlier),
        None => row.1.1.clone(),
    })
    .collect()
}

/// Groups by the first word of a counter's name.
const GROUPS: [(&str, &str); 15] = [
    ("condition", "conditions"),
    ("loss", "losses"),
    ("recent", "losses"),
    ("udp", "udp"),
    ("fault", "faults"),
    ("line", "lines"),
    ("shm", "memory"),
    ("xdp", "xdp"),
    ("fanout", "unicast"),
    ("replay", "replay"),
    ("room", "room"),
    ("gateway", "gateway"),
    ("feed", "feed"),
    ("notary", "notary"),
    ("coordinator", "coordinator"),
];

/// The part of the process, or of one of its handles, that a counter belongs to.
pub fn group(process: &Process, row: &Described) -> String {
    let (name, labels) = row.parts();
    let word = name.split('_').next().unwrap_or(name);
    let known = GROUPS.iter().find(|(first, _)| *first == word).map(|(_, group)| *group);
    let handle = labels.split(',').find_map(|label| label.strip_prefix("handle=\""));
    match (handle, known) {
        (Some(handle), known) => format!("{}, {}", handle.trim_end_matches('"'), known.unwrap_or("engine")),
        (None, Some(known)) => known.to_owned(),
        (None, None) if matches!(&*process.kind, "replica" | "archiver") => "engine".to_owned(),
        (None, None) => "own".to_owned(),
    }
}

/// The quantiles that are shown.
pub fn quantiles_of(durations: &Durations) -> Quantiles {
    Quantiles {
        p50_ns: durations.quantile(500),
        p99_ns: durations.quantile(990),
        longest_ns: durations.longest(),
    }
}

/// A process with all its counters. `rates` are the values counted in a time, and `times` those of which
/// histograms are shown; both in the order of its rows.
pub fn process_line(
    process: &Process,
    rates: Option<(&[Value], Duration)>,
    times: Option<&[Value]>,
) -> ProcessLine {
    let line = |(index, (row, value)): (usize, &(Described, Value))| {
        let rises = matches!(row.kind, CounterKind::Count | CounterKind::Histogram);
        let rate =
            |(counted, took): (&[Value], Duration)| counted[index].number() as f64 / took.as_secs_f64();
        let durations = match times.map_or(value, |times| &times[index]) {
            Value::Durations(durations) => Some(quantiles_of(durations)),
            Value::Number(_) => None,
        };
        let is_state = row.kind == CounterKind::State;
        CounterLine {
            name: row.name.clone(),
            value: value.number(),
            group: group(process, row),
            unit: if is_state { String::new() } else { row.unit.to_string() },
            kind: row.kind.name(),
            meaning: row.meaning.to_string(),
            state: is_state.then(|| state_of(row, value).to_owned()),
            per_second: rates.filter(|_| rises).map(rate),
            times: durations,
        }
    };
    ProcessLine {
        process: process.name.clone(),
        kind: process.kind.clone(),
        release: process.release.clone(),
        pid: process.pid,
        life: process.life.name(),
        silent_ns: match process.life {
            Life::Runs => None,
            Life::Hangs(silent) | Life::Ended(silent) => Some(silent.as_nanos() as u64),
        },
        since_ns: process.age.as_nanos() as u64,
        published_at_ns: process.published_at,
        counters: process.rows.iter().enumerate().map(line).collect(),
    }
}
