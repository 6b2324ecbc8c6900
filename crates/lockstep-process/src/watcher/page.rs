//! The page that a sequencer shares with its watcher: a robust mutex and a prepared datagram.
//!
//! ```text
//!   stamping thread                     page (memfd)                     watcher
//!   holds ─────────────────────────▶ robust mutex ◀───────────────────── waits
//!   writes the notice not in force ▶ notice 0 │ notice 1
//!   then names it, last ───────────▶ version (its lowest bit is the notice's number) ──▶ reads, sends
//! ```
//!
//! The mutex is the C library's: it alone has the kernel's list of robust locks of each thread, and the
//! kernel goes through that list whenever a thread ends, before the process's memory is torn down.
//! A thread may die between any two instructions, so a notice in force is never written to.

use super::notices::Notices;
use lockstep_io::IoError;
use lockstep_wire::{packed_address, unpacked_address};
use memmap2::MmapOptions;
use std::cell::UnsafeCell;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::net::SocketAddrV4;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Most bytes of a notice.
pub const NOTICE_LEN_MAX: usize = 512;
/// Bytes of the file.
const PAGE_LEN: usize = 4096;
/// First word of a page of this layout.
const MAGIC: u64 = u64::from_le_bytes(*b"LKSTWAT1");
/// Most addresses that a watcher notifies: the replicas and archivers of a file are fewer.
const TARGETS_MAX: usize = 32;
/// 64-bit words of a set of cores: `CPU_SETSIZE` bits.
const CORE_WORDS: usize = 16;

#[repr(C)]
struct Shared {
    magic: AtomicU64,
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    /// The sequencer's process.
    process: AtomicU32,
    /// Not 0 once the stamping thread has ended in order.
    stopped: AtomicU32,
    /// [`Readiness`] of the present watcher, 0 while it starts.
    ready: AtomicU32,
    /// Where the watcher may run; none set is everywhere.
    cores: [AtomicU64; CORE_WORDS],
    /// The nodes one by one: address and port in one number, 0 ends them.
    targets: [AtomicU64; TARGETS_MAX],
    notices: Notices<{ NOTICE_LEN_MAX / 8 }>,
}

const _: () = assert!(size_of::<Shared>() <= PAGE_LEN);

// SAFETY: everything but the mutex is atomic, and the mutex is only touched by the C library's own calls.
unsafe impl Sync for Shared {}

/// The settings that a watcher was granted, as bits of one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readiness(pub u32);

impl Readiness {
    /// It waits.
    pub const WAITS: u32 = 1;
    /// In a real-time class: a dying process does not block it from its core.
    pub const REAL_TIME: u32 = 2;
    /// Its memory is not paged out.
    pub const LOCKED: u32 = 4;
    /// Spared when memory runs out.
    pub const SPARED: u32 = 8;

    /// The missing settings as text; empty if none.
    pub fn lacks(self) -> String {
        let all = [
            (Self::REAL_TIME, "real-time class"),
            (Self::LOCKED, "locked memory"),
            (Self::SPARED, "OOM score"),
        ];
        let missing: Vec<_> =
            all.iter().filter(|(bit, _)| self.0 & bit == 0).map(|(_, name)| *name).collect();
        missing.join(", ")
    }
}

/// Why the wait for the mutex ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MutexHandover {
    /// The stamping thread has ended in order: there is no death.
    InOrder,
    /// It has ended, or has itself announced that it will.
    ByDeath,
}

