//! The other processes: a thread beside the device maps the rings of processes that come and unmaps those
//! of processes that have left, so that a hot thread does neither. It sleeps until the folder changes
//! (inotify): a file that is made, removed, or closed by its owner's death.

use super::folder::{MEMBERS_MAX, Mapped, OwnRings, PeerFile, Rings, ShmFolder, ShmRole};
use super::ring::Reader;
use crate::{IoError, capabilities};
use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use lockstep_wire::packed_address;
use std::ffi::CString;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Changes that wait for a device that receives nothing.
const CHANGES_MAX: usize = 4 * MEMBERS_MAX;
/// The kernel reports a death a moment before it releases the dead process's lock: the check is then
/// repeated.
const AGAIN_MS: i32 = 5;
/// And, should anything have been overlooked, so often.
const TICK_MS: i32 = 1000;

/// Another process: its rings, and how far we have read them.
pub(super) struct ShmPeer {
    pub id: u64,
    /// Where it is reached: see [`packed_address`].
    pub address: u64,
    pub groups: Reader<Mapped, 0>,
    pub unicast: Reader<Mapped, 2>,
    /// It has left; the datagrams that it sent before are still read.
    pub has_left: bool,
}

impl ShmPeer {
    /// A peer whose rings are read from now on; those of a newcomer from the beginning.
    fn new(id: u64, rings: Rings, is_newcomer: bool) -> Self {
        let Rings { address, groups, unicast, .. } = rings;
        let (groups, unicast) = if is_newcomer {
            (Reader::of_all(groups), Reader::of_all(unicast))
        } else {
            (Reader::of_new(groups), Reader::of_new(unicast))
        };
        Self { id, address: packed_address(address), groups, unicast, has_left: false }
    }
}

/// An event for a device.
pub(super) enum ShmMemberChange {
    Joined(ShmPeer),
    /// The peer of this number.
    Left(u64),
}

/// State that the device and its thread share.
pub(super) struct Shared {
    /// Whether there are changes: a receive checks only this.
    pub is_changed: CachePadded<AtomicBool>,
    pub changes: ArrayQueue<ShmMemberChange>,
    /// Peers whose memory is to be unmapped.
    pub gone: ArrayQueue<ShmPeer>,
    /// Files of the folder that cannot be used.
    pub refused: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    /// Notifies the device. Returns false if it has not taken the last few hundred changes yet.
    fn tell(&self, change: ShmMemberChange) -> bool {
        let was_pushed = self.changes.push(change).is_ok();
        self.is_changed.store(true, Ordering::Release);
        was_pushed
    }
}

/// This process's membership, and the thread that watches the others'.
pub(super) struct ShmMembers {
    pub shared: Arc<Shared>,
    folder: ShmFolder,
    own: OwnRings,
    thread: Option<JoinHandle<()>>,
}

impl ShmMembers {
    /// Makes our file, with rings of so many words, and finds the processes that `role` receives from.
    /// Returns our rings and those of the others.
    pub fn join(
        folder: ShmFolder,
        role: ShmRole,
        address: SocketAddrV4,
        words: [usize; 2],
    ) -> Result<(Self, Rings, Vec<ShmPeer>), IoError> {
        let locked = folder.lock()?;
        let events = watch(folder.path())?;
        let known = locked.all_others()?;
        let (own, rings) = locked.make(role, address, &known, words)?;
        drop(locked);

        let shared = Arc::new(Shared {
            is_changed: CachePadded::new(AtomicBool::new(false)),
            changes: ArrayQueue::new(CHANGES_MAX),
            gone: ArrayQueue::new(CHANGES_MAX),
            refused: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let mut watcher =
            Watcher { shared: shared.clone(), folder: folder.clone(), own: own.id, role, known, events };
        let mut members = Self { shared, folder, own, thread: None };
        // Behind the lock, which all others wait for: the kernel fills a page table for each of these. Where
        // one cannot be mapped, our file goes with `members`.
        let mut peers = Vec::new();
        for found in &watcher.known {
            let rings = found.map()?;
            if role.hears(rings.role) {
                peers.push(ShmPeer::new(found.id, rings, false));
            }
        }
        let thread =
            capabilities::spawn(std::thread::Builder::new().name("lockstep-shm".into()), move || {
                watcher.run()
            });
        let doing = "start the thread that watches who shares memory";
        members.thread = Some(thread.map_err(|error| IoError::new(doing, error))?);
        Ok((members, rings, peers))
    }
}

impl Drop for ShmMembers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Our file's end is an event that the thread wakes from. Without the lock the file stays for the
        // next process that comes.
        if let Ok(locked) = self.folder.lock_existing() {
            locked.leave(&self.own);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it has nothing to return
        }
    }
}

