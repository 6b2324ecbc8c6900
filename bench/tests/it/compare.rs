//! Comparisons of scripts that behave like this program, and of files.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Results with a floor of `floor` ns and a subject of twice that times `factor`, a little different in each
/// round.
fn results(floor: f64, factor: f64, rounds: usize) -> Value {
    let row = |subject: &str, ns: f64| {
        let round = |index: usize| {
            let noise = [1.0, 1.002, 0.998, 1.001, 0.999, 1.003][index % 6];
            json!({ "at_s": 0.0, "seconds": 1.0, "samples": 100, "figures": { "p50": ns * noise } })
        };
        json!({ "case": "stamped", "subject": subject, "words": subject, "floor": subject == "io", "unit": "ns",
                "rounds": (0..rounds).map(round).collect::<Vec<_>>() })
    };
    json!({ "schema": "lockstep.bench/1", "measure": "latency", "title": "", "began": "2026-01-01T00:00:00Z",
            "command": [], "environment": {}, "method": {},
            "rows": [row("io", floor), row("lockstep", 2.0 * floor * factor)] })
}

fn file(folder: &TempDir, name: &str, results: &Value) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, results.to_string()).expect("a file");
    path
}

/// A program that prints what is in a file, as if it had measured it.
fn program(folder: &TempDir, name: &str, results: &Value) -> PathBuf {
    let answer = file(folder, &format!("{name}.json"), results);
    script(folder, name, &format!("cat '{}'", answer.display()))
}

fn script(folder: &TempDir, name: &str, commands: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{commands}\n")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file");
    path
}

fn compare(a: &Path, b: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.arg("compare").args([a, b]).args(more).output().expect("the bench runs")
}

/// Exit code, and all that is said.
fn ended_with(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_slower_program_fails_the_same_one_and_a_faster_one_do_not() {
    let folder = TempDir::new().unwrap();
    let a = program(&folder, "a", &results(10_000.0, 1.0, 1));
    for (factor, code, words) in [
        (1.03, 3, "B is slower than A by 3.0 %"),
        (0.97, 0, "B is faster than A by 3.0 %"),
        (1.0, 0, "no difference found"),
        (1.003, 0, "too little to matter"),
    ] {
        let b = program(&folder, "b", &results(10_000.0, factor, 1));
        let (got, text) = ended_with(&compare(&a, &b, &["--rounds", "12"]));
        assert!(got == Some(code) && text.contains(words), "{factor}: {got:?}: {text}");
    }
}

#[test]
fn programs_whose_floors_differ_are_not_compared() {
    let folder = TempDir::new().unwrap();
    let a = program(&folder, "a", &results(10_000.0, 1.0, 1));
    let b = program(&folder, "b", &results(11_000.0, 1.0, 1));
    let (code, text) = ended_with(&compare(&a, &b, &["--rounds", "12"]));
    assert!(code == Some(3) && text.contains("not comparable: the floors differ by 10.0 %"), "{text}");
}

#[test]
fn orders_alternate_and_both_are_asked_for_the_same() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let answer = file(&folder, "answer", &results(10_000.0, 1.0, 1));
    let [a, b] = ["a", "b"].map(|name| {
        let commands = format!("echo {name} \"$@\" >>'{}'; cat '{}'", log.display(), answer.display());
        script(&folder, name, &commands)
    });
    let output = compare(&a, &b, &["--rounds", "10", "--json", "--", "micro", "--only", "stamp"]);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let asked = ["a micro --only stamp --json", "b micro --only stamp --json"];
    assert_eq!(lines[..4], [asked[0], asked[1], asked[1], asked[0]]);
    assert_eq!(lines.len(), 20);
    let results: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{:?}", ended_with(&output)));
    assert_eq!(results["rows"][1]["unit"], "ratio");
    assert_eq!(results["method"]["verdict"], "B is not worse than A");
    assert_eq!(results["rows"][1]["rounds"].as_array().map(Vec::len), Some(10));
}

