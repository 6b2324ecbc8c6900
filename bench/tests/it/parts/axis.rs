//! Ticks of an axis.

use lockstep_bench::report::axis::{Axis, TICKS_MAX};
use lockstep_bench::results::Unit;

fn labels(axis: &Axis) -> Vec<&str> {
    axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
}

#[test]
fn ticks_are_round_and_have_units() {
    let axis = |from, to| Axis::log("latency", Unit::Nanos, [from, to].into_iter());
    assert_eq!(
        labels(&axis(9_000.0, 2_000_000.0)),
        ["10 µs", "20 µs", "50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms"]
    );
    assert_eq!(labels(&axis(1e3, 1e9)), ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
    let rates = Axis::log("achieved", Unit::MessagesPerSecond, [10e3, 1.2e6].into_iter());
    assert_eq!(labels(&rates)[..2], ["10 k/s", "20 k/s"]);
    assert_eq!(labels(&Axis::percentiles(20_000.0)), ["0", "50", "90", "99", "99.9", "99.99"]);
}

#[test]
fn any_values_have_from_three_to_ten_different_ticks() {
    for (from, to) in [(1.0, 1.0), (99.0, 101.0), (14.3, 15.9), (3.0, 8e6), (17.0, 1900.0), (0.0, 5.0)] {
        for axis in [
            Axis::log("", Unit::Nanos, [from, to].into_iter()),
            Axis::linear("", Unit::Ratio, [from, to].into_iter()),
        ] {
            let mut ticks = labels(&axis);
            let count = ticks.len();
            ticks.dedup();
            assert!((3..=TICKS_MAX).contains(&count) && ticks.len() == count, "{from} to {to}: {ticks:?}");
        }
    }
}
