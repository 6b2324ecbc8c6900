//! Python: the wheel as maturin builds it, installed beside pytest, numpy, mypy and a kernel for notebooks.

use super::{
    MESSAGES, RETRACTIONS, bounded, finished, messages, root, run_s, takeovers, while_leaders_are_cut_off,
    while_leaders_are_killed, with_cluster,
};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, run};
use lockstep_testkit::python::{Python, locked};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Packages of the tests, in the versions with which they pass.
const PACKAGES: [&str; 7] = [
    "maturin==1.16.0",
    "pytest==9.2.0",
    "numpy==2.4.6",
    "mypy==2.4.1",
    "nbclient==0.11.0",
    "ipykernel==7.4.0",
    // what a project of `lockstep new` is built by
    "setuptools==80.9.0",
];

/// Seconds that a build may take, with every crate of it.
const BUILD_S: &str = "600";

fn folder() -> PathBuf {
    root().join("bindings/python")
}

/// A command of the virtual environment.
pub(super) fn python_command(seconds: &str, program: &Path) -> Command {
    let mut command = bounded(seconds, program);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The one wheel of a folder.
fn wheel(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let wheels: Vec<_> = files.filter(|path| path.extension().is_some_and(|found| found == "whl")).collect();
    let [wheel] = &wheels[..] else { panic!("not one wheel: {wheels:?}") };
    wheel.clone()
}

/// Where the wheel is built.
fn built() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-binding")
}

/// Builds the wheel from the sources, and installs it where it has changed.
fn build_and_install(python: &Python) {
    let built = built();
    let _lock = locked(&built);
    let wheels = built.join("wheels");
    let _ = std::fs::remove_dir_all(&wheels); // it may not be there
    let mut build = python_command(BUILD_S, &folder().join("build.sh"));
    build.arg(&wheels).arg("dev").env("CARGO_TARGET_DIR", built.join("target"));
    let programs = python.interpreter().parent().expect("a folder").to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&others)));
    build.env("PATH", path.expect("folders"));
    // Compiled for one run of the tests: unoptimized it is there in half the time.
    build.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_OPT_LEVEL", amount("0", "1"));
    finished(build).with_code(0);
    let wheel = wheel(&wheels);
    let bytes = std::fs::read(&wheel).expect("a wheel");
    let digest = format!("{:08x} {}", crc32c::crc32c(&bytes), python.interpreter().display());
    let stamp = built.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == digest) {
        return;
    }
    let mut pip = python_command(BUILD_S, python.interpreter());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]);
    pip.arg("--force-reinstall").arg(&wheel);
    finished(pip).with_code(0);
    std::fs::write(&stamp, digest).expect("a stamp");
}

/// The interpreter that the tests share; `None` where its packages or the crates cannot be had.
pub(super) fn interpreter() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<Python, String>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let python = Python::with_all("binding", &PACKAGES)?;
        let mut fetch = Command::new("timeout");
        fetch.args(["300", env!("CARGO"), "fetch", "--quiet", "--locked", "--manifest-path"]);
        let fetched = finished({
            fetch.arg(folder().join("Cargo.toml"));
            fetch
        });
        if fetched.code != Some(0) {
            return Err(fetched.err.lines().last().unwrap_or("cargo fetch failed").to_owned());
        }
        build_and_install(&python);
        Ok(python)
    });
    match python {
        Ok(python) => Some(python.interpreter()),
        Err(why) => {
            println!("SKIPPED: the Python packages of the binding's tests cannot be had: {why}");
            None
        }
    }
}

/// The wheel that the tests share, or none.
pub(crate) fn shared_wheel() -> Option<PathBuf> {
    interpreter().map(|_| wheel(&built().join("wheels")))
}

fn script(python: &Path, name: &str, args: &[&str]) -> Command {
    let mut command = python_command(run_s(), python);
    command.arg(folder().join("tests").join(name)).args(args);
    command
}

/// pytest on a file of the binding's tests.
fn pytest(python: &Path, name: &str) -> Command {
    let mut command = python_command(run_s(), python);
    command.args(["-m", "pytest", "-q", "--tb=short"]).arg(folder().join("tests").join(name));
    command
}

/// pytest beside a cluster of one replica, whose journal and program it knows.
fn pytest_with_cluster(name: &str) {
    let Some(python) = interpreter() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut command = with_cluster(pytest(python, name), &cluster);
    let config = lockstep_client::Config::from_file(cluster.config()).expect("the configuration");
    command.env("LOCKSTEP_TEST_JOURNAL", &config.replicas[0].journal);
    command.env("LOCKSTEP_TEST_PROGRAM", env!("CARGO_BIN_EXE_lockstep")).env(MESSAGES, messages());
    let outcome = finished(command);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.out, outcome.err);
    assert!(outcome.out.contains(" passed"), "{}", outcome.out);
}

