//! A cluster for tests of programs. It is the program `lockstep dev`, as a process that ends with its value:
//! a test compiles nothing of a sequencer.

use lockstep_client::{ConfigErrors, Endpoint};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What `lockstep dev` prints before the path of the cluster's file.
const FILE: &str = "export LOCKSTEP_CONFIG=";

/// Three replicas on this host, of which one leads, until the value is dropped. What they log goes to stderr.
///
/// ```no_run
/// use lockstep_app::testing::DevCluster;
/// use lockstep_client::{Delivery, Participant, Start};
/// use std::process::Command;
///
/// let cluster = DevCluster::start().unwrap();
/// let participant = Participant::connect(&cluster.endpoint().unwrap(), Delivery::Committed, Start::From(1));
/// let program = Command::new("a program of yours").env("LOCKSTEP_CONFIG", cluster.config()).spawn();
/// ```
#[derive(Debug)]
pub struct DevCluster {
    child: Child,
    /// Open as long as the cluster runs: it could print no more otherwise.
    _lines: BufReader<ChildStdout>,
    config: PathBuf,
}

impl DevCluster {
    /// A cluster with a stream that begins.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: the program `lockstep` is not in the `PATH`. Any other: it runs no cluster
    /// here.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// The same with flags of `lockstep dev`, e.g. `["--set", "stream.message_len_max=1024"]`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(flags: &[&str]) -> io::Result<Self> {
        let mut command = Command::new("lockstep");
        command.args(["dev", "--until-stdin-ends"]).args(flags);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| {
            let what = "the program `lockstep` cannot be run from the PATH";
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })?;
        let mut lines = BufReader::new(child.stdout.take().ok_or(ErrorKind::BrokenPipe)?);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            if let Some(path) = line.trim().strip_prefix(FILE) {
                return Ok(Self { child, _lines: lines, config: path.into() });
            }
            line.clear();
        }
        let status = child.wait()?;
        Err(io::Error::other(format!(
            "`lockstep dev` ended ({status}) before a replica led; stderr says why"
        )))
    }

    /// The cluster's file, for `LOCKSTEP_CONFIG` of a program that is tested.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The endpoint of that file.
    ///
    /// # Errors
    /// A variable `LOCKSTEP_…` of the environment is wrong.
    pub fn endpoint(&self) -> Result<Endpoint, ConfigErrors> {
        Endpoint::from_file(&self.config)
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the cluster ends with it
        let _ = self.child.wait(); // one that was killed is gone already
    }
}
