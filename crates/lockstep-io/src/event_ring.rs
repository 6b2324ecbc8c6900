//! # event_ring: the newest events of a process, for other processes to read
//!
//! A file beside the [counters](crate::counters) of the process, which its writer maps. Recording is a few
//! stores and no call. A reader needs nothing from the writer, so it can read while the writer is busy, hung
//! or dead. A process without a file has the same ring in its own memory.
//!
//! ```text
//!   0  header (64 bytes): magic, version, slots, pid, start time, id of the ring
//!  64  number of the next event, and padding
//! 128  slots of 64 bytes: version, wall time, and the 48 bytes of the event
//! ```
//!
//! The version of a slot is odd while the slot is written, and twice the number of its event plus 2
//! afterwards. A reader compares the version before and after it reads a slot, and so knows whether the event
//! is whole. Each event has its own wall time, because the clock of a host may be corrected while the process
//! runs, and events of several hosts are compared.

use super::IoError;
use super::clock::{Utc, random_u64};
use super::counters::map_new;
use super::private::{self, FileOwners};
use bytemuck::{Pod, Zeroable};
use lockstep_wire::{EventRecord, EventRow, Nanos};
use memmap2::MmapRaw;
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Events that a ring retains.
pub const RING_EVENTS: usize = 4096;
/// More slots than any ring has: the most that a reader accepts.
const SLOTS_MAX: usize = 1 << 20;
/// `LKSTEVNT` in memory order.
const MAGIC: u64 = u64::from_le_bytes(*b"LKSTEVNT");
/// The version of this layout.
const VERSION: u32 = 1;
/// The word with the number of the next event.
const NEXT: usize = 8;
/// The first word of the slots.
const SLOTS: usize = 16;
/// Words of a slot: its version, the wall time, the event.
const SLOT_WORDS: usize = 8;

const _: () = assert!(size_of::<(Nanos, EventRecord)>() == (SLOT_WORDS - 1) * 8);

/// The first 64 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RingHeader {
    magic: u64,
    version: u32,
    slots: u32,
    pid: u32,
    zero: u32,
    /// Wall time in nanoseconds.
    started_at: u64,
    /// Drawn at random: no two rings have the same id.
    id: u64,
    padding: [u64; 3],
}

const _: () = assert!(size_of::<RingHeader>() == NEXT * 8 && std::mem::offset_of!(RingHeader, id) == 32);

/// The path of the events file beside a counters file.
pub fn beside(counters: &Path) -> PathBuf {
    let name = counters.file_name().unwrap_or_default();
    let stem = match counters.extension() {
        Some(extension) if extension == "counters" => counters.file_stem().unwrap_or_default(),
        _ => name,
    };
    with_suffix(&counters.with_file_name(stem), ".events")
}

/// The path to which the ring of the previous process was moved when `file` replaced it.
pub fn previous(file: &Path) -> PathBuf {
    with_suffix(file, ".previous")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The words of a ring.
enum RingMemory {
    Own(Box<[AtomicU64]>),
    File(MmapRaw),
}

impl RingMemory {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        match self {
            Self::Own(words) => words,
            // SAFETY: the mapping is page-aligned, and as long as these words. This process touches them by
            // atomics only, and others read the file without a mapping.
            Self::File(map) => unsafe {
                std::slice::from_raw_parts(map.as_ptr().cast::<AtomicU64>(), map.len() / 8)
            },
        }
    }

    #[inline]
    fn next(&self) -> u64 {
        self.words()[NEXT].load(Ordering::Acquire)
    }

    fn slots(&self) -> usize {
        (self.words().len() - SLOTS) / SLOT_WORDS
    }

    /// The slot of event `number`.
    #[inline]
    fn slot(&self, number: u64) -> &[AtomicU64] {
        let at = SLOTS + number as usize % self.slots() * SLOT_WORDS;
        &self.words()[at..at + SLOT_WORDS]
    }

    fn oldest(&self) -> u64 {
        self.next().saturating_sub(self.slots() as u64)
    }

    /// Event `number`, if its slot holds it whole.
    fn read(&self, number: u64) -> Option<EventRow> {
        let slot = self.slot(number);
        let written = 2 * number + 2;
        if slot[0].load(Ordering::Acquire) != written {
            return None;
        }
        let words: [u64; SLOT_WORDS - 1] =
            std::array::from_fn(|index| slot[1 + index].load(Ordering::Relaxed));
        fence(Ordering::Acquire); // no word is read after the second version
        let is_whole = slot[0].load(Ordering::Relaxed) == written;
        let record: [u64; SLOT_WORDS - 2] = std::array::from_fn(|index| words[1 + index]);
        is_whole.then(|| EventRow { number, wall: words[0], record: bytemuck::cast(record) })
    }

    fn rows(&self) -> Vec<EventRow> {
        (self.oldest()..self.next()).filter_map(|number| self.read(number)).collect()
    }
}

