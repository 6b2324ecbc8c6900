//! # watcher: announces the death of a leader
//!
//! How does a cluster learn within some ten microseconds that its leader has ended, for whatever reason? A
//! dead process cannot report it, and silence is evidence only after a while. So a sequencer starts a
//! second, small process that waits for one thing: a robust mutex that the stamping thread holds for life.
//! The kernel hands it over when that *thread* ends, be it by kill -9, a fault, a panic, a return, an
//! `exit` or `execve` elsewhere, and it does so before it tears down the memory. The watcher then
//! multicasts a datagram that the leader itself has prepared, and ends.
//!
//! ```text
//!   sequencer                              page                   watcher (another session)
//!   stamping thread ── holds ──────────▶ robust mutex ◀── waits ─── thread ──┐
//!        │ ── set_notice ──────────────▶ notice ────── reads ──────────────▶ ├─▶ control group, then ends
//!   keeper thread ── starts, again and again ──▶ process ── pidfd ─ thread ──┘
//! ```
//!
//! What it does not do: it restarts no process, it contains no protocol rule, and it sends nothing about a
//! process that was merely stopped (SIGSTOP), nor after an orderly end.

mod notices;
mod page;
mod supervisor;
mod watch;

pub use page::{NOTICE_LEN_MAX, Readiness};
pub use watch::{DeathSource, ProcessEnd, watch};

use crate::events::Recorder;
use lockstep_core::engine::ports::Group;
use lockstep_io::udp::{UdpSettings, announcer};
use lockstep_io::{Effective, IoError};
use page::Page;
use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use supervisor::Supervisor;

/// A watcher waits: `a` its process, `small` its [`Readiness`], `e` which one it is.
pub const STARTED: u16 = 1401;
/// A watcher has ended and another one is started: `a` its process (0 if none came to be), `b` its raw wait
/// status, `c` how long it lived in nanoseconds, `d` the error of its start.
pub const DIED: u16 = 1402;

/// The settings of a sequencer's watcher.
#[derive(Clone, Debug)]
pub struct WatcherSettings {
    /// The program to execute; it calls [`watch`] with its stdin and stdout.
    pub program: PathBuf,
    /// With which arguments.
    pub arguments: Vec<OsString>,
    /// Where the groups are, and how they are reached.
    pub udp: UdpSettings,
    /// Whether the notice goes to the control group.
    pub by_group: bool,
    /// The nodes one by one, where multicast may not arrive.
    pub targets: Vec<SocketAddrV4>,
    /// Where the watcher may run: not on the stamping thread's own core, which a dying process keeps busy.
    /// Empty is everywhere.
    pub cores: Vec<usize>,
}

impl WatcherSettings {
    /// This very program with `arguments`, whatever its file is called by now, off the core `hot` if `cores`
    /// has another.
    pub fn new(arguments: &[&str], udp: UdpSettings, cores: &[usize], hot: Option<usize>) -> Self {
        let mut cores = cores.to_vec();
        if let Some(hot) = hot.filter(|_| cores.len() > 1) {
            cores.retain(|core| *core != hot);
        }
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments: arguments.iter().map(OsString::from).collect(),
            udp,
            by_group: true,
            targets: Vec::new(),
            cores,
        }
    }
}

/// The sequencer's end of its watcher. Dropping it changes nothing: the thread holds the mutex and is
/// watched until it ends, or announces an orderly end by [`Watcher::stop`].
pub struct Watcher {
    page: Page,
    supervisor: Supervisor,
}

impl Watcher {
    /// Makes the calling thread the one that is watched, and starts the watcher. Its start and its later
    /// end are reported to `recorder`: [`STARTED`], [`DIED`]; that no more are started, by
    /// [`Watcher::abandoned_watchers`].
    ///
    /// # Errors
    /// No page, no socket to the control group, no thread. A watcher that does not start is no error here.
    pub fn start(settings: WatcherSettings, recorder: &Recorder) -> Result<Self, IoError> {
        let group = settings.by_group.then_some(Group::Control);
        let socket = announcer(&settings.udp, group)?;
        let (page, file) = Page::create(std::process::id(), &settings.cores, &settings.targets)?;
        // Before anybody else can: a watcher that came first would get it.
        page.hold().map_err(|error| IoError::new("hold the mutex that the watcher waits for", error))?;
        let supervisor = Supervisor::start(page, file, socket, settings, recorder.clone())?;
        Ok(Self { page, supervisor })
    }