/// The page, mapped for the life of the process: the kernel's list of robust locks leads into it.
#[derive(Clone, Copy)]
pub(super) struct Page(&'static Shared);

impl Page {
    /// A new page, and the file that a watcher maps it from.
    pub fn create(process: u32, cores: &[usize], targets: &[SocketAddrV4]) -> Result<(Self, File), IoError> {
        let doing = "make the page that is shared with the watcher";
        // SAFETY: the name is a C string that lives across the call.
        let fd = unsafe { libc::memfd_create(c"lockstep-watcher".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(IoError::last(doing));
        }
        // SAFETY: the call has just opened `fd`, and it has no other owner.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(PAGE_LEN as u64).map_err(|error| IoError::new(doing, error))?;
        let page = Self::map(&file).map_err(|error| IoError::new(doing, error))?;
        page.make_mutex().map_err(|error| IoError::new(doing, error))?;
        page.0.process.store(process, Ordering::Relaxed);
        for core in cores.iter().filter(|core| **core < 64 * CORE_WORDS) {
            page.0.cores[core / 64].fetch_or(1 << (core % 64), Ordering::Relaxed);
        }
        for (place, target) in page.0.targets.iter().zip(targets) {
            place.store(packed_address(*target), Ordering::Relaxed);
        }
        page.0.magic.store(MAGIC, Ordering::Release);
        Ok((page, file))
    }

    /// The page in `file`, which the sequencer has made.
    pub fn inherited(file: &File) -> Result<Self, IoError> {
        let doing = "find the sequencer's page on stdin: only `lockstep sequencer` starts a watcher";
        let wrong = || IoError::because(doing, ErrorKind::InvalidData, "it is no such page");
        let metadata = file.metadata().map_err(|error| IoError::new(doing, error))?;
        if !metadata.is_file() || metadata.len() != PAGE_LEN as u64 {
            return Err(wrong());
        }
        let page = Self::map(file).map_err(|error| IoError::new(doing, error))?;
        if page.0.magic.load(Ordering::Acquire) == MAGIC { Ok(page) } else { Err(wrong()) }
    }

    fn map(file: &File) -> Result<Self, Error> {
        let map = MmapOptions::new().len(PAGE_LEN).map_raw(file)?;
        // SAFETY: `PAGE_LEN` bytes are mapped, aligned to a page, and stay so for ever as the map is
        // forgotten. All-zero bytes, as the file begins, are a value of every field.
        let shared = unsafe { &*map.as_mut_ptr().cast::<Shared>() };
        std::mem::forget(map);
        Ok(Self(shared))
    }

    /// Makes the mutex: process-shared and robust, and not locked.
    fn make_mutex(self) -> Result<(), Error> {
        // SAFETY: plain bytes that the next call initialises.
        let mut attributes: libc::pthread_mutexattr_t = unsafe { std::mem::zeroed() };
        let attributes = &raw mut attributes;
        // SAFETY: `attributes` lives across the calls; the mutex lies in mapped memory that no other
        // thread knows of yet, and stays there.
        let error = unsafe {
            first_error([
                libc::pthread_mutexattr_init(attributes),
                libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED),
                libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST),
                libc::pthread_mutex_init(self.0.mutex.get(), attributes),
                libc::pthread_mutexattr_destroy(attributes),
            ])
        };
        if error == 0 { Ok(()) } else { Err(Error::from_raw_os_error(error)) }
    }

    /// Takes the mutex for this thread, for life. A page's first holder finds it free.
    pub fn hold(self) -> Result<(), Error> {
        // SAFETY: the mutex was made by `create`, in memory that stays mapped.
        match unsafe { libc::pthread_mutex_lock(self.0.mutex.get()) } {
            0 => Ok(()),
            error => Err(Error::from_raw_os_error(error)),
        }
    }

    /// Releases the mutex without an orderly end: the watcher takes it for a death. Returns whether this
    /// thread held it; any other changes nothing.
    pub fn let_go(self) -> bool {
        // SAFETY: as in `hold`. A robust mutex refuses a thread that does not hold it (EPERM).
        unsafe { libc::pthread_mutex_unlock(self.0.mutex.get()) == 0 }
    }

    /// Releases the mutex after an orderly end: the watcher sends nothing. Returns whether this thread held
    /// it.
    pub fn stop(self) -> bool {
        self.0.stopped.store(1, Ordering::Release);
        self.let_go()
    }

    /// Waits until the mutex is handed over, and holds it.
    pub fn await_hand_over(self) -> MutexHandover {
        // SAFETY: as in `hold`. Whatever it answers but 0 (EOWNERDEAD, or ENOTRECOVERABLE after another
        // watcher's death), the holder is gone.
        let free = unsafe { libc::pthread_mutex_lock(self.0.mutex.get()) } == 0;
        if free && self.0.stopped.load(Ordering::Acquire) != 0 {
            MutexHandover::InOrder
        } else {
            MutexHandover::ByDeath
        }
    }

    /// Puts a notice in force; an empty one says that there is nothing to announce. Longer ones than
    /// [`NOTICE_LEN_MAX`] become empty. One thread writes.
    #[inline]
    pub fn set_notice(self, bytes: &[u8]) {
        self.0.notices.set(bytes);
    }

    /// Copies the notice in force and returns its length; 0 is "nothing to announce". Whole, whenever it is
    /// read.
    pub fn notice(self, out: &mut [u8; NOTICE_LEN_MAX]) -> usize {
        self.0.notices.get(out)
    }

    /// The sequencer's process.
    pub fn process(self) -> u32 {
        self.0.process.load(Ordering::Relaxed)
    }

    /// Where the watcher may run; empty is everywhere.
    pub fn cores(self) -> Vec<usize> {
        let bit = |core: usize| self.0.cores[core / 64].load(Ordering::Relaxed) >> (core % 64) & 1;
        (0..64 * CORE_WORDS).filter(|core| bit(*core) == 1).collect()
    }

    /// The nodes one by one.
    pub fn targets(self) -> Vec<SocketAddrV4> {
        let packed = self.0.targets.iter().map(|place| place.load(Ordering::Relaxed));
        packed.take_while(|packed| *packed != 0).map(unpacked_address).collect()
    }

    /// The watcher's own report of its state; none while it starts.
    pub fn readiness(self) -> Option<Readiness> {
        let bits = self.0.ready.load(Ordering::Acquire);
        (bits != 0).then_some(Readiness(bits))
    }

    /// Stores that report; a new watcher begins with none.
    pub fn set_readiness(self, readiness: Option<Readiness>) {
        self.0.ready.store(readiness.map_or(0, |readiness| readiness.0), Ordering::Release);
    }
}

