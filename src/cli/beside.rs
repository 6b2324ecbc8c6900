//! Commands that are programs of their own, so that the daemons' program has none of them. The one beside
//! this program takes its place, or else the one that the shell would find.

use super::Failure;
use super::failure::NOT_READY;
use clap::Args;
use lockstep_io::IoError;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Arguments that another program takes as they are.
#[derive(Args, Debug)]
pub struct PassedArgs {
    /// Passed on as they are; `help` shows what there is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    args: Vec<OsString>,
}

/// Replaces this process by `program`, which is `what` it is called in errors. It returns only if that fails.
pub fn exec(program: &str, what: &str, args: &PassedArgs) -> Result<u8, Failure> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(program));
    let path = beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(program));
    let error = Command::new(&path).args(&args.args).exec();
    if error.kind() == ErrorKind::NotFound {
        let text = format!(
            "{what} is a program of its own, and neither beside this one nor in the PATH there is a {program}: \
             `cargo build --release -p {program}` in a clone makes it"
        );
        return Err(Failure::new(NOT_READY, text));
    }
    Err(IoError::new(format!("run {}", path.display()), error).into())
}
