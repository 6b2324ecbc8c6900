//! # scenario: a measure with its flags, written down
//!
//! ```toml
//! title = "market open: ten times the rate for 50 ms of each second"
//! measure = "latency"
//!
//! [flags]
//! rates = ["20k"]
//! burst = "10x50ms"
//! only = "committed"
//! ```
//!
//! A flag's value is a text, a number, a list (its members separated by commas on the command line) or
//! `true`. The scenarios of the field's usual shapes are in `bench/scenarios`.

use serde::Deserialize;
use std::ffi::OsString;
use std::path::PathBuf;
use toml::{Table, Value};

/// Which scenario.
#[derive(clap::Args)]
pub struct Arguments {
    /// The scenario's file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Flags of its measure that are added to those of the file, behind `--`.
    #[arg(last = true, value_name = "FLAGS")]
    more: Vec<OsString>,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    title: String,
    measure: String,
    #[serde(default)]
    flags: Table,
}

/// The command line that a scenario stands for, this program's name first.
///
/// # Errors
/// No such file, no scenario, a value that no flag can have.
pub fn command_line(arguments: &Arguments) -> Result<Vec<OsString>, String> {
    let path = arguments.file.display();
    let text =
        std::fs::read_to_string(&arguments.file).map_err(|error| format!("reading {path}: {error}"))?;
    let (title, mut line) = parse(&text).map_err(|error| format!("{path}: {error}"))?;
    line.extend(arguments.more.iter().cloned());
    let words: Vec<_> = line.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    eprintln!("lockstep-bench: {title}: {}", words.join(" "));
    Ok(line)
}

/// A scenario's title, and the command line that it stands for.
///
/// # Errors
/// The place that is wrong.
pub fn parse(text: &str) -> Result<(String, Vec<OsString>), String> {
    let Scenario { title, measure, flags } = toml::from_str(text).map_err(|error| error.to_string())?;
    if measure == "run" {
        return Err("measure: a scenario names no other scenario".to_owned());
    }
    let mut line = vec![OsString::from(env!("CARGO_PKG_NAME")), OsString::from(measure)];
    for (name, value) in flags {
        match value {
            Value::Boolean(false) => {}
            Value::Boolean(true) => line.push(format!("--{name}").into()),
            Value::Array(members) => {
                let members = members.iter().map(|member| word(&name, member));
                line.push(format!("--{name}={}", members.collect::<Result<Vec<_>, _>>()?.join(",")).into());
            }
            one => line.push(format!("--{name}={}", word(&name, &one)?).into()),
        }
    }
    Ok((title, line))
}

fn word(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        other => Err(format!("flags.{name}: a text, a number or a list of them, no {}", other.type_str())),
    }
}
