//! One transport over another.

use lockstep_bench::results::{Facts, Results, Round, Row, Unit};
use lockstep_bench::ways::compare;

#[test]
fn a_way_is_told_over_another_one_by_rounds_of_the_same_place_and_subject() {
    let mut results = Results::begin("latency", "", Facts::new());
    let rounds =
        [("udp", "lockstep", [10.0, 20.0]), ("udp", "plain", [9.0, 9.0]), ("xdp", "lockstep", [6.0, 14.0])];
    for (case, subject, values) in rounds {
        for value in values {
            results.add(Row::new(case, subject, "", Unit::Nanos), Round::value(value));
        }
    }
    compare(&mut results, ["xdp", "udp"], ["xdp", "udp"]);
    let rows: Vec<&Row> = results.of_case("xdp: of udp").collect();
    assert_eq!(rows.len(), 1, "the plain one has no xdp: {rows:?}");
    assert_eq!(rows[0].column("value"), [Some(0.6), Some(0.7)]);
}
