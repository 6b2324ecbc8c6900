//! # counters: the counters of a process, for others to read
//!
//! A mapped file of named numbers. Publishing is one store per number and no call; reading needs
//! nothing from the writer, so it works while that is busy, hung or dead. Put the file into memory
//! (`/dev/shm`): a disk's file system would write it back now and then, and the next store then
//! waits for a page fault.
//!
//! ```text
//!   0  header (64 bytes): magic, version, count, pid, start time
//!  64  count names, 48 bytes each, UTF-8, zeros behind
//!   …  padding to a multiple of 64
//!   …  count values, u64 little-endian, each its own atomic
//! ```

use super::{IoError, clock::Clock};
use bytemuck::{Pod, Zeroable};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// `LKSTCNTR` in memory order.
const MAGIC: u64 = u64::from_le_bytes(*b"LKSTCNTR");
/// Of this layout.
const VERSION: u32 = 1;
/// Bytes of a name's field, and so the longest name.
pub const NAME_BYTES: usize = 48;
/// More counters than any process has: the most that a reader accepts.
const COUNT_MAX: usize = 1 << 16;

/// The first 64 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: u64,
    version: u32,
    count: u32,
    pid: u32,
    reserved: u32,
    /// Wall time, nanoseconds.
    started_at: u64,
    padding: [u64; 4],
}

const _: () = assert!(size_of::<Header>() == 64 && std::mem::offset_of!(Header, started_at) == 24);

/// Where the values begin.
const fn values_at(count: usize) -> usize {
    (size_of::<Header>() + count * NAME_BYTES).next_multiple_of(64)
}

/// Bytes of the whole file.
const fn file_bytes(count: usize) -> usize {
    values_at(count) + count * 8
}

/// The values inside a mapping of a file with `count` of them.
fn values(map: &MmapRaw, count: usize) -> &[AtomicU64] {
    assert!(map.len() >= file_bytes(count), "mapped {} bytes for {count} counters", map.len());
    // SAFETY: the mapping is page-aligned and covers `count` words from `values_at`, a multiple of 8
    // (asserted). All processes touch them by atomics only. Readers map without the right to write,
    // where loads of a word are still sound.
    unsafe { std::slice::from_raw_parts(map.as_ptr().add(values_at(count)).cast::<AtomicU64>(), count) }
}

/// Makes the file at `path` of `bytes` and maps it. It is written whole, not only sized: a store into
/// a hole of a full file system would kill us.
fn map_new(path: &Path, bytes: &[u8]) -> std::io::Result<MmapRaw> {
    // Others may make files there too: what lies at that name is removed, never opened.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    MmapOptions::new().len(bytes.len()).map_raw(&file)
}

/// The writer's end.
pub struct CountersFile {
    map: MmapRaw,
    count: usize,
}

impl CountersFile {
    /// Makes the file at `path` with all values 0. One that was there is replaced as a whole, so that a
    /// process that still reads it keeps the old one.
    ///
    /// # Errors
    /// A name longer than [`NAME_BYTES`], or the file cannot be made.
    pub fn create(path: &Path, names: &[&str]) -> Result<Self, IoError> {
        let doing = || format!("make the counters file {}", path.display());
        let fails = |error| IoError::new(doing(), error);
        let wrong = |why: String| IoError::because(doing(), ErrorKind::InvalidInput, why);
        if names.len() > COUNT_MAX {
            return Err(wrong(format!("{} counters are more than {COUNT_MAX}", names.len())));
        }
        let mut bytes = vec![0; file_bytes(names.len())];
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            count: names.len() as u32,
            pid: std::process::id(),
            started_at: {
                let clock = Clock::start();
                clock.wall(clock.now())
            },
            ..Header::zeroed()
        };
        bytes[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        for (field, name) in bytes[size_of::<Header>()..].chunks_mut(NAME_BYTES).zip(names) {
            if name.len() > NAME_BYTES {
                return Err(wrong(format!("the name '{name}' is longer than {NAME_BYTES} bytes")));
            }
            field[..name.len()].copy_from_slice(name.as_bytes());
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let made = map_new(Path::new(&draft), &bytes).and_then(|map| {
            std::fs::rename(&draft, path)?;
            Ok(map)
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&draft); // it may not have come to be
        }
        Ok(Self { map: made.map_err(fails)?, count: names.len() })
    }

    /// Stores all values, in the order of the names. Each is whole at any time; all together may be
    /// seen half-way, which a counter forgives.
    pub fn publish(&mut self, values_now: &[u64]) {
        assert_eq!(values_now.len(), self.count, "one value for each name");
        for (to, value) in values(&self.map, self.count).iter().zip(values_now) {
            to.store(*value, Ordering::Relaxed);
        }
    }
}

/// A reader's end.
pub struct CountersReader {
    map: MmapRaw,
    names: Vec<String>,
    pid: u32,
    started_at: u64,
}

impl CountersReader {
    /// Opens the file at `path`, whether its writer runs or not.
    ///
    /// # Errors
    /// It is missing, not a counters file, of another version, or cut short.
    pub fn open(path: &Path) -> Result<Self, IoError> {
        let doing = || format!("read the counters file {}", path.display());
        let fails = |error| IoError::new(doing(), error);
        let wrong = |why: &str| IoError::because(doing(), ErrorKind::InvalidData, why);
        let file = File::open(path).map_err(fails)?;
        let len = file.metadata().map_err(fails)?.len() as usize;
        if len < size_of::<Header>() {
            return Err(wrong("it is shorter than its header"));
        }
        let map = MmapOptions::new().len(len).map_raw_read_only(&file).map_err(fails)?;
        // SAFETY: the mapping has `len` bytes, and those before the values are never written again: the
        // file came into its place complete.
        let bytes = |upto: usize| unsafe { std::slice::from_raw_parts(map.as_ptr(), upto) };
        let header: Header = bytemuck::pod_read_unaligned(bytes(size_of::<Header>()));
        if header.magic != MAGIC {
            return Err(wrong("it is no counters file of lockstep"));
        }
        if header.version != VERSION {
            return Err(wrong(&format!(
                "its version is {}, ours is {VERSION}: use the same release",
                header.version
            )));
        }
        let count = header.count as usize;
        if count > COUNT_MAX || len < file_bytes(count) {
            return Err(wrong(&format!("its {len} bytes are too few for the {count} counters it names")));
        }
        let table = &bytes(values_at(count))[size_of::<Header>()..];
        let name = |field: &[u8]| {
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).into_owned()
        };
        let names = table.chunks(NAME_BYTES).take(count).map(name).collect();
        Ok(Self { names, pid: header.pid, started_at: header.started_at, map })
    }

    /// The names, in the writer's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values of this moment, in the order of the names.
    pub fn values(&self) -> Vec<u64> {
        values(&self.map, self.names.len()).iter().map(|value| value.load(Ordering::Relaxed)).collect()
    }

    /// The value called `name` at this moment, if there is one.
    pub fn value(&self, name: &str) -> Option<u64> {
        let index = self.names.iter().position(|have| have == name)?;
        Some(values(&self.map, self.names.len())[index].load(Ordering::Relaxed))
    }

    /// The process that writes, or wrote, the file.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it made the file: nanoseconds since the Unix epoch.
    pub fn started_at(&self) -> u64 {
        self.started_at
    }
}
