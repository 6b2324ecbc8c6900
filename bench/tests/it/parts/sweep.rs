//! Rates of a sweep, and its knee.

use lockstep_bench::latency::sweep::{KNEE, mark_knees, next};
use lockstep_bench::results::{Facts, Figures, Results, Round, Row, Unit};

#[test]
fn rates_grow_by_a_half_in_round_numbers() {
    let rates: Vec<u64> = std::iter::successors(Some(20_000), |rate| Some(next(*rate))).take(8).collect();
    assert_eq!(rates, [20_000, 30_000, 45_000, 68_000, 100_000, 150_000, 230_000, 350_000]);
}

#[test]
fn the_knee_is_the_last_rate_that_is_carried_without_doubling_the_median() {
    let mut results = Results::begin("latency", "", Facts::new());
    for (rate, p50, share) in
        [(1e4, 10.0, 1.0), (2e4, 12.0, 1.0), (4e4, 19.0, 1.0), (8e4, 25.0, 1.0), (16e4, 9e3, 0.8)]
    {
        let round = Round {
            figures: Figures::from([("p50".to_owned(), p50)]),
            target: Some(rate),
            achieved: Some(rate * share),
            ..Round::default()
        };
        let case = format!("stamped, 64 B, {rate}/s");
        let row = Row::new(&case, "lockstep", "lockstep", Unit::Nanos).over([("rate", rate)]);
        results.add(row, round);
    }
    mark_knees(&mut results);
    let knees: Vec<f64> =
        results.rows.iter().filter(|row| row.axes.contains_key(KNEE)).map(|row| row.axes["rate"]).collect();
    assert_eq!(knees, [4e4]);
    assert!(results.notes.iter().any(|note| note.contains("40000")), "{:?}", results.notes);
}
