//! # package: what a package has beside the program
//!
//! Manual pages and completions, made from the definition of the commands, so that they cannot differ from
//! it. `tools/release.sh` calls it; `Cargo.toml` ([package.metadata.deb]) says where each file goes.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Shells whose completions a package has, with the file's name there.
const SHELLS: [(&str, &str); 3] =
    [("bash", "lockstep.bash"), ("zsh", "_lockstep"), ("fish", "lockstep.fish")];

/// Writes one manual page for the program and one for each of its commands into `folder`.
///
/// # Errors
/// The folder cannot be written.
pub fn manual(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(lockstep::cli::command(), folder)
}

/// Writes the completions of `program` into `folder`.
///
/// # Errors
/// The folder cannot be written, or the program does not run.
pub fn completions(program: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (shell, file) in SHELLS {
        let output = Command::new(program).args(["completions", shell]).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("lockstep completions {shell}: {}", output.status)));
        }
        fs::write(folder.join(file), output.stdout)?;
    }
    Ok(())
}
