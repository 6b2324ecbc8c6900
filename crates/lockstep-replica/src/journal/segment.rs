//! The format of a segment file: a header block, then records, then zeros.
//!
//! ```text
//!  0        4096                                             end      block's end
//!  │ header │ record │ record │ ... │ record │ 0 ... 0 │ mark │
//! ```
//!
//! Segments are written in groups of whole blocks; the next group writes the last block again. The last
//! bytes of a group are its *mark*. It holds the end of the previous group: only the last group may be
//! torn, and anything bad below its mark is damage. It also holds how many of the group's sectors are
//! blank, which distinguishes a sector that was never written from one that should be zeros.

use crate::journal::BLOCK_LEN;
use crate::journal::damage::Damage;
use crate::journal::layout::{FORMAT_VERSION, Geometry, checksum_but_12};
use crate::journal::ports::FileName;
use bytemuck::{Pod, Zeroable};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{DATAGRAM_LEN_MAX, Epoch, Identity};

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
    /// The owner of the journal, packed.
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
    /// ... and the succession of positions.
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

    /// The same with the positions of no ring, for records that were not copied from one: number 0 is
    /// none's.
    pub fn of_no_ring(number: u64, cluster: u64, identity: Identity, end: &LogEnd) -> Self {
        let record_len_max = (DATAGRAM_LEN_MAX / 8 * 8) as u32;
        let ring_len = u64::from(record_len_max) * Geometry::RECORDS_MIN;
        let ring_len = ring_len.next_multiple_of(BLOCK_LEN as u64);
        Self { ring_len, record_len_max, ..Self::new(number, cluster, identity, end) }
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

    /// The succession of its records' positions.
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

/// The bytes that a device writes as a whole, or not at all.
pub(crate) const SECTOR_LEN: usize = 512;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct MarkBytes {
    magic: u64,
    number: u32,
    checksum: u32,
    before: u64,
    end: u64,
    blank: u32,
    reserved: u32,
}

/// The content of a group's mark, in its last bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GroupMark {
    /// Where the group before it ended.
    pub before: u64,
    /// Where it ends.
    pub end: u64,
    /// How many of its sectors hold nothing but zeros: they look as if they had never been written.
    pub blank: u32,
}

/// Bytes of a group's mark.
pub const GROUP_MARK_LEN: usize = size_of::<MarkBytes>();

/// Writes the mark of a group into the end of its last block.
pub fn write_group_mark(block_end: &mut [u8], number: u64, mark: GroupMark) {
    let GroupMark { before, end, blank } = mark;
    let mut mark =
        MarkBytes { magic: GROUP_MAGIC, number: number as u32, checksum: 0, before, end, blank, reserved: 0 };
    mark.checksum = checksum_but_12(bytemuck::bytes_of(&mark));
    let at = block_end.len() - GROUP_MARK_LEN;
    block_end[at..].copy_from_slice(bytemuck::bytes_of(&mark));
}

/// The mark at the end of `block`.
pub fn group_mark(block: &[u8], number: u64) -> Option<GroupMark> {
    let bytes = &block[block.len().checked_sub(GROUP_MARK_LEN)?..];
    let mark: MarkBytes = bytemuck::pod_read_unaligned(bytes);
    let valid =
        mark.magic == GROUP_MAGIC && mark.number == number as u32 && mark.checksum == checksum_but_12(bytes);
    valid.then_some(GroupMark { before: mark.before, end: mark.end, blank: mark.blank })
}

/// How many sectors of `bytes` hold nothing but zeros between `from` and `until`, as before that part of
/// segment `number` was written. The mark of a group that ended at `from` or before may still lie in one.
pub fn blank_sectors(bytes: &[u8], number: u64, (from, until): (usize, usize), from_offset: u64) -> u32 {
    let is_blank = |at: &usize| {
        let sector = &bytes[*at..bytes.len().min(at + SECTOR_LEN)];
        let old_mark = group_mark(sector, number).is_some_and(|mark| mark.end <= from_offset);
        let written = sector.len() - if old_mark { GROUP_MARK_LEN } else { 0 };
        let (first, last) = (from.saturating_sub(*at).min(written), (until - at).min(written));
        sector[first..last.max(first)].iter().all(|byte| *byte == 0)
    };
    (from / SECTOR_LEN * SECTOR_LEN..until).step_by(SECTOR_LEN).filter(is_blank).count() as u32
}
