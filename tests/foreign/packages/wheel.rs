//! The wheel, installed by pip alone: without the clone, a compiler or a registry.

use super::run;
use crate::bindings::python::shared_wheel;
use crate::bindings::{has, with_cluster};
use lockstep_testkit::processes::{self, Cluster};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The page that PyPI shows.
const PAGE: &str = include_str!("../../../bindings/python/README.md");
/// Libraries that every Linux of a `manylinux` tag has.
const LIBRARIES: [&str; 6] =
    ["ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0"];

/// The second number of the newest glibc whose symbols are asked for, as `objdump -p` prints them.
fn glibc_needed(headers: &str) -> Option<u32> {
    let versions = headers.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_2."));
    versions.filter_map(|version| version.split('.').next()?.parse().ok()).max()
}

/// The same number as the name of a wheel has it.
fn glibc_promised(wheel: &Path) -> Option<u32> {
    let name = wheel.file_name()?.to_str()?;
    name.split("manylinux_2_").nth(1)?.split('_').next()?.parse().ok()
}

/// Libraries that are asked for, as `objdump -p` prints them.
fn libraries(headers: &str) -> Vec<&str> {
    headers.lines().filter_map(|line| line.trim().strip_prefix("NEEDED").map(str::trim)).collect()
}

/// A program of the environment `venv`, with nothing else of this machine in its path.
fn bare(venv: &Path, program: &str) -> Command {
    let programs = venv.join("bin");
    let mut command = Command::new(programs.join(program));
    command.env_clear().env("PATH", programs).current_dir(venv);
    command
}

/// An environment of its own with the wheel in it, and where its package lies.
fn environment(folder: &Path, wheel: &Path) -> (PathBuf, PathBuf) {
    let venv = folder.join("venv");
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv).current_dir(folder);
    processes::run(make, b"").with_code(0);
    let mut pip = bare(&venv, "python");
    pip.args(["-m", "pip", "install", "--quiet", "--no-index", "--no-cache-dir"]);
    pip.args(["--disable-pip-version-check"]).arg(wheel);
    processes::run(pip, b"").with_code(0);
    let mut whereabouts = bare(&venv, "python");
    whereabouts.args(["-c", "import lockstep; print(lockstep.__path__[0])"]);
    let package = processes::run(whereabouts, b"").with_code(0).out;
    (venv, PathBuf::from(package.trim()))
}

#[test]
fn a_wheel_is_installed_without_a_compiler_and_greets_as_its_page_shows() {
    let Some(wheel) = shared_wheel() else { return };
    let folder = TempDir::new().expect("a folder");
    let (venv, package) = environment(folder.path(), &wheel);
    assert!(package.starts_with(&venv), "{}", package.display());
    let (_, program) = PAGE.split_once("```python\n").expect("a program");
    let (program, _) = program.split_once("```").expect("its end");
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut hello = bare(&venv, "python");
    hello.args(["-c", program]).current_dir(folder.path());
    let out = processes::run(with_cluster(hello, &cluster), b"").with_code(0).out;
    let cursor = fs::read_to_string(folder.path().join("hello.cursor")).expect("a cursor");
    assert!(out.contains("b'buy 100 at 42'") && out.contains(&format!("resume with {cursor}")), "{out}");

    for typed in ["py.typed", "_native.pyi"] {
        assert!(package.join(typed).exists(), "a checker of types finds no {typed}");
    }
    let metadata = package.with_file_name(format!("lockstep-{}.dist-info", env!("CARGO_PKG_VERSION")));
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let installed = std::fs::read_to_string(metadata.join("licenses").join(licence)).expect("a licence");
        assert_eq!(installed, std::fs::read_to_string(super::root().join(licence)).expect("a licence"));
    }
    let record = std::fs::read_to_string(metadata.join("RECORD")).expect("the list of files");
    assert!(!record.contains("sboms/"), "a list of crates names folders of the machine: {record}");
}

#[test]
fn the_tag_of_a_wheel_promises_no_system_on_which_the_module_does_not_load() {
    let Some(wheel) = shared_wheel() else { return };
    if !has("objdump") {
        println!("SKIPPED: a program that looks at packages is not installed: objdump");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder.path());
    processes::run(unpack, b"").with_code(0);
    let module = folder.path().join("lockstep/_native.abi3.so").display().to_string();
    let headers = run("objdump", &["-p", &module]).expect("it is there");
    let headers = String::from_utf8_lossy(&headers.stdout).into_owned();
    let (needed, promised) = (glibc_needed(&headers), glibc_promised(&wheel));
    assert!(needed.is_some() && promised.is_some(), "{}: {headers}", wheel.display());
    assert!(promised >= needed, "{}: it needs glibc 2.{needed:?}", wheel.display());
    let others: Vec<_> = libraries(&headers).into_iter().filter(|name| !LIBRARIES.contains(name)).collect();
    assert!(others.is_empty(), "not every Linux has {others:?}");
    let sections = run("objdump", &["-h", &module]).expect("it is there");
    let sections = String::from_utf8_lossy(&sections.stdout).into_owned();
    assert!(sections.contains(".text") && !sections.contains(".debug"), "it is not stripped: {sections}");
}

#[test]
fn versions_of_symbols_and_tags_are_compared_as_numbers() {
    let headers = "  NEEDED               libc.so.6\n  NEEDED               libz.so.1\nVersion References:\n  \
                   required from libc.so.6:\n    0x06969189 0x00 08 GLIBC_2.9\n    0x069691b4 0x00 05 GLIBC_2.34\n    \
                   0x09691a75 0x00 02 GLIBC_2.2.5\n";
    assert_eq!(glibc_needed(headers), Some(34));
    assert_eq!(glibc_needed(&headers.replace("2.34", "2.4")), Some(9));
    assert_eq!(libraries(headers), ["libc.so.6", "libz.so.1"]);
    assert_eq!(glibc_promised(Path::new("/a/b-1-cp311-abi3-manylinux_2_28_x86_64.whl")), Some(28));
    assert_eq!(glibc_promised(Path::new("b-1-cp311-abi3-linux_x86_64.whl")), None);
}
