//! What stands in the home stream of a set, addressed to the set's own channel. Little-endian.

use bytemuck::{Pod, Zeroable};
use lockstep_wire::{Epoch, Nanos, Seq};
use std::fmt;

/// Most streams of a set, the home stream among them.
pub const STREAMS_MAX: usize = 32;
/// Bytes of a stream's name in a list, with zeros behind it.
pub const NAME_LEN: usize = 32;
/// The version of both payloads.
const VERSION: u16 = 1;
const CUT: [u8; 8] = *b"LKSCUT\0\0";
const SET: [u8; 8] = *b"LKSSET\0\0";

/// Why bytes are none of these payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayloadError {
    /// Another kind of message.
    Magic,
    /// A later release wrote it.
    Version(u16),
    /// It is longer or shorter than its rows, or has more rows than a set has streams.
    Length,
    /// A stream stands in it twice, a name is none, or a seq is 0.
    Row,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("it is no cut and no list of streams"),
            Self::Version(version) => write!(f, "it has version {version}, and this release reads {VERSION}"),
            Self::Length => f.write_str("its length does not fit its rows"),
            Self::Row => f.write_str("one of its rows cannot be"),
        }
    }
}

impl std::error::Error for PayloadError {}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct CutHead {
    magic: [u8; 8],
    after: u64,
    done: u64,
    list: u64,
    base: u64,
    time: u64,
    rows: u16,
    version: u16,
    zero: u32,
}

/// How far one stream is merged at a cut.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct CutRow {
    /// The number of its cluster.
    pub stream: u64,
    /// The exclusive bound.
    pub next: Seq,
    /// The epoch of the entry before `next`, as who wrote the row has read it.
    pub epoch: u64,
    /// Numbers of copies that `done` has used up in this stream.
    pub copies: u32,
    /// Numbers of route entries that `done` has used up in this stream.
    pub routes: u32,
}

impl CutRow {
    /// The epoch, as a value of its type.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

const _: () = assert!(size_of::<CutHead>() == 56 && size_of::<CutRow>() == 32);

/// A cut that counts, and where the merged order stood when it was delivered; all zero before the first one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CutPoint {
    /// Its seq.
    pub seq: Seq,
    /// The number of the list of streams that was in force.
    pub list: u64,
    /// The sum of all next seqs, less this, is the next merged number, modulo 2^64: the seqs from which
    /// streams are merged, less those at which removed streams ended.
    pub base: u64,
    /// The merged time.
    pub time: Nanos,
}

/// An entry of the home stream that says how far each other stream is merged there, and where the merged
/// order stood at the cut before it: so a reader begins at a cut with what a later cut says of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CutEntry {
    /// Where the merged order stood when the last cut before it that counts was delivered.
    pub after: CutPoint,
    /// Each spread and move of the home stream below it has its copies below the rows of this cut.
    pub done: Seq,
    /// One row for each other stream of the set, in the order of the set's list.
    pub rows: Vec<CutRow>,
}

impl CutEntry {
    /// Whether a payload is meant to be one.
    pub fn is_meant(payload: &[u8]) -> bool {
        payload.starts_with(&CUT)
    }

