//! `lockstep lab`: the laboratory of protocols. It is a program of its own, so that the daemons' program has
//! none of it.

use super::Failure;
use super::failure::NOT_READY;
use clap::Args;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

/// The laboratory's program.
const PROGRAM: &str = "lockstep-lab";

/// What the laboratory is given.
#[derive(Args, Debug)]
pub struct LabArgs {
    /// What `lockstep-lab` takes: `list`, `explain`, `run`, `check`, `draw`, `compare`; `help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    args: Vec<OsString>,
}

/// Runs it: the one beside this program, or else the one that the shell would find.
pub fn run(args: &LabArgs) -> Result<u8, Failure> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(PROGRAM));
    match Command::new(&program).args(&args.args).status() {
        // Ended by a signal: as a shell says it.
        Ok(status) => Ok(status.code().map_or(u8::MAX, |code| code as u8)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let what = format!(
                "the laboratory is a program of its own, and neither beside this one nor in the PATH there is a {PROGRAM}: \
                 `cargo build --release -p {PROGRAM}` in a clone makes it"
            );
            Err(Failure::new(NOT_READY, what))
        }
        Err(error) => Err(lockstep_io::IoError::new(format!("run {}", program.display()), error).into()),
    }
}