#[test]
fn a_program_that_fails_or_prints_no_results_is_named() {
    let folder = TempDir::new().unwrap();
    let a = program(&folder, "a", &results(10_000.0, 1.0, 1));
    for (name, commands, words) in [
        ("broken", "exit 7", "it failed with exit status: 7"),
        ("chatty", "echo hello", "results are what --json=FILE writes"),
        ("foreign", "echo '{}'", "it has no schema"),
    ] {
        let b = script(&folder, name, commands);
        let (code, text) = ended_with(&compare(&a, &b, &["--rounds", "12"]));
        assert!(code == Some(1) && text.contains(name) && text.contains(words), "{text}");
    }
}

/// A program that has no floor in every run whose number `condition` says.
fn without_floor(folder: &TempDir, name: &str, condition: &str) -> PathBuf {
    let whole = file(folder, "whole", &results(10_000.0, 1.0, 1));
    let mut poor = results(10_000.0, 1.0, 1);
    poor["rows"][0]["rounds"][0]["figures"] = json!({});
    let (poor, count) = (file(folder, "poor", &poor), folder.path().join("count"));
    let [whole, poor, count] = [whole, poor, count].map(|path| path.display().to_string());
    let counts = format!("echo >>'{count}'; n=$(wc -l <'{count}')");
    script(folder, name, &format!("{counts}; if [ {condition} ]; then cat '{poor}'; else cat '{whole}'; fi"))
}

#[test]
fn a_run_whose_floor_too_few_samples_tell_leaves_the_control_to_the_other_pairs() {
    let folder = TempDir::new().unwrap();
    let a = program(&folder, "a", &results(10_000.0, 1.0, 1));
    let b = without_floor(&folder, "b", "$n -eq 1");
    let (code, text) = ended_with(&compare(&a, &b, &["--rounds", "12"]));
    assert!(code == Some(0) && text.contains("stamped, io, p50: this floor agrees"), "{text}");
}

#[test]
fn without_its_control_nothing_is_compared() {
    let folder = TempDir::new().unwrap();
    let a = program(&folder, "a", &results(10_000.0, 1.0, 1));
    let b = without_floor(&folder, "b", "$n -gt 4");
    let (code, text) = ended_with(&compare(&a, &b, &["--rounds", "12"]));
    assert!(code == Some(1) && text.contains("without its floor nothing is compared"), "{text}");
}

#[test]
fn too_few_pairs_are_no_verdict() {
    let folder = TempDir::new().unwrap();
    let a = program(&folder, "a", &results(10_000.0, 1.0, 1));
    let (code, text) = ended_with(&compare(&a, &a, &["--rounds", "3"]));
    assert!(code == Some(1) && text.contains("3 pairs cannot tell"), "{text}");
}

#[test]
fn what_a_machine_cannot_measure_is_skipped() {
    let folder = TempDir::new().unwrap();
    let a = script(&folder, "a", "echo SKIPPED: latency: one core");
    let (code, text) = ended_with(&compare(&a, &a, &[]));
    assert!(code == Some(0) && text.contains("SKIPPED: latency"), "{text}");
}

#[test]
fn files_are_compared_over_their_floors_and_only_if_these_agree() {
    let folder = TempDir::new().unwrap();
    let a = file(&folder, "a", &results(10_000.0, 1.0, 5));
    for (floor, factor, code, words) in [
        (10_300.0, 1.0, 0, "no difference found"),
        (10_300.0, 1.1, 3, "B is slower than A by 10.0 %"),
        (9_700.0, 0.9, 0, "B is faster than A by 10.0 %"),
        (11_000.0, 1.0, 3, "not comparable: the floors differ by 10.0 %"),
    ] {
        let b = file(&folder, "b", &results(floor, factor, 5));
        let (got, text) = ended_with(&compare(&a, &b, &[]));
        assert!(got == Some(code) && text.contains(words), "{floor} {factor}: {got:?}: {text}");
    }
    let few = file(&folder, "few", &results(10_000.0, 1.0, 4));
    let (code, text) = ended_with(&compare(&a, &few, &[]));
    assert!(code == Some(1) && text.contains("five of each"), "{text}");
}

#[test]
fn a_program_and_a_file_are_refused() {
    let folder = TempDir::new().unwrap();
    let a = program(&folder, "a", &results(10_000.0, 1.0, 1));
    let b = file(&folder, "b", &results(10_000.0, 1.0, 5));
    let (code, text) = ended_with(&compare(&a, &b, &[]));
    assert!(code == Some(1) && text.contains("two of a kind"), "{text}");
}
