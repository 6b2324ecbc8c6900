//! The thread that checks passwords: one, of the lowest class, behind a queue that is bounded. A flood of logins
//! waits for it, and nothing else does.

use crate::edge::gateway::core::Check;
use crate::edge::gateway::passwords::Passwords;
use crate::io::clock::{Clock, random_u64};
use crate::io::{IoError, cpu};
use crossbeam::channel::{Receiver, Sender, bounded};
use mio::Waker;
use std::sync::Arc;

use crate::cli::Failure;
use crate::cli::failure::FAILED;

/// Where passwords go, and verdicts come from.
pub(super) struct Verifier {
    checks: Sender<Check>,
    verdicts: Receiver<(Check, bool)>,
}

impl Verifier {
    /// Starts the thread, which wakes the owner by `waker`; at most `checks_max` passwords wait.
    pub(super) fn start(checks_max: usize, waker: Arc<Waker>) -> Result<Self, Failure> {
        let (checks, todo) = bounded::<Check>(checks_max);
        let (done, verdicts) = bounded(checks_max);
        let drawn = [random_u64()?, random_u64()?];
        let mut key = [0; 16];
        key[..8].copy_from_slice(&drawn[0].to_le_bytes());
        key[8..].copy_from_slice(&drawn[1].to_le_bytes());
        let mut passwords = Passwords::new(key).map_err(|what| Failure::new(FAILED, what))?;
        let clock = Clock::start();
        let work = move || {
            cpu::idle_only();
            for check in todo {
                let is_right = passwords.is_right(clock.now(), &check.password, check.hash.as_deref());
                if done.send((check, is_right)).is_err() {
                    return;
                }
                let _ = waker.wake(); // the owner looks within a millisecond anyway
            }
        };
        std::thread::Builder::new()
            .name("passwords".into())
            .spawn(work)
            .map_err(|error| IoError::new("start the thread that checks passwords", error))?;
        Ok(Self { checks, verdicts })
    }

    /// Whether another password finds room.
    pub(super) fn has_room(&self) -> bool {
        !self.checks.is_full()
    }

    /// Has a password checked, for which there is room.
    pub(super) fn check(&self, check: Check) {
        let _ = self.checks.try_send(check); // the only sender, and it has asked
    }

    /// The next verdict.
    pub(super) fn verdict(&self) -> Option<(Check, bool)> {
        self.verdicts.try_recv().ok()
    }
}
