//! The journal on real files: mapped tail, directory, side thread, and each refusal with its text. Tests that
//! need no files are beside the code, over memory.

// Mounts in a namespace of the test; and helpers of tests are tests.
#![allow(unsafe_code, clippy::unwrap_used)]

mod old_copies;

use crate::replay::wait_until;
use lockstep_core::proto::log::LogEnd;
use lockstep_node::io::journal_files::{self, JournalConfig, OpenJournal};
use lockstep_node::io::journal_thread::{Handle, ThreadSettings, spawn};
use lockstep_node::io::tail::MappedTail;
use lockstep_replica::journal::ports::{TailSource, Word};
use lockstep_replica::journal::{Completeness, Tail, read_segments};
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

const CLUSTER: u64 = 0xC1;
const IDENTITY: Identity = Identity { replica: 2, incarnation: 0x77 };
const LEN_MAX: usize = frame_len_max(1500);

/// A directory for the journal, and a tail beside it (on tmpfs if there is one).
struct Place {
    _dir: tempfile::TempDir,
    _shm: tempfile::TempDir,
    config: JournalConfig,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let shm =
        if Path::new("/dev/shm").is_dir() { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() };
    let shm = shm.unwrap();
    let config = JournalConfig {
        dir: dir.path().join("journal"),
        tail: shm.path().join("tail"),
        tail_len: 1 << 20,
        segment_len: 1 << 20,
        cluster: CLUSTER,
        replica: IDENTITY.replica,
        power: false,
        frame_len_max: LEN_MAX,
    };
    journal_files::format(&config.dir, CLUSTER, IDENTITY).unwrap();
    Place { _dir: dir, _shm: shm, config }
}

fn refusal(config: &JournalConfig) -> String {
    match journal_files::open(config) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}

fn frame(end: &LogEnd, epoch: Epoch, kind: EntryKind, payload: &[u8]) -> Vec<u8> {
    let mut memory = vec![0; LEN_MAX];
    let entry = EntryHeader {
        kind: kind as u8,
        flags: 0,
        length: 0,
        publisher: u32::from(kind != EntryKind::Genesis),
        publisher_seq: end.next,
        destination: 0,
        time_or_incarnation: 0,
    };
    let mut open = OpenFrame::default();
    assert!(open.push(&mut memory, entry, payload));
    let header = Header {
        cluster: CLUSTER,
        history: 9,
        epoch: epoch.0,
        first_seq: end.next,
        timestamp: end.timestamp + 1,
        chain: end.chain,
        ..Header::new(Kind::Frame)
    };
    let len = open.len();
    open.close(&mut memory, &Keyring::none(header.cluster), header, len);
    memory.truncate(len);
    memory
}

/// The next frame of a log: genesis, a publisher's open, then messages of 1,000 bytes.
fn next_frame(end: &LogEnd) -> Vec<u8> {
    let epoch = Epoch::new(0, IDENTITY);
    match end.next {
        1 => {
            let member = MemberBody::full(IDENTITY, "127.0.0.1:7".parse().unwrap());
            frame(end, epoch, EntryKind::Genesis, bytemuck::bytes_of(&member))
        }
        2 => {
            let mut payload = [0; 64];
            let len = write_open(&mut payload, [1, 2], 1, "gateway");
            frame(end, epoch, EntryKind::Open, &payload[..len])
        }
        seq => frame(end, epoch, EntryKind::Message, &[seq as u8; 1000]),
    }
}

/// Stores `count` frames as a leader does, waiting for the segments where the tail is full.
fn grow(tail: &mut Tail<MappedTail>, count: usize) {
    for _ in 0..count {
        let bytes = next_frame(&tail.end());
        loop {
            if let Ok(room) = tail.room() {
                room[..bytes.len()].copy_from_slice(&bytes);
                break;
            }
            std::thread::yield_now();
        }
        tail.pin(&Header::peek(&bytes).unwrap());
    }
    tail.invariants();
}

struct Running {
    tail: Tail<MappedTail>,
    handle: Handle,
    _lock: journal_files::Lock,
}

fn start(config: &JournalConfig) -> Running {
    run(journal_files::open(config).unwrap(), config.power)
}

