//! # counters: the counters of a process, for others to read
//!
//! A mapped file of named numbers, each with its kind, unit and meaning. Publishing is one store per number
//! and no call; reading needs nothing from the writer, so it works while that is busy, hung or dead. Put the
//! file into memory (`/dev/shm`): a disk's file system would write it back now and then, and the next store
//! then waits for a page fault.
//!
//! ```text
//!   0  header (64 bytes): magic, version, bytes of the table, count of values, pid, start time
//!  64  the table, UTF-8, a line for each label of the process and then for each counter:
//!        label \t NAME \t VALUE
//!        KIND \t UNIT \t NAME{LABELS} \t MEANING
//!   …  padding to a multiple of 64
//!   …  wall time of the last store, then the values of all counters: u64 little-endian, each its own atomic
//! ```
//!
//! A counter has one value, a histogram those of its classes and their sum
//! ([`durations`](lockstep_core::engine::durations)).

use super::{IoError, clock::Utc};
use bytemuck::{Pod, Zeroable};
use lockstep_core::engine::counters::{CounterKind, Described};
use lockstep_core::engine::durations::Durations;
use lockstep_wire::Nanos;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// `LKSTCNTR` in memory order.
const MAGIC: u64 = u64::from_le_bytes(*b"LKSTCNTR");
/// Of this layout.
const VERSION: u32 = 2;
/// The longest table that is read or written: ten times that of a replica.
const TABLE_MAX: usize = 1 << 19;
/// More values than any process has: the most that a reader accepts.
const VALUES_MAX: usize = 1 << 16;

/// The first 64 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: u64,
    version: u32,
    table_bytes: u32,
    /// The time of the last store included.
    values: u32,
    pid: u32,
    /// Wall time, nanoseconds.
    started_at: u64,
    padding: [u64; 4],
}

const _: () = assert!(size_of::<Header>() == 64 && std::mem::offset_of!(Header, started_at) == 24);

/// Where the values begin.
const fn values_at(table: usize) -> usize {
    (size_of::<Header>() + table).next_multiple_of(64)
}

/// The values inside a mapping of a file with a table of `table` bytes and `count` values.
fn values(map: &MmapRaw, table: usize, count: usize) -> &[AtomicU64] {
    let bytes = values_at(table) + count * 8;
    assert!(map.len() >= bytes, "mapped {} bytes of {bytes}", map.len());
    // SAFETY: the mapping is page-aligned and covers `count` words from `values_at`, a multiple of 8
    // (asserted). All processes touch them by atomics only. Readers map without the right to write,
    // where loads of a word are still sound.
    unsafe { std::slice::from_raw_parts(map.as_ptr().add(values_at(table)).cast::<AtomicU64>(), count) }
}

/// The table of a file.
fn table(labels: &[(&str, &str)], rows: &[Described]) -> Result<String, String> {
    let mut text = String::new();
    let mut line = |fields: [&str; 4]| {
        if fields.iter().any(|field| field.contains(['\t', '\n'])) {
            return Err(format!("{fields:?}: a tab or a new line ends a field"));
        }
        text += fields.join("\t").trim_end_matches('\t');
        text.push('\n');
        Ok(())
    };
    for (name, value) in labels {
        line([LABEL, name, value, ""])?;
    }
    for row in rows {
        line([row.kind.name(), &row.unit, &row.name, &row.meaning])?;
    }
    match text.len() {
        bytes @ TABLE_MAX.. => Err(format!("a table of {bytes} bytes is longer than {TABLE_MAX}")),
        _ => Ok(text),
    }
}

/// First word of a line of the table that has a label of the process.
const LABEL: &str = "label";

/// What a table has: the labels of the process, and its counters.
type Table = (Vec<(String, String)>, Vec<Described>);

