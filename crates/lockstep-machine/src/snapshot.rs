//! # snapshot: a machine in a file
//!
//! ```text
//!   magic │ head: name, version, cursor, next, time, digest │ parts: outputs, clients, timers, agreement, version in force
//!   │ blocks of the machine's own bytes │ an empty block │ CRC-32C of all before
//! ```
//! A file is checked as a whole before anything is restored from it, so a machine restores only what it
//! wrote.

use lockstep_core::engine::saved::{put_bytes, take_bytes, take_text, take_u32, take_u64};
use lockstep_wire::{Cursor, Nanos, Seq, crc};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

const MAGIC: &[u8; 8] = b"LKSTAPP3";
/// The previous format, in which timers do not show whether they are relative to the stream's time.
const MAGIC_2: &[u8; 8] = b"LKSTAPP2";
/// The most bytes of a block.
const BLOCK_LEN_MAX: usize = 64 << 10;
/// The most bytes of head and parts: a million timers with small payloads need some 100 MB.
const PART_LEN_MAX: u32 = 1 << 30;

/// The part of a snapshot beside the machine's own bytes.
#[derive(Debug)]
pub struct SnapshotParts {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether its timers show to what they are relative.
    pub has_relative_timers: bool,
}

/// Where the reading continues behind a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnapshotCursor {
    /// In one stream.
    Stream(Cursor),
    /// In the merged order of a set: the text of a merged cursor.
    Set(String),
}

impl SnapshotCursor {
    /// That in one stream; `None` of a set's.
    pub fn stream(&self) -> Option<Cursor> {
        match self {
            Self::Stream(cursor) => Some(*cursor),
            Self::Set(_) => None,
        }
    }
}

impl From<Cursor> for SnapshotCursor {
    fn from(cursor: Cursor) -> Self {
        Self::Stream(cursor)
    }
}

impl fmt::Display for SnapshotCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(cursor) => cursor.fmt(f),
            Self::Set(cursor) => cursor.fmt(f),
        }
    }
}

/// The beginning of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotHead {
    /// The machine's name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Where the subscription continues.
    pub cursor: SnapshotCursor,
    /// The exclusive bound of its entries.
    pub next: Seq,
    /// The stream's time at that bound.
    pub time: Nanos,
    /// The digest of the state.
    pub digest: u64,
}

impl SnapshotHead {
    /// Reads the beginning of a snapshot alone, unchecked.
    ///
    /// # Errors
    /// It is no snapshot, or it is cut short.
    pub fn read(from: &mut impl Read) -> Result<Self, SnapshotError> {
        let _is_present = read_magic(from)?;
        parsed(&mut &part(from)?[..]).ok_or(SnapshotError::Damaged)
    }
}

/// Why a snapshot is not restored.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It cannot be read.
    Io(io::Error),
    /// It is no snapshot of this format.
    NotOne,
    /// It is damaged, or cut short.
    Damaged,
    /// It is another machine's.
    Name(String),
    /// It is of another version of the machine.
    Version(u32),
    /// It is of a machine that reads one stream, and this one reads a set; or the other way round.
    OtherReading,
    /// The machine refuses it.
    Machine(io::Error),
    /// The restored state has another digest than the saved one: a field is missing in the snapshot, or the
    /// machine restores something else.
    Digest {
        /// The digest of the saved state.
        saved: u64,
        /// The digest of the restored state.
        restored: u64,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
            Self::NotOne => f.write_str("it is no snapshot of a machine"),
            Self::Damaged => f.write_str("it is damaged or cut short: its checksum is another one"),
            Self::Name(name) => write!(f, "it is a snapshot of the machine '{name}'"),
            Self::Version(version) => write!(
                f,
                "it is of version {version} of the machine: start that version, or replay the stream from its beginning"
            ),
            Self::OtherReading => f.write_str(
                "it is of a machine that reads one stream, and this one reads a set, or the other way round: give each \
                 a folder of its own",
            ),
            Self::Machine(error) => write!(f, "the machine refuses it: {error}"),
            Self::Digest { saved, restored } => write!(
                f,
                "the restored state has the digest {restored:016x}, and the saved one had {saved:016x}: `snapshot` and \
                 `restore` of the machine do not agree"
            ),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io(error),
        }
    }
}

/// Passes bytes on, and computes their checksum.
struct Sum<T> {
    inner: T,
    crc: u32,
}

impl<W: Write> Write for Sum<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        self.crc = crc::append(self.crc, &bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Sum<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(out)?;
        self.crc = crc::append(self.crc, &out[..len]);
        Ok(len)
    }
}

/// Writes bytes as blocks.
struct BlockWriter<W> {
    inner: W,
    block: Vec<u8>,
}

