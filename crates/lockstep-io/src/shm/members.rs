//! The other processes: a thread beside the device maps the rings of processes that join and unmaps those of
//! processes that have left, so that a hot thread does neither. It sleeps until the folder changes (inotify):
//! a file is made, removed, or closed by its owner's death.

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

/// The most changes that wait for a device that receives nothing.
const CHANGES_MAX: usize = 4 * MEMBERS_MAX;
/// The kernel reports a death a moment before it releases the dead process's lock, so the check is repeated
/// after this time.
const AGAIN_MS: i32 = 5;
/// The interval of a check without a notice, in case one was missed.
const TICK_MS: i32 = 1000;

/// Another process: its rings, and how far they have been read.
pub(super) struct ShmPeer {
    pub id: u64,
    /// Its unicast address: see [`packed_address`].
    pub address: u64,
    pub groups: Reader<Mapped, 0>,
    pub unicast: Reader<Mapped, 2>,
    /// Whether it has left; the datagrams that it sent before are still read.
    pub has_left: bool,
}

impl ShmPeer {
    /// A peer whose rings are read from now on; a newcomer's from the beginning.
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

/// A change of the members, for a device.
pub(super) enum ShmMemberChange {
    Joined(ShmPeer),
    /// The peer of this number has left.
    Left(u64),
}

/// State that the device and its thread share.
pub(super) struct Shared {
    /// Whether there are changes: a receive checks only this flag.
    pub is_changed: CachePadded<AtomicBool>,
    pub changes: ArrayQueue<ShmMemberChange>,
    /// Peers whose memory is to be unmapped.
    pub gone: ArrayQueue<ShmPeer>,
    /// Files of the folder that cannot be used.
    pub refused: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    /// Notifies the device. Returns false if its queue of changes is full.
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
    /// Makes this process's file, with rings of this many words, and finds the processes from which `role`
    /// receives. Returns this process's rings and those of the others.
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
        // After the lock, for which all others wait: the kernel fills a page table for each mapping. If one
        // cannot be mapped, this process's file is removed with `members`.
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
        // The end of our file is an event that wakes the thread. Without the lock the file stays until the
        // next process comes.
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
    /// The other processes that the device knows, or is about to know, and those from which it does not
    /// receive.
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
            // If the check is not possible now, the next tick repeats it.
            let _ = self.look();
        }
    }

    /// Waits for a change of the folder. Returns whether there was one.
    fn await_events(&self, wait_ms: i32) -> bool {
        let mut waits = libc::pollfd { fd: self.events.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, which lives across the call, as does its `pollfd`.
        let ready = unsafe { libc::poll(&raw mut waits, 1, wait_ms) };
        let mut events = [0_u8; 4096];
        // The kind of event does not matter: the folder is listed.
        // SAFETY: the kernel writes at most as many bytes as `events` has; the descriptor does not block.
        while unsafe { libc::read(waits.fd, events.as_mut_ptr().cast(), events.len()) } > 0 {}
        ready > 0
    }

    /// Notifies the device of processes that have joined or left.
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
            // More files than a folder may hold exist only for a moment.
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
