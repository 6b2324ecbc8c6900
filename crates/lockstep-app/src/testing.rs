//! A cluster for tests of programs: the program `lockstep dev`, as a process that ends with this value. A
//! test need not compile a sequencer.

use lockstep_client::{ConfigErrors, Endpoint};
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The text of `lockstep dev` before the path of the cluster's file.
const FILE: &str = "export LOCKSTEP_CONFIG=";
/// The default timeout of a start. `lockstep dev` itself waits for a leader half as long.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a late cluster has to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Open as long as the cluster runs, which could not print otherwise.
    _lines: BufReader<ChildStdout>,
    config: PathBuf,
}

impl DevCluster {
    /// A cluster with a new stream.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: the program `lockstep` is not in the `PATH`. [`ErrorKind::TimedOut`]: no
    /// replica leads within two minutes. Any other: it cannot run a cluster here.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with flags of `lockstep dev`, e.g. `["--set",
    /// "stream.message_len_max=1024"]`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(flags: &[&str]) -> io::Result<Self> {
        Self::start_program("lockstep".as_ref(), flags, START_TIMEOUT)
    }

    fn start_program(program: &OsStr, flags: &[&str], timeout: Duration) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["dev", "--until-stdin-ends"]).args(flags);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| {
            let what = "the program `lockstep` cannot be run from the PATH";
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })?;
        let lines = BufReader::new(child.stdout.take().ok_or(ErrorKind::BrokenPipe)?);
        let (sender, found) = channel();
        std::thread::spawn(move || sender.send(config_of(lines)));
        match found.recv_timeout(timeout) {
            Ok(Ok(Some((config, lines)))) => Ok(Self { child, _lines: lines, config }),
            Ok(Err(error)) => {
                end(&mut child)?;
                Err(error)
            }
            Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => {
                let status = end(&mut child)?;
                let what = format!("`lockstep dev` ended ({status}) before a replica led; stderr says why");
                Err(io::Error::other(what))
            }
            Err(RecvTimeoutError::Timeout) => {
                end(&mut child)?;
                let what =
                    format!("`lockstep dev` has no leader after {timeout:?}, and was ended; stderr says why");
                Err(io::Error::new(ErrorKind::TimedOut, what))
            }
        }
    }

    /// The cluster's file, for `LOCKSTEP_CONFIG` of a program under test.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The endpoint of that file.
    ///
    /// # Errors
    /// A variable `LOCKSTEP_…` of the environment is invalid.
    pub fn endpoint(&self) -> Result<Endpoint, ConfigErrors> {
        Endpoint::from_file(&self.config)
    }
}

/// Reads up to the line with the path of the cluster's file; `None`: the output ends before.
fn config_of(mut lines: BufReader<ChildStdout>) -> io::Result<Option<(PathBuf, BufReader<ChildStdout>)>> {
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if let Some(path) = line.trim().strip_prefix(FILE) {
            return Ok(Some((path.into(), lines)));
        }
        line.clear();
    }
    Ok(None)
}

/// Ends a cluster that is not returned to the caller: it removes its folder, if it ends by itself.
fn end(child: &mut Child) -> io::Result<ExitStatus> {
    drop(child.stdin.take());
    let began = Instant::now();
    while began.elapsed() < END_TIMEOUT {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the cluster ends with it
        let _ = self.child.wait(); // a killed cluster has ended already
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// The error of a start of this script in place of `lockstep`.
    fn error_of(script: &str, timeout: Duration) -> io::Error {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("lockstep");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a script");
        DevCluster::start_program(program.as_os_str(), &[], timeout).expect_err("it runs no cluster")
    }

    #[test]
    fn a_cluster_that_does_not_lead_in_its_time_is_ended_and_said_to_be_late() {
        let began = Instant::now();
        let late = error_of("echo three replicas; exec cat 3>&1 >/dev/null", Duration::from_millis(300));
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        assert!(late.to_string().contains("has no leader after 300ms, and was ended"), "{late}");
        assert!(began.elapsed() < END_TIMEOUT, "one that ends by itself is not waited for");
        let stubborn = error_of("exec sleep 1000", Duration::from_millis(1));
        assert_eq!(stubborn.kind(), ErrorKind::TimedOut, "it is killed: {stubborn}");
    }

    #[test]
    fn a_cluster_that_ends_before_it_leads_is_an_error_with_its_code() {
        let silent = error_of("exec cat >/dev/null", START_TIMEOUT);
        assert!(silent.to_string().contains("before a replica led"), "it says no more: {silent}");
        let ended = error_of("exit 7", START_TIMEOUT);
        assert!(ended.to_string().contains("7) before a replica led; stderr says why"), "{ended}");
        let absent = DevCluster::start_program("/nowhere/lockstep".as_ref(), &[], START_TIMEOUT);
        assert!(absent.is_err_and(|error| error.kind() == ErrorKind::NotFound));
    }
}