/// The state of the thread.
struct Watcher {
    shared: Arc<Shared>,
    folder: ShmFolder,
    /// Our own file.
    own: u64,
    role: ShmRole,
    /// The others that the device knows, or is about to, and those that it does not receive from.
    known: Vec<PeerFile>,
    events: OwnedFd,
}

impl Watcher {
    fn run(&mut self) {
        let mut wait_ms = TICK_MS;
        loop {
            wait_ms = if self.await_events(wait_ms) { AGAIN_MS } else { TICK_MS };
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
            while self.shared.gone.pop().is_some() {}
            // If the check is not possible now, it is repeated at the next tick.
            let _ = self.look();
        }
    }

    /// Waits for a change of the folder. Returns whether there was one.
    fn await_events(&self, wait_ms: i32) -> bool {
        let mut waits = libc::pollfd { fd: self.events.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, which lives across the call, as does its `pollfd`.
        let ready = unsafe { libc::poll(&raw mut waits, 1, wait_ms) };
        let mut events = [0_u8; 4096];
        // Which events they are is of no interest: the folder is listed.
        // SAFETY: the kernel writes at most as many bytes as `events` has; the descriptor does not block.
        while unsafe { libc::read(waits.fd, events.as_mut_ptr().cast(), events.len()) } > 0 {}
        ready > 0
    }

    /// Notifies the device of processes that have come or left.
    fn look(&mut self) -> Result<(), IoError> {
        let Self { shared, folder, own, role, known, .. } = self;
        let locked = folder.lock_existing()?;
        let ids = locked.ids()?;
        known.retain(|found| {
            let is_dead = found.is_dead();
            if is_dead {
                locked.remove(found.id);
            }
            let is_there = !is_dead && ids.contains(&found.id);
            is_there || !shared.tell(ShmMemberChange::Left(found.id))
        });
        let seen: Vec<u64> = known.iter().map(|found| found.id).chain([*own]).collect();
        let mut refused = 0;
        let others = locked.others(&seen)?;
        drop(locked);
        for found in others {
            let mapped = found.and_then(|found| found.map().map(|rings| (found, rings)));
            let Ok((found, rings)) = mapped else {
                refused += 1;
                continue;
            };
            // More than a folder holds are there for a moment at most.
            let has_room = known.len() < MEMBERS_MAX;
            if has_room
                && (!role.hears(rings.role)
                    || shared.tell(ShmMemberChange::Joined(ShmPeer::new(found.id, rings, true))))
            {
                known.push(found);
            }
        }
        shared.refused.store(refused, Ordering::Relaxed);
        Ok(())
    }
}

/// A descriptor that signals when files of the folder are made, removed, or closed by their writers.
fn watch(path: &Path) -> Result<OwnedFd, IoError> {
    let doing = || {
        let path = path.display();
        format!("watch the folder {path} (a user has `sysctl fs.inotify.max_user_instances` of these)")
    };
    let text =
        CString::new(path.as_os_str().as_bytes()).map_err(|error| IoError::new(doing(), error.into()))?;
    // SAFETY: a call without pointers.
    let events = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
    if events < 0 {
        return Err(IoError::last(doing()));
    }
    // SAFETY: the descriptor is new, valid, and has no other owner.
    let events = unsafe { OwnedFd::from_raw_fd(events) };
    let what = libc::IN_CREATE | libc::IN_DELETE | libc::IN_CLOSE_WRITE | libc::IN_ONLYDIR;
    // SAFETY: `text` ends in a zero byte and lives across the call.
    if unsafe { libc::inotify_add_watch(events.as_raw_fd(), text.as_ptr(), what) } < 0 {
        return Err(IoError::last(doing()));
    }
    Ok(events)
}