fn run(journal: OpenJournal, power: bool) -> Running {
    let OpenJournal { opened, reader, store, lock, .. } = journal;
    let settings = ThreadSettings { scrub_bytes_per_s: 64 << 20, ..ThreadSettings::new(power) };
    let handle = spawn(store, reader, opened.writer, opened.superblock, settings).unwrap();
    Running { tail: opened.tail, handle, _lock: lock }
}

fn log_on_disk(config: &JournalConfig) -> LogEnd {
    let store = lockstep_node::io::store::DirStore::new(&config.dir, false).unwrap();
    let mut reader = read_segments(&store, 1).unwrap();
    let mut end = LogEnd::BLANK;
    while let Some(frame) = reader.next().unwrap() {
        end = end.follow(&frame.unwrap()).unwrap();
    }
    end
}

#[test]
fn a_log_many_times_the_tail_goes_to_segments_and_comes_back() {
    let place = place();
    let mut running = start(&place.config);
    grow(&mut running.tail, 6000);
    let end = running.tail.end();
    let superblock = running.handle.stop().unwrap();
    assert!(superblock.run.clean && superblock.high_next == end.next);
    drop((running.tail, running._lock));
    assert_eq!(log_on_disk(&place.config), end);
    let report = journal_files::verify(&place.config.dir).unwrap();
    assert_eq!(report.damage, []);
    assert!(report.segments >= 5 && report.records == 6000, "{report:?}");

    let journal = journal_files::open(&place.config).unwrap();
    assert_eq!(journal.opened.tail.end(), end);
    assert_eq!(journal.opened.checkpoint.publishers[&1].last, end.next - 1);
    let oldest = journal.opened.tail.oldest_seq();
    assert!(end.next - oldest > 800, "the ring is the one of before, {oldest} is its oldest frame");
}

#[test]
fn a_side_thread_that_rests_is_woken_when_a_quarter_of_the_ring_waits_and_not_before() {
    let place = place();
    let OpenJournal { opened, mut reader, lock: _lock, .. } = journal_files::open(&place.config).unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    let (copied, copies) = mpsc::channel();
    let (all, is_all) = mpsc::channel();
    let side = std::thread::spawn({
        let woken = Arc::clone(&woken);
        move || {
            reader.wakes(std::thread::current());
            for burst in 0..8 {
                copied.send(()).unwrap();
                // Only a wake-up ends its pauses.
                std::thread::park();
                woken.store(burst + 1, Ordering::Release);
                is_all.recv().unwrap();
                reader.set_word(Word::WrittenPos, reader.word(Word::PublishedPos));
            }
        }
    });
    let mut tail = opened.tail;
    for burst in 0..8 {
        copies.recv().unwrap();
        grow(&mut tail, 150);
        assert_eq!(woken.load(Ordering::Acquire), burst, "150 of its 1,000 records wait: it may rest");
        grow(&mut tail, 100);
        wait_until("it is woken", || woken.load(Ordering::Acquire) > burst);
        all.send(()).unwrap();
    }
    side.join().unwrap();
}

#[test]
fn killed_at_any_time_the_tail_knows_what_the_segments_lack() {
    let place = place();
    let mut end = LogEnd::BLANK;
    for round in 0..8 {
        let journal = journal_files::open(&place.config).unwrap();
        assert_eq!(journal.opened.tail.end(), end, "round {round}");
        let mut running = run(journal, false);
        grow(&mut running.tail, 100 + round * 170);
        end = running.tail.end();
        // It is dropped without `stop`: the side thread ends where it is.
    }
    let running = start(&place.config);
    running.handle.stop().unwrap();
    drop((running.tail, running._lock));
    assert_eq!(log_on_disk(&place.config), end);
}

#[test]
fn in_power_what_is_durable_is_in_the_segments_without_the_tail() {
    let mut place = place();
    place.config.power = true;
    let mut running = start(&place.config);
    grow(&mut running.tail, 300);
    running.tail.promise(Epoch::new(3, IDENTITY));
    while running.tail.durable_next() < running.tail.end().next
        || running.tail.promise_stored() < running.tail.promised()
    {
        std::thread::yield_now();
    }
    let end = running.tail.end();
    drop(running);
    std::fs::remove_file(&place.config.tail).unwrap();
    let journal = journal_files::open(&place.config).unwrap();
    assert_eq!(journal.opened.tail.end(), end);
    assert_eq!(journal.opened.superblock.promised, Epoch::new(3, IDENTITY));
    assert!(journal.opened.tail.find(2).is_some(), "and the ring is filled again");
}

