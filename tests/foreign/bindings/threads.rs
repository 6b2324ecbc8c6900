//! The headers of C++ under ThreadSanitizer of the compiler. It knows nothing of the code of Rust, but for
//! the functions of the C library that this calls: it sees what the headers and the program share.

use super::{bounded, finished, has, installed, root, with_cluster};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Outcome};
use std::path::Path;
use std::process::Command;

/// The exit code of a program in which ThreadSanitizer has found a race.
const FOUND: i32 = 66;

/// Whether the compiler brings it.
fn has_thread_sanitizer(folder: &Path) -> bool {
    let source = folder.join("empty.cpp");
    std::fs::write(&source, "int main() { return 0; }\n").expect("a program");
    let mut compile = Command::new("c++");
    compile.arg("-fsanitize=thread").arg("-o").arg(folder.join("empty")).arg(source);
    let compiled = compile.output().is_ok_and(|output| output.status.success());
    // It may not run where addresses of the kernel are drawn from more bits than it knows.
    compiled && Command::new(folder.join("empty")).status().is_ok_and(|status| status.success())
}

#[test]
fn two_threads_with_a_handle_each_share_nothing_and_a_race_that_is_planted_is_found() {
    let Some(installed) = installed() else { return };
    if !has("c++") {
        println!("SKIPPED: there is no compiler of C++");
        return;
    }
    let cluster = Cluster::new(1, "");
    if !has_thread_sanitizer(&cluster.path("")) {
        println!("SKIPPED: the compiler of C++ has no ThreadSanitizer that runs here");
        return;
    }
    let source = root().join("bindings/c/tests/threads.cpp");
    let program =
        installed.compile_whole("c++", &["-std=c++17", "-O1", "-fsanitize=thread"], &source, "threads");
    let _replicas = cluster.found();
    let under_thread_sanitizer = |arguments: &[&str]| -> Outcome {
        let mut command = bounded("600", &program);
        command.args(arguments).env("TSAN_OPTIONS", format!("exitcode={FOUND}"));
        finished(with_cluster(command, &cluster))
    };
    let messages = amount("2000", "100000");
    let passed = under_thread_sanitizer(&[messages]).with_code(0);
    assert!(passed.out.contains(&format!("{messages} messages of each of two threads")), "{}", passed.out);
    assert!(!passed.err.contains("ThreadSanitizer"), "{}", passed.err);
    let planted = under_thread_sanitizer(&["10", "race"]).with_code(FOUND);
    assert!(planted.err.contains("data race") && planted.err.contains("threads.cpp"), "{}", planted.err);
}
