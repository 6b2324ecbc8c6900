//! `lockstep explain CODE`: what a code of the log, of a configuration or of an exit means, and what to do.
//!
//! Events come from `docs/LOG.md`, which a test holds to be complete; conditions, problems of configurations
//! and exit codes from the tables that print them.

use clap::Args;
use lockstep_client::internal::ActiveCondition;
use lockstep_daemon::Failure;
use lockstep_daemon::config::Code;
use lockstep_daemon::failure::{EXIT_CODES, USAGE};
use lockstep_wire::Condition;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.explain/1";

/// Where events are described.
const LOG: &str = include_str!("../../../docs/LOG.md");

/// Flags of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A code like `LS1101`, its number, the name of a condition like `disk_full`, or an exit code like 5,
    /// `exit-5` or `exit 5`; without it all are listed
    #[arg(value_name = "CODE", num_args = 0..=2)]
    pub code: Vec<String>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// A code, explained.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Explained {
    /// `LS1101`, or the number of an exit code.
    code: String,
    /// `event`, `condition`, `configuration`, `exit`.
    kind: &'static str,
    /// The name of a condition, the level of an event; else empty.
    name: String,
    meaning: String,
    remedy: String,
}

/// Prints one, or all.
pub fn run(args: &ExplainArgs) -> Result<u8, Failure> {
    let all = all();
    let wanted = args.code.join(" ");
    let found: Vec<&Explained> =
        all.iter().filter(|known| args.code.is_empty() || known.is_called(&wanted)).collect();
    if found.is_empty() {
        let what = format!("there is no code '{wanted}'; `lockstep explain` lists all of this release");
        return Err(Failure::new(USAGE, what));
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows: Vec<_> = found.iter().map(|known| known.json()).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "codes": rows }))?;
    } else if !args.code.is_empty() {
        found.iter().try_for_each(|known| writeln!(out, "{known}"))?;
    } else {
        found
            .iter()
            .try_for_each(|known| writeln!(out, "{:<7} {:<13} {}", known.code, known.kind, known.meaning))?;
    }
    Ok(0)
}

/// Every code, in the order of its table.
fn all() -> Vec<Explained> {
    let mut all: Vec<_> = events().collect();
    all.extend(Condition::ALL.iter().map(|condition| condition_of(*condition)));
    all.extend(Code::ALL.iter().map(|code| Explained {
        code: code.as_str().to_owned(),
        kind: "configuration",
        name: String::new(),
        meaning: code.meaning().to_owned(),
        remedy:
            "`lockstep check FILE` prints each problem with its line, and what to write instead.".to_owned(),
    }));
    all.extend(EXIT_CODES.iter().enumerate().map(|(code, meaning)| Explained {
        code: code.to_string(),
        kind: "exit",
        name: String::new(),
        meaning: sentence(meaning),
        remedy: match code {
            2 | 3 | 5 => "An operator is needed before a restart.".to_owned(),
            _ => String::new(),
        },
    }));
    all
}

/// The same as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let end = if text.ends_with(['?', '.']) { "" } else { "." };
    first.into_iter().chain(letters).chain(end.chars()).collect()
}

/// The rows of the table of events.
fn events() -> impl Iterator<Item = Explained> {
    let events = LOG.split("## Conditions").next().unwrap_or_default();
    events.lines().filter(|line| line.starts_with("| LS")).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let cell = |index: usize| cells.get(index).copied().unwrap_or_default();
        Explained {
            code: cell(1).to_owned(),
            kind: "event",
            name: cell(2).to_owned(),
            meaning: sentence(cell(3)),
            remedy: sentence(cell(4)),
        }
    })
}

fn condition_of(condition: Condition) -> Explained {
    let active = ActiveCondition { condition, age: Duration::ZERO, a: 0, b: 0 };
    Explained {
        code: active.code(),
        kind: "condition",
        name: condition.name().to_owned(),
        meaning: condition.meaning().to_owned(),
        remedy: sentence(active.advice()),
    }
}

impl Explained {
    /// Whether `wanted` is its code, with or without letters, or its name; `exit-5` and `exit 5` are exit
    /// codes.
    fn is_called(&self, wanted: &str) -> bool {
        let lower = wanted.to_ascii_lowercase();
        let exit = lower.strip_prefix("exit").and_then(|rest| rest.strip_prefix(['-', ' ']));
        if let Some(exit) = exit {
            return self.kind == "exit" && self.code == exit.trim();
        }
        let is_code = self.code.eq_ignore_ascii_case(wanted);
        let number = |text: &str| text.trim_start_matches(['L', 'S', 'l', 's']).parse::<u32>().ok();
        let is_number = self.kind != "exit"
            && number(wanted)
                .is_some_and(|wanted| wanted > EXIT_CODES.len() as u32 && number(&self.code) == Some(wanted));
        is_code || is_number || self.kind == "condition" && self.name == wanted
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "code": self.code,
            "kind": self.kind,
            "name": self.name,
            "meaning": self.meaning,
            "remedy": self.remedy,
        })
    }
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.name.is_empty() { String::new() } else { format!(", {}", self.name) };
        writeln!(f, "{} ({}{name})", self.code, self.kind)?;
        writeln!(f, "  means  {}", self.meaning)?;
        match &*self.remedy {
            "" => Ok(()),
            remedy => writeln!(f, "  do     {remedy}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_node::EVENT_KINDS;

    #[test]
    fn every_code_of_log_configuration_and_exit_is_explained_with_what_to_do() {
        let all = all();
        let events = EVENT_KINDS.iter().map(|kind| format!("LS{:04}", kind.code));
        let problems = Code::ALL.iter().map(|code| code.as_str().to_owned());
        for code in events.chain(problems) {
            let known: Vec<_> = all.iter().filter(|known| known.is_called(&code)).collect();
            assert_eq!(known.len(), 1, "{code}: {known:?}");
            assert!(known[0].meaning.len() > 10 && known[0].remedy.len() > 5, "{known:?}");
        }
        assert_eq!(all.iter().filter(|known| known.kind == "exit").count(), EXIT_CODES.len());
    }

    #[test]
    fn a_code_is_found_by_its_letters_its_number_and_a_conditions_name() {
        let all = all();
        let find = |wanted: &str| {
            let found: Vec<_> = all.iter().filter(|known| known.is_called(wanted)).collect();
            assert_eq!(found.len(), 1, "{wanted}: {found:?}");
            (found[0].kind, found[0].code.clone())
        };
        for wanted in ["LS1103", "ls1103", "1103", "disk_full"] {
            assert_eq!(find(wanted), ("condition", "LS1103".to_owned()));
        }
        for wanted in ["5", "exit-5", "exit 5", "EXIT-5"] {
            assert_eq!(find(wanted), ("exit", "5".to_owned()));
        }
        for wanted in ["exit-1101", "exit", "exit-", "exit5x", "LS1101 5"] {
            assert!(!all.iter().any(|known| known.is_called(wanted)), "{wanted}");
        }
        assert_eq!((find("LS0001").0, find("3").0, find("102").0), ("event", "exit", "configuration"));
    }
}
