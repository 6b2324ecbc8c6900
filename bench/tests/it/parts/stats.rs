//! Percentiles and ratios.

use lockstep_bench::stats::{Latencies, Spread, cell, paired};

fn latencies(count: u64) -> Latencies {
    let mut latencies = Latencies::new().expect("bounds that fit");
    (1..=count).for_each(|ns| latencies.record(ns));
    latencies
}

#[test]
fn no_percentile_has_fewer_than_ten_samples_above_it() {
    assert_eq!(latencies(999).at(99.0), None);
    assert_eq!(latencies(1_000).at(99.0), Some(990));
    assert_eq!(latencies(9_999).at(99.9), None);
    assert!(latencies(10_000).at(99.9).is_some());
    assert!(latencies(0).figures().is_empty());
    assert_eq!(cell(None, 1), "-");
}

#[test]
fn percentiles_are_exact_to_three_digits() {
    let figures = latencies(100_000).figures();
    for (name, exact) in [("p50", 50_000.0), ("p99", 99_000.0), ("p99.9", 99_900.0), ("max", 100_000.0)] {
        assert!((figures[name] / exact - 1.0).abs() < 0.001, "{name}: {} for {exact}", figures[name]);
    }
}

#[test]
fn a_histogram_is_read_as_it_was_written_and_what_is_none_is_refused() {
    let text = latencies(1_000).encode().unwrap();
    assert!(text.starts_with("HISTFA"), "as HdrHistogram's logs begin: {text}");
    assert_eq!(Latencies::decode(&text).unwrap().figures(), latencies(1_000).figures());
    assert!(Latencies::decode("HISTFA").is_err() && Latencies::decode("§").is_err());
}

#[test]
fn the_median_of_ratios_is_not_the_ratio_of_medians() {
    // The machine was twice as slow in the second round, for both.
    let (floor, ours) = ([10.0, 20.0, 10.0].map(Some), [11.0, 22.0, 12.0].map(Some));
    assert_eq!(
        paired(&ours, &floor, |over, under| over / under),
        Some(Spread { median: 1.1, min: 1.1, max: 1.2 })
    );
}

#[test]
fn a_round_without_a_partner_is_left_out_of_the_ratios() {
    assert_eq!(
        paired(&[Some(1.0), Some(3.0)], &[None, Some(2.0)], |over, under| over / under),
        Some(Spread { median: 1.5, min: 1.5, max: 1.5 })
    );
    assert_eq!(paired(&[None], &[Some(1.0)], |over, under| over - under), None);
}

#[test]
fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
    assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    assert_eq!(Spread::of([]), None);
}
