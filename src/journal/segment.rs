//! What a segment file is: a header block, then records, then zeros.
//!
//! ```text
//!  0        4096                                             end      block's end
//!  │ header │ record │ record │ ... │ record │ 0 ... 0 │ mark │
//! ```
//!
//! Segments are written in groups of whole blocks; the next group writes the last block again. The
//! last 32 bytes of a group are its *mark*: where the group before ended. So only the last group may
//! be torn; whatever is bad below its mark is damage.

use crate::journal::BLOCK_LEN;
use crate::journal::damage::Damage;
use crate::journal::layout::{FORMAT_VERSION, Geometry, checksum_but_12};
use crate::journal::ports::FileName;
use crate::proto::log::LogEnd;
use crate::wire::{Epoch, Identity};
use bytemuck::{Pod, Zeroable};

/// Where the first record of a segment lies.
pub const RECORDS_AT: u64 = BLOCK_LEN as u64;
const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"LKSSEGM\0");
const GROUP_MAGIC: u64 = u64::from_le_bytes(*b"LKSGRUP\0");

/// The header of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SegmentHeader {
    magic: u64,
    version: u32,
    checksum: u32,
    /// The cluster.
    pub cluster: u64,
    /// The history of its first record; 0 if that is a mark before any frame.
    pub history: u64,
    /// Whose journal it is, packed.
    pub identity: u64,
    /// Its number: 1, 2, 3 ...
    pub number: u64,
    /// The log's next seq before it.
    pub first_seq: u64,
    /// The log's epoch before it.
    pub epoch: u64,
    /// The log's chain before it.
    pub chain: u64,
    /// The log's last timestamp before it.
    pub timestamp: u64,
    /// The tail that it was copied from, ...
    pub tail_generation: u64,
    /// ... the position of its first record there, ...
    pub first_pos: u64,
    /// ... and how positions follow each other.
    pub ring_len: u64,
    /// Most bytes of a record.
    pub record_len_max: u32,
    /// Key of the cipher; 0 is none.
    pub key_id: u32,
    /// 0: plain. Others are not known to this version.
    pub cipher: u16,
    /// 0: none. Others are not known to this version.
    pub compression: u16,
    reserved: u32,
}

const _: () = assert!(size_of::<SegmentHeader>() == 120 && size_of::<SegmentHeader>() <= BLOCK_LEN);

impl SegmentHeader {
    /// The header of segment `number`, which begins behind `end`.
    pub fn new(number: u64, cluster: u64, identity: Identity, end: &LogEnd) -> Self {
        Self {
            magic: SEGMENT_MAGIC,
            version: FORMAT_VERSION,
            cluster,
            identity: identity.packed(),
            number,
            first_seq: end.next,
            epoch: end.epoch.0,
            chain: end.chain,
            timestamp: end.timestamp,
            ..Self::zeroed()
        }
    }

    /// Where the log ended before this segment.
    pub fn before(&self) -> LogEnd {
        LogEnd {
            next: self.first_seq,
            epoch: Epoch(self.epoch),
            chain: self.chain,
            timestamp: self.timestamp,
        }
    }

    /// How the positions of its records follow each other.
    pub fn geometry(&self) -> Geometry {
        Geometry { ring_len: self.ring_len, record_len_max: u64::from(self.record_len_max) }
    }

    /// Its block, checksummed as a whole.
    pub fn to_block(self) -> Vec<u8> {
        let mut block = vec![0; BLOCK_LEN];
        block[..size_of::<Self>()].copy_from_slice(bytemuck::bytes_of(&self));
        let checksum = checksum_but_12(&block);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// The header in the first block of segment `number`.
    pub fn from_block(block: &[u8], number: u64) -> Result<Self, Damage> {
        let file = FileName::Segment(number);
        let damage = |what: String| Damage::new(file, 0, 0, what);
        let block = block.get(..BLOCK_LEN).ok_or_else(|| damage("shorter than its header".into()))?;
        let header: Self = bytemuck::pod_read_unaligned(&block[..size_of::<Self>()]);
        if header.magic != SEGMENT_MAGIC {
            return Err(damage("no header of a segment".into()));
        }
        if header.version != FORMAT_VERSION {
            return Err(damage(format!("format version {}, ours is {FORMAT_VERSION}", header.version)));
        }
        if header.checksum != checksum_but_12(block) {
            return Err(damage("checksum of the header".into()));
        }
        if header.number != number || header.cipher != 0 || header.compression != 0 {
            let (cipher, compression) = (header.cipher, header.compression);
            return Err(damage(format!(
                "header of segment {} with cipher {cipher} and compression {compression}; this version \
                 reads plain ones only",
                header.number
            )));
        }
        Geometry::new(header.ring_len, header.record_len_max as usize).map_err(damage)?;
        Ok(header)
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct GroupMark {
    magic: u64,
    number: u32,
    checksum: u32,
    before: u64,
    end: u64,
}

/// Bytes of a group's mark.
pub const GROUP_MARK_LEN: usize = size_of::<GroupMark>();

/// Writes the mark of a group into the end of its last block: the group before ended at `before`, this
/// one ends at `end`.
pub fn write_group_mark(block_end: &mut [u8], number: u64, before: u64, end: u64) {
    let mut mark = GroupMark { magic: GROUP_MAGIC, number: number as u32, checksum: 0, before, end };
    mark.checksum = checksum_but_12(bytemuck::bytes_of(&mark));
    let at = block_end.len() - GROUP_MARK_LEN;
    block_end[at..].copy_from_slice(bytemuck::bytes_of(&mark));
}

/// The mark at the end of `block`: (end of the group before, end of this group).
pub fn group_mark(block: &[u8], number: u64) -> Option<(u64, u64)> {
    let bytes = &block[block.len().checked_sub(GROUP_MARK_LEN)?..];
    let mark: GroupMark = bytemuck::pod_read_unaligned(bytes);
    let valid =
        mark.magic == GROUP_MAGIC && mark.number == number as u32 && mark.checksum == checksum_but_12(bytes);
    valid.then_some((mark.before, mark.end))
}