    /// The payload. Panics with more rows than a set has streams: its maker has read the list of the set.
    pub fn to_bytes(&self) -> Vec<u8> {
        assert!(self.rows.len() < STREAMS_MAX, "{} rows of at most {}", self.rows.len(), STREAMS_MAX - 1);
        let head = CutHead {
            magic: CUT,
            after: self.after.seq,
            done: self.done,
            list: self.after.list,
            base: self.after.base,
            time: self.after.time,
            rows: self.rows.len() as u16,
            version: VERSION,
            zero: 0,
        };
        [bytemuck::bytes_of(&head), bytemuck::cast_slice(&self.rows)].concat()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// It is no cut that this release reads.
    pub fn parse(payload: &[u8]) -> Result<Self, PayloadError> {
        let (head, rows) = split::<CutHead, CutRow>(payload, &CUT)?;
        let CutHead { after: seq, done, list, base, time, rows: count, version, .. } = head;
        let after = CutPoint { seq, list, base, time };
        if version != VERSION {
            return Err(PayloadError::Version(version));
        }
        if rows.len() != usize::from(count) || rows.len() >= STREAMS_MAX {
            return Err(PayloadError::Length);
        }
        let is_twice = |at: usize| rows[..at].iter().any(|row| row.stream == rows[at].stream);
        if (0..rows.len()).any(|at| rows[at].next == 0 || is_twice(at)) {
            return Err(PayloadError::Row);
        }
        Ok(Self { after, done, rows })
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SetHead {
    magic: [u8; 8],
    number: u64,
    rows: u16,
    version: u16,
    zero: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RawSetRow {
    stream: u64,
    from: u64,
    name: [u8; NAME_LEN],
}

const _: () = assert!(size_of::<SetHead>() == 24 && size_of::<RawSetRow>() == 48);

/// One stream of a set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetRow {
    /// The number of its cluster.
    pub stream: u64,
    /// The seq from which it is merged.
    pub from: Seq,
    /// Its name in the file.
    pub name: String,
}

/// An entry of the home stream that lists all streams of the set but the home stream (SET-2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SetEntry {
    /// 1, 2, 3 … along the home stream.
    pub number: u64,
    /// The other streams, in the order in which they are merged at a cut.
    pub rows: Vec<SetRow>,
}

impl SetEntry {
    /// Whether a payload is meant to be one.
    pub fn is_meant(payload: &[u8]) -> bool {
        payload.starts_with(&SET)
    }

    /// The payload. Panics with more streams than a set has, or with a name that is too long: the
    /// configuration refuses both.
    pub fn to_bytes(&self) -> Vec<u8> {
        assert!(self.rows.len() < STREAMS_MAX, "{} rows of at most {}", self.rows.len(), STREAMS_MAX - 1);
        let head = SetHead {
            magic: SET,
            number: self.number,
            rows: self.rows.len() as u16,
            version: VERSION,
            zero: 0,
        };
        let mut bytes = bytemuck::bytes_of(&head).to_vec();
        for row in &self.rows {
            let mut name = [0; NAME_LEN];
            name[..row.name.len()].copy_from_slice(row.name.as_bytes());
            bytes.extend(bytemuck::bytes_of(&RawSetRow { stream: row.stream, from: row.from, name }));
        }
        bytes
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// It is no list that this release reads.
    pub fn parse(payload: &[u8]) -> Result<Self, PayloadError> {
        let (head, rows) = split::<SetHead, RawSetRow>(payload, &SET)?;
        let SetHead { number, rows: count, version, .. } = head;
        if version != VERSION {
            return Err(PayloadError::Version(version));
        }
        if rows.len() != usize::from(count) || rows.len() >= STREAMS_MAX {
            return Err(PayloadError::Length);
        }
        let mut all: Vec<SetRow> = Vec::with_capacity(rows.len());
        for RawSetRow { stream, from, name } in rows {
            let len = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
            let (name, zeros) = name.split_at(len);
            let name = std::str::from_utf8(name).map_err(|_| PayloadError::Row)?.to_owned();
            let is_twice = all.iter().any(|row| row.stream == stream || row.name == name);
            if from == 0 || name.is_empty() || zeros.iter().any(|byte| *byte != 0) || is_twice {
                return Err(PayloadError::Row);
            }
            all.push(SetRow { stream, from, name });
        }
        Ok(Self { number, rows: all })
    }
}

/// The head of a payload that begins with `magic`, and its rows.
fn split<H: Pod, R: Pod>(payload: &[u8], magic: &[u8; 8]) -> Result<(H, Vec<R>), PayloadError> {
    if !payload.starts_with(magic) {
        return Err(PayloadError::Magic);
    }
    let (head, rows) = payload.split_at_checked(size_of::<H>()).ok_or(PayloadError::Length)?;
    if rows.len() % size_of::<R>() != 0 {
        return Err(PayloadError::Length);
    }
    let rows = rows.chunks_exact(size_of::<R>()).map(bytemuck::pod_read_unaligned).collect();
    Ok((bytemuck::pod_read_unaligned(head), rows))
}
