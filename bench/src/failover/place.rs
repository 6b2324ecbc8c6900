//! Where a replica runs: on this host.

use std::ffi::OsStr;
use std::process::Command;

/// See the module.
#[derive(Clone, Debug)]
pub struct Place(());

impl Place {
    /// This host.
    pub fn host() -> Self {
        Self(())
    }

    /// `program` here, without arguments yet.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(program)
    }

    /// x
    pub fn cut(&self) -> Result<(), String> {
        Err(String::from("a replica on loopback cannot be cut off"))
    }

    /// x
    pub fn heal(&self) -> Result<(), String> {
        Err(String::from("a replica on loopback cannot be cut off"))
    }
}
