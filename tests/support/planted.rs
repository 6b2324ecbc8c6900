//! A rule that is broken on purpose, in a process of its own: what is planted is planted for the whole process.

use lockstep::proto::planted::{Mutation, plant};
use std::process::Command;

const PLANTED: &str = "LOCKSTEP_PLANTED_ONE";

/// The mutation that the environment names is planted, if it names one.
pub fn plant_what_is_asked() {
    if let Ok(name) = std::env::var(PLANTED) {
        let named = Mutation::ALL.iter().find(|(mutation, ..)| format!("{mutation:?}") == name);
        plant(Some(named.expect("the name of a mutation").0));
    }
}

/// Each of `found` is a mutation with the script that finds it: the test `walks` of this program passes with that script
/// and nothing planted, and fails with the mutation.
pub fn each_is_found(walks: &str, found: &[(Mutation, &str)]) {
    let mut missed = Vec::new();
    for &(mutation, script) in found {
        let passes = |planted: Option<Mutation>| {
            let mut command = Command::new(std::env::current_exe().expect("a program knows where it lies"));
            command.args(["--exact", walks]).env("RUN", script);
            if let Some(mutation) = planted {
                command.env(PLANTED, format!("{mutation:?}"));
            }
            let outcome = command.output().expect("it runs");
            let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
            assert!(said.contains("running 1 test"), "{walks} is no test: {said}");
            outcome.status.success()
        };
        assert!(passes(None), "{script} fails with nothing planted");
        match passes(Some(mutation)) {
            true => missed.push((mutation, script)),
            false => println!("{mutation:?}: found by {script}"),
        }
    }
    assert!(missed.is_empty(), "no story fails where it should: {missed:?}");
}
