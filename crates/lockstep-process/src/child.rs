//! Our own children: processes whose log is a file, with a bounded wait for their end, and which end with
//! their handle.

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Interval between two checks of a process that is to end.
const LOOK: Duration = Duration::from_millis(2);

/// Removes the variables that configure lockstep from a command's environment: it has its own
/// configuration.
pub fn clear_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
}

/// Has the command's process killed as soon as the thread that starts it ends, so also when this process is
/// killed. Processes that the command's process starts are not killed.
pub fn end_with_parent(command: &mut Command) {
    let parent = std::process::id() as libc::pid_t;
    let ask = move || {
        // SAFETY: a call without pointers, which may stand between fork and exec.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a call without arguments, which may stand there too.
        match unsafe { libc::getppid() } == parent {
            true => Ok(()),
            // The parent ended before it was asked for.
            false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: the closure makes two calls of the system, and takes neither memory nor a lock.
    unsafe { command.pre_exec(ask) };
}

/// Waits for the end of a process; none if it does not come in time.
///
/// # Errors
/// The system reports an error.
pub fn await_end(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        let status = child.try_wait()?;
        if status.is_some() || began.elapsed() >= patience {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
}

/// A process that ends with this handle.
#[derive(Debug)]
pub struct ChildGuard(Child);

impl From<Child> for ChildGuard {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Deref for ChildGuard {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for ChildGuard {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // If it was not waited for, the id is its own still; a stopped process ends by this as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process whose stderr is appended to a file. Dropping it ends it.
#[derive(Debug)]
pub struct LoggedChild {
    child: ChildGuard,
    log: PathBuf,
}

impl LoggedChild {
    /// Starts `command`, whose stdin is a pipe; the present content of the log stays.
    ///
    /// # Errors
    /// The log cannot be opened, or the process does not start.
    pub fn start(mut command: Command, stdout: Stdio, log: PathBuf) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command.stdin(Stdio::piped()).stdout(stdout).stderr(file).spawn()?;
        Ok(Self { child: child.into(), log })
    }

    /// The process, for a signal.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// The process, for its pipes and its end.
    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The file with its stderr.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Its stderr so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last `count` lines of its log, each behind a line break and `indent`.
    pub fn last_lines(&self, count: usize, indent: &str) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(count)..];
        last.iter().map(|line| format!("\n{indent}{line}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str, log: &Path) -> LoggedChild {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        LoggedChild::start(command, Stdio::null(), log.to_owned()).expect("a shell")
    }

    #[test]
    fn the_log_goes_on_over_restarts_and_its_last_lines_are_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        for script in ["echo a >&2; echo b >&2", "echo c >&2"] {
            let mut process = shell(script, &log);
            let status = await_end(process.child_mut(), Duration::from_secs(60)).expect("a child");
            assert!(status.is_some_and(|status| status.success()));
        }
        let process = shell("", &log);
        assert_eq!((process.log().as_str(), process.last_lines(2, "  ")), ("a\nb\nc\n", "\n  b\n  c".into()));
    }

    #[test]
    fn a_process_that_is_to_end_with_its_parents_thread_is_killed_then() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("60");
            end_with_parent(&mut command);
            command.spawn().expect("sleep")
        };
        let mut orphan = std::thread::spawn(start).join().expect("a thread");
        let ended = await_end(&mut orphan, Duration::from_secs(30)).expect("a child");
        assert_eq!(ended.and_then(|ended| ended.signal()), Some(libc::SIGKILL));
        let mut child = ChildGuard::from(start());
        assert_eq!(await_end(&mut child, Duration::from_millis(50)).expect("a child"), None);
    }

    #[test]
    fn a_process_that_does_not_end_in_time_ends_with_its_handle() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = shell("exec cat", &folder.path().join("log"));
        assert_eq!(await_end(process.child_mut(), Duration::ZERO).expect("a child"), None);
        let folder = PathBuf::from(format!("/proc/{}", process.child().id()));
        assert!(folder.exists());
        drop(process);
        assert!(!folder.exists());
    }
}
