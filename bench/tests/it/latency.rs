//! The latency bench, short: what it tells is whole, on a cluster of its own and on one that runs already.

use crate::support::{bench, measured, report_of, stderr_of};
use lockstep_process::child::ChildGuard;
use lockstep_testkit::processes::Cluster;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The rows of a case that its subjects have, by name.
fn row<'a>(results: &'a Value, case: &str, subject: &str) -> &'a Value {
    let rows = results["rows"].as_array().expect("rows");
    let found = rows.iter().find(|row| row["case"] == case && row["subject"] == subject);
    found.unwrap_or_else(|| panic!("{case}, {subject}: not in {rows:?}"))
}

#[test]
fn every_size_and_rate_is_told_beside_both_floors_of_the_same_round() {
    let flags = [
        "--sizes=32,1344",
        "--rates=2k",
        "--seconds=0.3",
        "--warm-up=0.05",
        "--rounds=2",
        "--one-way",
        "--kernel-times",
    ];
    let output = bench(&[&["latency", "--only=stamped", "--json"], &flags[..]].concat());
    let Some(results) = report_of::<Value>(&output) else { return };
    assert!(output.status.success(), "{}", stderr_of(&output));
    // Every process has ended before the folders of its cluster are removed.
    assert!(!stderr_of(&output).contains("No such file"), "{}", stderr_of(&output));
    let rate = 2000;
    for size in [32, 1344] {
        let case = format!("stamped, {size} B, {rate}/s");
        for subject in ["plain", "io", "lockstep"] {
            let row = row(&results, &case, subject);
            let rounds = row["rounds"].as_array().expect("rounds");
            assert_eq!(rounds.len(), 2, "{row}");
            for round in rounds {
                let due = (rate as f64 * 0.3) as u64;
                assert!(
                    round["samples"].as_u64().is_some_and(|samples| samples.abs_diff(due) <= 1),
                    "{round}"
                );
                assert!(round["figures"]["p50"].as_f64() > Some(0.0), "{round}");
                assert!(round["figures"].get("p99.9").is_none(), "600 messages tell no p99.9: {round}");
            }
        }
        let parts = ["to the stamp", "from the stamp", "to the kernel", "from the kernel"];
        for part in parts.map(|part| format!("{case}, {part}")) {
            assert!(row(&results, &part, "lockstep")["rounds"][1]["samples"].as_u64() > Some(0));
        }
    }
    let ratios = results["ratios"].as_array().expect("ratios");
    assert_eq!(ratios.len(), 2 * 5 * 2, "two floors of each case");
    for fact in ["kernel", "cpu", "governor", "clock source", "device", "interface", "lockstep"] {
        assert!(results["environment"][fact].is_string(), "{fact}: {}", results["environment"]);
    }
}

#[test]
fn each_transport_is_told_over_the_floor_of_its_own_and_over_the_first_one() {
    let flags = ["--closed", "--only=stamped", "--seconds=0.3", "--warm-up=0.05", "--rounds=2"];
    let ways = [&["latency", "--transport=udp,xdp,shm"], &flags[..]].concat();
    let Some(results) = measured::<Value>(&ways) else { return };
    let notes = results["notes"].to_string();
    let case = "stamped, 64 B, closed loop";
    let mut there = vec!["shm".to_owned()];
    for transport in ["udp", "xdp"] {
        match notes.split(&format!("SKIPPED: transport {transport}: ")).nth(1) {
            Some(reason) => println!("SKIPPED: {reason}"),
            None => there.push(format!("{transport} over veth")),
        }
    }
    for way in &there {
        let case = format!("{case}, {way}");
        let ours = row(&results, &case, "lockstep");
        assert_eq!(ours["rounds"].as_array().map(Vec::len), Some(2), "{ours}");
        let ratios = results["ratios"].as_array().expect("ratios");
        let of = |ratio: &&Value| ratio["case"] == case.as_str() && ratio["floor"] == "io";
        let ratio = ratios.iter().find(of).unwrap_or_else(|| panic!("{case} has no floor: {ratios:?}"));
        for what in ["figures", "differences"] {
            assert!(ratio[what]["p50"]["median"].is_f64() && ratio[what]["max"]["max"].is_f64(), "{ratio}");
        }
        if there.len() == 3 && !way.starts_with("udp") {
            let of_udp = row(&results, &format!("{case}: of udp"), "lockstep");
            assert!(of_udp["rounds"][0]["figures"]["p50"].as_f64() > Some(0.0), "{of_udp}");
        }
    }
}

