//! The gateway bench, short: each part tells all that it is asked for, and judges it.

use serde_json::Value;
use std::process::{Command, Output};

fn gateway(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.args(["gateway", "--rounds", "1", "--rate", "500", "--json"]).args(arguments);
    command.output().expect("the bench runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Nothing where the machine cannot measure, which it says itself.
fn report(output: &Output) -> Option<Value> {
    if output.stdout.starts_with(b"SKIPPED:") {
        print!("{}", String::from_utf8_lossy(&output.stdout));
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", told(output))))
}

#[test]
fn each_way_through_gateway_and_feed_is_told_beside_its_relay() {
    let output = gateway(&["--only", "added", "--seconds", "0.4"]);
    let Some(report) = report(&output) else { return };
    assert!(output.status.success(), "{}", told(&output));
    for (way, floor) in [("in", "relay_in"), ("out", "relay_out"), ("feed", "relay_feed"), ("trip", "echo")] {
        let p50 = |row: &str| report["rows"][row]["p50_ns"]["median"].as_f64().unwrap_or_default();
        let ratio = report["rows"][way]["p50_ratio"]["median"].as_f64().unwrap_or_default();
        assert!(p50(way) > 0.0 && p50(floor) > 0.0, "{way}: {report}");
        assert!((ratio - p50(way) / p50(floor)).abs() < 1e-9, "{way}: one round, one ratio: {report}");
        assert!(report["rows"][way]["p99_ns"].is_null(), "200 messages tell no p99: {report}");
    }
    assert!(report["rows"]["in"]["p99_ratio_aim"].is_number(), "{report}");
}

#[test]
fn orders_and_stream_are_told_in_quiet_in_storm_and_in_flood() {
    let small = ["--only", "storm", "--clients", "30", "--storm", "10", "--logins", "50", "--seconds", "1"];
    let output = gateway(&[&small[..], &["--fail-if", "quiet.p50>1ns"]].concat());
    let Some(report) = report(&output) else { return };
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("quiet.p50>1ns: it is "), "{}", told(&output));
    for what in ["", "stream_"] {
        for weather in ["quiet", "storm", "flood"] {
            let row = &report["rows"][format!("{what}{weather}")];
            assert!(row["p50_ns"]["median"].as_f64() > Some(0.0), "{what}{weather}: {report}");
            assert_eq!(row.get("p99_ratio").is_some(), weather != "quiet", "{what}{weather}: {report}");
        }
    }
    assert!(report["counts"]["orders"].as_f64() >= Some(1_500.0), "{report}");
}

#[test]
fn what_cannot_be_measured_is_refused_in_words() {
    for (arguments, word) in [
        (["--size", "15"], "--size"),
        (["--storm", "1000"], "--clients"),
        (["--seconds", "41"], "0.05 to 40 seconds"),
    ] {
        let output = gateway(&arguments);
        assert!(!output.status.success() && told(&output).contains(word), "{word}: {}", told(&output));
    }
}
