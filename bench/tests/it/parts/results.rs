//! Rounds, ratios and samples.

use super::sample::{results, row};
use lockstep_bench::results::{Facts, Results};

#[test]
fn a_ratio_is_of_rounds_that_were_measured_side_by_side() {
    let ratios = results().ratios();
    assert_eq!((ratios.len(), ratios[0].subject.as_str(), ratios[0].floor.as_str()), (1, "lockstep", "io"));
    let p50 = ratios[0].figures["p50"];
    assert!((p50.median - 1.5).abs() < 0.002 && (p50.max - p50.min).abs() < 0.002, "{p50:?}");
    assert!(!ratios[0].figures.contains_key("p99"), "25 samples tell no p99");
}

#[test]
fn a_floor_of_zero_has_a_difference_and_no_ratio() {
    let mut results = Results::begin("latency", "publish to delivery", Facts::new());
    results.rows.push(row("back", "io", true, &[&[0; 25], &[0; 25]]));
    results.rows.push(row("back", "lockstep", false, &[&[0; 25], &[7_000; 25]]));
    let ratio = results.ratios().remove(0);
    assert!(!ratio.figures.contains_key("p50"), "{:?}", ratio.figures);
    assert!(ratio.differences.contains_key("p50"));
}

#[test]
fn samples_of_all_rounds_are_those_of_the_histograms_in_the_file() {
    let text = serde_json::to_string(&results()).unwrap();
    let read: Results = serde_json::from_str(&text).unwrap();
    let samples = read.rows[1].samples().unwrap().unwrap();
    assert_eq!(samples.len(), 50);
    assert_eq!(samples.max(), results().rows[1].samples().unwrap().unwrap().max());
}
