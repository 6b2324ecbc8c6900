//! What the simulator alone reaches of the product, line by line, and what it never does.
//!
//! The program is built with the compiler's own counters (`-C instrument-coverage`) in a target folder of its own, runs
//! seeds, and the toolchain's `llvm-profdata` and `llvm-cov` say which lines were run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms whose code the simulator runs.
const ROOMS: [&str; 4] = ["proto", "engine", "journal", "edge"];

/// Lines of one file that hold code, and whether each was run.
type Lines = BTreeMap<usize, bool>;

/// Builds, runs `seeds` seeds from `first` on, and prints what they reach.
pub fn run(first: u64, seeds: u64) -> Result<(), String> {
    let llvm = tools_of_llvm()?;
    let target = Path::new("target/coverage");
    succeed(
        Command::new("cargo")
            .args(["build", "--release", "-p", "lockstep", "--bin", "lockstep", "--target-dir"])
            .arg(target)
            .env("RUSTFLAGS", "-C instrument-coverage")
            // Inlined over crates, lines lose their counters; and it builds in half the time.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            // What the build scripts count is of no use.
            .env("LLVM_PROFILE_FILE", "/dev/null"),
    )?;
    let program = target.join("release/lockstep");
    let (raw, profile) = (target.join("sim.profraw"), target.join("sim.profdata"));
    succeed(
        Command::new(&program)
            .args(["sim", "--first", &first.to_string(), "--seeds", &seeds.to_string()])
            .env("LLVM_PROFILE_FILE", &raw),
    )?;
    succeed(
        Command::new(llvm.join("llvm-profdata")).args(["merge", "-sparse"]).arg(&raw).arg("-o").arg(&profile),
    )?;
    let output = Command::new(llvm.join("llvm-cov"))
        .args(["export", "-format=lcov", "-instr-profile"])
        .arg(&profile)
        .arg(&program)
        .output()
        .map_err(|error| format!("starting llvm-cov: {error}"))?;
    if !output.status.success() {
        return Err(format!("llvm-cov: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let files = lines_of(&String::from_utf8_lossy(&output.stdout));
    print!("{}", table(&files));
    for (file, lines) in &files {
        print!("{}", never_reached(file, lines)?);
    }
    Ok(())
}

/// Where the toolchain keeps its llvm programs.
fn tools_of_llvm() -> Result<PathBuf, String> {
    let told = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .map_err(|error| format!("starting rustc: {error}"))?;
    let library = PathBuf::from(String::from_utf8_lossy(&told.stdout).trim());
    let folder = library.parent().map(|parent| parent.join("bin")).unwrap_or_default();
    if folder.join("llvm-cov").exists() {
        return Ok(folder);
    }
    Err(format!("{} has no llvm-cov: `rustup component add llvm-tools` brings it", folder.display()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let told = format!("{command:?}");
    let status = command.status().map_err(|error| format!("starting {told}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{told}: {status}")) }
}

/// The lines of the files of [`ROOMS`], by path from the top of the repository.
fn lines_of(lcov: &str) -> BTreeMap<String, Lines> {
    let mut files = BTreeMap::<String, Lines>::new();
    let mut file = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let at = ROOMS.iter().find_map(|room| path.find(&format!("src/{room}/")));
            file = at.map(|at| path[at..].to_string());
        } else if let (Some(file), Some(data)) = (&file, line.strip_prefix("DA:"))
            && let Some((number, count)) = data.split_once(',')
            && let Ok(number) = number.parse()
        {
            let reached = count.split(',').next().is_some_and(|count| count != "0");
            *files.entry(file.clone()).or_default().entry(number).or_default() |= reached;
        }
    }
    files
}

fn table(files: &BTreeMap<String, Lines>) -> String {
    let mut text = format!("{:<10}{:>8}{:>9}{:>8}\n", "room", "lines", "reached", "share");
    for room in ROOMS {
        let here = files.iter().filter(|(file, _)| file.starts_with(&format!("src/{room}/")));
        let (mut lines, mut reached) = (0, 0);
        for (_, of_file) in here {
            lines += of_file.len();
            reached += of_file.values().filter(|reached| **reached).count();
        }
        let share = 100.0 * reached as f64 / lines.max(1) as f64;
        text += &format!("{room:<10}{lines:>8}{reached:>9}{share:>7.1}%\n");
    }
    text
}

/// The functions of a file that have lines which no seed reached: where, how many, and the first of them.
fn never_reached(file: &str, lines: &Lines) -> Result<String, String> {
    let source = std::fs::read_to_string(file).map_err(|error| format!("reading {file}: {error}"))?;
    let source: Vec<&str> = source.lines().collect();
    let mut missing = BTreeMap::<usize, Vec<usize>>::new();
    for (number, _) in lines.iter().filter(|(_, reached)| !**reached) {
        let Some(above) = source.get(..*number) else { continue };
        let function = above.iter().rposition(|line| is_function(line)).unwrap_or(0);
        missing.entry(function).or_default().push(*number);
    }
    let mut text = String::new();
    for (function, numbers) in missing {
        let name = source.get(function).map_or("", |line| name_of(line));
        let first = numbers.first().copied().unwrap_or_default();
        let what = source.get(first - 1).map_or("", |line| line.trim());
        text += &format!("{file}:{first} {name}: {} lines, from `{what}` on\n", numbers.len());
    }
    Ok(text)
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("fn ") || line.starts_with("pub") && line.contains("fn ")
}

fn name_of(line: &str) -> &str {
    let behind = line.split_once("fn ").map_or("", |(_, behind)| behind);
    behind.split(['(', '<']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_as_reached_if_any_copy_of_it_was_run_and_other_rooms_do_not_count() {
        let lcov = "SF:/x/src/proto/commit.rs\nDA:1,0\nDA:2,5\nend_of_record\nSF:/x/src/io/udp.rs\nDA:1,1\n\
                    SF:/x/src/proto/commit.rs\nDA:1,7\nDA:3,0\n";
        let files = lines_of(lcov);
        assert_eq!(files.len(), 1);
        assert_eq!(files["src/proto/commit.rs"], Lines::from([(1, true), (2, true), (3, false)]));
        assert!(table(&files).contains("proto            3        2   66.7%"), "{}", table(&files));
    }

    #[test]
    fn a_function_is_named_by_the_line_that_begins_it() {
        assert!(is_function("    pub(super) fn give<M: TailMemory>(") && !is_function("    let fn_of = 3;"));
        assert_eq!(name_of("    pub(super) fn give<M: TailMemory>("), "give");
    }
}
