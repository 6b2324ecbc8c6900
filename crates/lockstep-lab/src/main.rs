//! The laboratory's own program: `cargo run --release -p lockstep-lab -- list`.

use clap::Parser;
use lockstep_lab::cards::ALL;
use lockstep_lab::command::{LabArgs, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&ALL, &LabArgs::parse(), &mut std::io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        // A reader that has seen enough, like `head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lockstep-lab: writing the output: {error}");
            ExitCode::FAILURE
        }
    }
}
