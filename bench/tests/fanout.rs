//! Fan-out, short: every number of subscribers has its median and its last one, beside as many plain readers.

use serde_json::Value;
use std::process::Command;

#[test]
fn every_number_of_subscribers_has_its_median_and_its_last_one_beside_plain_readers() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.args(["fanout", "--json", "--subscribers", "1,3", "--rounds", "2", "--messages", "50"]);
    let output = command.output().expect("the bench runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    if output.stdout.starts_with(b"SKIPPED:") {
        return print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
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
