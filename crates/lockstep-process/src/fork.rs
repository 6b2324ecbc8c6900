//! A child that continues with a copy of this process's memory as it is now: it writes down a large state
//! while the process continues.

use lockstep_io::IoError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Exit code of a child whose work panicked, or failed by an error without a number of the kernel. A child
/// that failed by one with a number ends with it: they lie below.
const FAILED: i32 = 255;
/// The niceness that gives way to all others.
const LOWEST: i32 = 19;

/// The child that [`fork`] began. Dropping it ends it.
#[derive(Debug)]
pub struct ForkedChild {
    pid: libc::pid_t,
    is_over: bool,
}

/// Begins a child that does `work` and ends; [`ForkedChild::ended`] says with which outcome. It has this
/// process's memory, copied as either of them writes to it, the thread that calls, and no other one.
///
/// It ends with the thread that called. `work` opens files, writes them and takes memory: no descriptor of
/// the parent but the first three is open in it. It takes no lock that another thread may have held at that
/// moment: it does not log, and uses neither stdout nor stderr.
///
/// # Errors
/// The kernel has no room for a process.
pub fn fork(work: impl FnOnce() -> io::Result<()>) -> Result<ForkedChild, IoError> {
    // SAFETY: a call without pointers.
    let parent = unsafe { libc::getpid() };
    // SAFETY: a call without pointers. In the child only the calling thread exists. The C library's allocator
    // is usable there: it holds its own locks over the call (glibc and musl do). `work` takes no other lock,
    // and the child leaves by `_exit`, so that nothing of the parent is run down twice.
    match unsafe { libc::fork() } {
        -1 => {
            Err(IoError::last("start a child that writes a snapshot: see ulimit -u and vm.overcommit_memory"))
        }
        0 => {
            // A port that the parent listens on is free once the parent has ended, not when the child has.
            // A kernel without the call (before Linux 5.9) changes nothing else.
            // SAFETY: a call without pointers. `work` uses no descriptor of the parent, `_exit` drops none.
            let _ = unsafe {
                libc::syscall(libc::SYS_close_range, libc::STDERR_FILENO + 1, libc::c_uint::MAX, 0)
            };
            // Behind every thread that serves: it has time. A kernel that refuses this changes nothing else.
            // SAFETY: a call without pointers; 0 is the calling process.
            let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST) };
            // It does not write into the folder of a process that follows the one that began it.
            // SAFETY: calls without pointers.
            let has_parent = unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 && libc::getppid() == parent
            };
            let outcome = has_parent.then(|| catch_unwind(AssertUnwindSafe(work)));
            let number = |error: io::Error| error.raw_os_error().filter(|code| (1..FAILED).contains(code));
            let code = match outcome {
                Some(Ok(Ok(()))) => 0,
                Some(Ok(Err(error))) => number(error).unwrap_or(FAILED),
                _ => FAILED,
            };
            // SAFETY: a call without pointers, which does not return.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(ForkedChild { pid, is_over: false }),
    }
}

impl ForkedChild {
    /// Whether it has ended, and then whether its work is done, or which error of the kernel it met. Never
    /// waits.
    ///
    /// # Errors
    /// The kernel does not know the child: another thread has waited for it.
    pub fn ended(&mut self) -> Result<Option<io::Result<()>>, IoError> {
        let mut status = 0;
        // SAFETY: `status` is valid for the time of the call, and the id is a child that was not waited for.
        match unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } {
            0 => Ok(None),
            -1 => Err(IoError::last(format!("wait for the child {}", self.pid))),
            _ => {
                self.is_over = true;
                Ok(Some(match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
                    (true, 0) => Ok(()),
                    (true, FAILED) => Err(io::Error::other("its child failed")),
                    (true, code) => Err(io::Error::from_raw_os_error(code)),
                    (false, _) => {
                        let signal = libc::WTERMSIG(status);
                        Err(io::Error::other(format!("its child was ended by signal {signal}")))
                    }
                }))
            }
        }
    }
}

impl Drop for ForkedChild {
    fn drop(&mut self) {
        if !self.is_over {
            let mut status = 0;
            // SAFETY: calls on a child that was not waited for, so that its id is its own; `status` is valid
            // for them.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, &raw mut status, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn outcome(mut child: ForkedChild) -> io::Result<()> {
        let began = Instant::now();
        loop {
            if let Some(outcome) = child.ended().expect("a child") {
                return outcome;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "the child does not end");
            std::thread::yield_now();
        }
    }

    /// A child that has begun its work, and does not end by itself for a minute.
    fn resting() -> ForkedChild {
        let folder = tempfile::tempdir().expect("a folder");
        let lives = folder.path().join("lives");
        let rest = || std::thread::sleep(Duration::from_secs(60));
        let child = fork(|| std::fs::write(&lives, "").map(|()| rest())).expect("a child");
        while !lives.exists() {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn a_child_writes_what_the_memory_was_when_it_began_while_the_process_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let mut state = vec![7_u8; 1 << 20];
        let child = fork(|| std::fs::write(&path, &state)).expect("a child");
        state.fill(9);
        outcome(child).expect("it is written");
        assert_eq!(std::fs::read(&path).expect("a file"), vec![7; 1 << 20]);
    }

    #[test]
    fn why_work_failed_is_known_and_a_child_ends_with_its_handle() {
        let full = || std::fs::write("/dev/full", "x");
        let child = fork(full).expect("a child");
        assert_eq!(outcome(child).expect_err("no room").kind(), io::ErrorKind::StorageFull);
        let child = fork(|| Err(io::Error::other("of no call"))).expect("a child");
        assert_eq!(outcome(child).expect_err("it failed").to_string(), "its child failed");
        let child = fork(|| std::panic::resume_unwind(Box::new(""))).expect("a child");
        assert_eq!(outcome(child).expect_err("it panicked").to_string(), "its child failed");
        let child = fork(|| {
            loop {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let child = child.expect("a child");
        let path = format!("/proc/{}", child.pid);
        drop(child);
        assert!(!std::path::Path::new(&path).exists());
    }

    #[test]
    fn a_port_is_free_when_the_parent_has_left_it_while_the_child_lives() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut child = resting();
        drop(listener);
        // A child of another test may be about to close its copy.
        let began = Instant::now();
        while let Err(error) = std::net::TcpListener::bind(address) {
            assert!(began.elapsed() < Duration::from_secs(20), "{error}");
            std::thread::yield_now();
        }
        assert!(child.ended().expect("a child").is_none(), "it lives");
    }

    #[test]
    fn a_child_ends_with_the_thread_that_began_it() {
        let child = std::thread::scope(|scope| scope.spawn(resting).join().expect("a thread"));
        let ended = outcome(child).expect_err("it was ended");
        assert_eq!(ended.to_string(), "its child was ended by signal 9");
    }
}