/// Reads a table; `None` of what is none.
fn parsed(text: &str) -> Option<Table> {
    let (mut labels, mut rows) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut fields = line.split('\t');
        let mut field = || fields.next().unwrap_or("").to_owned();
        let (first, second, third, fourth) = (field(), field(), field(), field());
        if first == LABEL {
            labels.push((second, third));
            continue;
        }
        let kind = CounterKind::ALL.into_iter().find(|kind| kind.name() == first)?;
        rows.push(Described { name: third, kind, unit: second.into(), meaning: fourth.into() });
    }
    Some((labels, rows))
}

/// Makes the file at `path` of `bytes` and maps it. It is written whole, not only sized: a store into
/// a hole of a full file system would kill us. Each page is mapped at once, so that no store causes a fault.
pub(crate) fn map_new(path: &Path, bytes: &[u8]) -> std::io::Result<MmapRaw> {
    // Others may make files there too: what lies at that name is removed, never opened.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    MmapOptions::new().len(bytes.len()).populate().map_raw(&file)
}

/// The writer's end.
pub struct CountersFile {
    map: MmapRaw,
    table: usize,
    count: usize,
}

impl CountersFile {
    /// Makes the file at `path` with all values 0: labels of the process, like its cluster and its role, and
    /// its counters. One that was there is replaced as a whole, so that a process that still reads it keeps
    /// the old one.
    ///
    /// # Errors
    /// A field with a tab or a new line, too many counters, or the file cannot be made.
    pub fn create(path: &Path, labels: &[(&str, &str)], rows: &[Described]) -> Result<Self, IoError> {
        let doing = || format!("make the counters file {}", path.display());
        let fails = |error| IoError::new(doing(), error);
        let wrong = |why: String| IoError::because(doing(), ErrorKind::InvalidInput, why);
        let table = table(labels, rows).map_err(wrong)?;
        let count = 1 + rows.iter().map(|row| row.kind.values()).sum::<usize>();
        if count > VALUES_MAX {
            return Err(wrong(format!("{count} values are more than {VALUES_MAX}")));
        }
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            table_bytes: table.len() as u32,
            values: count as u32,
            pid: std::process::id(),
            started_at: Utc::now().0,
            ..Header::zeroed()
        };
        let mut bytes = bytemuck::bytes_of(&header).to_vec();
        bytes.extend_from_slice(table.as_bytes());
        bytes.resize(values_at(table.len()) + count * 8, 0);
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let made = map_new(Path::new(&draft), &bytes).and_then(|map| {
            std::fs::rename(&draft, path)?;
            Ok(map)
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&draft); // it may not have come to be
        }
        Ok(Self { map: made.map_err(fails)?, table: table.len(), count })
    }

    /// Stores all values, in the order of the rows, and the wall time of this moment. Each is whole at any
    /// time; all together may be seen half-way, which a counter forgives.
    pub fn publish(&mut self, wall: Nanos, values_now: &[u64]) {
        assert_eq!(1 + values_now.len(), self.count, "as many values as the rows have");
        let values = values(&self.map, self.table, self.count);
        for (to, value) in values[1..].iter().zip(values_now) {
            to.store(*value, Ordering::Relaxed);
        }
        values[0].store(wall, Ordering::Release);
    }
}

