//! The operations of the hot path, short: each stands beside a copy of its bytes.

use crate::support::measured;
use lockstep_instructions::build;
use serde_json::Value;

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
    // The header says what was built: figures of a build for tests are not those of a release.
    let profile = build::profile();
    assert_eq!(report["environment"]["profile"], profile, "{report}");
    let warned = report["notes"].to_string().contains(&format!("the profile `{profile}`"));
    assert_eq!(warned, profile != build::MEASURED, "{report}");
}
