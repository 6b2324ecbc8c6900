//! The command line: argv → role; exit codes.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lockstep::cli::run(std::env::args_os()))
}
