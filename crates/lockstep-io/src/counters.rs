//! # counters: the counters of a process, for other processes to read
//!
//! A file of named numbers, each with its kind, unit and meaning, that its writer maps. Publishing is one
//! store per number and no call. A reader needs nothing from the writer, so it can read while the writer is
//! busy, hung or dead. The file belongs in memory (`/dev/shm`): a disk's file system would write it back now
//! and then, and the next store would wait for a page fault.
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

use super::private::{self, FileOwners};
use super::{IoError, clock::Utc};
use bytemuck::{Pod, Zeroable};
use lockstep_core::engine::counters::{CounterKind, Described};
use lockstep_core::engine::durations::Durations;
use lockstep_wire::Nanos;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// `LKSTCNTR` in memory order.
const MAGIC: u64 = u64::from_le_bytes(*b"LKSTCNTR");
/// The version of this layout.
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
    /// Values, with the time of the last store.
    values: u32,
    pid: u32,
    /// Wall time in nanoseconds.
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
    // (asserted). This process touches them by atomics only, and others read the file without a mapping.
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

/// First word of a table line with a label of the process.
const LABEL: &str = "label";

/// The content of a table: the labels of the process, and its counters.
type Table = (Vec<(String, String)>, Vec<Described>);

/// Parses a table; `None` if the text is not one.
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

/// The mode of files that other users read. Readers refuse a file that a group may write, whatever the user's
/// umask is.
const SHARED: u32 = 0o644;

/// Makes the file at `path` from `bytes` and maps it. It is written whole, not only sized: a store into a
/// hole of a full file system would kill the process. Each page is mapped at once, so that no store causes a
/// fault.
pub(crate) fn map_new(path: &Path, bytes: &[u8]) -> std::io::Result<MmapRaw> {
    // Other users may make files there too: a file of that name is removed, never opened.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().read(true).write(true).create_new(true).mode(SHARED).open(path)?;
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
    /// Makes the file at `path` with all values 0: the labels of the process, such as its cluster and its
    /// role, and its counters. An existing file is replaced as a whole, so that a process that still reads it
    /// keeps the old one.
    ///
    /// # Errors
    /// A field has a tab or a new line, there are too many counters, or the file cannot be made.
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
            let _ = std::fs::remove_file(&draft); // it may not exist
        }
        Ok(Self { map: made.map_err(fails)?, table: table.len(), count })
    }

    /// Stores all values, in the order of the rows, and the wall time of this moment. Each value is whole at
    /// any time; a reader may see some old and some new values, which does no harm to counters.
    pub fn publish(&mut self, wall: Nanos, values_now: &[u64]) {
        assert_eq!(1 + values_now.len(), self.count, "as many values as the rows have");
        let values = values(&self.map, self.table, self.count);
        for (to, value) in values[1..].iter().zip(values_now) {
            to.store(*value, Ordering::Relaxed);
        }
        values[0].store(wall, Ordering::Release);
    }
}

/// The source of a reader's numbers.
enum Source {
    /// A file, which is read anew each time. It may be truncated meanwhile, and a mapping of it would then
    /// end the reader.
    File(File),
    Bytes(Vec<u8>),
}

