//! The journal's measure, short: every case has its floor, and what the journal is of it.

use crate::support::measured;
use serde_json::Value;

#[test]
fn every_case_of_the_journal_stands_beside_its_floor_with_a_ratio() {
    let small = ["--rounds=2", "--frames=2000", "--mebibytes=2", "--seconds=0.1", "--rate=500"];
    let Some(report) = measured::<Value>(&[&["journal"], &small[..]].concat()) else { return };
    let ratios = report["ratios"].as_array().expect("ratios");
    for case in ["append, ", "stream, ", "append to written, ", "append to flushed, "] {
        for frames in ["frames of 1 message", "frames of 15 messages"] {
            let of = |ratio: &&Value| {
                ratio["case"].as_str().is_some_and(|name| name.starts_with(&format!("{case}{frames}")))
            };
            let found: Vec<&Value> = ratios.iter().filter(of).collect();
            assert!(!found.is_empty(), "{case}{frames}: {ratios:?}");
            for ratio in found {
                let figures = ratio["figures"].as_object().expect("figures");
                assert!(figures.values().any(|spread| spread["median"].as_f64() > Some(0.0)), "{ratio}");
            }
        }
    }
    let flushed = |row: &&Value| row["case"].as_str().is_some_and(|case| case.contains("flushed"));
    for row in report["rows"].as_array().expect("rows").iter().filter(flushed) {
        let all = |round: &Value| round["samples"] == 50 && round["achieved"].as_f64() > Some(0.0);
        assert!(row["rounds"].as_array().is_some_and(|rounds| rounds.iter().all(all)), "{row}");
    }
}
