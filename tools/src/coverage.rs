//! What the simulator alone reaches of the product, by lines and by branches, and what it never does.
//!
//! The program is built with the compiler's own counters (`-C instrument-coverage`) in a target folder of its
//! own, runs seeds, and the toolchain's `llvm-profdata` and `llvm-cov` say which lines were run and which
//! ways each condition went. Branches are counted by an option that the compiler calls unstable (`-Z
//! coverage-options=branch`): this build alone asks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms whose code the simulator runs.
const ROOMS: [(&str, &str); 5] = [
    ("proto", "crates/lockstep-core/src/proto/"),
    ("engine", "crates/lockstep-core/src/engine/"),
    ("replica", "crates/lockstep-replica/src/replica/"),
    ("journal", "crates/lockstep-replica/src/journal/"),
    ("edge", "crates/lockstep-gateway/src/"),
];

/// Lines of one file that hold code, and whether each was run.
type Lines = BTreeMap<usize, bool>;

/// The ways that the conditions of one file can go, by line, block and number, and whether one of the copies
/// of the code went there.
type Branches = BTreeMap<(usize, usize, usize), bool>;

/// What was counted of one file.
#[derive(Default)]
struct Counted {
    lines: Lines,
    branches: Branches,
}

/// Builds, runs `seeds` seeds from `first` on, and prints what they reach.
pub fn run(first: u64, seeds: u64) -> Result<(), String> {
    let llvm = tools_of_llvm()?;
    let target = Path::new("target/coverage");
    succeed(
        Command::new("cargo")
            .args(["build", "--release", "-p", "lockstep-sim-program", "--target-dir"])
            .arg(target)
            .env("RUSTFLAGS", "-C instrument-coverage -Z coverage-options=branch")
            .env("RUSTC_BOOTSTRAP", "1")
            // What the build scripts count is of no use.
            .env("LLVM_PROFILE_FILE", "/dev/null"),
    )?;
    let program = target.join("release/lockstep-sim");
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
    let files = counted(&String::from_utf8_lossy(&output.stdout));
    print!("{}", table(&files));
    for (file, counted) in &files {
        print!("{}", never_reached(file, counted)?);
    }
    Ok(())
}

/// Where the toolchain keeps its llvm programs.
fn tools_of_llvm() -> Result<PathBuf, String> {
    let sysroot = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .map_err(|error| format!("starting rustc: {error}"))?;
    let library = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    let folder = library.parent().map(|parent| parent.join("bin")).unwrap_or_default();
    if folder.join("llvm-cov").exists() {
        return Ok(folder);
    }
    Err(format!("{} has no llvm-cov: `rustup component add llvm-tools` brings it", folder.display()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let status = command.status().map_err(|error| format!("starting {shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}")) }
}

/// What was counted of the files of [`ROOMS`], by path from the top of the repository.
fn counted(lcov: &str) -> BTreeMap<String, Counted> {
    let mut files = BTreeMap::<String, Counted>::new();
    let mut file = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let at = ROOMS.iter().find_map(|(_, folder)| path.find(folder));
            file = at.map(|at| path[at..].to_string());
            continue;
        }
        let (Some(file), Some((kind, data))) = (&file, line.split_once(':')) else { continue };
        let numbers: Vec<Option<usize>> = data.split(',').map(|number| number.parse().ok()).collect();
        let here = files.entry(file.clone()).or_default();
        match (kind, numbers[..].as_ref()) {
            ("DA", &[Some(line), count, ..]) => *here.lines.entry(line).or_default() |= count != Some(0),
            // A way of a condition that was never looked at has `-` for a count.
            ("BRDA", &[Some(line), Some(block), Some(number), count]) => {
                *here.branches.entry((line, block, number)).or_default() |=
                    count.is_some_and(|count| count > 0);
            }
            _ => {}
        }
    }
    files
}

