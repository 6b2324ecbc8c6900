//! Signals to our own children: how tests kill, stop and resume them; to daemons, which read their files
//! again; and to replicas of this host, at which a drill makes faults.

use lockstep_io::IoError;
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

    /// Sends it to a process that such a child has started and not waited for, if it is still its child.
    ///
    /// # Errors
    /// The system refused.
    pub fn send_to_child_of(self, child: &Child, grandchild: u32) -> Result<(), IoError> {
        if parent(grandchild) == Some(child.id()) { self.send_to_process(grandchild) } else { Ok(()) }
    }

    /// Sends it to any process: the caller knows that the number is still its own.
    ///
    /// # Errors
    /// The system refused.
    pub fn send_to_process(self, pid: u32) -> Result<(), IoError> {
        let number = match self {
            Self::Kill => libc::SIGKILL,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
            Self::Terminate => libc::SIGTERM,
            Self::Hangup => libc::SIGHUP,
        };
        // SAFETY: a call without pointers.
        let sent = unsafe { libc::kill(pid as libc::pid_t, number) };
        if sent == 0 { Ok(()) } else { Err(IoError::last(format!("send {self:?} to process {pid}"))) }
    }
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
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

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
