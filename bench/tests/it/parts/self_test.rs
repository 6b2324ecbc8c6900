//! Whether a planted stall is seen.

use lockstep_bench::results::{Facts, Figures, Results, Round, Row, Unit};
use lockstep_bench::self_test::{SUBJECT, judge};

fn judged(open: f64, closed: f64) -> Results {
    let mut results = Results::begin("self-test", "", Facts::new());
    for (case, p999) in [("open loop, stalls", open), ("closed loop, stalls", closed)] {
        let figures = Figures::from([("p99.9".to_owned(), p999)]);
        results.add(Row::new(case, SUBJECT, SUBJECT, Unit::Nanos), Round { figures, ..Round::default() });
    }
    judge(&mut results);
    results
}

#[test]
fn a_stall_that_is_not_seen_is_wrong_and_so_is_a_closed_loop_that_sees_it() {
    assert!(judged(4_050_000.0, 30_000.0).wrongs.is_empty());
    assert!(judged(40_000.0, 30_000.0).wrongs[0].contains("did not see"));
    assert!(judged(9_000_000.0, 9_000_000.0).wrongs[0].contains("hide"));
}