impl<W: Write> BlockWriter<W> {
    fn end_block(&mut self) -> io::Result<()> {
        self.inner.write_all(&(self.block.len() as u32).to_le_bytes())?;
        self.inner.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

impl<W: Write> Write for BlockWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK_LEN_MAX {
            self.end_block()?;
        }
        let len = bytes.len().min(BLOCK_LEN_MAX - self.block.len());
        self.block.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads blocks as bytes, up to the empty one.
struct BlockReader<R> {
    inner: R,
    left: usize,
    is_done: bool,
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_done {
            let mut len = [0; 4];
            self.inner.read_exact(&mut len)?;
            self.left = u32::from_le_bytes(len) as usize;
            self.is_done = self.left == 0;
            if self.left > BLOCK_LEN_MAX {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let len = out.len().min(self.left);
        let len = self.inner.read(&mut out[..len])?;
        self.left -= len;
        Ok(len)
    }
}

/// Writes a snapshot: `machine` writes the machine's own bytes.
///
/// # Errors
/// Those of `out` and of `machine`.
pub fn write(
    out: &mut impl Write,
    head: &SnapshotHead,
    parts: &[u8],
    machine: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    put_bytes(&mut bytes, head.name.as_bytes());
    bytes.extend_from_slice(&head.version.to_le_bytes());
    put_bytes(&mut bytes, head.cursor.to_string().as_bytes());
    [head.next, head.time, head.digest].iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    let mut sum = Sum { inner: out, crc: 0 };
    sum.write_all(MAGIC)?;
    for part in [&bytes[..], parts] {
        sum.write_all(&(part.len() as u32).to_le_bytes())?;
        sum.write_all(part)?;
    }
    let mut blocks = BlockWriter { inner: &mut sum, block: Vec::with_capacity(BLOCK_LEN_MAX) };
    machine(&mut blocks)?;
    if !blocks.block.is_empty() {
        blocks.end_block()?;
    }
    blocks.end_block()?;
    let crc = sum.crc;
    sum.inner.write_all(&crc.to_le_bytes())
}

/// Reads a snapshot's head and parts, and passes the machine's own bytes to `machine`.
fn read_with<T>(
    from: &mut impl Read,
    machine: impl FnOnce(&mut dyn Read) -> Result<T, SnapshotError>,
) -> Result<(SnapshotHead, SnapshotParts, T), SnapshotError> {
    let mut sum = Sum { inner: from, crc: 0 };
    let has_relative_timers = read_magic(&mut sum)?;
    let (head, bytes) = (part(&mut sum)?, part(&mut sum)?);
    let parts = SnapshotParts { bytes, has_relative_timers };
    let head = parsed(&mut &head[..]).ok_or(SnapshotError::Damaged)?;
    let mut blocks = BlockReader { inner: &mut sum, left: 0, is_done: false };
    let read = machine(&mut blocks)?;
    io::copy(&mut blocks, &mut io::sink())?;
    let (crc, mut saved) = (sum.crc, [0; 4]);
    sum.inner.read_exact(&mut saved)?;
    if u32::from_le_bytes(saved) == crc { Ok((head, parts, read)) } else { Err(SnapshotError::Damaged) }
}

/// Whether it is of the present format; otherwise it is of the previous one.
fn read_magic(from: &mut impl Read) -> Result<bool, SnapshotError> {
    let mut magic = [0; 8];
    match from.read_exact(&mut magic) {
        Ok(()) if magic == *MAGIC || magic == *MAGIC_2 => Ok(magic == *MAGIC),
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(SnapshotError::Io(error)),
        _ => Err(SnapshotError::NotOne),
    }
}

fn part(from: &mut impl Read) -> Result<Vec<u8>, SnapshotError> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if len > PART_LEN_MAX {
        return Err(SnapshotError::Damaged);
    }
    // No memory is allocated for missing bytes.
    let mut part = Vec::new();
    from.take(u64::from(len)).read_to_end(&mut part)?;
    if part.len() == len as usize { Ok(part) } else { Err(SnapshotError::Damaged) }
}

fn parsed(rest: &mut &[u8]) -> Option<SnapshotHead> {
    let (name, version) = (take_text(rest)?, take_u32(rest)?);
    let cursor = std::str::from_utf8(take_bytes(rest)?).ok()?;
    let cursor = match cursor.parse() {
        Ok(cursor) => SnapshotCursor::Stream(cursor),
        Err(_) if cursor.starts_with("merged:") => SnapshotCursor::Set(cursor.to_owned()),
        Err(_) => return None,
    };
    let [next, time, digest] = [take_u64(rest)?, take_u64(rest)?, take_u64(rest)?];
    rest.is_empty().then_some(SnapshotHead { name, version, cursor, next, time, digest })
}

/// Reads a whole snapshot, checks it, and returns its head.
///
/// # Errors
/// It is no snapshot, or it is damaged.
pub fn verify_snapshot(from: &mut impl Read) -> Result<SnapshotHead, SnapshotError> {
    let (head, _, ()) = read_with(from, |_| Ok(()))?;
    Ok(head)
}

/// Restores a snapshot that [`verify_snapshot`] has checked before: `machine` reads the machine's own bytes.
///
/// # Errors
/// It is no snapshot, it is damaged, or it belongs to another machine or version.
pub fn read<T>(
    from: &mut impl Read,
    (name, version): (&str, u32),
    machine: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> Result<(SnapshotHead, SnapshotParts, T), SnapshotError> {
    let (head, parts, machine) = read_with(from, |blocks| Ok(machine(blocks)))?;
    if head.name != name {
        return Err(SnapshotError::Name(head.name));
    }
    if head.version != version {
        return Err(SnapshotError::Version(head.version));
    }
    Ok((head, parts, machine.map_err(SnapshotError::Machine)?))
}
