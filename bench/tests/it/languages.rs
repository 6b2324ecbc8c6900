//! The measure of languages, short: C and C++ beside Rust, and a reason for each language that is not there.

use crate::support::measured;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Builds the programs of these languages in `folder`, with the libraries that cargo has built for this test.
fn build(folder: &Path, languages: &str) {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = Path::new(env!("CARGO_BIN_EXE_lockstep-bench")).with_file_name("deps");
    assert_eq!(lockstep_c::lockstep_abi_version(), lockstep_c::LOCKSTEP_ABI_VERSION);
    let mut command = Command::new(bench.join("languages/run"));
    command.arg("--build").arg(folder).arg(libraries).env("LANGUAGES", languages);
    let output = command.output().expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The only round of a row.
fn round<'a>(results: &'a Value, case: &str, subject: &str) -> &'a Value {
    let rows = results["rows"].as_array().expect("rows");
    let found = rows.iter().find(|row| row["case"] == case && row["subject"] == subject);
    let row = found.unwrap_or_else(|| panic!("{case}, {subject}: not in {rows:?}"));
    assert_eq!(row["rounds"].as_array().map(Vec::len), Some(1), "{row}");
    &row["rounds"][0]
}

#[test]
fn c_and_cpp_are_measured_beside_rust_and_what_is_not_there_says_why() {
    if !has("cc") || !has("c++") {
        println!("SKIPPED: there is no compiler of C");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    build(folder.path(), "c cpp");
    let programs = format!("--programs={}", folder.path().display());
    let flags = ["languages", &programs, "--rounds=1", "--seconds=0.3", "--warm-up=0.1"];
    let Some(results) = measured::<Value>(&flags) else { return };
    for subject in ["rust", "c", "cpp"] {
        let closed = round(&results, "publish to committed, one in flight, 64 B", subject);
        assert!(closed["samples"].as_u64() > Some(0), "{closed}");
        // A slow machine has too few samples for a percentile.
        assert!(closed["figures"]["max"].as_f64() > Some(0.0), "{closed}");
    }
    for subject in ["rust", "cpp"] {
        let apply = round(&results, "an input of a machine", subject);
        assert!(apply["figures"]["max"].as_f64() > Some(0.0), "{apply}");
    }
    for subject in ["rust", "c", "c-batch", "cpp", "cpp-batch"] {
        let read = round(&results, "received, 64 B", subject);
        assert!(read["figures"]["value"].as_f64() > Some(0.0), "{subject}: {read}");
    }
    let ratios = results["ratios"].as_array().expect("ratios");
    assert!(ratios.iter().all(|ratio| ratio["floor"] == "rust") && ratios.len() == 7, "{ratios:?}");
    let notes = results["notes"].to_string();
    for language in ["Python", "Java", "Go", "Node"] {
        assert!(notes.contains(&format!("SKIPPED: {language}: LANGUAGES leaves it out")), "{notes}");
    }
}

#[test]
fn go_and_node_are_measured_in_batches_where_they_are_installed() {
    if !has("cc") {
        println!("SKIPPED: there is no compiler of C");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    build(folder.path(), "go node");
    let programs = format!("--programs={}", folder.path().display());
    let flags = ["languages", &programs, "--rounds=1", "--seconds=0.3", "--warm-up=0.1"];
    let Some(results) = measured::<Value>(&flags) else { return };
    let notes = results["notes"].to_string();
    for (language, subject) in [("Go", "go"), ("Node", "node")] {
        if notes.contains(&format!("SKIPPED: {language}: ")) {
            println!("SKIPPED: {language} is not installed");
            continue;
        }
        let closed = round(&results, "publish to committed, one in flight, 64 B", subject);
        assert!(closed["samples"].as_u64() > Some(0), "{closed}");
        let read = round(&results, "received, 64 B", &format!("{subject}-batch"));
        assert!(read["figures"]["value"].as_f64() > Some(0.0), "{read}");
    }
}

#[test]
fn rust_alone_is_measured_without_programs_and_says_what_builds_the_others() {
    let flags = ["languages", "--only=closed", "--rounds=1", "--seconds=0.2", "--warm-up=0.1"];
    let Some(results) = measured::<Value>(&flags) else { return };
    assert_eq!(results["rows"].as_array().map(Vec::len), Some(1), "{}", results["rows"]);
    assert!(results["notes"].to_string().contains("`bench/languages/run` builds"), "{}", results["notes"]);
}
