//! What tests of the bench share: the program, run once, and what it gave out.

use serde::de::DeserializeOwned;
use std::process::{Command, Output};

/// Runs the bench to its end.
pub fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-bench"));
    command.args(arguments).output().expect("the bench runs")
}

/// What it wrote to standard error.
pub fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The results as JSON; nothing where the machine cannot measure, which the bench says itself.
pub fn report_of<T: DeserializeOwned>(output: &Output) -> Option<T> {
    if output.stdout.starts_with(b"SKIPPED:") {
        print!("{}", String::from_utf8_lossy(&output.stdout));
        return None;
    }
    Some(
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", stderr_of(output))),
    )
}

/// The results of a run that succeeds.
pub fn measured<T: DeserializeOwned>(arguments: &[&str]) -> Option<T> {
    let output = bench(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr_of(&output));
    report_of(&output)
}
