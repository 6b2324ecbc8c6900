//! The program `lockstep-demo`, which `lockstep demo` and `lockstep dev` start: argv → role; exit codes.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lockstep_demo::run(std::env::args_os()))
}
