//! A process of a trial: started, watched, struck, and ended whatever happens.

use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_io::IoError;
use lockstep_process::child::{LoggedChild, await_end, clear_settings};
use lockstep_process::signal::Signal;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Lines of a process's stderr that are shown when something is wrong.
const LAST_LINES: usize = 12;
/// How long the end of a process may take that was killed.
const KILLED: Duration = Duration::from_secs(60);

/// What becomes of a process's stdout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wiring {
    /// It has nothing to say.
    Silent,
    /// It speaks to us.
    Talking,
}

/// A process. Dropping it ends it.
pub struct TrialProcess {
    name: String,
    command: Box<dyn Fn() -> Command>,
    wiring: Wiring,
    child: LoggedChild,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    /// What was done to it on purpose, until it is back.
    struck: Option<Signal>,
}

impl TrialProcess {
    /// Starts what `command` says, now and each time that it is started anew; its stderr goes to `log`, where
    /// what was said before stays. Variables of our name stay out: the trial's configuration is its own.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        name: &str,
        command: impl Fn() -> Command + 'static,
        log: PathBuf,
        wiring: Wiring,
    ) -> Result<Self, Failure> {
        Self::start_over(name.to_owned(), Box::new(command), log, wiring)
    }

    /// The same of a program with these arguments.
    ///
    /// # Errors
    /// It does not start.
    pub fn of_program(
        name: &str,
        program: PathBuf,
        args: Vec<String>,
        log: PathBuf,
        wiring: Wiring,
    ) -> Result<Self, Failure> {
        let command = move || {
            let mut command = Command::new(&program);
            command.args(&args);
            command
        };
        Self::start(name, command, log, wiring)
    }

    fn start_over(
        name: String,
        command: Box<dyn Fn() -> Command>,
        log: PathBuf,
        wiring: Wiring,
    ) -> Result<Self, Failure> {
        let mut child = launch(&name, &command, log, wiring)?;
        let (stdin, stdout) = (child.child_mut().stdin.take(), child.child_mut().stdout.take());
        Ok(Self { name, command, wiring, child, stdin, stdout, struck: None })
    }

    /// Kills it, or stops it where it is: until it is back it counts as alive.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn strike(&mut self, signal: Signal) -> Result<(), Failure> {
        self.struck = Some(signal);
        self.signal(signal)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(signal.send(self.child.child())?)
    }

    /// Brings it back: resumed if it was stopped, else started anew once it has ended.
    ///
    /// # Errors
    /// It does not end, or does not start.
    pub fn revive(&mut self) -> Result<(), Failure> {
        match self.struck.take() {
            None => Ok(()),
            Some(Signal::Stop) => self.signal(Signal::Continue),
            Some(_) => {
                self.await_end(KILLED)?;
                self.restart()
            }
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system reports an error.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.status(Duration::ZERO)
    }

    /// Starts it anew, with the same arguments, after it has ended.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<(), Failure> {
        let mut child = launch(&self.name, &self.command, self.child.log_path().to_owned(), self.wiring)?;
        (self.stdin, self.stdout) = (child.child_mut().stdin.take(), child.child_mut().stdout.take());
        (self.child, self.struck) = (child, None);
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

    /// The process itself, for a signal to a child of its own.
    pub fn child(&self) -> &Child {
        self.child.child()
    }

    /// Its stderr so far.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// What it says, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// The first line that it says, without its end; it says nothing else that is read.
    ///
    /// # Errors
    /// It has ended before, or does not speak to us.
    pub fn first_line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        let read = self.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        match read {
            Some(Ok(len)) if len > 0 => Ok(line.trim().to_owned()),
            _ => Err(Failure::new(FAILED, format!("{} did not start{}", self.name, self.last_words()))),
        }
    }

    /// Tells it something.
    ///
    /// # Errors
    /// It has closed its stdin.
    pub fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(line.as_bytes()));
        written.map_err(|error| IoError::new(format!("speak to {}", self.name), error).into())
    }

    /// Tells it to end.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// An error if it has ended; nobody told it to.
    ///
    /// # Errors
    /// How it ended, and its last words.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        match self.status(Duration::ZERO)? {
            None => Ok(()),
            Some(_) if self.struck.is_some() => Ok(()),
            Some(status) => Err(self.died(status)),
        }
    }

    /// Waits until it ends, and for nothing less than exit code 0.
    ///
    /// # Errors
    /// It does not, or with another code.
    pub fn await_good_end(&mut self, patience: Duration) -> Result<(), Failure> {
        match self.await_end(patience)? {
            status if status.success() => Ok(()),
            status => Err(self.died(status)),
        }
    }

    /// Waits until it ends, however.
    ///
    /// # Errors
    /// It does not.
    pub fn await_end(&mut self, patience: Duration) -> Result<ExitStatus, Failure> {
        self.status(patience)?.ok_or_else(|| {
            let last = self.last_words();
            let what = format!("{} did not end within {patience:?}; its last words:{last}", self.name);
            Failure::new(NOT_READY, what)
        })
    }

    /// Waits for its end, which has begun, and returns it as the failure that it is: there was more to do.
    pub fn await_death(&mut self, patience: Duration) -> Failure {
        match self.await_good_end(patience) {
            Err(failure) => failure,
            Ok(()) => {
                let what =
                    format!("{} ended without a summary; its last words:{}", self.name, self.last_words());
                Failure::new(FAILED, what)
            }
        }
    }

    /// How it ended, if it does within `patience`.
    fn status(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Failure> {
        let status = await_end(self.child.child_mut(), patience);
        Ok(status.map_err(|error| IoError::new(format!("look after {}", self.name), error))?)
    }

    /// Its own code says why it ended; one that a signal ended has none.
    fn died(&self, status: ExitStatus) -> Failure {
        let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
        let what = format!("{} ended early ({status}); its last words:{}", self.name, self.last_words());
        Failure::new(code.unwrap_or(FAILED), what)
    }

    /// The last lines of its stderr, each behind a line break.
    pub fn last_words(&self) -> String {
        let last = self.child.last_lines(LAST_LINES, "  ");
        if last.is_empty() { "\n  (none)".to_owned() } else { last }
    }
}

