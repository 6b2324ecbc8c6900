//! A program that is compared: run anew for every turn, and asked for its results.

use crate::results::Results;
use lockstep_process::child::ChildGuard;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// A run that takes longer is ended.
const RUN_MAX: Duration = Duration::from_secs(120);
/// What a program may say at most: results with histograms are far smaller.
const BYTES_MAX: u64 = 64 << 20;
/// What a measure prints that this machine cannot do.
const SKIPPED: &[u8] = b"SKIPPED:";

/// What a run gave.
pub enum Ran {
    /// What it measured.
    Results(Box<Results>),
    /// Why this machine cannot measure that, in its own words.
    Skipped(String),
}

/// A `lockstep-bench`, or what behaves like one.
pub struct Contestant {
    program: PathBuf,
}

impl Contestant {
    /// The program at `path`.
    ///
    /// # Errors
    /// The current folder has no name.
    pub fn new(path: &Path) -> Result<Self, String> {
        // Without a folder in front, a name would be looked up in PATH.
        let program =
            std::path::absolute(path).map_err(|error| format!("finding {}: {error}", path.display()))?;
        Ok(Self { program })
    }

    /// One run of `measure`.
    ///
    /// # Errors
    /// It did not start, failed, took too long, or printed no results; the program is named.
    pub fn run(&self, measure: &[String]) -> Result<Ran, String> {
        let of = |why: String| format!("{} {}: {why}", self.program.display(), measure.join(" "));
        let mut command = Command::new(&self.program);
        command.args(measure).arg("--json").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child =
            ChildGuard::from(command.spawn().map_err(|error| of(format!("it does not start: {error}")))?);
        let output = child.stdout.take().ok_or_else(|| of("it has no output".to_owned()))?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(BYTES_MAX).read_to_end(&mut bytes);
            // Nobody waits any more where the run took too long.
            let _ = sender.send(read.map(|_| bytes));
        });
        let bytes = match receiver.recv_timeout(RUN_MAX) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(of(format!("reading what it prints: {error}"))),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(of(format!("not done after {} s; give it less to do", RUN_MAX.as_secs())));
            }
        };
        let status = child.wait().map_err(|error| of(error.to_string()))?;
        if bytes.starts_with(SKIPPED) {
            return Ok(Ran::Skipped(String::from_utf8_lossy(&bytes).trim().to_owned()));
        }
        if !status.success() {
            return Err(of(format!("it failed with {status}")));
        }
        Results::parse(&bytes).map(|results| Ran::Results(Box::new(results))).map_err(of)
    }
}
