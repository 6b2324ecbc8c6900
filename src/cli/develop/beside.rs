//! Commands that are programs of their own, so that the daemons' program has none of them. The one beside
//! this program takes its place, or else the one that the shell would find.

use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::NOT_READY;
use lockstep_io::IoError;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Arguments that another program takes as they are.
#[derive(Args, Debug)]
pub struct PassedArgs {
    /// Passed on as they are; `--help` shows what there is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    args: Vec<OsString>,
}

/// A program beside this one.
pub struct SideProgram {
    /// Its file.
    program: &'static str,
    /// What errors call it.
    what: &'static str,
    /// What builds it in a clone, and runs it where that needs no more.
    made_by: &'static str,
}

/// A whole cluster on this host: `demo` and `dev`.
pub const DEMO: SideProgram = SideProgram {
    program: "lockstep-demo",
    what: "the demo",
    made_by: "`cargo run --release -p lockstep-demo` in a clone builds and runs it",
};

/// The cluster over a virtual network, disk and clock: `sim` and `netsim`.
pub const SIMULATOR: SideProgram = SideProgram {
    program: "lockstep-sim",
    what: "the simulator",
    made_by: "`cargo build --release -p lockstep-sim-program` in a clone makes it",
};

/// The stream in other systems.
pub const BRIDGE: SideProgram = SideProgram {
    program: "lockstep-bridge",
    what: "the bridge",
    made_by: "`cargo build --release -p lockstep-bridge` in a clone makes it",
};

/// Protocols of the theory.
pub const LABORATORY: SideProgram = SideProgram {
    program: "lockstep-lab",
    what: "the laboratory",
    made_by: "`cargo build --release -p lockstep-lab` in a clone makes it",
};

impl SideProgram {
    /// Replaces this process by the program: these arguments of ours come before those that were passed. It
    /// returns only if that fails.
    pub fn exec(&self, first: &[&str], args: &PassedArgs) -> Result<u8, Failure> {
        let program = self.program;
        let beside = std::env::current_exe().ok().map(|own| own.with_file_name(program));
        let path = beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(program));
        let error = Command::new(&path).args(first).args(&args.args).exec();
        if error.kind() == ErrorKind::NotFound {
            let text = format!(
                "{} is a program of its own, and neither beside this one nor in the PATH there is a {program}: {}",
                self.what, self.made_by
            );
            return Err(Failure::new(NOT_READY, text));
        }
        Err(IoError::new(format!("run {}", path.display()), error).into())
    }
}