fn table(files: &BTreeMap<String, Counted>) -> String {
    let share = |(all, reached): (usize, usize)| {
        let share = 100.0 * reached as f64 / all.max(1) as f64;
        format!("{all:>10}{reached:>9}{share:>7.1}%")
    };
    let mut text = format!(
        "{:<10}{:>10}{:>9}{:>8}{:>10}{:>9}{:>8}\n",
        "room", "lines", "reached", "share", "branches", "taken", "share"
    );
    for (room, folder) in ROOMS {
        let here = || files.iter().filter(|(file, _)| file.starts_with(folder)).map(|(_, counted)| counted);
        let sum = |of: fn(&Counted) -> (usize, usize)| {
            here().map(of).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        let lines = sum(|of| (of.lines.len(), of.lines.values().filter(|reached| **reached).count()));
        let branches = sum(|of| (of.branches.len(), of.branches.values().filter(|taken| **taken).count()));
        text += &format!("{room:<10}{}{}\n", share(lines), share(branches));
    }
    text
}

/// The functions of a file with lines that no seed reached, or with conditions that went one way alone:
/// where, how many, and the first of them.
fn never_reached(file: &str, counted: &Counted) -> Result<String, String> {
    let source = std::fs::read_to_string(file).map_err(|error| format!("reading {file}: {error}"))?;
    let source: Vec<&str> = source.lines().collect();
    let lines = counted.lines.iter().filter(|(_, reached)| !**reached).map(|(line, _)| *line);
    let runs = |line: &usize| counted.lines.get(line).is_none_or(|reached| *reached);
    let ways =
        counted.branches.iter().filter(|(_, taken)| !**taken).map(|((line, ..), _)| *line).filter(runs);
    let mut text = named(file, &source, lines, "lines");
    text += &named(file, &source, ways, "branches");
    Ok(text)
}

fn named(file: &str, source: &[&str], lines: impl Iterator<Item = usize>, of: &str) -> String {
    let mut missing = BTreeMap::<usize, Vec<usize>>::new();
    for number in lines {
        let Some(above) = source.get(..number) else { continue };
        let function = above.iter().rposition(|line| is_function(line)).unwrap_or(0);
        missing.entry(function).or_default().push(number);
    }
    let mut text = String::new();
    for (function, numbers) in missing {
        let name = source.get(function).map_or("", |line| name_of(line));
        let first = numbers.first().copied().unwrap_or_default();
        let what = source.get(first - 1).map_or("", |line| line.trim());
        text += &format!("{file}:{first} {name}: {} {of}, from `{what}` on\n", numbers.len());
    }
    text
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
    fn what_any_copy_of_the_code_did_counts_and_other_rooms_do_not() {
        let lcov = "SF:/x/crates/lockstep-core/src/proto/commit.rs\nDA:1,0\nDA:2,5\nBRDA:2,0,0,5\nBRDA:2,0,1,0\nend_of_record\n\
                    SF:/x/crates/lockstep-io/src/udp.rs\nDA:1,1\nBRDA:1,0,0,1\n\
                    SF:/x/crates/lockstep-core/src/proto/commit.rs\nDA:1,7\nDA:3,0\nBRDA:2,0,1,-\nBRDA:3,0,0,-\n";
        let files = counted(lcov);
        assert_eq!(files.len(), 1);
        let here = &files["crates/lockstep-core/src/proto/commit.rs"];
        assert_eq!(here.lines, Lines::from([(1, true), (2, true), (3, false)]));
        assert_eq!(
            here.branches,
            Branches::from([((2, 0, 0), true), ((2, 0, 1), false), ((3, 0, 0), false)])
        );
        let row = "proto              3        2   66.7%         3        1   33.3%";
        assert!(table(&files).contains(row), "{}", table(&files));
    }

    #[test]
    fn a_function_is_named_once_for_its_lines_and_once_for_its_branches() {
        let source = ["fn a() {", "    if x {", "        y();", "    }", "}"];
        let text = named("f", &source, [2, 3].into_iter(), "lines");
        assert_eq!(text, "f:2 a: 2 lines, from `if x {` on\n");
    }

    #[test]
    fn a_function_is_named_by_the_line_that_begins_it() {
        assert!(is_function("    pub(super) fn give<M: TailMemory>(") && !is_function("    let fn_of = 3;"));
        assert_eq!(name_of("    pub(super) fn give<M: TailMemory>("), "give");
    }
}
