//! Rounds of a run.

use lockstep_bench::harness::{Run, per_operation};
use lockstep_bench::results::{Facts, Round, Row, Unit};
use lockstep_bench::stats::Latencies;
use std::time::{Duration, Instant};

#[test]
fn a_figure_of_one_operation_is_its_share_of_a_batch() {
    let mut batches = Latencies::new().unwrap();
    (0..20).for_each(|_| batches.record(1_500));
    let round = per_operation(&batches, 1_000);
    assert_eq!(round.samples, 20);
    assert!((round.figures["p50"] - 1.5).abs() < 0.002, "{round:?}");
    assert!(!round.figures.contains_key("p99"), "20 batches tell no p99");
}

#[test]
fn turns_of_a_row_come_together_with_the_time_of_each() {
    let mut run = Run::begin("floor", "a test", Facts::new());
    let at = Instant::now();
    run.rounds(2, |run, number| {
        let row = Row::new("case", "subject", "words", Unit::Nanos);
        run.record(row, at, Duration::from_secs(2), Round::value(number as f64));
        Ok(())
    })
    .unwrap();
    let rounds = &run.results.rows[0].rounds;
    assert_eq!((run.results.rows.len(), rounds.len(), rounds[1].seconds), (1, 2, 2.0));
    assert!(rounds[0].at_s >= 0.0 && rounds[0].at_s < 60.0);
}