fn launch(
    name: &str,
    command: &dyn Fn() -> Command,
    log: PathBuf,
    wiring: Wiring,
) -> Result<LoggedChild, Failure> {
    let mut command = command();
    clear_settings(&mut command);
    let stdout = if wiring == Wiring::Talking { Stdio::piped() } else { Stdio::null() };
    let started = LoggedChild::start(command, stdout, log);
    Ok(started.map_err(|error| IoError::new(format!("start {name}"), error))?)
}

/// Lets processes end that stop with their stdin, and waits until all have.
///
/// # Errors
/// One does not, or not in order.
pub fn stop(processes: &mut Vec<TrialProcess>, patience: Duration) -> Result<(), Failure> {
    processes.iter_mut().for_each(TrialProcess::close_stdin);
    processes.iter_mut().try_for_each(|process| process.await_good_end(patience))?;
    processes.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shell(script: &str, folder: &Path) -> TrialProcess {
        let (args, log) = (vec!["-c".to_owned(), script.to_owned()], folder.join("log"));
        TrialProcess::of_program("it", "/bin/sh".into(), args, log, Wiring::Talking).expect("a shell")
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn one_that_is_struck_counts_as_alive_and_comes_back_with_its_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = shell("echo begun >&2; echo ready; exec cat", folder.path());
        assert_eq!(process.first_line().expect("a line"), "ready");
        let before = process.pid();
        process.strike(Signal::Stop).expect("a signal");
        process.revive().expect("it goes on");
        assert_eq!(process.pid(), before);
        process.strike(Signal::Kill).expect("a signal");
        process.await_end(PATIENCE).expect("an end");
        process.check_alive().expect("it was struck on purpose");
        process.revive().expect("it is started anew");
        assert_ne!(process.pid(), before);
        assert_eq!(process.first_line().expect("a line"), "ready");
        assert_eq!(process.log(), "begun\nbegun\n");
        let mut all = vec![process];
        stop(&mut all, PATIENCE).expect("it ends with its stdin");
        assert!(all.is_empty());
    }

    #[test]
    fn one_that_ends_by_itself_is_an_error_with_its_own_code_and_last_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = shell("echo why >&2; exit 3", folder.path());
        process.await_end(PATIENCE).expect("an end");
        let failure = process.check_alive().expect_err("nobody told it to");
        assert_eq!(failure.code(), 3);
        assert_eq!(failure.to_string(), "it ended early (exit status: 3); its last words:\n  why");
        assert!(process.first_line().is_err());
    }
}
