//! When messages are due.

use lockstep_bench::load::pace::{Burst, SECOND_NS, Schedule};
use lockstep_wire::Nanos;

fn dues(rate: u64, burst: Option<Burst>, until: Nanos) -> Vec<Nanos> {
    let mut schedule = Schedule::new(rate, burst);
    let next = || {
        let due = schedule.due();
        schedule.pass();
        (due < until).then_some(due)
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn messages_are_due_at_even_times_whatever_happens() {
    let dues = dues(3, None, 2 * SECOND_NS);
    assert_eq!(dues, [0, 333_333_333, 666_666_667, 1_000_000_000, 1_333_333_333, 1_666_666_667]);
}

#[test]
fn a_burst_brings_as_many_more_for_as_long_as_it_says() {
    let burst: Burst = "10x50ms".parse().unwrap();
    let dues = dues(20_000, Some(burst), 3 * SECOND_NS);
    let inside = dues.iter().filter(|due| **due % SECOND_NS >= 950_000_000).count();
    assert!(inside.abs_diff(3 * 10_000) <= 3, "{inside}");
    assert!((dues.len() - inside).abs_diff(3 * 19_000) <= 3, "{}", dues.len());
}

#[test]
fn what_is_no_burst_is_refused_with_an_example() {
    for text in ["10", "10x", "x50ms", "1x50ms", "10x0ms", "10x50s", "10x2000ms"] {
        assert!(text.parse::<Burst>().is_err_and(|why| why.contains("10x50ms")), "{text}");
    }
}
