//! The figures: what is counted for each, how callgrind counts it, and the budget that it is held to.

use crate::stages::{self, Stage};
use crate::world::{Pattern, World};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Steps of a measurement: the tail's ring comes round, and what happens once weighs nothing.
pub const STEPS: usize = 4_000;
/// A figure may be this much above its budget.
pub const TOLERANCE: f64 = 1.02;

/// The messages submitted in one step, by name.
pub const PATTERNS: &[(&str, Pattern)] = &[
    ("one", Pattern { datagrams: &[1] }),
    // Sixteen do not fit one datagram of MTU 1500: fifteen and one, as a publisher sends them.
    ("packed16", Pattern { datagrams: &[15, 1] }),
    ("single16", Pattern { datagrams: &[1; 16] }),
    ("full", Pattern { datagrams: &[15] }),
];

/// A figure.
pub struct Case {
    /// Its name in the budget.
    pub key: &'static str,
    /// Its name in words.
    pub what: &'static str,
    /// What is submitted in each step, by name.
    pattern: &'static str,
    /// The functions in which is counted, as callgrind's pattern.
    counted: &'static str,
    /// What it is divided by, per step.
    per_step: f64,
    /// What the project aims at.
    pub aim: Option<f64>,
}

const fn case(
    key: &'static str,
    what: &'static str,
    pattern: &'static str,
    counted: &'static str,
    per_step: f64,
) -> Case {
    Case { key, what, pattern, counted, per_step, aim: None }
}

const LEADER: &str = "*lockstep_bench_leader_turn*";
const STANDBY: &str = "*lockstep_bench_standby_turn*";
const STAMPED: &str = "*lockstep_bench_stamped_turn*";
const COMMITTED: &str = "*lockstep_bench_committed_turn*";
const PUBLISHER: &str = "*lockstep_bench_publisher_*";

impl Case {
    /// Whether it is a leader's turn, whose stages are told.
    pub fn is_leader(&self) -> bool {
        self.counted == LEADER
    }

    /// What is submitted in each step.
    ///
    /// # Errors
    /// The case names no pattern.
    pub fn pattern(&self) -> Result<Pattern, String> {
        pattern(self.pattern)
    }
}

/// All figures.
pub const CASES: &[Case] = &[
    Case {
        aim: Some(350.0),
        ..case("leader_1", "leader, per message: one submission of one", "one", LEADER, 1.0)
    },
    Case {
        aim: Some(180.0),
        ..case(
            "leader_16",
            "leader, per message: 16 in a batch of two submissions (15 + 1)",
            "packed16",
            LEADER,
            16.0,
        )
    },
    case(
        "leader_16_single",
        "leader, per message: 16 in a batch of 16 submissions of one",
        "single16",
        LEADER,
        16.0,
    ),
    case(
        "leader_ack",
        "leader, per ack, in a turn of its own",
        "one",
        "*lockstep_bench_leader_hears_ack*",
        1.0,
    ),
    case("standby_1", "standby, per frame of one, its ack included", "one", STANDBY, 1.0),
    case("standby_15", "standby, per frame of 15, its ack included", "full", STANDBY, 1.0),
    case("stamped_1", "subscriber (stamped), per message: frames of one; two turns", "one", STAMPED, 1.0),
    case("stamped_15", "subscriber (stamped), per message: frames of 15", "full", STAMPED, 15.0),
    case(
        "committed_1",
        "subscriber (committed), per message: frames of one; two turns",
        "one",
        COMMITTED,
        1.0,
    ),
    case("committed_15", "subscriber (committed), per message: frames of 15", "full", COMMITTED, 15.0),
    case("publisher_1", "publisher, per message: from publish to its fate", "one", PUBLISHER, 1.0),
    case("publisher_15", "publisher, per message: the same, 15 to a datagram", "full", PUBLISHER, 15.0),
];

/// The figures that must not rise.
pub struct Budget {
    /// The compiler that they were measured with: another one counts otherwise.
    pub rustc: String,
    /// Instructions by key.
    pub instructions: BTreeMap<String, f64>,
}

