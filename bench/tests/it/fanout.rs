//! Fan-out, short: every number of subscribers has its median and its last one, beside as many plain readers.

use crate::support::measured;
use serde_json::Value;

#[test]
fn every_number_of_subscribers_has_its_median_and_its_last_one_beside_plain_readers() {
    let few = ["fanout", "--subscribers=1,3", "--rounds=2", "--messages=50"];
    let Some(report) = measured::<Value>(&few) else { return };
    let ratios = report["ratios"].as_array().expect("ratios");
    for subscribers in [1, 3] {
        let p50 = |whom: &str| {
            let case = format!("to the {whom} of {subscribers} subscribers");
            let of = |row: &&Value| row["case"].as_str().is_some_and(|name| name.starts_with(&case));
            let ratio = ratios.iter().find(of).unwrap_or_else(|| panic!("{case}: {report}"));
            assert!(ratio["floor"] == "plain" && ratio["figures"]["p50"]["median"].as_f64() > Some(0.0));
            let ours = |row: &&Value| of(row) && row["subject"] == "lockstep";
            let row = report["rows"].as_array().expect("rows").iter().find(ours).expect("a row of lockstep");
            let all = |round: &Value| round["samples"] == 50;
            assert!(row["rounds"].as_array().is_some_and(|rounds| rounds.iter().all(all)), "{row}");
            row["rounds"][0]["figures"]["p50"].as_f64().unwrap_or_default()
        };
        assert!(p50("last") >= p50("median"), "{report}");
    }
    assert!(report["wrongs"].as_array().is_some_and(Vec::is_empty), "{report}");
}

/// Every number of destinations has its send, its copies and its rate, and nothing is lost in a trickle.
#[test]
fn every_number_of_copies_has_its_send_its_copies_and_its_rate_beside_a_call_for_each() {
    let few = ["fanout", "--copies=1,4", "--rounds=2", "--messages=5"];
    let Some(report) = measured::<Value>(&few) else { return };
    let rows = report["rows"].as_array().expect("rows");
    // Two counts, one datagram and a burst, three figures, two ways.
    assert_eq!(rows.len(), 2 * 2 * 3 * 2, "{report}");
    for row in rows {
        let rounds = row["rounds"].as_array().expect("rounds");
        let is_there = |round: &Value| round["figures"].as_object().is_some_and(|all| !all.is_empty());
        assert!(rounds.len() == 2 && rounds.iter().all(is_there), "{row}");
        assert!(rounds.iter().all(|round| round["lost"] == 0), "5 sends fit into any socket: {row}");
    }
}
