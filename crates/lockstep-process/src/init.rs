//! # init: the duties of a program that is process 1
//!
//! In a container the first process is the kernel's idea of `init`: when it dies, everything else of the
//! namespace is killed with it, the watcher before it can send its notice; orphans become its children, and
//! signals that it does not handle are not delivered. So a sequencer that is process 1 does only the work
//! of `init`, and runs itself again as its child: it forwards signals, reaps ended processes, and ends with
//! the child's exit code once no process is left.

use lockstep_io::IoError;
use std::io::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// The part handed on to the child.
const FORWARDED: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];
/// How long the remaining processes, such as a watcher that sends its notice, may take after the child's
/// end.
const WATCHER_GRACE: Duration = Duration::from_secs(1);
/// The signal of a child's end may go to a thread that ignores it, if the caller has others: children are
/// also polled.
const POLL_PERIOD: Duration = Duration::from_millis(500);
/// A shell's exit code for a process that a signal ended is 128 and its number.
const BY_SIGNAL: i32 = 128;

/// Whether this process is the first of its namespace.
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Runs `command` as the main child, and returns its exit code when no process is left.
///
/// # Errors
/// It cannot be started.
pub fn run(mut command: Command) -> Result<u8, IoError> {
    // Blocked signals stay pending for us, none is lost; the child is started only then.
    let signals = signals(FORWARDED.into_iter().chain([libc::SIGCHLD]));
    let doing = "run the sequencer as the child of process 1 (is /proc mounted? runtime.watcher = false does without)";
    mask(libc::SIG_BLOCK, &signals).map_err(|error| IoError::new(doing, error))?;
    // A group of its own: a terminal's signal to ours is forwarded once, not received twice.
    command.process_group(0);
    // SAFETY: between fork and exec only `pthread_sigmask` is called, which is safe there.
    unsafe { command.pre_exec(move || mask(libc::SIG_UNBLOCK, &signals)) };
    let child = command.spawn().map_err(|error| IoError::new(doing, error))?.id() as libc::pid_t;
    let status = loop {
        match await_signal(&signals, POLL_PERIOD) {
            Some(libc::SIGCHLD) | None => {
                if let Some(status) = collect(child).child {
                    break status;
                }
            }
            // SAFETY: a call without pointers. The number is the child's own until it is collected.
            Some(signal) => unsafe {
                libc::kill(child, signal);
            },
        }
    };
    let end = Instant::now() + WATCHER_GRACE;
    while !collect(child).nobody_left {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        await_signal(&signals, left);
    }
    Ok(exit_code(status))
}

/// The exit code that a shell would give for a raw wait status.
fn exit_code(status: i32) -> u8 {
    let code =
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { BY_SIGNAL + libc::WTERMSIG(status) };
    code.clamp(0, 255) as u8
}

/// The processes that a collection found.
struct Collected {
    /// The raw wait status of the child that matters.
    child: Option<i32>,
    nobody_left: bool,
}

/// Reaps all processes that have ended.
fn collect(child: libc::pid_t) -> Collected {
    let mut found = Collected { child: None, nobody_left: false };
    loop {
        let mut status = 0;
        // SAFETY: `status` lives across the call.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            0 => return found,
            process if process < 0 => {
                found.nobody_left = Error::last_os_error().raw_os_error() == Some(libc::ECHILD);
                return found;
            }
            process if process == child => found.child = Some(status),
            _ => {}
        }
    }
}

fn signals(all: impl Iterator<Item = i32>) -> libc::sigset_t {
    // SAFETY: plain bits; all zero is a value, and the calls only change it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in all {
        // SAFETY: `set` lives across the call.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

fn mask(how: i32, signals: &libc::sigset_t) -> Result<(), Error> {
    // SAFETY: the set lives across the call, which only reads it.
    match unsafe { libc::pthread_sigmask(how, signals, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(Error::from_raw_os_error(error)),
    }
}

/// The next of `signals`, which are blocked; none if the time has elapsed or the wait was interrupted.
fn await_signal(signals: &libc::sigset_t, limit: Duration) -> Option<i32> {
    let limit = libc::timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
    // SAFETY: both pointers lead to values that live across the call; the null one is allowed.
    let signal = unsafe { libc::sigtimedwait(signals, std::ptr::null_mut(), &raw const limit) };
    (signal > 0).then_some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_s_end_is_the_exit_code_and_a_signal_s_number_counts_from_128() {
        assert_eq!([0, 256 * 3, 9].map(exit_code), [0, 3, 137]);
    }
}