#[test]
fn in_process_a_lost_tail_is_an_incomplete_journal() {
    let place = place();
    let mut running = start(&place.config);
    grow(&mut running.tail, 50);
    drop(running);
    std::fs::remove_file(&place.config.tail).unwrap();
    let journal = journal_files::look(&place.config).unwrap();
    let Completeness::Incomplete(why) = journal.inspected.completeness() else {
        panic!("it may have forgotten")
    };
    assert!(why.contains("the tail is gone"), "{why}");
}

#[test]
fn the_scrub_of_the_side_thread_finds_a_flipped_bit_in_a_sealed_segment() {
    use std::os::unix::fs::FileExt;
    let place = place();
    let mut running = start(&place.config);
    grow(&mut running.tail, 3000);
    running.handle.stop().unwrap();
    drop((running.tail, running._lock));
    let path = place.config.dir.join("segments/0000000001.seg");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 500_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 500_000).unwrap();
    let running = start(&place.config);
    while running.handle.damaged().0 == 0 {
        assert_eq!(running.handle.failure(), None);
        std::thread::yield_now();
    }
    let remarks = running.handle.take_events();
    assert!(
        remarks.iter().any(|r| r.starts_with("segments/0000000001.seg is damaged at byte")),
        "{remarks:?}"
    );
    drop(running);
    assert_eq!(journal_files::verify(&place.config.dir).unwrap().damage.len(), 1);
}

#[test]
fn each_refusal_names_the_journal_and_the_remedy() {
    let place = place();
    let config = &place.config;
    let shown = config.dir.display();
    let missing = refusal(&JournalConfig { dir: PathBuf::from("/nowhere/at/all"), ..config.clone() });
    assert!(missing.starts_with("journal /nowhere/at/all: there is no journal here: `format` creates one"));
    let again = journal_files::format(&config.dir, CLUSTER, IDENTITY).unwrap_err().to_string();
    assert!(again.contains("the directory is not empty"), "{again}");
    let other = refusal(&JournalConfig { cluster: 5, ..config.clone() });
    assert!(other.contains("a journal of cluster 0xc1, this is cluster 0x5"), "{other}");
    let other = refusal(&JournalConfig { replica: 3, ..config.clone() });
    assert!(other.contains("the journal of replica 2, this is replica 3"), "{other}");
    let small = refusal(&JournalConfig { segment_len: 1000, ..config.clone() });
    assert!(small.contains("segments of 1000 bytes: take at least 1048576"), "{small}");
    let huge = refusal(&JournalConfig { tail_len: 1 << 50, ..config.clone() });
    assert!(huge.contains("make its file system larger, or the tail smaller"), "{huge}");

    let opened = journal_files::open(config).unwrap();
    let locked = refusal(config);
    let pid = std::process::id();
    assert_eq!(
        locked,
        format!("journal {shown}: process {pid} has it open: stop that one, or give each its own directory")
    );
    assert_eq!(journal_files::verify(&config.dir).unwrap().damage, [], "a reader takes no lock");
    assert_eq!(journal_files::JournalReader::open(&config.dir).unwrap().open_by(), Some(pid));

    // Another replica with the same tail file.
    let second = JournalConfig { dir: config.dir.with_extension("2"), replica: 3, ..config.clone() };
    journal_files::format(&second.dir, CLUSTER, Identity { replica: 3, incarnation: 1 }).unwrap();
    assert!(refusal(&second).contains("another node uses it, give each its own"), "{}", refusal(&second));
    drop(opened);
    assert!(refusal(&second).contains("the tail file is that of replica 2"), "{}", refusal(&second));
    assert!(journal_files::open(config).is_ok());
}

/// The kernel lists the locks of all processes a page at a time, and leaves one out when another one is
/// released.
#[test]
fn a_journal_that_is_open_is_seen_to_be_while_the_locks_of_others_come_and_go() {
    let place = place();
    let opened = journal_files::open(&place.config).unwrap();
    let reader = journal_files::JournalReader::open(&place.config.dir).unwrap();
    let others = tempfile::tempdir().unwrap();
    let is_over = AtomicBool::new(false);
    let file = |at: usize| std::fs::File::create(others.path().join(at.to_string())).unwrap();
    let files: Vec<_> = (0..400).map(file).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                files.iter().for_each(|file| file.lock().unwrap());
                files.iter().for_each(|file| file.unlock().unwrap());
            }
        });
        let seen = (0..300).filter(|_| reader.open_by() == Some(std::process::id())).count();
        is_over.store(true, Ordering::Release);
        assert_eq!(seen, 300);
    });
    drop(opened);
    assert_eq!(reader.open_by(), None);
}

