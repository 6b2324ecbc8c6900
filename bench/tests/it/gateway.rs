//! The gateway bench, short: each part tells all that it is asked for, and judges it.

use crate::support::{bench, measured, report_of, stderr_of};
use lockstep_bench::results::{Results, Row};

/// With a load that any machine carries.
fn small<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["gateway", "--rounds=1", "--rate=500"], arguments].concat()
}

/// A case's row of its floor, or of its subject.
fn row<'a>(results: &'a Results, case: &str, floor: bool) -> &'a Row {
    let found = results.rows.iter().find(|row| row.case.starts_with(case) && row.floor == floor);
    found.unwrap_or_else(|| panic!("no row {case}: {:?}", results.cases()))
}

#[test]
fn each_way_through_gateway_and_feed_is_told_beside_its_relay() {
    let added = small(&["--only=added", "--seconds=0.4", "--fail-if=ratio.in.p50>1000000"]);
    let Some(results) = measured::<Results>(&added) else { return };
    let ratios = results.ratios();
    for way in ["in", "out", "feed", "trip"] {
        let p50 = |floor| row(&results, &format!("{way}, "), floor).spread("p50").expect("a p50").median;
        let ratio = ratios.iter().find(|ratio| ratio.case.starts_with(&format!("{way}, "))).expect("a ratio");
        assert!(p50(false) > 0.0 && p50(true) > 0.0, "{way}");
        let (stderr_of, is) = (ratio.figures["p50"].median, p50(false) / p50(true));
        assert!((stderr_of - is).abs() < 1e-9, "{way}: one round, one ratio");
        assert!(!ratio.figures.contains_key("p99"), "{way}: 200 messages tell no p99");
    }
}

#[test]
fn orders_and_stream_are_told_in_quiet_in_storm_and_in_flood() {
    let storm = ["--only=storm", "--clients=30", "--storm=10", "--logins=50", "--seconds=1", "--json"];
    let output = bench(&small(&[&storm[..], &["--fail-if=orders.storm.p50>1ns"]].concat()));
    let Some(results) = report_of::<Results>(&output) else { return };
    // An error (a machine without a core for passwords) goes before a condition that holds.
    let code = if results.wrongs.is_empty() { 3 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{}", stderr_of(&output));
    assert!(stderr_of(&output).contains("orders.storm.p50>1ns: orders, "), "{}", stderr_of(&output));
    for case in ["orders", "stream"] {
        let rows = results.rows.iter().filter(|row| row.case.starts_with(case));
        let found: Vec<_> = rows.map(|row| (row.subject.as_str(), row.floor)).collect();
        assert_eq!(found, [("quiet", true), ("storm", false), ("flood", false)], "{case}");
    }
    assert!(results.rows.iter().all(|row| row.spread("p50").is_some_and(|p50| p50.median > 0.0)));
    assert!(results.counts["orders"] >= 1_500, "{:?}", results.counts);
}

#[test]
fn what_cannot_be_measured_is_refused_in_words() {
    for (arguments, word) in [
        (["--size", "15"], "--size"),
        (["--storm", "1000"], "--clients"),
        (["--seconds", "41"], "0.05 to 40"),
    ] {
        let output = bench(&small(&arguments));
        assert!(
            !output.status.success() && stderr_of(&output).contains(word),
            "{word}: {}",
            stderr_of(&output)
        );
    }
}
