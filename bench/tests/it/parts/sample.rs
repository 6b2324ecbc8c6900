//! Results that many tests begin with.

use lockstep_bench::results::{Facts, Results, Round, Row, Unit};
use lockstep_bench::stats::Latencies;
use std::collections::BTreeMap;

/// A row of rounds of such samples.
pub fn row(case: &str, subject: &str, floor: bool, rounds: &[&[u64]]) -> Row {
    let round = |samples: &&[u64]| {
        let mut latencies = Latencies::new().expect("its bounds are right");
        samples.iter().for_each(|ns| latencies.record(*ns));
        Round::of(&latencies).expect("it has samples")
    };
    Row {
        case: case.into(),
        subject: subject.into(),
        words: subject.into(),
        floor,
        unit: Unit::Nanos,
        axes: BTreeMap::from([("rate".to_owned(), 20_000.0)]),
        rounds: rounds.iter().map(round).collect(),
    }
}

/// A floor of 10 and 20 µs in two rounds, and lockstep half as much again: 25 samples of each.
pub fn results() -> Results {
    let mut results = Results::begin("latency", "publish to delivery", Facts::new());
    let floor = [[10_000; 25], [20_000; 25]];
    let ours = [[15_000; 25], [30_000; 25]];
    for (subject, is_floor, rounds) in [("io", true, floor), ("lockstep", false, ours)] {
        let rounds: Vec<&[u64]> = rounds.iter().map(|round| &round[..]).collect();
        results.rows.push(row("stamped, 64 B", subject, is_floor, &rounds));
    }
    results
}
