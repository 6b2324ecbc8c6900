//! A child of the demo: started, watched, and ended whatever happens.

use crate::cli::Failure;
use crate::cli::failure::{FAILED, NOT_READY};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_process::signal::Signal;
use lockstep_wire::Nanos;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Lines of a dead child's stderr that are shown.
const LAST_LINES: usize = 12;

/// What becomes of a child's stdout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wiring {
    /// It has nothing to say.
    Silent,
    /// It speaks to us.
    Talking,
}

/// A child. Dropping it ends it.
pub struct Process {
    name: String,
    args: Vec<String>,
    wiring: Wiring,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: PathBuf,
    /// What was done to it on purpose, until it is back.
    struck: Option<Signal>,
}

impl Process {
    /// Starts this program anew with `args`; its stderr goes to a file in `folder`. Variables of our name
    /// stay out: the demo's configuration is its own.
    pub fn start(name: &str, args: &[String], folder: &Path, wiring: Wiring) -> Result<Self, Failure> {
        Self::start_over(name, args, folder.join(format!("{name}.log")), wiring)
    }

    /// The same; what was said before stays in the log.
    fn start_over(name: &str, args: &[String], stderr: PathBuf, wiring: Wiring) -> Result<Self, Failure> {
        let fails = |error| IoError::new(format!("start the demo's {name}"), error);
        let log = File::options().create(true).append(true).open(&stderr).map_err(fails)?;
        let mut command = Command::new(std::env::current_exe().map_err(fails)?);
        command.args(args).stdin(Stdio::piped()).stderr(log);
        command.stdout(if wiring == Wiring::Talking { Stdio::piped() } else { Stdio::null() });
        let ours = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("LOCKSTEP_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(fails)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (name, args) = (name.to_owned(), args.to_vec());
        Ok(Self { name, args, wiring, child, stdin, stdout, stderr, struck: None })
    }

    /// Kills it, or stops it where it is: until it is back it counts as alive.
    pub fn strike(&mut self, signal: Signal) -> Result<(), Failure> {
        self.struck = Some(signal);
        Ok(signal.send(&self.child)?)
    }

    /// Brings it back: resumed if it was stopped, else started anew with the same arguments.
    pub fn revive(&mut self) -> Result<(), Failure> {
        match self.struck.take() {
            None => Ok(()),
            Some(Signal::Stop) => Ok(Signal::Continue.send(&self.child)?),
            Some(_) => {
                let ended = self.child.wait();
                ended.map_err(|error| IoError::new(format!("wait for the demo's {}", self.name), error))?;
                self.restart()
            }
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.status()
    }

    /// Starts it anew, with the same arguments, after it has ended.
    pub fn restart(&mut self) -> Result<(), Failure> {
        *self = Self::start_over(&self.name, &self.args, self.stderr.clone(), self.wiring)?;
        Ok(())
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Tells it something.
    pub fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let told = self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(line.as_bytes()));
        told.map_err(|error| IoError::new(format!("speak to the demo's {}", self.name), error).into())
    }

    /// Tells it to end.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// An error if it has ended; nobody told it to.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        match self.status()? {
            None => Ok(()),
            Some(_) if self.struck.is_some() => Ok(()),
            Some(status) => Err(self.died(status)),
        }
    }

    /// Waits until it ends, and for nothing less than exit code 0.
    pub fn await_good_end(&mut self, patience: Duration) -> Result<(), Failure> {
        let clock = Clock::start();
        let deadline = clock.now() + patience.as_nanos() as Nanos;
        loop {
            match self.status()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.died(status)),
                None if clock.now() > deadline => {
                    let last = self.stderr_tail();
                    let what =
                        format!("{} did not end within {patience:?}; its last words:\n{last}", self.name);
                    return Err(Failure::new(NOT_READY, what));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Waits for its end, which has begun, and returns it as the failure that it is: there was more to do.
    pub fn await_death(&mut self, patience: Duration) -> Failure {
        match self.await_good_end(patience) {
            Err(failure) => failure,
            Ok(()) => {
                let what =
                    format!("{} ended without a summary; its last words:\n{}", self.name, self.stderr_tail());
                Failure::new(FAILED, what)
            }
        }
    }

    fn status(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let status = self.child.try_wait();
        Ok(status.map_err(|error| IoError::new(format!("look after the demo's {}", self.name), error))?)
    }

    /// Its own code says why it ended; one that a signal ended has none.
    fn died(&self, status: ExitStatus) -> Failure {
        let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
        let what = format!("{} ended early ({status}); its last words:\n{}", self.name, self.stderr_tail());
        Failure::new(code.unwrap_or(FAILED), what)
    }

    fn stderr_tail(&self) -> String {
        let text = fs::read(&self.stderr).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        if last.is_empty() { "  (none)".to_owned() } else { format!("  {}", last.join("\n  ")) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