/// A script of the binding's tests.
pub(super) fn program_of(name: &str, args: &[&str]) -> Option<Command> {
    Some(script(interpreter()?, name, args))
}

/// The example that reads the merged order of a set.
pub(super) fn merged() -> Option<Command> {
    let mut command = python_command(run_s(), interpreter()?);
    command.arg(folder().join("examples/merged.py"));
    Some(command)
}

/// The program that commits misuses.
pub(super) fn misuses() -> Option<Command> {
    program_of("misuses.py", &[])
}

#[test]
fn python_refuses_what_is_wrong_by_class_and_text() {
    let Some(python) = interpreter() else { return };
    let outcome = finished(pytest(python, "test_refusals.py"));
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.out, outcome.err);
}

#[test]
fn python_decodes_payloads_by_a_schema() {
    let Some(python) = interpreter() else { return };
    let outcome = finished(pytest(python, "test_schema.py"));
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.out, outcome.err);
}

#[test]
fn errors_that_are_planted_in_a_machine_of_python_are_found() {
    let Some(python) = interpreter() else { return };
    let outcome = finished(pytest(python, "test_trial.py"));
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.out, outcome.err);
}

#[test]
fn a_machine_of_python_publishes_each_output_once_whichever_copies_run() {
    pytest_with_cluster("test_machine.py");
}

#[test]
fn handles_of_python_do_what_their_documentation_says() {
    pytest_with_cluster("test_cluster.py");
}

#[test]
fn a_merged_reader_of_python_goes_on_where_it_was_and_its_places_are_read_in_place() {
    pytest_with_cluster("test_merged.py");
}

#[test]
fn python_frees_what_a_program_drops() {
    pytest_with_cluster("test_memory.py");
}

#[test]
fn each_message_of_python_has_one_outcome_and_one_place_whoever_leads() {
    let Some(python) = interpreter() else { return };
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let command = script(python, "load.py", &["load", "from-python", takeovers()]);
    let outcome = while_leaders_are_killed(&cluster, &mut replicas, command);
    assert!(outcome.out.contains("messages, each with one outcome"), "{}", outcome.out);
}

#[test]
fn what_a_takeover_retracts_from_python_is_delivered_anew() {
    let Some(python) = interpreter() else { return };
    while_leaders_are_cut_off(script(python, "load.py", &["stamped", "from-python", RETRACTIONS]));
}

#[test]
fn stubs_and_examples_of_python_are_typed_and_the_stubs_are_those_of_the_module() {
    let Some(python) = interpreter() else { return };
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-binding/mypy");
    let mypy = |module: &str| {
        let mut command = python_command(run_s(), python);
        command.current_dir(folder()).args(["-m", module]).env("MYPY_CACHE_DIR", &cache);
        command
    };
    let mut check = mypy("mypy");
    check.args(["--strict", "python/lockstep", "examples", "tests"]);
    finished(check).with_code(0);
    let mut stubs = mypy("mypy.stubtest");
    stubs.args(["lockstep", "--allowlist", "tests/stubtest.txt", "--ignore-disjoint-bases"]);
    finished(stubs).with_code(0);
}

#[test]
fn examples_of_python_run_beside_a_cluster() {
    let Some(python) = interpreter() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let examples = folder().join("examples");
    let mut notebook = script(python, "run_notebook.py", &[]);
    notebook.arg(examples.join("tour.ipynb")).env("IPYTHONDIR", cluster.path("ipython"));
    notebook.env("JUPYTER_RUNTIME_DIR", cluster.path("jupyter"));
    let toured = finished(with_cluster(notebook, &cluster)).with_code(0);
    assert!(toured.out.contains("buy 100 at 42"), "{}", toured.out);
    let mut throughput = python_command(run_s(), python);
    throughput.arg(examples.join("throughput.py")).args(["--messages", "20000"]);
    let measured = run(with_cluster(throughput, &cluster), b"").with_code(0);
    assert!(measured.out.contains("messages/s"), "{}", measured.out);
    let mut cost = python_command(run_s(), python);
    cost.arg(examples.join("apply_cost.py")).args(["--messages", "1000", "--rounds", "1"]);
    let measured = finished(cost).with_code(0);
    assert!(measured.out.contains("Rust: ") && measured.out.contains("ns/message"), "{}", measured.out);
}
