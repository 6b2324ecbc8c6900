//! See the library: this is its command line.

use lockstep_instructions::count::{self, Budget, CASES, Case, Counts, STEPS, TOLERANCE};
use lockstep_instructions::cycles::{self, Counter};
use lockstep_instructions::stages::Stage;
use lockstep_instructions::{MESSAGE_LEN, MTU, build};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Counts the instructions per message of each role by callgrind, and where those of a leader go.

    cargo run --profile dist -p lockstep-instructions -- [FLAGS]

  --check          fail where a figure is more than 2 % above its budget
  --budget FILE    the budget; else bench/instructions/budget.toml of this clone
  --only TEXT      only figures whose key contains this, like `leader`
  --keep FOLDER    keep callgrind's files here, for callgrind_annotate
";

/// The budget of this clone.
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.toml");
/// What callgrind runs, with the name of a pattern.
const TURNS: &str = "turns";

/// How to count.
struct Arguments {
    check: bool,
    budget: PathBuf,
    only: String,
    keep: Option<PathBuf>,
}

impl Arguments {
    /// Reads the command line; `None` where help is asked for.
    fn read(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut read = Self { check: false, budget: BUDGET.into(), only: String::new(), keep: None };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word}: its value is missing"));
            match word.as_str() {
                "--check" => read.check = true,
                "--budget" => read.budget = value()?.into(),
                "--only" => read.only = value()?,
                "--keep" => read.keep = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                other => return Err(format!("there is no flag '{other}'\n\n{USAGE}")),
            }
        }
        Ok(Some(read))
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.as_slice() {
        [turns, pattern] if turns == TURNS => count::turns(pattern),
        _ => Arguments::read(words.into_iter()).and_then(|arguments| match arguments {
            Some(arguments) => run(&arguments),
            None => {
                print!("{USAGE}");
                Ok(())
            }
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lockstep-instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts, prints what was found, and checks the budget if asked to. A missing valgrind is no error: it prints
/// SKIPPED.
fn run(arguments: &Arguments) -> Result<(), String> {
    match build::warning() {
        Some(warning) if arguments.check => return Err(warning),
        Some(warning) => eprintln!("lockstep-instructions: WARNING: {warning}"),
        None => {}
    }
    if let Some(reason) = count::cannot_count() {
        println!("SKIPPED: instructions: {reason}");
        return Ok(());
    }
    let budget = Budget::read(&arguments.budget);
    println!(
        "instructions per message of each role: {MESSAGE_LEN} B, MTU {MTU}, baseline CPU, {STEPS} steps; {}, profile {}\n",
        build::rustc(),
        build::profile()
    );
    println!("{:<18}{:>10}{:>10}{:>8}", "", "counted", "budget", "aim");
    let cell = |value: Option<f64>| value.map_or_else(|| String::from("-"), |value| format!("{value:.1}"));
    let (mut figures, mut leaders) = (BTreeMap::new(), Vec::new());
    for case in CASES.iter().filter(|case| case.key.contains(&arguments.only)) {
        let counts = count::count(case, arguments.keep.as_deref())?;
        let allowed = budget.as_ref().ok().and_then(|budget| budget.instructions.get(case.key).copied());
        println!(
            "{:<18}{:>10.1}{:>10}{:>8}   {}",
            case.key,
            counts.figure,
            cell(allowed),
            cell(case.aim),
            case.what
        );
        figures.insert(case.key, counts.figure);
        leaders.extend(case.is_leader().then_some((case, counts)));
    }
    leaders.iter().for_each(|(case, counts)| print_stages(case, counts));
    if !arguments.check {
        return Ok(());
    }
    let budget = budget?;
    let above = budget.exceeded_by(&figures);
    if above.is_empty() {
        return Ok(());
    }
    Err(format!(
        "instructions per message rose by more than {:.0} % above {}:\n  {}\nMake it cheaper, or raise the figure in a \
         commit that says why. (The budget is that of {}; this is {}.)",
        (TOLERANCE - 1.0) * 100.0,
        arguments.budget.display(),
        above.join("\n  "),
        budget.rustc,
        build::rustc()
    ))
}

/// A leader's stages: instructions where callgrind counted them, and cycles of each alone.
fn print_stages(case: &Case, counts: &Counts) {
    let stages = match &counts.stages {
        Ok(stages) => stages,
        Err(reason) => return println!("\nSKIPPED: stages of {}: {reason}", case.key),
    };
    let measured = Counter::new().and_then(|counter| {
        let (alone, turn) = cycles::of(&counter, case.pattern()?)?;
        Ok((counter.per_ns(), BTreeMap::from_iter(alone), turn))
    });
    let (alone, turn) = match measured {
        Ok((per_ns, alone, turn)) => {
            println!(
                "\n{}, by stage; cycles of each alone, by the CPU's counter (TSC), {per_ns:.3} a ns",
                case.key
            );
            (alone, Some(turn))
        }
        Err(reason) => {
            println!("\n{}, by stage; SKIPPED: cycles: {reason}", case.key);
            (BTreeMap::new(), None)
        }
    };
    let cell = |value: Option<f64>| value.map_or_else(|| String::from("-"), |value| format!("{value:.1}"));
    println!("{:<18}{:>14}{:>10}", "", "instructions", "cycles");
    for stage in Stage::ALL {
        let count = stages.get(&stage).copied().unwrap_or(0.0);
        println!("{:<18}{count:>14.1}{:>10}", stage.name(), cell(alone.get(&stage).copied()));
    }
    println!("{:<18}{:>14.1}{:>10}", "the whole turn", stages.values().sum::<f64>(), cell(turn));
}
