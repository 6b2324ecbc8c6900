//! Turns of a run: every row has one in each round, and each is added to the results with its time.

use crate::results::{Results, Round, Row};
use crate::stats::Latencies;
use std::time::{Duration, Instant};

/// Results that are filled turn by turn.
pub struct Turns<'a> {
    /// What was found so far.
    pub results: &'a mut Results,
    began: Instant,
}

impl<'a> Turns<'a> {
    /// A run that begins now.
    pub fn of(results: &'a mut Results) -> Self {
        Self::since(results, Instant::now())
    }

    /// A part of a run that began at `began`.
    pub fn since(results: &'a mut Results, began: Instant) -> Self {
        Self { results, began }
    }

    /// Adds a turn of `row`, which has no rounds itself: it began at `at` and counted for `counted`.
    pub fn add(&mut self, row: Row, at: Instant, counted: Duration, round: Round) {
        let at_s = at.duration_since(self.began).as_secs_f64();
        let round = Round { at_s, seconds: counted.as_secs_f64(), ..round };
        let (case, subject) = (row.case.clone(), row.subject.clone());
        self.results.add(&case, &subject, round, || row);
    }
}

/// A round of something too short to be timed alone: each of `batches` is the time of so many operations, and the
/// figures are those of one, as means of a batch. So a batch's histogram is not that of the row, and is left out.
pub fn per_operation(batches: &Latencies, operations: u64) -> Round {
    let one = |(name, ns): (String, f64)| (name, ns / operations as f64);
    Round {
        figures: batches.figures().into_iter().map(one).collect(),
        samples: batches.len(),
        ..Round::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Facts, Unit};

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
        let mut results = Results::begin("floor", "a test", Facts::new());
        let mut turns = Turns::of(&mut results);
        let at = Instant::now();
        for value in [1.0, 2.0] {
            turns.add(
                Row::new("case", "subject", "words", Unit::Nanos),
                at,
                Duration::from_secs(2),
                Round::value(value),
            );
        }
        let rounds = &results.rows[0].rounds;
        assert_eq!((results.rows.len(), rounds.len(), rounds[1].seconds), (1, 2, 2.0));
        assert!(rounds[0].at_s >= 0.0 && rounds[0].at_s < 60.0);
    }
}