/// The id of a ring, and the range of its events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventSpan {
    /// The ring's id.
    pub id: u64,
    /// The least number that the ring may still have.
    pub oldest: u64,
    /// The number of the next event.
    pub next: u64,
}

/// The newest events below a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventPage {
    /// The ring.
    pub span: EventSpan,
    /// The page has each event from this number on and below the requested one.
    pub from: u64,
    /// How many events the page has.
    pub count: usize,
}

/// The writer's end: any thread of its process may record and read.
pub struct EventRing {
    memory: RingMemory,
    id: u64,
}

impl EventRing {
    /// A ring that this process alone can read.
    pub fn in_memory() -> Self {
        let words = (0..SLOTS + RING_EVENTS * SLOT_WORDS).map(|_| AtomicU64::new(0)).collect();
        // Without random numbers the kernel provides nothing else that a node needs.
        Self { memory: RingMemory::Own(words), id: random_u64().unwrap_or_default() }
    }

    /// Makes the file at `path`. The file of the previous process is moved to [`previous`], where it replaces
    /// an older one.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self, IoError> {
        let fails = |error| IoError::new(format!("make the file of events {}", path.display()), error);
        let id = random_u64()?;
        let header = RingHeader {
            magic: MAGIC,
            version: VERSION,
            slots: RING_EVENTS as u32,
            pid: std::process::id(),
            started_at: Utc::now().0,
            id,
            ..RingHeader::zeroed()
        };
        let mut bytes = bytemuck::bytes_of(&header).to_vec();
        bytes.resize((SLOTS + RING_EVENTS * SLOT_WORDS) * 8, 0);
        let draft = with_suffix(path, &format!(".{}", std::process::id()));
        let made = map_new(&draft, &bytes).and_then(|map| {
            match std::fs::rename(path, previous(path)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            std::fs::rename(&draft, path)?;
            Ok(map)
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&draft); // it may not exist
        }
        Ok(Self { memory: RingMemory::File(made.map_err(fails)?), id })
    }

    /// Records an event that happened at the wall time `wall`: no system call, no lock, no allocation.
    #[inline]
    pub fn record(&self, wall: Nanos, event: &EventRecord) {
        let number = self.memory.words()[NEXT].fetch_add(1, Ordering::Relaxed);
        let slot = self.memory.slot(number);
        // If another thread is still writing this slot, its event, which is a whole ring older, stays:
        // recording never waits.
        let before = slot[0].load(Ordering::Relaxed);
        let (writing, written) = (2 * number + 1, 2 * number + 2);
        let free = before.is_multiple_of(2) && before < writing;
        if !free || slot[0].compare_exchange(before, writing, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        fence(Ordering::Release); // no word is written before the odd version
        slot[1].store(wall, Ordering::Relaxed);
        let words: [u64; SLOT_WORDS - 2] = bytemuck::cast(*event);
        for (to, word) in slot[2..].iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        slot[0].store(written, Ordering::Release);
    }

    /// All events in the ring, oldest first, except one that is being written.
    pub fn rows(&self) -> Vec<EventRow> {
        self.memory.rows()
    }

    /// The newest events with a number below `before`, newest first, as many as `rows` has room for. It reads
    /// at most that number of slots, and as many more that are being written.
    pub fn page(&self, before: u64, rows: &mut [EventRow]) -> EventPage {
        let span = EventSpan { id: self.id, oldest: self.memory.oldest(), next: self.memory.next() };
        let (mut from, mut count) = (before.min(span.next).max(span.oldest), 0);
        for _ in 0..2 * rows.len() {
            if from == span.oldest || count == rows.len() {
                break;
            }
            from -= 1;
            if let Some(row) = self.memory.read(from) {
                rows[count] = row;
                count += 1;
            }
        }
        EventPage { span, from, count }
    }
}

/// A reader's end. It maps nothing: truncating a mapped file would end the reader.
pub struct EventRingReader {
    file: File,
    header: RingHeader,
}

impl EventRingReader {
    /// Opens the file at `path`, which this process's user or root must have made. Its writer need not run.
    ///
    /// # Errors
    /// It is missing, another user's, not a file of events, of another version, or cut short.
    pub fn open(path: &Path) -> Result<Self, IoError> {
        Self::open_of(path, &FileOwners::own())
    }