impl Source {
    /// Fills `out` with the bytes from `at` on.
    fn read(&self, at: usize, out: &mut [u8]) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(out, at as u64),
            Self::Bytes(bytes) => {
                let from = bytes.get(at..).and_then(|bytes| bytes.get(..out.len()));
                out.copy_from_slice(from.ok_or(ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

/// A reader's end.
pub struct CountersReader {
    source: Source,
    /// Header and table.
    fixed: Vec<u8>,
    count: usize,
    labels: Vec<(String, String)>,
    rows: Vec<Described>,
    pid: u32,
    started_at: u64,
}

impl CountersReader {
    /// Opens the file at `path`, which this process's user or root must have made. Its writer need not run.
    ///
    /// # Errors
    /// It is missing, another user's, not a counters file, of another version, or cut short.
    pub fn open(path: &Path) -> Result<Self, IoError> {
        Self::open_of(path, &FileOwners::own())
    }

    /// As [`open`](Self::open), for a file that one of `owners` has made.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_of(path: &Path, owners: &FileOwners) -> Result<Self, IoError> {
        let doing = || format!("read the counters file {}", path.display());
        let fails = |error| IoError::new(doing(), error);
        let file = private::open_shared(path, owners).map_err(fails)?;
        let len = file.metadata().map_err(fails)?.len();
        Self::of_source(Source::File(file), usize::try_from(len).unwrap_or(usize::MAX), doing)
    }

    /// Reads the result of [`bytes`](Self::bytes) of another process, on any host.
    ///
    /// # Errors
    /// As [`open`](Self::open); the error calls the bytes `name`.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, IoError> {
        let doing = || format!("read the counters of {name}");
        Self::of_source(Source::Bytes(bytes.to_vec()), bytes.len(), doing)
    }

    /// Reads a source of `len` bytes.
    fn of_source(source: Source, len: usize, doing: impl Fn() -> String) -> Result<Self, IoError> {
        let wrong = |why: &str| IoError::because(doing(), ErrorKind::InvalidData, why);
        let fails = |error| IoError::new(doing(), error);
        if len < size_of::<Header>() {
            return Err(wrong("it is shorter than its header"));
        }
        let mut fixed = vec![0; size_of::<Header>()];
        source.read(0, &mut fixed).map_err(fails)?;
        let header: Header = bytemuck::pod_read_unaligned(&fixed);
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
        fixed.resize(values_at(table), 0);
        source.read(0, &mut fixed).map_err(fails)?;
        let text = &fixed[size_of::<Header>()..size_of::<Header>() + table];
        let (labels, rows) = std::str::from_utf8(text)
            .ok()
            .and_then(parsed)
            .filter(|(_, rows)| count == 1 + rows.iter().map(|row| row.kind.values()).sum::<usize>())
            .ok_or_else(|| wrong("its table is damaged"))?;
        Ok(Self { source, fixed, count, labels, rows, pid: header.pid, started_at: header.started_at })
    }

    /// The wall time of the last store, and all values; all 0 for a file that was truncated.
    fn words(&self) -> Vec<u64> {
        let mut bytes = vec![0; self.count * 8];
        if self.source.read(self.fixed.len(), &mut bytes).is_err() {
            bytes.fill(0);
        }
        bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    /// The bytes of the file at this moment.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.fixed.clone();
        self.words().iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes
    }

    /// The counters, in the writer's order.
    pub fn rows(&self) -> &[Described] {
        &self.rows
    }

    /// The value of the writer's label `name`.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.0 == name).map(|label| label.1.as_str())
    }

    /// The values of this moment, in the order of the rows; a histogram has all its words.
    pub fn values(&self) -> Vec<u64> {
        self.words().split_off(1)
    }

    /// The words of the counter called `name` at this moment, if there is one.
    fn words_of(&self, name: &str) -> Option<Vec<u64>> {
        let index = self.rows.iter().position(|row| row.name == name)?;
        let from = 1 + self.rows[..index].iter().map(|row| row.kind.values()).sum::<usize>();
        Some(self.words()[from..][..self.rows[index].kind.values()].to_vec())
    }

    /// The value called `name` at this moment, if there is one.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.words_of(name).filter(|words| words.len() == 1).map(|words| words[0])
    }

    /// The distribution called `name` at this moment, if there is one.
    pub fn durations(&self, name: &str) -> Option<Durations> {
        Durations::from_words(&self.words_of(name)?)
    }

    /// The process that writes, or wrote, the file.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The user who made the file; `None` if it came from another host.
    pub fn owner(&self) -> Option<u32> {
        match &self.source {
            Source::File(file) => file.metadata().ok().map(|metadata| metadata.uid()),
            Source::Bytes(_) => None,
        }
    }

    /// When the writer made the file, in nanoseconds since the Unix epoch.
    pub fn started_at(&self) -> Nanos {
        self.started_at
    }

    /// When the writer last stored its values, in nanoseconds since the Unix epoch; 0 if it never did.
    pub fn published_at(&self) -> Nanos {
        self.words()[0]
    }
}
