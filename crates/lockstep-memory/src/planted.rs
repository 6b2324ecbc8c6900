//! A rule that is broken on purpose, in a process of its own: what is planted is planted for the whole
//! process.

use lockstep_core::proto::planted::{Mutation, plant};
use std::process::Command;

const PLANTED: &str = "LOCKSTEP_PLANTED_ONE";

/// The mutation that the environment names is planted, if it names one.
pub fn plant_what_is_asked() {
    if let Ok(name) = std::env::var(PLANTED) {
        let named = Mutation::ALL.iter().find(|(mutation, ..)| format!("{mutation:?}") == name);
        plant(Some(named.expect("the name of a mutation").0));
    }
}

/// Each of `found` is a mutation with the test of this program that finds it, or with the script for the test
/// `walks`: the test passes with nothing planted, and fails with the mutation.
pub fn each_is_found(walks: Option<&str>, found: &[(Mutation, &str)]) {
    let mut missed = Vec::new();
    for &(mutation, by) in found {
        let passes = |planted: Option<Mutation>| {
            let mut command = Command::new(std::env::current_exe().expect("a program knows where it lies"));
            match walks {
                Some(walks) => command.args(["--exact", walks]).env("RUN", by),
                None => command.args(["--exact", by]),
            };
            if let Some(mutation) = planted {
                command.env(PLANTED, format!("{mutation:?}"));
            }
            let outcome = command.output().expect("it runs");
            let output = String::from_utf8_lossy(&outcome.stdout).into_owned();
            assert!(output.contains("running 1 test"), "{} is no test: {output}", walks.unwrap_or(by));
            outcome.status.success()
        };
        assert!(passes(None), "{by} fails with nothing planted");
        match passes(Some(mutation)) {
            true => missed.push((mutation, by)),
            false => println!("{mutation:?}: found by {by}"),
        }
    }
    assert!(missed.is_empty(), "these pass with the rule broken: {missed:?}");
}