    /// Sets the datagram that the watcher sends if this thread ends: no system call, no lock. Empty means
    /// that there is nothing to announce, and so does anything longer than [`NOTICE_LEN_MAX`].
    pub fn set_notice(&mut self, notice: &[u8]) {
        self.page.set_notice(notice);
    }

    /// The present watcher's process; none while one is being started, or after giving up.
    pub fn process(&self) -> Option<u32> {
        self.supervisor.process()
    }

    /// How many watchers ended at once before no more were started; 0 while one is.
    pub fn abandoned_watchers(&self) -> u32 {
        self.supervisor.abandoned_watchers()
    }

    /// The present watcher's process, where a signal has stopped it (SIGSTOP): it would announce nothing.
    pub fn stopped_watcher(&self) -> Option<u32> {
        self.supervisor.stopped_watcher()
    }

    /// For callers that must announce the death before the thread has really ended.
    pub fn death_notice(&self) -> DeathNotice {
        DeathNotice(self.page)
    }

    /// The orderly end: nothing is announced, and the watcher ends.
    ///
    /// # Errors
    /// The calling thread is not the one that [`Watcher::start`] was called by.
    pub fn stop(self) -> Result<(), IoError> {
        let Self { page, supervisor } = self;
        supervisor.begin_stop();
        page.set_notice(&[]);
        if !page.stop() {
            let why = Error::new(ErrorKind::PermissionDenied, "another thread is watched");
            return Err(IoError::new("end the watch in order", why));
        }
        supervisor.await_end();
        Ok(())
    }
}

/// Announces the death of a thread that is about to die, but has work to do before: a panic that prints the
/// last events.
#[derive(Clone, Copy)]
pub struct DeathNotice(Page);

impl DeathNotice {
    /// Makes the watcher send its notice, and returns true, if the calling thread is the one watched; it
    /// must not stamp again. Does nothing on any other thread.
    pub fn toll(&self) -> bool {
        self.0.let_go()
    }
}

/// Forbids core dumps of this process: the kernel releases a dead thread's mutex only after the dump is
/// written, which takes up to seconds.
///
/// The limit alone would not do, since a dump that goes to a program (`core_pattern` with `|`) heeds none.
/// The price of the second setting: other processes of the same user may no longer trace this one or read its
/// memory (gdb, perf); root may.
pub fn forbid_core_dumps() -> Effective {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives across the calls; the last two have no pointers.
    let dumpable = unsafe {
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) == 0 {
            limit.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
        }
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
        libc::prctl(libc::PR_GET_DUMPABLE)
    };
    if dumpable == 0 {
        return Effective::granted("core_dumps", "off");
    }
    let note = "a crash is announced only after its dump is written: `sysctl -w kernel.core_pattern=core`";
    Effective::short("core_dumps", "off", format!("{dumpable}"), note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_io::udp::Interface;
    use std::net::Ipv4Addr;

    #[test]
    fn a_watcher_stays_off_the_hot_core_where_there_is_another() {
        let groups = [Ipv4Addr::new(239, 0, 0, 1); 3];
        let cores = |cores: &[usize], hot| {
            let udp = UdpSettings::new(Interface::Address(Ipv4Addr::LOCALHOST), 1, groups);
            WatcherSettings::new(&[], udp, cores, hot).cores
        };
        assert_eq!(cores(&[0, 1, 2], Some(1)), [0, 2]);
        assert_eq!(cores(&[1], Some(1)), [1]);
        assert_eq!(cores(&[0, 1], None), [0, 1]);
    }
}
