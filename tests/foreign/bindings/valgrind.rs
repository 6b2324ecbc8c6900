//! The library for C under valgrind. It looks at what Rust allocates, hands to system calls and frees too,
//! which AddressSanitizer of the compiler of C sees only where C touches it.

use super::{bounded, finished, has, installed, root, with_cluster};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Outcome};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Messages that pass, twice.
const MESSAGES: &str = "100000";

/// The exit code of a program in which valgrind has found something.
const FOUND: i32 = 99;
/// Seconds that a program may take: it is some thirty times as slow as by itself.
const SECONDS: &str = "1800";

/// A program under valgrind: each error, and each block that nothing points to in the end, is found.
fn under_valgrind(program: &Path, arguments: &[&str]) -> Command {
    let mut command = bounded(SECONDS, "valgrind");
    command.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
    command.args([format!("--error-exitcode={FOUND}").as_str(), "--show-leak-kinds=definite"]);
    command.arg(program).args(arguments);
    command
}

/// A program of this source with the library inside, for valgrind; `None`: a tool is missing.
fn compiled(compiler: &str, standard: &str, source: &Path, name: &str) -> Option<PathBuf> {
    let installed = installed()?;
    if !amount(false, true) {
        println!("SKIPPED: programs are run under valgrind by .ci/night, which takes minutes");
        return None;
    }
    if !has("valgrind") {
        println!("SKIPPED: valgrind is not installed");
        return None;
    }
    if !has(compiler) {
        println!("SKIPPED: there is no compiler of C++");
        return None;
    }
    // Checks of the heap that its own allocator makes would hide those of valgrind.
    Some(installed.compile_whole(compiler, &[standard, "-O1"], source, name))
}

#[track_caller]
fn nothing_is_found(outcome: Outcome) -> String {
    let Outcome { code, out, err } = outcome;
    assert_eq!(code, Some(0), "{out}\n{err}");
    assert!(!err.contains("=="), "valgrind has found something:\n{err}");
    out
}

#[test]
fn valgrind_finds_nothing_while_messages_pass_through_c_and_cpp() {
    let tests = root().join("bindings/c/tests");
    let c = compiled("cc", "-std=c11", &tests.join("check.c"), "valgrind-c");
    let cpp = compiled("c++", "-std=c++17", &tests.join("check.cpp"), "valgrind-cpp");
    for (program, name) in [(c, "from-c"), (cpp, "from-cpp")] {
        let Some(program) = program else { continue };
        nothing_is_found(finished(under_valgrind(&program, &["refusals"])));
        let cluster = Cluster::new(1, "");
        let _replicas = cluster.found();
        let passed = with_cluster(under_valgrind(&program, &["flat", name, MESSAGES]), &cluster);
        let out = nothing_is_found(finished(passed));
        assert!(out.contains(&format!("{} messages, then as many", MESSAGES)), "{out}");
        let called = with_cluster(under_valgrind(&program, &["callbacks", name]), &cluster);
        nothing_is_found(finished(called));
    }
}

/// A handle that is never closed, and a payload that was never written.
const PLANTED: [(&str, &str, &str); 2] = [
    ("leak", "endpoint = NULL; return 0;", "definitely lost"),
    (
        "unwritten",
        "volatile char *text = malloc(8); int answer = text[3] == 1; free((void *)text); lockstep_endpoint_close(&endpoint); return \
         answer ? 3 : 0;",
        "uninitialised",
    ),
];

#[test]
fn valgrind_finds_what_is_planted_in_a_program() {
    let cluster = Cluster::new(1, "");
    for (name, body, words) in PLANTED {
        let source = cluster.path(&format!("{name}.c"));
        let text = format!(
            "#include <lockstep.h>\n#include <stdlib.h>\nint main(void) {{\n    lockstep_endpoint *endpoint = NULL;\n    \
             if (lockstep_endpoint_from_env(&endpoint) != LOCKSTEP_STATUS_OK) return 2;\n    {body}\n}}\n"
        );
        std::fs::write(&source, text).expect("a program");
        let Some(program) = compiled("cc", "-std=c11", &source, &format!("valgrind-{name}")) else { return };
        let outcome = finished(with_cluster(under_valgrind(&program, &[]), &cluster)).with_code(FOUND);
        assert!(outcome.err.contains(words), "'{words}' is not in:\n{}", outcome.err);
    }
}