    /// As [`open`](Self::open), for a file that one of `owners` has made.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_of(path: &Path, owners: &FileOwners) -> Result<Self, IoError> {
        let doing = || format!("read the file of events {}", path.display());
        let fails = |error| IoError::new(doing(), error);
        let wrong = |why: String| IoError::because(doing(), ErrorKind::InvalidData, why);
        let file = private::open_shared(path, owners).map_err(fails)?;
        let len = file.metadata().map_err(fails)?.len();
        if len < (SLOTS * 8) as u64 {
            return Err(wrong("it is shorter than its header".into()));
        }
        let mut bytes = [0; size_of::<RingHeader>()];
        file.read_exact_at(&mut bytes, 0).map_err(fails)?;
        let header: RingHeader = bytemuck::cast(bytes);
        if header.magic != MAGIC {
            return Err(wrong("it is no file of events of lockstep".into()));
        }
        if header.version != VERSION {
            return Err(wrong(format!(
                "its layout is {}, this release reads {VERSION}: use the release that wrote it",
                header.version
            )));
        }
        let slots = header.slots as usize;
        if slots == 0 || slots > SLOTS_MAX || len != ((SLOTS + slots * SLOT_WORDS) * 8) as u64 {
            return Err(wrong(format!("its {len} bytes do not fit its {slots} slots")));
        }
        Ok(Self { file, header })
    }

    /// The words of the ring at this moment; `None` if the file was truncated.
    fn words(&self) -> Option<Vec<u64>> {
        let mut words = vec![0_u64; SLOTS + self.header.slots as usize * SLOT_WORDS];
        self.file.read_exact_at(bytemuck::cast_slice_mut(&mut words), 0).ok()?;
        Some(words)
    }

    /// The number of the next event.
    fn next(&self) -> u64 {
        let mut word = [0; 8];
        let is_read = self.file.read_exact_at(&mut word, NEXT as u64 * 8).is_ok();
        if is_read { u64::from_le_bytes(word) } else { 0 }
    }

    fn oldest(&self, next: u64) -> u64 {
        next.saturating_sub(u64::from(self.header.slots))
    }

    /// All events in the ring, oldest first, except one that is being written.
    pub fn rows(&self) -> Vec<EventRow> {
        // A slot is whole if its version is the same before and after it is read.
        let [before, Some(words), behind] = [(); 3].map(|()| self.words()) else { return Vec::new() };
        let (Some(before), Some(behind)) = (before, behind) else { return Vec::new() };
        let next = before[NEXT];
        let row = |number: u64| {
            let at = SLOTS + number as usize % self.header.slots as usize * SLOT_WORDS;
            let written = number.checked_mul(2)?.checked_add(2)?;
            let is_whole = before[at] == written && behind[at] == written;
            let record: [u64; SLOT_WORDS - 2] = std::array::from_fn(|index| words[at + 2 + index]);
            is_whole.then(|| EventRow { number, wall: words[at + 1], record: bytemuck::cast(record) })
        };
        (self.oldest(next)..next).filter_map(row).collect()
    }

    /// The id of the ring, and the range of its events.
    pub fn span(&self) -> EventSpan {
        let next = self.next();
        EventSpan { id: self.header.id, oldest: self.oldest(next), next }
    }

    /// The process that writes, or wrote, the file.
    pub fn pid(&self) -> u32 {
        self.header.pid
    }

    /// When the writer made the file, in nanoseconds since the Unix epoch.
    pub fn started_at(&self) -> Nanos {
        self.header.started_at
    }
}