/// The first result of some calls that is not 0.
fn first_error<const N: usize>(answers: [i32; N]) -> i32 {
    answers.into_iter().find(|answer| *answer != 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn targets() -> [SocketAddrV4; 2] {
        ["10.0.0.1:7", "255.254.253.252:65535"].map(|address| address.parse().unwrap())
    }

    fn page() -> (Page, Page) {
        let (page, file) = Page::create(7, &[0, 3, 64, 5000], &targets()).unwrap();
        (page, Page::inherited(&file).unwrap())
    }

    #[test]
    fn a_page_says_the_same_on_both_sides_and_no_other_file_is_one() {
        let (ours, theirs) = page();
        assert_eq!((theirs.process(), theirs.cores()), (7, vec![0, 3, 64]));
        assert_eq!(theirs.targets(), targets());
        assert_eq!(ours.readiness(), None);
        theirs.set_readiness(Some(Readiness(Readiness::WAITS | Readiness::LOCKED)));
        assert_eq!(ours.readiness().map(Readiness::lacks).unwrap(), "real-time class, OOM score");
        let other = tempfile::tempfile().unwrap();
        assert!(Page::inherited(&other).is_err(), "of another length");
        other.set_len(PAGE_LEN as u64).unwrap();
        assert!(Page::inherited(&other).is_err(), "without the first word");
    }

    #[test]
    fn a_notice_is_the_last_one_set_and_too_long_a_one_is_none() {
        let (ours, theirs) = page();
        let mut out = [0; NOTICE_LEN_MAX];
        assert_eq!(theirs.notice(&mut out), 0, "nothing at first");
        for text in ["one", "a longer second", "", "three"] {
            ours.set_notice(text.as_bytes());
            let len = theirs.notice(&mut out);
            assert_eq!(&out[..len], text.as_bytes());
        }
        ours.set_notice(&[1; NOTICE_LEN_MAX + 1]);
        assert_eq!(theirs.notice(&mut out), 0);
    }

    #[test]
    fn a_notice_is_whole_whenever_it_is_read() {
        let (ours, theirs) = page();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..200_000_u32 {
                    ours.set_notice(&[round as u8; NOTICE_LEN_MAX][..64 + round as usize % 400]);
                }
                done.store(true, Ordering::Release);
            });
            let mut out = [0; NOTICE_LEN_MAX];
            while !done.load(Ordering::Acquire) {
                let len = theirs.notice(&mut out);
                assert!(out[..len].iter().all(|byte| *byte == out[0]), "torn: {:?}", &out[..len]);
            }
        });
    }

    #[test]
    fn only_the_holder_lets_go_and_how_it_ended_is_told() {
        let (ours, theirs) = page();
        std::thread::spawn(move || ours.hold().unwrap()).join().unwrap();
        assert_eq!(theirs.await_hand_over(), MutexHandover::ByDeath, "the thread returned with it");

        let (ours, theirs) = page();
        ours.hold().unwrap();
        std::thread::spawn(move || assert!(!ours.let_go() && !theirs.let_go())).join().unwrap();
        let waits = std::thread::spawn(move || theirs.await_hand_over());
        assert!(ours.let_go());
        assert_eq!(waits.join().unwrap(), MutexHandover::ByDeath, "let go, and not in order");

        let (ours, theirs) = page();
        ours.hold().unwrap();
        assert!(ours.stop());
        assert_eq!(
            std::thread::spawn(move || theirs.await_hand_over()).join().unwrap(),
            MutexHandover::InOrder
        );
    }
}
