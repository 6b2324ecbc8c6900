//! The failover bench, short: leaders go in every way that needs no root, and what it tells is whole.

use serde_json::Value;
use std::process::{Command, Output};

fn failover(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.args(["failover", "--rate", "500", "--window-ms", "50", "--json"]).args(arguments);
    command.output().expect("the bench runs")
}

#[test]
fn leaders_that_go_in_any_way_are_replaced_and_nothing_is_lost_doubled_or_out_of_order() {
    for how in ["kill", "kill-both", "silence", "handover", "stop"] {
        let output = failover(&["--how", how, "--kills", "2", "--fail-if", "takeovers<2"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{how}: {told}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert_eq!(report["how"], how);
        for count in ["lost", "duplicated", "reordered"] {
            assert_eq!(report["counts"][count], 0, "{how}: {count}");
        }
        let digests = &report["digests"];
        let all = ["subscribers", "journals"]
            .map(|key| digests[key].as_array().cloned().unwrap_or_default())
            .concat();
        assert!(all.len() == 5 && all.iter().all(|digest| *digest == all[0]), "{how}: {digests}");
        let takeovers = report["takeovers"].as_array().cloned().unwrap_or_default();
        assert!(
            takeovers.len() == 2 && takeovers.iter().all(|row| row["gap_ns"].as_u64() > Some(0)),
            "{report}"
        );
        let gap = &report["rows"]["gap"];
        assert!(gap["p50_ns"].is_null() && gap["max_ns"].is_u64(), "two samples tell no percentile: {gap}");
    }
}

#[test]
fn a_condition_that_holds_makes_it_fail_and_says_with_which_value() {
    let output = failover(&["--how", "handover", "--kills", "1", "--fail-if", "gap.p99>1ns"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("gap.p99>1ns: it is "), "{told}");
}