/// A reader's end.
pub struct CountersReader {
    map: MmapRaw,
    table: usize,
    count: usize,
    labels: Vec<(String, String)>,
    rows: Vec<Described>,
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
        let file = File::open(path).map_err(fails)?;
        let len = file.metadata().map_err(fails)?.len() as usize;
        // Nothing is no mapping.
        let map = MmapOptions::new().len(len.max(1)).map_raw_read_only(&file).map_err(fails)?;
        Self::of_map(map, doing)
    }

    /// Reads what [`bytes`](Self::bytes) of another process, of any host, returned.
    ///
    /// # Errors
    /// As of [`open`](Self::open); the error calls the bytes `name`.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, IoError> {
        let doing = || format!("read the counters of {name}");
        let map = MmapOptions::new().len(bytes.len().max(1)).map_anon();
        let mut map = map.map_err(|error| IoError::new(doing(), error))?;
        map[..bytes.len()].copy_from_slice(bytes);
        Self::of_map(map.into(), doing)
    }

    /// Reads the mapping of a file that came into its place complete.
    fn of_map(map: MmapRaw, doing: impl Fn() -> String) -> Result<Self, IoError> {
        let wrong = |why: &str| IoError::because(doing(), ErrorKind::InvalidData, why);
        let len = map.len();
        if len < size_of::<Header>() {
            return Err(wrong("it is shorter than its header"));
        }
        // SAFETY: the mapping has `len` bytes, and those before the values are never written again: the
        // file came into its place complete.
        let bytes = |upto: usize| unsafe { std::slice::from_raw_parts(map.as_ptr(), upto) };
        let header: Header = bytemuck::pod_read_unaligned(bytes(size_of::<Header>()));
        if header.magic != MAGIC {
            return Err(wrong("it is no counters file of lockstep"));
        }
        if header.version != VERSION {
            return Err(wrong(&format!(
                "its layout is {}, this release reads {VERSION}: use the release that wrote it",
                header.version
            )));
        }
        let (table, count) = (header.table_bytes as usize, header.values as usize);
        if table > TABLE_MAX || count > VALUES_MAX || len < values_at(table) + count * 8 {
            return Err(wrong(&format!(
                "its {len} bytes are too few for its table of {table} bytes and its {count} values"
            )));
        }
        let text = &bytes(size_of::<Header>() + table)[size_of::<Header>()..];
        let (labels, rows) = std::str::from_utf8(text)
            .ok()
            .and_then(parsed)
            .filter(|(_, rows)| count == 1 + rows.iter().map(|row| row.kind.values()).sum::<usize>())
            .ok_or_else(|| wrong("its table is damaged"))?;
        Ok(Self { map, table, count, labels, rows, pid: header.pid, started_at: header.started_at })
    }

    /// The file as it is at this moment.
    pub fn bytes(&self) -> Vec<u8> {
        let fixed = values_at(self.table);
        // SAFETY: the mapping is longer, as it was checked, and these bytes are never written again.
        let mut bytes = unsafe { std::slice::from_raw_parts(self.map.as_ptr(), fixed) }.to_vec();
        for value in values(&self.map, self.table, self.count) {
            bytes.extend_from_slice(&value.load(Ordering::Acquire).to_le_bytes());
        }
        bytes
    }

    /// The counters, in the writer's order.
    pub fn rows(&self) -> &[Described] {
        &self.rows
    }

    /// What the writer tells of itself.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.0 == name).map(|label| label.1.as_str())
    }

    /// The values of this moment, in the order of the rows: of a histogram all its words.
    pub fn values(&self) -> Vec<u64> {
        let values = values(&self.map, self.table, self.count);
        values[1..].iter().map(|value| value.load(Ordering::Relaxed)).collect()
    }

    /// The words of the counter called `name` at this moment, if there is one.
    fn words(&self, name: &str) -> Option<Vec<u64>> {
        let index = self.rows.iter().position(|row| row.name == name)?;
        let from = 1 + self.rows[..index].iter().map(|row| row.kind.values()).sum::<usize>();
        let values = &values(&self.map, self.table, self.count)[from..][..self.rows[index].kind.values()];
        Some(values.iter().map(|value| value.load(Ordering::Relaxed)).collect())
    }

    /// The value called `name` at this moment, if there is one.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.words(name).filter(|words| words.len() == 1).map(|words| words[0])
    }

    /// The distribution called `name` at this moment, if there is one.
    pub fn durations(&self, name: &str) -> Option<Durations> {
        Durations::from_words(&self.words(name)?)
    }

    /// The process that writes, or wrote, the file.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it made the file: nanoseconds since the Unix epoch.
    pub fn started_at(&self) -> Nanos {
        self.started_at
    }

    /// When it last stored its values, likewise; 0 if it never did.
    pub fn published_at(&self) -> Nanos {
        values(&self.map, self.table, self.count)[0].load(Ordering::Acquire)
    }
}
