//! Projects that `lockstep new` makes: their users' tools build them, their tests pass beside this build of
//! lockstep, and the same tests find what is planted in the machine.

use super::java::{launcher, shared_jar};
use super::python::{interpreter, python_command};
use super::{bounded, finished, has, installed, path_with, root};
use lockstep_testkit::lane;
use lockstep_testkit::processes::{Outcome, command, program, run};
use lockstep_testkit::python::locked;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The project's name: none of the example's.
const NAME: &str = "order-book";
/// Seconds that building or testing a project may take.
const SECONDS: &str = "1200";

/// Makes a project of this language in a folder, and returns the project's own folder.
fn made(language: &str, folder: &Path) -> PathBuf {
    let mut new = command(&["new", NAME, language, "--into"]);
    new.arg(folder);
    let out = run(new, b"").with_code(0).out;
    let project = folder.join(NAME);
    let files = out.lines().filter_map(|line| line.strip_prefix("made "));
    let files: Vec<&Path> = files.map(Path::new).collect();
    assert!(
        files.len() > 5 && files.iter().all(|file| file.starts_with(&project) && file.is_file()),
        "{out}"
    );
    assert!(out.contains("lockstep dev"), "what to type next: {out}");
    project
}

/// The path of programs, with `lockstep` in front.
fn path_with_lockstep() -> OsString {
    path_with(program().parent().expect("a folder"))
}

/// Replaces a part of a file that stands in it once.
fn plant(file: &Path, right: &str, wrong: &str) {
    let text = fs::read_to_string(file).expect("a file of the project");
    assert_eq!(text.matches(right).count(), 1, "'{right}' in {}:\n{text}", file.display());
    fs::write(file, text.replace(right, wrong)).expect("a file of the project");
}

#[track_caller]
fn fails_at(outcome: &Outcome, test: &str) {
    let all = format!("{}{}", outcome.out, outcome.err);
    assert_ne!(outcome.code, Some(0), "what is planted is not found:\n{all}");
    assert!(all.contains(test), "'{test}' is not in:\n{all}");
}

// ---------------------------------------------------------------------------- Rust

/// A project of Rust in a folder that cargo has built it in before.
struct RustProject {
    project: PathBuf,
    target: PathBuf,
    _lock: File,
}

impl RustProject {
    /// One whose crates of lockstep are those of this clone, and all others in the versions that it has.
    fn make() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made-rust");
        let lock = locked(&folder);
        let _ = fs::remove_dir_all(folder.join(NAME)); // it may not be there
        let project = made("--rust", &folder);
        let manifest = project.join("Cargo.toml");
        let mut text =
            fs::read_to_string(&manifest).expect("a manifest") + "\n[workspace]\n\n[patch.crates-io]\n";
        for name in ["lockstep-app", "lockstep-client", "lockstep-sim"] {
            text += &format!("{name} = {{ path = {:?} }}\n", root().join("crates").join(name));
        }
        fs::write(&manifest, text).expect("a manifest");
        fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).expect("a lock file");
        Self { project, target: folder.join("target"), _lock: lock }
    }

    fn cargo(&self, arguments: &[&str]) -> Outcome {
        let mut cargo = bounded(SECONDS, env!("CARGO"));
        cargo.args(arguments).current_dir(&self.project).env("CARGO_TARGET_DIR", &self.target);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("PATH", path_with_lockstep());
        finished(cargo)
    }
}

#[test]
fn a_project_of_rust_passes_its_tests_beside_a_cluster_and_finds_what_is_planted() {
    if !lane::amount(false, true) {
        println!("SKIPPED: a project of Rust is built by .ci/night with all crates that it needs");
        return;
    }
    let rust = RustProject::make();
    let passed = rust.cargo(&["test", "--offline"]).with_code(0).out;
    for test in [
        "the_new_total_is_published",
        "goes_on_as_the_other_one",
        "ever_forgets_a_message",
        "a_copy_of_the_machine",
    ] {
        assert!(passed.lines().any(|line| line.contains(test) && line.ends_with(" ok")), "{test}: {passed}");
    }
    assert!(!passed.contains("SKIPPED"), "{passed}");
    let main = rust.project.join("src/main.rs");
    let right = fs::read_to_string(&main).expect("the machine");
    plant(&main, "or_default() += 1;", "or_default() += 2;");
    fails_at(&rust.cargo(&["test", "--offline", "total_is_published"]), "the_new_total_is_published");
    fs::write(&main, right).expect("the machine");
    plant(&main, "self.counts.iter().try_for_each", "self.counts.iter().skip(1).try_for_each");
    fails_at(&rust.cargo(&["test", "--offline", "goes_on"]), "goes_on_as_the_other_one");
    fails_at(&rust.cargo(&["test", "--offline", "forgets"]), "no_counter_ever_forgets_a_message");
}

// ---------------------------------------------------------------------------- Python

