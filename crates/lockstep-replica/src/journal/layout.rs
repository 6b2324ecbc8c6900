//! The layout: the tail's header page, positions in its ring, and the rule that keeps every record
//! contiguous.
//!
//! ```text
//!  tail file   header page (label, words) │ slots: 16 bytes per block │ ring
//!  position    pos % ring_len is the place; a record never starts with fewer than record_len_max
//!              bytes before the ring's end: then the position jumps to the ring's start
//! ```
//!
//! The rule needs no skip record: the end of a record determines where the next one starts.

use crate::journal::{BLOCK_LEN, ports::Word};
use bytemuck::{Pod, Zeroable};
use lockstep_core::ring::place_in;
use lockstep_wire::{DATAGRAM_LEN_MAX, Identity, crc};

/// Version of the tail's and the segments' format. Records carry `wire::VERSION` besides.
pub const FORMAT_VERSION: u32 = 2;
/// Where the words begin in the header page.
pub const WORDS_AT: usize = 1024;
/// Bytes from one word to the next: a cache line each, so that the threads do not disturb each other.
pub const WORD_STRIDE: usize = 64;
/// Smallest segment of a configuration: the largest group (256 KiB), several times. Tests may use less; a
/// group that is longer than a segment gets one for itself.
pub const SEGMENT_LEN_MIN: u64 = 1 << 20;

const _: () = assert!(WORDS_AT + Word::COUNT * WORD_STRIDE <= BLOCK_LEN);

/// The succession of positions in a ring.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Geometry {
    /// Bytes of the ring.
    pub ring_len: u64,
    /// Most bytes of a record.
    pub record_len_max: u64,
}

impl Geometry {
    /// Rings hold at least this many of the largest records; fewer would leave no repair window.
    pub const RECORDS_MIN: u64 = 8;

    /// A ring of `ring_len` bytes, or the reason why it is invalid.
    pub fn new(ring_len: u64, record_len_max: usize) -> Result<Self, String> {
        let record_len_max = record_len_max as u64;
        let least = (record_len_max * Self::RECORDS_MIN).next_multiple_of(BLOCK_LEN as u64);
        if !(1024..=DATAGRAM_LEN_MAX as u64).contains(&record_len_max) || !record_len_max.is_multiple_of(8) {
            return Err(format!(
                "largest frame of {record_len_max} bytes: take a multiple of 8, 1024 to {DATAGRAM_LEN_MAX}"
            ));
        }
        if ring_len < least || !ring_len.is_multiple_of(BLOCK_LEN as u64) {
            return Err(format!(
                "tail of {ring_len} bytes: take a multiple of {BLOCK_LEN}, at least {least}"
            ));
        }
        Ok(Self { ring_len, record_len_max })
    }

    /// Where the record behind position `end` starts.
    #[inline]
    pub fn place(&self, end: u64) -> u64 {
        let left = self.ring_len - place_in(self.ring_len, end);
        if left < self.record_len_max { end + left } else { end }
    }

    /// Positions below this may be overwritten once the log's head is `head`: room for a record is assigned
    /// there, and one more may precede it.
    pub fn floor(&self, head: u64) -> u64 {
        (self.place(head) + 2 * self.record_len_max).saturating_sub(self.ring_len)
    }
}

/// The owner of a tail file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TailLabel {
    /// The cluster.
    pub cluster: u64,
    /// The replica and its incarnation.
    pub identity: Identity,
    /// The boot in which it was created: memory does not outlive a boot.
    pub boot: [u64; 2],
    /// The number of this tail within the journal; segments name the tail that they were copied from.
    pub generation: u64,
    /// Most bytes of a record.
    pub record_len_max: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct LabelBytes {
    magic: u64,
    version: u32,
    checksum: u32,
    cluster: u64,
    identity: u64,
    boot: [u64; 2],
    generation: u64,
    ring_len: u64,
    record_len_max: u64,
    reserved: [u64; 3],
}

/// The first eight bytes of a tail file, little-endian, labelled or not.
pub const TAIL_MAGIC: u64 = u64::from_le_bytes(*b"LKSTAIL\0");
/// Bytes of a label in the header page.
pub const LABEL_LEN: usize = size_of::<LabelBytes>();
const _: () = assert!(LABEL_LEN == 96 && LABEL_LEN <= WORDS_AT);

/// CRC-32C of `bytes` with the four bytes at 12 left out, where all our side files keep it.
pub(crate) fn checksum_but_12(bytes: &[u8]) -> u32 {
    crc::append(crc::crc32c(&bytes[..12]), &bytes[16..])
}

impl TailLabel {
    /// Its bytes, for a ring of `ring_len`.
    pub fn to_bytes(self, ring_len: u64) -> [u8; LABEL_LEN] {
        let mut label = LabelBytes {
            magic: TAIL_MAGIC,
            version: FORMAT_VERSION,
            checksum: 0,
            cluster: self.cluster,
            identity: self.identity.packed(),
            boot: self.boot,
            generation: self.generation,
            ring_len,
            record_len_max: u64::from(self.record_len_max),
            reserved: [0; 3],
        };
        label.checksum = checksum_but_12(bytemuck::bytes_of(&label));
        bytemuck::cast(label)
    }

    /// The label and the ring's length in `bytes`; `None` if there is none, or one of another format.
    pub fn from_bytes(bytes: &[u8]) -> Option<(Self, u64)> {
        let bytes = bytes.get(..LABEL_LEN)?;
        let label: LabelBytes = bytemuck::pod_read_unaligned(bytes);
        let valid = label.magic == TAIL_MAGIC
            && label.version == FORMAT_VERSION
            && label.checksum == checksum_but_12(bytes);
        valid.then_some((
            Self {
                cluster: label.cluster,
                identity: Identity::from_packed(label.identity),
                boot: label.boot,
                generation: label.generation,
                record_len_max: label.record_len_max as u32,
            },
            label.ring_len,
        ))
    }
}
