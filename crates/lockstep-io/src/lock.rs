//! Locks of files and folders that belong to one process.
//!
//! A killed process counts as ended for its parent and its service manager, while its threads still close its
//! files. Its successor waits for that.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

/// How long the lock of a process that has ended, or that is unknown, is awaited. Closing files takes
/// milliseconds, and some hundred of them on a busy host.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(2);

/// Locks `file` for this process. `holder` reads which process has the lock, if that can be known: a running
/// one is not waited for.
///
/// # Errors
/// [`TryLockError::WouldBlock`]: another process has the lock, and keeps it.
pub fn lock(file: &File, mut holder: impl FnMut() -> Option<u32>) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock)
                if begun.elapsed() < PATIENCE && !holder().is_some_and(is_running) =>
            {
                std::thread::sleep(PAUSE);
            }
            ended => return ended,
        }
    }
}

/// Whether a process runs or is stopped: one of its threads has not ended.
pub fn is_running(pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the name, which may have blanks and brackets. It is the state of the first thread.
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    if !matches!(state, Some('Z' | 'X')) {
        return true;
    }
    std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_lock_of_a_process_that_has_ended_is_awaited_and_that_of_one_that_runs_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let open =
            || File::options().create(true).append(true).open(folder.path().join("lock")).expect("a file");
        let first = open();
        first.try_lock().expect("nobody has it");
        let mut ended = Command::new("true").stdin(Stdio::null()).spawn().expect("a process");
        let pid = ended.id();
        while is_running(pid) {
            std::thread::sleep(PAUSE);
        }

        let own = std::process::id();
        assert!(matches!(lock(&open(), || Some(own)), Err(TryLockError::WouldBlock)), "this process runs");
        let mut asked = 0;
        let holder = || {
            asked += 1;
            if asked == 3 {
                first.unlock().expect("it is ours");
            }
            Some(pid)
        };
        assert!(lock(&open(), holder).is_ok(), "process {pid} has ended, and nobody has waited for it");
        assert_eq!(asked, 3);
        ended.wait().expect("a child");
        assert!(!is_running(pid));
    }
}
