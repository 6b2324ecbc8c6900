//! A child of the demo: started, watched, and ended whatever happens.

use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_io::IoError;
use lockstep_process::child::{LoggedChild, await_end, clear_settings};
use lockstep_process::signal::Signal;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
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
pub struct DemoProcess {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    wiring: Wiring,
    child: LoggedChild,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    /// What was done to it on purpose, until it is back.
    struck: Option<Signal>,
}

impl DemoProcess {
    /// Starts this program anew with `args`; its stderr goes to a file in `folder`. Variables of our name
    /// stay out: the demo's configuration is its own.
    pub fn start(name: &str, args: &[String], folder: &Path, wiring: Wiring) -> Result<Self, Failure> {
        let own = std::env::current_exe();
        let own = own.map_err(|error| IoError::new(format!("start the demo's {name}"), error))?;
        Self::start_program(&own, name, args, folder, wiring)
    }

    /// The same of another program.
    pub fn start_program(
        program: &Path,
        name: &str,
        args: &[String],
        folder: &Path,
        wiring: Wiring,
    ) -> Result<Self, Failure> {
        Self::start_over(program, name, args, folder.join(format!("{name}.log")), wiring)
    }

    /// The same; what was said before stays in the log.
    fn start_over(
        program: &Path,
        name: &str,
        args: &[String],
        stderr: PathBuf,
        wiring: Wiring,
    ) -> Result<Self, Failure> {
        let fails = |error| IoError::new(format!("start the demo's {name}"), error);
        let mut command = Command::new(program);
        command.args(args);
        clear_settings(&mut command);
        let stdout = if wiring == Wiring::Talking { Stdio::piped() } else { Stdio::null() };
        let mut child = LoggedChild::start(command, stdout, stderr).map_err(fails)?;
        let (stdin, stdout) = (child.child_mut().stdin.take(), child.child_mut().stdout.take());
        let (name, program, args) = (name.to_owned(), program.to_owned(), args.to_vec());
        Ok(Self { name, program, args, wiring, child, stdin, stdout, struck: None })
    }

    /// Kills it, or stops it where it is: until it is back it counts as alive.
    pub fn strike(&mut self, signal: Signal) -> Result<(), Failure> {
        self.struck = Some(signal);
        Ok(signal.send(self.child.child())?)
    }

    /// Brings it back: resumed if it was stopped, else started anew with the same arguments.
    pub fn revive(&mut self) -> Result<(), Failure> {
        match self.struck.take() {
            None => Ok(()),
            Some(Signal::Stop) => Ok(Signal::Continue.send(self.child.child())?),
            Some(_) => {
                let ended = self.child.child_mut().wait();
                ended.map_err(|error| IoError::new(format!("wait for the demo's {}", self.name), error))?;
                self.restart()
            }
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.status(Duration::ZERO)
    }

    /// Starts it anew, with the same arguments, after it has ended.
    pub fn restart(&mut self) -> Result<(), Failure> {
        let log = self.child.log_path().to_owned();
        *self = Self::start_over(&self.program, &self.name, &self.args, log, self.wiring)?;
        Ok(())
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.child().id()
    }

    /// What it says, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Tells it something.
    pub fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(line.as_bytes()));
        written.map_err(|error| IoError::new(format!("speak to the demo's {}", self.name), error).into())
    }

    /// Tells it to end.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// An error if it has ended; nobody told it to.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        match self.status(Duration::ZERO)? {
            None => Ok(()),
            Some(_) if self.struck.is_some() => Ok(()),
            Some(status) => Err(self.died(status)),
        }
    }

    /// Waits until it ends, and for nothing less than exit code 0.
    pub fn await_good_end(&mut self, patience: Duration) -> Result<(), Failure> {
        match self.status(patience)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.died(status)),
            None => {
                let last = self.stderr_tail();
                let what = format!("{} did not end within {patience:?}; its last words:{last}", self.name);
                Err(Failure::new(NOT_READY, what))
            }
        }
    }

    /// Waits for its end, which has begun, and returns it as the failure that it is: there was more to do.
    pub fn await_death(&mut self, patience: Duration) -> Failure {
        match self.await_good_end(patience) {
            Err(failure) => failure,
            Ok(()) => {
                let what =
                    format!("{} ended without a summary; its last words:{}", self.name, self.stderr_tail());
                Failure::new(FAILED, what)
            }
        }
    }

    /// How it ended, if it does within `patience`.
    fn status(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Failure> {
        let status = await_end(self.child.child_mut(), patience);
        Ok(status.map_err(|error| IoError::new(format!("look after the demo's {}", self.name), error))?)
    }

    /// Its own code says why it ended; one that a signal ended has none.
    fn died(&self, status: ExitStatus) -> Failure {
        let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
        let what = format!("{} ended early ({status}); its last words:{}", self.name, self.stderr_tail());
        Failure::new(code.unwrap_or(FAILED), what)
    }

    fn stderr_tail(&self) -> String {
        let last = self.child.last_lines(LAST_LINES, "  ");
        if last.is_empty() { "\n  (none)".to_owned() } else { last }
    }
}
