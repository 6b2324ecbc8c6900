//! A cluster for tests of programs. It is the program `lockstep dev`, as a process that ends with its value:
//! a test compiles nothing of a sequencer.

use lockstep_client::{ConfigErrors, Endpoint};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What `lockstep dev` prints before the path of the cluster's file.
const FILE: &str = "export LOCKSTEP_CONFIG=";

/// For a leader: a busy host needs seconds.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// A cluster with a stream that begins; a replica leads within a minute.
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
        let stdout = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        match file_within(PATIENCE, stdout) {
            Ok(Some((lines, config))) => Ok(Self { child, _lines: lines, config }),
            Ok(None) => {
                let status = child.wait()?;
                Err(io::Error::other(format!(
                    "`lockstep dev` ended ({status}) before a replica led; stderr says why"
                )))
            }
            Err(error) => {
                child.kill()?; // its replicas end with it
                child.wait()?;
                Err(error)
            }
        }
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

/// Its stdout behind the path that `lockstep dev` prints once a replica leads, and that path; none if it ends
/// before.
fn file_within<R: io::Read + Send + 'static>(
    patience: Duration,
    stdout: R,
) -> io::Result<Option<(BufReader<R>, PathBuf)>> {
    let (found, file) = mpsc::channel();
    let read = move || {
        let (mut lines, mut line) = (BufReader::new(stdout), String::new());
        let result = loop {
            line.clear();
            match lines.read_line(&mut line) {
                Err(error) => break Err(error),
                Ok(0) => break Ok(None),
                Ok(_) => {}
            }
            if let Some(path) = line.trim().strip_prefix(FILE) {
                break Ok(Some((lines, path.into())));
            }
        };
        let _ = found.send(result); // nobody waits any more
    };
    thread::Builder::new().name("lockstep-dev".to_owned()).spawn(read)?;
    file.recv_timeout(patience).map_err(|_| {
        io::Error::new(ErrorKind::TimedOut, format!("no replica leads within {patience:?}; stderr says why"))
    })?
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the cluster ends with it
        let _ = self.child.wait(); // one that was killed is gone already
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_file_is_found_and_silence_ends_when_its_time_is_over() {
        let (stdout, mut stdin) = io::pipe().unwrap();
        stdin.write_all(b"replicas start\n  export LOCKSTEP_CONFIG=/a/file.toml\nmore\n").unwrap();
        let (_, config) = file_within(PATIENCE, stdout).unwrap().unwrap();
        assert_eq!(config, Path::new("/a/file.toml"));
        let (silent, stdin) = io::pipe().unwrap();
        let refused = file_within(Duration::from_millis(20), silent).map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut);
        assert!(refused.to_string().contains("no replica leads within 20ms"), "{refused}");
        drop(stdin);
        assert!(file_within(PATIENCE, io::empty()).unwrap().is_none());
    }
}
