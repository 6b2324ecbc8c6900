//! The operations of the hot path, short: each stands beside a copy of its bytes.

mod support;

use serde_json::Value;
use support::measured;

#[test]
fn every_operation_stands_beside_a_copy_of_its_bytes_with_a_ratio() {
    let small = ["--rounds=2", "--batches=100", "--fail-if=ratio.stamp.p50>1000000"];
    let report: Value = measured(&[&["micro"], &small[..]].concat()).expect("it needs one core");
    let ratios = report["ratios"].as_array().expect("ratios");
    for (case, count) in
        [("checksum", 2), ("chain", 1), ("seal", 2), ("decode", 4), ("stamp", 3), ("accept", 3)]
    {
        let of = |ratio: &&Value| {
            let has = ratio["case"].as_str().is_some_and(|name| name.starts_with(case));
            has && ratio["floor"] == "copy" && ratio["figures"]["p50"]["median"].as_f64() > Some(0.0)
        };
        assert_eq!(ratios.iter().filter(of).count(), count, "{case}: {ratios:?}");
    }
    // This build is one for tests, whose instructions mean nothing; another has them.
    let counted = report["rows"].as_array().expect("rows").iter().any(|row| row["case"] == "instructions");
    assert!(counted || report["notes"].to_string().contains("SKIPPED: instructions"), "{report}");
}
