//! The laboratory's own program: `cargo run --release -p lockstep-lab -- list`.

use clap::Parser;
use lockstep_lab::cards::ALL;
use lockstep_lab::command::{LabArgs, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    match run(&ALL, &LabArgs::parse(), &mut out, &mut errors) {
        Ok(code) => ExitCode::from(code),
        // A reader that has seen enough, like `head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(errors);
            eprintln!("lockstep-lab: writing the output: {error}");
            ExitCode::FAILURE
        }
    }
}