#[test]
fn another_tail_size_waits_for_a_clean_stop() {
    let place = place();
    let larger = JournalConfig { tail_len: 2 << 20, ..place.config.clone() };
    let mut running = start(&place.config);
    grow(&mut running.tail, 100);
    let end = running.tail.end();
    drop(running);
    let journal = journal_files::open(&larger).unwrap();
    assert!(journal.remarks.iter().any(|r| r.contains("keeps its 1048576 bytes")), "{:?}", journal.remarks);
    assert_eq!(journal.opened.tail.end(), end);
    let running = run(journal, false);
    running.handle.stop().unwrap();
    drop((running.tail, running._lock));
    let journal = journal_files::open(&larger).unwrap();
    assert_eq!(journal.opened.tail.end(), end);
    assert_eq!(std::fs::metadata(&larger.tail).unwrap().len(), 4096 + 8192 + (2 << 20));
}

/// A tmpfs that only this thread and its children see.
struct Mount(tempfile::TempDir);

impl Mount {
    /// `None` if this user may not mount.
    fn tmpfs(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let at = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        let none = std::ptr::null();
        // SAFETY: plain calls with C strings that live across them; the namespace is this thread's own.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
                && libc::mount(c"tmpfs".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())
                    == 0
        };
        mounted.then_some(Self(dir))
    }

    fn make_read_only(&self) {
        let at = std::ffi::CString::new(self.0.path().to_str().unwrap()).unwrap();
        let (none, flags) = (std::ptr::null(), libc::MS_REMOUNT | libc::MS_RDONLY);
        // SAFETY: a plain call with a C string that lives across it.
        assert_eq!(unsafe { libc::mount(none, at.as_ptr(), none, flags, none.cast()) }, 0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let at = std::ffi::CString::new(self.0.path().to_str().unwrap()).unwrap();
        // SAFETY: a plain call with a C string that lives across it.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_by_itself() {
    let Some(mount) = Mount::tmpfs("size=6m") else {
        println!("SKIPPED: mounting a small tmpfs needs root");
        return;
    };
    let dir = mount.0.path();
    let place = place();
    let config = JournalConfig { dir: dir.join("journal"), ..place.config.clone() };
    journal_files::format(&config.dir, CLUSTER, IDENTITY).unwrap();
    let mut running = start(&config);
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let mut stored = 0;
    while stored < 4000 {
        let bytes = next_frame(&running.tail.end());
        match running.tail.room() {
            Ok(room) => {
                room[..bytes.len()].copy_from_slice(&bytes);
                running.tail.pin(&Header::peek(&bytes).unwrap());
                stored += 1;
            }
            Err(_) if running.handle.disk_full() => break,
            Err(_) => std::thread::yield_now(),
        }
        assert_eq!(running.handle.failure(), None);
    }
    assert!((900..4000).contains(&stored), "the tail refuses when the segments lag: {stored}");
    let events = running.handle.take_events();
    assert!(events.iter().any(|r| r.contains("free some space")), "{events:?}");
    std::fs::remove_file(&ballast).unwrap();
    grow(&mut running.tail, 1000);
    while running.handle.disk_full() {
        std::thread::yield_now();
    }
    let end = running.tail.end();
    running.handle.stop().unwrap();
    drop((running.tail, running._lock));
    assert_eq!(log_on_disk(&config), end, "everything that was stored is there");
}

#[test]
fn a_read_only_directory_is_said_to_be_one() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        println!("SKIPPED: mounting a file system to make it read-only needs root");
        return;
    };
    let place = place();
    let config = JournalConfig { dir: mount.0.path().join("journal"), ..place.config.clone() };
    journal_files::format(&config.dir, CLUSTER, IDENTITY).unwrap();
    mount.make_read_only();
    let refused = refusal(&config);
    assert!(refused.contains("make the journal's directory writable"), "{refused}");
    let refused = journal_files::format(&mount.0.path().join("other"), CLUSTER, IDENTITY).unwrap_err();
    assert!(refused.to_string().contains("give a directory that this user may write"), "{refused}");
}
