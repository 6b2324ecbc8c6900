//! The threads that check passwords, behind a bounded queue: one of the lowest priority, which uses what the
//! cores have left, and one that takes a bounded share of a core from others, so that logins continue however
//! busy the cores are. Only logins wait long for them in a flood. [`CheckDesk`] has the rule by which they
//! share the work.

use crate::Failure;
use crate::failure::FAILED;
use crossbeam::channel::{Receiver, Sender, bounded};
use lockstep_gateway::gateway::core::Check;
use lockstep_gateway::gateway::desk::{CheckDesk, CheckThread};
use lockstep_gateway::gateway::passwords::{Believed, PasswordCpuShare, Passwords};
use lockstep_io::clock::{Clock, random_u64};
use lockstep_io::{IoError, capabilities};
use lockstep_process::cpu;
use lockstep_wire::Nanos;
use mio::Waker;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most passwords that wait for a thread here, one for each; the others wait in the core, which knows
/// their order.
const AHEAD: usize = 2;

/// Passes passwords to the threads, and returns the results.
pub(super) struct Verifier {
    desk: CheckDesk<Check>,
    idle: Sender<(u64, Check)>,
    share: Sender<(u64, Check)>,
    reports: Receiver<Report>,
}

/// A report of a thread.
enum Report {
    /// Whether the password of the check with this number is right.
    Checked(u64, bool),
    /// The thread can take another check.
    Free(CheckThread),
}

/// The state that the threads share.
#[derive(Clone)]
struct Work {
    reports: Sender<Report>,
    passwords: Arc<Passwords>,
    believed: Arc<Mutex<Believed>>,
    waker: Arc<Waker>,
    clock: Clock,
}

impl Work {
    fn is_right(&self, check: &Check) -> bool {
        let hash = check.hash.as_deref();
        let login = self.passwords.fingerprint(&check.password, hash);
        let believed = || self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        if believed().has(self.clock.now(), &login) {
            return true;
        }
        let is_right = self.passwords.is_right(&check.password, hash);
        if is_right {
            believed().add(self.clock.now(), login);
        }
        is_right
    }

    /// Checks until no one waits for a result; `rest` is called after each check.
    fn run(&self, own: CheckThread, todo: &Receiver<(u64, Check)>, mut rest: impl FnMut(&Clock)) {
        for (number, check) in todo {
            let report = Report::Checked(number, self.is_right(&check));
            if self.reports.send(report).is_err() {
                return;
            }
            let _ = self.waker.wake(); // the owner looks within a millisecond anyway
            rest(&self.clock);
            if self.reports.send(Report::Free(own)).is_err() {
                return;
            }
        }
    }
}

impl Verifier {
    /// Starts the threads, which wake the owner by `waker`.
    pub(super) fn start(waker: Arc<Waker>) -> Result<Self, Failure> {
        let ((idle, idle_todo), (share, share_todo)) = (bounded(1), bounded(1));
        // Two results of each thread.
        let (done, reports) = bounded(2 * AHEAD);
        let drawn = [random_u64()?, random_u64()?];
        let mut key = [0; 16];
        key[..8].copy_from_slice(&drawn[0].to_le_bytes());
        key[8..].copy_from_slice(&drawn[1].to_le_bytes());
        let passwords = Arc::new(Passwords::new(key).map_err(|what| Failure::new(FAILED, what))?);
        let (believed, clock) = (Arc::default(), Clock::start());
        let work = Work { reports: done, passwords, believed, waker, clock };
        let also = work.clone();
        spawn("passwords", move || {
            cpu::idle_only();
            work.run(CheckThread::Idle, &idle_todo, |_| {});
        })?;
        spawn("passwords-share", move || {
            let (mut share, mut used) = (PasswordCpuShare::default(), cpu::thread_time());
            also.run(CheckThread::Share, &share_todo, |clock| {
                let now_used = cpu::thread_time();
                let rest = share.on_used(clock.now(), now_used - std::mem::replace(&mut used, now_used));
                std::thread::sleep(Duration::from_nanos(rest));
            });
        })?;
        Ok(Self { desk: CheckDesk::new(AHEAD), idle, share, reports })
    }

    /// Whether there is room for another password.
    pub(super) fn has_room(&self) -> bool {
        self.desk.has_room()
    }

    /// Checks a password, for which there must be room.
    pub(super) fn check(&mut self, check: Check) {
        self.desk.push(check);
    }

    /// Passes waiting passwords to the free threads.
    pub(super) fn turn(&mut self, now: Nanos) {
        while let Some((whom, number, check)) = self.desk.assign(now) {
            let to = if whom == CheckThread::Idle { &self.idle } else { &self.share };
            let _ = to.try_send((number, check)); // it is free: it has taken the previous one
        }
    }

    /// The next result.
    pub(super) fn next_result(&mut self) -> Option<(Check, bool)> {
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Free(who) => self.desk.on_free(who),
                Report::Checked(number, is_right) => {
                    if let Some(check) = self.desk.on_result(number) {
                        return Some((check, is_right));
                    }
                }
            }
        }
        None
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = capabilities::spawn(std::thread::Builder::new().name(name.into()), work);
    spawned.map_err(|error| IoError::new("start a thread that checks passwords", error))?;
    Ok(())
}
