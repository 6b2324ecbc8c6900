//! Keeps one watcher alive: a side thread starts it, waits for its end, and starts the next.
//!
//! A watcher that ends by itself with success has done its work. Any other end is a loss that is made good
//! at once, but never in a tight circle: short lives are paused between, longer each time, and after
//! [`SHORT_LIVES_MAX`] of them in a row the sequencer continues without one.

use super::WatcherSettings;
use super::page::{Page, Readiness};
use super::{DIED, STARTED};
use crate::confinement;
use crate::cpu::{self, SchedulingClass};
use crate::events::Recorder;
use lockstep_io::clock::Clock;
use lockstep_io::links::FollowingSocket;
use lockstep_io::{IoError, capabilities};
use lockstep_wire::{EventRecord, Nanos};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, park_timeout, sleep};
use std::time::Duration;

/// A child that ran for so long had started well: the cause of its end is not its start.
const STABLE_NS: Nanos = 1_000_000_000;
/// Pause after the second short life in a row; the next are twice as long each.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// So many short lives in a row, and watching is given up.
const SHORT_LIVES_MAX: u32 = 10;
/// How often a starting watcher is checked, and for how long.
const POLL_PERIOD: Duration = Duration::from_millis(1);
const STARTING_NS_MAX: Nanos = 5_000_000_000;
/// How long an orderly stop waits for the watcher's end.
const PATIENCE: Duration = Duration::from_millis(500);

/// The thread's handle.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    /// The present watcher; 0 while there is none.
    process: AtomicU32,
    /// So many ended at once, and no more are started; 0 while one is.
    abandoned_watchers: AtomicU32,
    /// The present watcher, where a signal has stopped it; 0 while it runs.
    stopped: AtomicU32,
}

impl Supervisor {
    /// Starts the thread, and with it the first watcher.
    pub fn start(
        page: Page,
        file: File,
        socket: FollowingSocket,
        settings: WatcherSettings,
        recorder: Recorder,
    ) -> Result<Self, IoError> {
        let shared = Arc::new(Shared::default());
        let keeper = WatcherThread {
            page,
            file,
            socket,
            settings,
            recorder,
            shared: Arc::clone(&shared),
            clock: Clock::start(),
        };
        let builder = std::thread::Builder::new().name("lockstep-watcher".into());
        let thread = capabilities::spawn_with(builder, confinement::confine_parent, move || keeper.keep())
            .map_err(|error| IoError::new("start the thread that looks after the watcher", error))?;
        Ok(Self { shared, thread })
    }

    /// The present watcher's process.
    pub fn process(&self) -> Option<u32> {
        Some(self.shared.process.load(Ordering::Acquire)).filter(|process| *process != 0)
    }

    /// How many watchers ended at once before no more were started; 0 while one is.
    pub fn abandoned_watchers(&self) -> u32 {
        self.shared.abandoned_watchers.load(Ordering::Acquire)
    }

    /// The present watcher's process, where a signal has stopped it: it would announce nothing.
    pub fn stopped_watcher(&self) -> Option<u32> {
        Some(self.shared.stopped.load(Ordering::Acquire)).filter(|process| *process != 0)
    }

    /// From now on the watcher's end is no loss.
    pub fn begin_stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }

    /// Waits a little for the watcher, which has been asked to end. One that was stopped by a signal is
    /// left behind: it ends when it is resumed.
    pub fn await_end(self) {
        let looks = PATIENCE.as_millis() / POLL_PERIOD.as_millis();
        for _ in 0..looks {
            if self.thread.is_finished() {
                let _ = self.thread.join(); // a panic there has been printed
                return;
            }
            sleep(POLL_PERIOD);
        }
    }
}

/// The state of the thread.
struct WatcherThread {
    page: Page,
    file: File,
    socket: FollowingSocket,
    settings: WatcherSettings,
    recorder: Recorder,
    shared: Arc<Shared>,
    clock: Clock,
}

impl WatcherThread {
    fn keep(self) {
        // It was started by the stamping thread, whose core and class it must not use.
        if !self.settings.cores.is_empty() {
            cpu::allow(&self.settings.cores);
        }
        cpu::schedule(SchedulingClass::Other);
        let (mut short_lives, mut starts) = (0, 0);
        while !self.is_stopping() {
            let born = self.clock.now();
            starts += 1;
            let done = match self.spawn() {
                Ok(child) => self.supervise(child, born, starts),
                Err(error) => {
                    self.record(
                        DIED,
                        EventRecord { d: error.raw_os_error().unwrap_or(0) as u64, ..EventRecord::default() },
                    );
                    false
                }
            };
            self.shared.process.store(0, Ordering::Release);
            if done {
                return;
            }
            short_lives = if self.clock.now() - born < STABLE_NS { short_lives + 1 } else { 0 };
            if short_lives == SHORT_LIVES_MAX {
                return self.shared.abandoned_watchers.store(SHORT_LIVES_MAX, Ordering::Release);
            }
            if short_lives > 1 {
                self.pause((PAUSE_MIN * (1 << (short_lives - 2))).min(PAUSE_MAX));
            }
        }
    }