impl Budget {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is no budget.
    pub fn read(path: &Path) -> Result<Self, String> {
        let fails = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| fails(&error))?;
        let table: toml::Table = text.parse().map_err(|error| fails(&error))?;
        Self::of(&table)
            .ok_or_else(|| fails(&"a budget has `rustc`, and numbers in [instructions]; nothing else"))
    }

    fn of(table: &toml::Table) -> Option<Self> {
        let number = |(key, value): (&String, &toml::Value)| Some((key.clone(), value.as_float()?));
        let instructions =
            table.get("instructions")?.as_table()?.iter().map(number).collect::<Option<_>>()?;
        let rustc = table.get("rustc")?.as_str()?.to_owned();
        (table.len() == 2).then_some(Self { rustc, instructions })
    }

    /// Which of these figures are above their budget, or have none.
    pub fn exceeded_by(&self, figures: &BTreeMap<&'static str, f64>) -> Vec<String> {
        let judge = |(key, &figure): (&&'static str, &f64)| match self.instructions.get(*key) {
            None => Some(format!("{key}: {figure:.1}, and no budget")),
            Some(&allowed) if figure > allowed * TOLERANCE => Some(format!(
                "{key}: {figure:.1} instead of {allowed:.1} ({:+.1} %)",
                (figure / allowed - 1.0) * 100.0
            )),
            Some(_) => None,
        };
        figures.iter().filter_map(judge).collect()
    }
}

fn pattern(name: &str) -> Result<Pattern, String> {
    let found = PATTERNS.iter().find(|(known, _)| *known == name);
    found.map(|(_, pattern)| *pattern).ok_or_else(|| format!("there is no pattern '{name}'"))
}

/// Runs the pattern of this name: what callgrind watches.
///
/// # Errors
/// An unknown pattern, or a cluster that did not do its work.
pub fn turns(name: &str) -> Result<(), String> {
    let pattern = pattern(name)?;
    lockstep_io::choose_instructions();
    let mut world = World::new()?;
    for _ in 0..STEPS {
        world.step(pattern);
    }
    world.check((STEPS * pattern.messages()) as u64, STEPS)
}

/// Why this machine or this build cannot count.
pub fn cannot_count() -> Option<String> {
    if cfg!(target_feature = "avx") {
        return Some(String::from(
            "this build is not for the baseline CPU; take target-cpu out of RUSTFLAGS",
        ));
    }
    let found =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => None,
        _ => Some(String::from("valgrind is missing (apt-get install valgrind)")),
    }
}

/// What callgrind has found of a case.
pub struct Counts {
    /// Instructions of a message, a frame or an ack.
    pub figure: f64,
    /// The same by stage, of a leader; or why not.
    pub stages: Result<BTreeMap<Stage, f64>, String>,
}

/// Counts the instructions of `case`; callgrind's file is left in `keep`.
///
/// # Errors
/// Valgrind failed, or did not find the functions.
pub fn count(case: &Case, keep: Option<&Path>) -> Result<Counts, String> {
    let itself = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let folder = keep.map_or_else(std::env::temp_dir, Path::to_path_buf);
    std::fs::create_dir_all(&folder).map_err(|error| format!("making {}: {error}", folder.display()))?;
    let file = folder.join(format!("callgrind.{}.{}", case.key, std::process::id()));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={}", case.counted))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .args(["--dump-instr=yes", "--compress-pos=no", "--compress-strings=no"])
        .arg(&itself)
        .args(["turns", case.pattern])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("starting valgrind: {error}"))?;
    let counted = std::fs::read_to_string(&file);
    if keep.is_none() {
        // The file may be missing where valgrind failed; that is reported below.
        let _ = std::fs::remove_file(&file);
    }
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("counting {}: {}:\n{stderr}", case.key, output.status));
    }
    let counted = counted.map_err(|error| format!("reading {}: {error}", file.display()))?;
    let total = totals(&counted).ok_or_else(|| format!("{} has no totals", file.display()))?;
    if total == 0 {
        return Err(format!("{}: callgrind found no function {}", case.key, case.counted));
    }
    let figure = |instructions: u64| instructions as f64 / STEPS as f64 / case.per_step;
    let stages = if case.is_leader() { stages::of(&counted, &itself) } else { Ok(BTreeMap::new()) };
    let stages = stages.map(|all| all.into_iter().map(|(stage, count)| (stage, figure(count))).collect());
    Ok(Counts { figure: figure(total), stages })
}

/// The sum at the end of callgrind's file.
pub fn totals(file: &str) -> Option<u64> {
    file.lines().rev().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}
