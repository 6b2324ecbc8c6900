//! `lockstep completions`: what a shell completes, from the definition of the commands.

use clap::Args;
use clap_complete::Shell;
use lockstep_daemon::Failure;
use std::io::Write;

/// Flags of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script of a shell.
pub fn run(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "lockstep", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(0)
}
