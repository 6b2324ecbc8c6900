//! The demo: few messages, and everything that it promises.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

fn demo(args: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.arg("demo").args(args).output().expect("the demo runs")
}

#[test]
fn everybody_ends_with_one_digest_and_nothing_is_lost_doubled_or_out_of_order() {
    let output = demo(&["--messages", "3000", "--rate", "5000", "--json"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!((&report["schema"], &report["ok"]), (&"lockstep.demo/1".into(), &true.into()));
    let rows = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let subscribers: Vec<Value> = rows("subscribers").iter().map(|row| row["summary"].clone()).collect();
    for seen in &subscribers {
        for key in ["lost", "duplicated", "out_of_order", "altered"] {
            assert_eq!(seen[key], 0, "{key} in {seen}");
        }
        assert_eq!((&seen["messages"], &seen["publishers"]), (&3000.into(), &2.into()));
        let latency = &seen["latency"];
        assert!(
            latency["p99_ns"].is_u64() && latency["p999_ns"].is_null(),
            "3 samples lie above p99.9: {latency}"
        );
        assert!(latency["p50_ns"].as_u64() <= latency["max_ns"].as_u64());
    }
    let stamped: Vec<_> = subscribers.iter().map(|seen| seen["stamped"].clone()).collect();
    assert_eq!(stamped, [Value::from(true), Value::from(false)]);
    let journals = rows("journals");
    assert!(journals.len() == 3 && journals.iter().all(|row| row["messages"] == 3000), "{journals:?}");
    let digests: BTreeSet<_> =
        subscribers.iter().chain(&journals).map(|row| row["digest"].as_str().unwrap_or_default()).collect();
    assert_eq!(digests.len(), 1, "{digests:?}");
    assert_eq!((rows("replicas").len(), rows("publishers").len()), (3, 2));
    // What it made is gone.
    let folder = told.lines().find_map(|line| line.split_once("temporary files in ")).expect("a folder").1;
    assert!(!std::path::Path::new(folder).exists(), "{folder} is left");
}

#[test]
fn as_fast_as_possible_ends_the_same_and_what_is_kept_can_be_verified() {
    let output = demo(&["--messages", "20000", "--rate", "0", "--keep"]);
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(out.contains("equal digests at 2 subscribers and 3 journals, 0 lost, 0 duplicated"), "{out}");
    let digests: BTreeSet<_> = out
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|word| word.len() == 64)
        .collect();
    assert_eq!(digests.len(), 1, "{out}");
    let folder = told.lines().find_map(|line| line.split_once("kept: ")).expect("a folder").1;
    let config = format!("{folder}/lockstep.toml");
    for id in ["1", "2", "3"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        let verify = command.args(["format", "--verify", "--replica", id, "--config", &config]);
        let verified = verify.output().expect("a run");
        assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
    }
    for file in std::fs::read_to_string(&config).expect("the file").lines() {
        // The tails and counters lie in memory, in a folder of their own.
        if let Some(path) = file.strip_prefix("tail = ").map(|path| path.trim_matches('"')) {
            let folder = std::path::Path::new(path).parent().expect("a folder");
            let _ = std::fs::remove_dir_all(folder); // the first of three removes it
        }
    }
    std::fs::remove_dir_all(folder).expect("it was kept");
}

#[test]
fn a_demo_that_is_told_to_stop_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(["demo", "--messages", "100000000"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let (mut folder, mut last) = (String::new(), String::new());
    for line in lines.map_while(Result::ok) {
        if let Some((_, path)) = line.split_once("temporary files in ") {
            folder = path.to_owned();
        }
        if line.contains("leads") {
            let kill = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
            assert!(kill.is_ok_and(|status| status.success()));
        }
        last = line;
    }
    assert_eq!(child.wait().expect("a child").code(), Some(1), "{last}");
    assert!(last.contains("stopped before the end"), "{last}");
    assert!(!folder.is_empty() && !std::path::Path::new(&folder).exists(), "{folder} is left");
}