#[test]
fn with_stalls_each_contestant_is_told_what_share_of_its_tail_is_its_own() {
    let flags = ["latency", "--stalls", "--only=stamped", "--rates=2k", "--seconds=0.3", "--rounds=1"];
    let Some(results) = measured::<Value>(&flags) else { return };
    let notes: Vec<&str> =
        results["notes"].as_array().expect("notes").iter().filter_map(Value::as_str).collect();
    let shares = notes.iter().filter(|note| note.contains("share of the tail: its own processes")).count();
    assert_eq!(shares, 3, "two floors and lockstep: {notes:?}");
    let rows = results["rows"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["case"] == "hiccups of 50 us and more in a second"), "{rows:?}");
}

#[test]
fn a_limit_that_holds_ends_with_exit_code_3_and_says_what_was_measured() {
    let flags = ["--closed", "--only=stamped", "--seconds=0.2", "--rounds=1"];
    let output = bench(&[&["latency", "--fail-if=p50>1ns", "--fail-if=ratio.p50<1000"], &flags[..]].concat());
    if output.stdout.starts_with(b"SKIPPED:") {
        return;
    }
    assert_eq!(output.status.code(), Some(3), "{}", stderr_of(&output));
    assert!(
        stderr_of(&output).contains("p50>1ns: stamped, 64 B, closed loop: it is "),
        "{}",
        stderr_of(&output)
    );
    let output = bench(&[&["latency", "--fail-if=committed.p50>1ns"], &flags[..]].concat());
    assert_eq!(output.status.code(), Some(1), "nothing committed was measured: {}", stderr_of(&output));
}

/// A reflector, ended with this.
struct Reflector(ChildGuard);

impl Reflector {
    /// Starts one, and waits until it says that it has joined the floor's groups: what is measured before
    /// that may find a floor that begins to reflect in the middle of it.
    fn start(config: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
        command.args(["reflect", config, "--seconds=60"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut started = Self(command.spawn().expect("a reflector").into());
        let mut line = String::new();
        let stdout = started.0.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line.trim_end(), "ready");
        started
    }
}

#[test]
fn a_cluster_that_runs_already_is_measured_beside_the_floor_that_reflects() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let file = cluster.config();
    let config = format!("--config={}", file.display());
    let flags = [config.as_str(), "--only=stamped", "--rates=1k", "--seconds=0.3", "--rounds=2", "--json"];
    let alone = bench(&[&["latency"], &flags[..]].concat());
    let Some(alone) = report_of::<Value>(&alone) else { return };
    assert!(alone["notes"].to_string().contains("nobody reflects"), "{}", alone["notes"]);
    assert_eq!(row(&alone, "stamped, 64 B, 1000/s", "lockstep")["rounds"].as_array().map(Vec::len), Some(2));
    let _reflector = Reflector::start(&config);
    let beside = bench(&[&["latency"], &flags[..]].concat());
    let beside: Value = report_of(&beside).unwrap_or_else(|| panic!("{}", stderr_of(&beside)));
    assert_eq!(beside["ratios"].as_array().map(Vec::len), Some(1), "{}", beside["notes"]);
    assert_eq!(row(&beside, "stamped, 64 B, 1000/s", "plain")["floor"], true);
}

#[test]
fn a_planted_stall_is_seen_by_the_open_loop_and_hidden_by_the_closed_one() {
    // A machine that others use has stalls of its own, which hide those that are planted.
    let mut notes = Vec::new();
    for _ in 0..5 {
        let output = bench(&["self-test", "--rounds=1", "--seconds=3", "--json"]);
        let Some(results) = report_of::<Value>(&output) else { return };
        let p999 = |case: &str| row(&results, case, "stub")["rounds"][0]["figures"]["p99.9"].as_f64();
        // 5 ms are planted once a second: one in a thousand messages waits longer than 4 ms.
        assert!(p999("open loop, stalls") > Some(3.6e6), "{}", results["notes"]);
        if p999("closed loop, stalls") < p999("open loop, stalls") {
            return;
        }
        notes.push(results["notes"].to_string());
    }
    panic!("{notes:?}");
}
