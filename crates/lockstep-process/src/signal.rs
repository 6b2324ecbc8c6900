//! Signals to our own children: how tests kill, stop and resume them; to daemons, which read their files
//! again; and to replicas of this host, at which a drill makes faults.

use lockstep_io::IoError;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Child;

/// A signal to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// End now: no code of it runs any more.
    Kill,
    /// Suspend, wherever it is.
    Stop,
    /// Resume.
    Continue,
    /// End in order.
    Terminate,
    /// Read the files again.
    Hangup,
}

impl Signal {
    /// Sends it to a child that was not yet waited for, so its number is still its own.
    ///
    /// # Errors
    /// The system refused: it has ended and been waited for.
    pub fn send(self, child: &Child) -> Result<(), IoError> {
        self.send_to_process(child.id())
    }

    /// Sends it to each process of the group that such a child leads: to what it has started too.
    ///
    /// # Errors
    /// The system refused: the child has ended and been waited for, or leads no group.
    pub fn send_to_group(self, leader: &Child) -> Result<(), IoError> {
        let pid = leader.id();
        // SAFETY: a call without pointers.
        let sent = unsafe { libc::killpg(pid as libc::pid_t, self.number()) };
        if sent == 0 {
            Ok(())
        } else {
            Err(IoError::last(format!("send {self:?} to the group of process {pid}")))
        }
    }

    /// Sends it to a process that such a child has started and not waited for, if it is still its child.
    ///
    /// # Errors
    /// The system refused.
    pub fn send_to_child_of(self, child: &Child, grandchild: u32) -> Result<(), IoError> {
        if parent(grandchild) == Some(child.id()) { self.send_to_process(grandchild) } else { Ok(()) }
    }

    /// Sends it to a child that has this number as long as it was not waited for.
    fn send_to_process(self, pid: u32) -> Result<(), IoError> {
        // SAFETY: a call without pointers.
        let sent = unsafe { libc::kill(pid as libc::pid_t, self.number()) };
        if sent == 0 { Ok(()) } else { Err(IoError::last(format!("send {self:?} to process {pid}"))) }
    }

    /// Sends it to the process that has this number now, if `is_it` finds that it is the right one. `is_it`
    /// looks at it by its number; a process that takes that number meanwhile gets nothing. Returns whether
    /// the signal was sent.
    ///
    /// # Errors
    /// The system refused.
    pub fn send_if(self, pid: u32, is_it: impl FnOnce() -> bool) -> Result<bool, IoError> {
        let wrong = || IoError::last(format!("send {self:?} to process {pid}"));
        let ended = || std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
        let own = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0);
        let Some(number) = own else { return Ok(false) };
        // SAFETY: a call without pointers.
        let process = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
        if process < 0 {
            return if ended() { Ok(false) } else { Err(wrong()) };
        }
        // SAFETY: the descriptor is new, valid, and has no other owner.
        let process = unsafe { OwnedFd::from_raw_fd(process as libc::c_int) };
        // From here on the descriptor names that process, even if another one gets its number.
        if !is_it() {
            return Ok(false);
        }
        let info: *mut libc::siginfo_t = std::ptr::null_mut();
        // SAFETY: the descriptor is open, and without a record the kernel makes one.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), self.number(), info, 0)
        };
        match sent {
            0 => Ok(true),
            _ if ended() => Ok(false),
            _ => Err(wrong()),
        }
    }

    fn number(self) -> libc::c_int {
        match self {
            Self::Kill => libc::SIGKILL,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
            Self::Terminate => libc::SIGTERM,
            Self::Hangup => libc::SIGHUP,
        }
    }
}

/// The user that a process runs as.
pub fn user_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // The real one, and the effective one.
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The starter of a process.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_is_not_the_right_one_or_has_ended_gets_no_signal() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = child.id();
        assert!(!Signal::Kill.send_if(pid, || false).expect("it is ours"));
        assert!(child.try_wait().expect("a child").is_none());
        assert!(Signal::Kill.send_if(pid, || true).expect("it is ours"));
        assert_eq!(child.wait().expect("a child").signal(), Some(libc::SIGKILL));
        assert!(!Signal::Kill.send_if(pid, || true).expect("nobody has it"));
        // A group, everybody, and what is no number of a process.
        for none in [0, u32::MAX, i32::MIN as u32, 1 << 31] {
            assert!(!Signal::Kill.send_if(none, || true).expect("nobody has it"), "{none}");
        }
    }

    #[test]
    fn a_group_ends_with_what_its_leader_has_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!; wait"]).process_group(0).stdout(Stdio::piped());
        let mut leader = command.spawn().expect("a shell");
        let mut line = String::new();
        let stdout = leader.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the number of the other one");
        let other = line.trim().parse().expect("a number");
        assert_eq!(parent(other), Some(leader.id()));
        Signal::Terminate.send_to_group(&leader).expect("it is ours");
        assert_eq!(leader.wait().expect("a child").signal(), Some(libc::SIGTERM));
        // It is gone, or a zombie that its new parent has not waited for.
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        while runs() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_child_that_stands_still_is_resumed_and_one_that_is_killed_ends_by_it() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let state = |child: &Child| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("a process");
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
        };
        Signal::Stop.send(&child).expect("it is ours");
        while state(&child) != Some('T') {
            std::thread::yield_now();
        }
        Signal::Continue.send(&child).expect("it is ours");
        while state(&child) == Some('T') {
            std::thread::yield_now();
        }
        Signal::Kill.send(&child).expect("it is ours");
        assert_eq!(child.wait().expect("a child").signal(), Some(libc::SIGKILL));
    }
}
