//! The measure of the merge, short, beside a set that runs.

use crate::support::{bench, measured, stderr_of};
use lockstep_testkit::processes::{Process, command};
use serde_json::Value;

#[test]
fn a_merged_order_is_measured_over_the_streams_alone_and_a_file_that_is_none_is_refused() {
    let refused = bench(&["merge", "--config", "/no/such/file.toml"]);
    assert!(!refused.status.success() && stderr_of(&refused).contains("/no/such/file.toml"));

    let folder = tempfile::tempdir().expect("a folder");
    let dev = command(&["dev", "--until-stdin-ends", "--streams", "2"]);
    let mut dev = Process::start("dev", dev, folder.path().join("dev.log"));
    let mut lines = dev.take_lines();
    let file = lines.after("export LOCKSTEP_CONFIG=", &dev);
    lines.after("streams show", &dev);
    let flags = ["merge", "--config", &file, "--rounds=1", "--seconds=0.3", "--rate=500", "--messages=500"];
    let Some(results) = measured::<Value>(&flags) else { return };
    let rows = results["rows"].as_array().expect("rows");
    let cases: Vec<_> = rows.iter().filter_map(|row| row["case"].as_str()).collect();
    assert_eq!(rows.len(), 6, "{cases:?}");
    for row in rows {
        let round = &row["rounds"][0];
        let figure = if row["unit"] == "ns" { "max" } else { "value" };
        assert!(round["figures"][figure].as_f64() > Some(0.0), "{row}");
    }
    let samples = |at: usize| rows[at]["rounds"][0]["samples"].as_u64();
    assert!(samples(0) > Some(0) && samples(0) == samples(1) && samples(2) == samples(3), "{rows:?}");
    drop(dev.stdin().take());
    assert!(dev.wait().success(), "{}", dev.log());
}