    /// A child without a copy of our memory in between: nothing on this path write-protects the pages that
    /// the stamping thread writes, as a bare fork would. It finds the page on stdin and the group on
    /// stdout.
    fn spawn(&self) -> Result<Child, std::io::Error> {
        self.page.set_readiness(None);
        Command::new(&self.settings.program)
            .arg0("lockstep")
            .args(&self.settings.arguments)
            .stdin(Stdio::from(self.file.try_clone()?))
            .stdout(Stdio::from(OwnedFd::from(self.socket.try_clone()?)))
            .spawn()
    }

    /// Waits for the end of a watcher. Returns whether its work was done.
    fn supervise(&self, mut child: Child, born: Nanos, starts: u32) -> bool {
        let process = child.id();
        self.shared.process.store(process, Ordering::Release);
        while self.page.readiness().is_none()
            && matches!(child.try_wait(), Ok(None))
            && self.clock.now() < born + STARTING_NS_MAX
        {
            sleep(POLL_PERIOD);
        }
        if let Some(Readiness(bits)) = self.page.readiness() {
            let event = EventRecord {
                a: u64::from(process),
                small: bits as u16,
                e: starts,
                ..EventRecord::default()
            };
            self.record(STARTED, event);
        }
        while let Some(stopped) = await_change(process) {
            self.shared.stopped.store(if stopped { process } else { 0 }, Ordering::Release);
        }
        self.shared.stopped.store(0, Ordering::Release);
        let status = child.wait();
        if self.is_stopping() || status.as_ref().is_ok_and(|status| status.success()) {
            return true;
        }
        let status = status.map_or(0, |status| status.into_raw());
        let lived = self.clock.now() - born;
        let event = EventRecord {
            a: u64::from(process),
            b: status as u32 as u64,
            c: lived,
            ..EventRecord::default()
        };
        self.record(DIED, event);
        false
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Acquire)
    }

    /// Until the time has elapsed, or the sequencer stops.
    fn pause(&self, pause: Duration) {
        let end = self.clock.now() + pause.as_nanos() as Nanos;
        while !self.is_stopping() {
            let left = end.saturating_sub(self.clock.now());
            if left == 0 {
                return;
            }
            park_timeout(Duration::from_nanos(left));
        }
    }

    fn record(&self, code: u16, event: EventRecord) {
        self.recorder.record(EventRecord { at: self.clock.now(), code, ..event });
    }
}

/// Waits until a signal stops this child or resumes it, and returns whether it is stopped; `None` where it
/// has ended, which is left to the caller that waits for its end.
fn await_change(process: u32) -> Option<bool> {
    loop {
        // SAFETY: it is plain data, for which zeros are a value.
        let mut change: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let wanted = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
        // SAFETY: `change` lives across the call, which writes nothing else.
        let waited = unsafe { libc::waitid(libc::P_PID, process, &raw mut change, wanted | libc::WNOWAIT) };
        if waited != 0 {
            if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
                continue;
            }
            return None;
        }
        let stopped = match change.si_code {
            libc::CLD_STOPPED | libc::CLD_TRAPPED => true,
            libc::CLD_CONTINUED => false,
            _ => return None,
        };
        // Taken, so that the next call waits for the next change.
        let wanted = if stopped { libc::WSTOPPED } else { libc::WCONTINUED };
        // SAFETY: as above.
        unsafe { libc::waitid(libc::P_PID, process, &raw mut change, wanted | libc::WNOHANG) };
        return Some(stopped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_a_signal_stops_and_resumes_is_told_until_it_ends() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let process = child.id();
        for (signal, expected) in [
            (libc::SIGSTOP, Some(true)),
            (libc::SIGCONT, Some(false)),
            (libc::SIGSTOP, Some(true)),
            (libc::SIGKILL, None),
        ] {
            // SAFETY: it is this test's own child, which has not been waited for.
            unsafe { libc::kill(process as libc::pid_t, signal) };
            assert_eq!(await_change(process), expected, "signal {signal}");
        }
        assert_eq!(child.wait().expect("a child").signal(), Some(libc::SIGKILL), "its end is left to this");
    }
}
