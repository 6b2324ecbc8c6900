//! Clusters for tests of programs in other languages: a start has an end, and tells what has become of it.
//! That one starts and ends is what the tests of projects see.

use super::c::sanitized;
use super::{bounded, finished, java, path_with};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What a program prints whose cluster is this script.
fn text_of(program: &Command, script: &str, timeout_ms: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let stand_in = folder.path().join("lockstep");
    fs::write(&stand_in, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&stand_in, Permissions::from_mode(0o755)).expect("a script");
    let mut command = bounded("120", program.get_program());
    command.args(program.get_args()).arg(timeout_ms).env("PATH", path_with(folder.path()));
    finished(command).with_code(0).out
}

/// Starts of clusters that are late, and that end.
fn a_start_ends_with_words(program: &Command) {
    let began = Instant::now();
    let late = text_of(program, "echo three replicas; exec cat 3>&1 >/dev/null", "300");
    assert!(
        late.contains("`lockstep dev` has no leader after 300 ms, and was ended; stderr says why"),
        "{late}"
    );
    let stubborn = text_of(program, "exec sleep 1000", "1");
    assert!(stubborn.contains("has no leader after 1 ms, and was ended"), "{stubborn}");
    assert!(began.elapsed() < Duration::from_secs(60), "one that does not end is killed");
    let ended = text_of(program, "echo three replicas; exit 7", "60000");
    assert!(
        ended.contains("`lockstep dev` ended with code 7 before a replica led; stderr says why"),
        "{ended}"
    );
    let silent = text_of(program, "exec cat >/dev/null", "60000");
    assert!(silent.contains("before a replica led"), "one that says no more is ended: {silent}");
    let mut without = Command::new(program.get_program());
    without.args(program.get_args()).arg("1").env("PATH", "/nonexistent");
    let absent = finished(without).with_code(0).out;
    assert!(absent.contains("the program `lockstep` is not in the PATH"), "{absent}");
}

#[test]
fn a_start_of_a_cluster_in_cpp_ends_in_its_time_with_what_has_become_of_it() {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let Some(program) = sanitized(&PROGRAM, "c++", "-std=c++17", "tests/cluster.cpp") else { return };
    a_start_ends_with_words(&Command::new(program));
}

#[test]
fn a_start_of_a_cluster_in_java_ends_in_its_time_with_what_has_become_of_it() {
    let Some(program) = java::program_of("ClusterCheck") else { return };
    let mut absolute = Command::new(java::launcher());
    absolute.args(program.get_args());
    a_start_ends_with_words(&absolute);
}