/// pytest in a project, with these arguments.
fn pytest(python: &Path, project: &Path, arguments: &[&str]) -> Outcome {
    let mut command = python_command(SECONDS, python);
    command.args(["-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]).args(arguments);
    command.current_dir(project).env("PATH", path_with_lockstep());
    finished(command)
}

#[test]
fn a_project_of_python_passes_its_tests_beside_a_cluster_and_finds_what_is_planted() {
    let Some(python) = interpreter() else { return };
    let folder = TempDir::new().expect("a folder");
    let project = made("--python", folder.path());
    let mut pip = python_command(SECONDS, python);
    pip.args(["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]);
    pip.args(["--no-deps", "--no-build-isolation", "--wheel-dir"]).arg(folder.path()).arg(&project);
    finished(pip).with_code(0);
    assert!(folder.path().join("order_book-0.1.0-py3-none-any.whl").is_file(), "a wheel of the project");
    let passed = pytest(python, &project, &[]).with_code(0).out;
    assert!(passed.contains("4 passed") && !passed.contains("skipped"), "{passed}");
    let skipped = {
        let mut without = Command::new(python);
        without.args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "test_program.py"]);
        without.current_dir(&project).env("PATH", "/nonexistent");
        finished(without).with_code(0).out
    };
    assert!(skipped.contains("1 skipped") && skipped.contains("`lockstep` is not in the PATH"), "{skipped}");
    let machine = project.join("counter.py");
    let right = fs::read_to_string(&machine).expect("the machine");
    plant(&machine, ", 0) + 1", ", 0) + 2");
    fails_at(&pytest(python, &project, &["-k", "published"]), "the_new_total_is_published");
    fs::write(&machine, right).expect("the machine");
    plant(&machine, "json.dumps(sorted(self.counts.items()))", "json.dumps(sorted(self.counts.items())[1:])");
    fails_at(&pytest(python, &project, &["test_counter.py", "-k", "goes_on"]), "goes_on_as_the_other_one");
    fails_at(
        &pytest(python, &project, &["test_counter.py", "-k", "ever"]),
        "no_counter_ever_forgets_a_message",
    );
}

// ---------------------------------------------------------------------------- C++

#[test]
fn a_project_of_cpp_is_built_by_cmake_passes_its_tests_and_finds_what_is_planted() {
    let Some(installed) = installed() else { return };
    if !has("cmake") || !has("c++") {
        println!("SKIPPED: CMake is not installed, or there is no compiler of C++");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let project = made("--cpp", folder.path());
    let cmake = |arguments: &[&str]| {
        let mut command = bounded(SECONDS, arguments[0]);
        command.args(&arguments[1..]).current_dir(&project);
        command.env("CXXFLAGS", "-Wall -Wextra -Wconversion -pedantic -Werror");
        command.env("LD_LIBRARY_PATH", installed.library()).env("PATH", path_with_lockstep());
        finished(command)
    };
    let prefix = format!("-DCMAKE_PREFIX_PATH={}", installed.prefix().display());
    cmake(&["cmake", "-B", "build", &prefix]).with_code(0);
    cmake(&["cmake", "--build", "build"]).with_code(0);
    let test = ["ctest", "--test-dir", "build", "--output-on-failure"];
    let passed = cmake(&test).with_code(0).out;
    assert!(passed.contains("100% tests passed, 0 tests failed out of 2"), "{passed}");
    assert!(!passed.contains("Skipped"), "{passed}");
    let skipped = {
        let mut without = Command::new(project.join("build/cluster"));
        without.arg(project.join("build").join(NAME)).env("PATH", "/nonexistent");
        without.env("LD_LIBRARY_PATH", installed.library());
        finished(without).with_code(77).out
    };
    assert!(skipped.contains("SKIPPED: the program `lockstep` is not in the PATH"), "{skipped}");
    let usage = run(
        {
            let mut copy = Command::new(project.join("build").join(NAME));
            copy.env("LD_LIBRARY_PATH", installed.library());
            copy
        },
        b"",
    );
    assert!(usage.err.contains("usage: order-book NUMBER"), "{}", usage.err);
    plant(&project.join("counter.hpp"), "text >> counts[publisher]", "text >> publisher");
    cmake(&["cmake", "--build", "build"]).with_code(0);
    fails_at(&cmake(&test), "a test failed: ");
}

// ---------------------------------------------------------------------------- Java

#[test]
fn a_project_of_java_is_built_by_make_passes_its_tests_and_finds_what_is_planted() {
    let Some(jar) = shared_jar() else { return };
    if !has("make") {
        println!("SKIPPED: make is not installed");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let project = made("--java", folder.path());
    let test = || {
        let mut command = bounded(SECONDS, "make");
        command.arg("test").arg(format!("JAR={}", jar.display())).current_dir(&project);
        command.env("PATH", path_with_lockstep());
        finished(command)
    };
    let passed = test().with_code(0).out;
    assert!(passed.contains("both tests passed") && !passed.contains("SKIPPED"), "{passed}");
    assert!(passed.contains("the test beside a cluster passed"), "{passed}");
    let skipped = {
        let mut without = Command::new(launcher());
        without.arg("-cp").arg(std::env::join_paths([jar.as_path(), Path::new("out")]).expect("paths"));
        without.arg("ClusterTest").current_dir(&project).env("PATH", "/nonexistent");
        finished(without).with_code(0).out
    };
    assert!(skipped.contains("SKIPPED: the program `lockstep` is not in the PATH"), "{skipped}");
    let machine = project.join("src/Counter.java");
    let right = fs::read_to_string(&machine).expect("the machine");
    plant(&machine, "Long.valueOf(words[1])", "1L");
    fails_at(&test(), "eachMessageHasItsTotalAlsoBehindASnapshot");
    fs::write(&machine, right).expect("the machine");
    plant(&machine, "\"quiet at \" + total()", "\"quiet at \" + System.nanoTime()");
    fails_at(&test(), "CounterTest.main");
}
