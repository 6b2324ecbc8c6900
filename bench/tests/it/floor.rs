//! The floor of the machine, short: each part has its rows, and what cannot be measured says so.

use crate::support::{bench, measured, stderr_of};
use serde_json::Value;

#[test]
fn every_core_clock_timer_hop_memory_and_disk_has_a_row_of_each_round() {
    let report: Value = measured(&["floor", "--rounds=2", "--seconds=0.1"]).expect("it needs one core");
    let rows = report["rows"].as_array().expect("rows");
    let of = |case: &'static str| {
        rows.iter().filter(move |row| row["case"].as_str().unwrap_or_default().starts_with(case))
    };
    let cores = lockstep_bench::environment::cores();
    let udp = if cores > 1 { 8 } else { 2 };
    for (case, at_least) in [
        ("hiccups: ", cores),
        ("hiccups in a second", cores),
        ("stolen", cores),
        ("clock", 4),
        ("timer", 3),
        ("udp", udp),
        ("shared memory", if cores > 1 { 2 } else { 0 }),
        ("write 4 KiB, fdatasync", 1),
    ] {
        assert!(of(case).count() >= at_least, "{case}: {report}");
        for row in of(case) {
            let rounds = row["rounds"].as_array().expect("rounds");
            assert_eq!(rounds.len(), 2, "{row}");
            assert!(rounds.iter().all(|round| round["samples"].as_u64() > Some(0)), "{row}");
        }
    }
    // Namespaces and a card for xdp are not everywhere; where they are, xdp stands beside udp over the same
    // cable.
    let skipped = report["notes"].to_string().contains("SKIPPED: AF_XDP");
    for case in ["veth, 2 hops, ", "veth, one way, ", "bridge of 3 ports, 3 hops, "] {
        assert_eq!(of(case).count(), if skipped { 0 } else { 3 }, "{case}: {report}");
    }
    let ratios = report["ratios"].as_array().expect("ratios");
    let of_xdp = ratios.iter().filter(|ratio| ratio["subject"] == "xdp" && ratio["floor"] == "plain");
    assert_eq!(of_xdp.count(), if skipped { 0 } else { 3 }, "{ratios:?}");
    assert!(report["environment"]["interface"].as_str().is_some_and(|words| words.starts_with("lo,")));
}

#[test]
fn a_limit_judges_the_rows_that_it_names_and_an_unknown_folder_is_refused() {
    let floor = |more: &[&str]| bench(&[&["floor", "--json", "--rounds=1", "--only=disk"], more].concat());
    let output = floor(&["--seconds=0.05", "--fail-if=disk.max>1ns"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr_of(&output));
    let output = floor(&["--folder=/no/such/folder"]);
    let stderr_of = stderr_of(&output);
    assert!(output.status.code() == Some(1) && stderr_of.contains("/no/such/folder"), "{stderr_of}");
}
