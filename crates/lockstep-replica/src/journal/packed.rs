//! # packed: sealed segments, compressed
//!
//! An archiver keeps a year of segments compressed, and still reads any seq of them at once. A sealed
//! segment is cut into blocks of 64 KiB, each compressed by itself, behind a table. A reader of a segment
//! reads the same bytes at the same offsets as before: indices, walks and replays see no difference.
//!
//! ```text
//!  0      40                 40 + 16 × blocks
//!  │ head │ table            │ block │ block │ ...          segments/0000000007.lz4
//!           offset, length, checksum of the bytes before compression and behind it
//! ```
//!
//! The checksum covers the plain bytes and then the compressed ones, so it proves both: that the file is
//! unchanged, and that it unpacks correctly. One of them would not suffice: where bytes repeat, LZ4 has
//! many encodings of the same bytes. A packed file replaces its segment only after all of it was read back.

use crate::journal::damage::Damage;
use crate::journal::layout::{FORMAT_VERSION, checksum_but_12};
use crate::journal::ports::{FileName, Store, StoreError, StoreFault};
use bytemuck::{Pod, Zeroable};
use lockstep_wire::crc;
use std::ops::Range;

const PACK_MAGIC: u64 = u64::from_le_bytes(*b"LKSPACK\0");
/// Bytes that are compressed as one unit: a reader of one seq unpacks this many.
const UNIT_LEN: usize = 64 << 10;
/// Longest segment that is packed: packing holds it in memory twice.
pub const PACKED_LEN_MAX: u64 = 256 << 20;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    magic: u64,
    version: u32,
    /// The checksum of head and table.
    checksum: u32,
    number: u64,
    /// Bytes of the segment.
    len: u64,
    units: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
struct Row {
    offset: u64,
    len: u32,
    checksum: u32,
}

const _: () = assert!(size_of::<Head>() == 40 && size_of::<Row>() == 16);

/// The checksum of a unit.
fn checksum(plain: &[u8], compressed: &[u8]) -> u32 {
    crc::append(crc::crc32c(plain), compressed)
}

/// The packed file of segment `number`, whose bytes are `segment`.
pub(crate) fn packed(number: u64, segment: &[u8]) -> Vec<u8> {
    let units = segment.chunks(UNIT_LEN);
    let mut at = size_of::<Head>() + units.len() * size_of::<Row>();
    let mut bytes = vec![0; at];
    let mut rows = Vec::with_capacity(units.len());
    for unit in units {
        let compressed = lz4_flex::block::compress(unit);
        let (offset, len, checksum) = (at as u64, compressed.len() as u32, checksum(unit, &compressed));
        rows.push(Row { offset, len, checksum });
        at += compressed.len();
        bytes.extend_from_slice(&compressed);
    }
    let (units, len) = (rows.len() as u64, segment.len() as u64);
    let head = Head { magic: PACK_MAGIC, version: FORMAT_VERSION, checksum: 0, number, len, units };
    bytes[..size_of::<Head>()].copy_from_slice(bytemuck::bytes_of(&head));
    let end = size_of::<Head>() + rows.len() * size_of::<Row>();
    bytes[size_of::<Head>()..end].copy_from_slice(bytemuck::cast_slice(&rows));
    let checksum = checksum_but_12(&bytes[..end]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The head and table of a packed file.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Table {
    number: u64,
    len: u64,
    rows: Vec<Row>,
}

impl Table {
    /// That of segment `number`.
    fn read<S: Store>(store: &S, number: u64) -> Result<Result<Self, Damage>, StoreError> {
        let file = FileName::Packed(number);
        let damage = |what: &str| Ok(Err(Damage::new(file, 0, 0, what)));
        let mut bytes = vec![0; size_of::<Head>()];
        if store.read_at(file, 0, &mut bytes)? < bytes.len() {
            return damage("shorter than its head");
        }
        let head: Head = bytemuck::pod_read_unaligned(&bytes);
        let units = head.len.div_ceil(UNIT_LEN as u64);
        if head.magic != PACK_MAGIC || head.version != FORMAT_VERSION || head.number != number {
            return damage("no packed segment of this number and format");
        }
        if head.len > PACKED_LEN_MAX || head.units != units {
            return damage("a length that cannot be");
        }
        bytes.resize(size_of::<Head>() + units as usize * size_of::<Row>(), 0);
        if store.read_at(file, 0, &mut bytes)? < bytes.len() || head.checksum != checksum_but_12(&bytes) {
            return damage("checksum of its head and table");
        }
        let rows = bytes[size_of::<Head>()..].chunks_exact(size_of::<Row>());
        Ok(Ok(Self { number, len: head.len, rows: rows.map(bytemuck::pod_read_unaligned).collect() }))
    }

    /// Where unit `unit` begins in the segment, and how long it is there.
    fn extent(&self, unit: usize) -> (u64, usize) {
        let at = unit as u64 * UNIT_LEN as u64;
        (at, (self.len - at).min(UNIT_LEN as u64) as usize)
    }

    /// The units that hold the bytes from `offset` up to `end` of the segment, and where they lie in the
    /// file.
    fn units(&self, offset: u64, end: u64) -> (Range<usize>, Range<u64>) {
        let units = (offset / UNIT_LEN as u64) as usize..end.div_ceil(UNIT_LEN as u64) as usize;
        let end = |row: &Row| row.offset.saturating_add(u64::from(row.len));
        let begin = self.rows[units.start].offset;
        (units.clone(), begin..end(&self.rows[units.end - 1]).max(begin))
    }
}

/// Reads segments from front to back, packed or not. It has the table of the packed segment that it read
/// last, and memory for its units.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SegmentReader {
    table: Option<Table>,
    compressed: Vec<u8>,
    unit: Vec<u8>,
}

impl SegmentReader {
    /// Reads up to `out.len()` bytes at `offset` of segment `number`; fewer only at its end, or in front of
    /// damage, which is reported if nothing can be read.
    ///
    /// # Errors
    /// The store's.
    pub fn read<S: Store>(
        &mut self,
        store: &S,
        number: u64,
        offset: u64,
        out: &mut [u8],
    ) -> Result<Result<usize, Damage>, StoreError> {
        if let Some(table) = self.table.take_if(|table| table.number == number) {
            // The file may be another one by now, or gone: then it is looked at anew.
            if let Ok(Ok(read)) = self.read_units(store, &table, offset, out) {
                self.table = Some(table);
                return Ok(Ok(read));
            }
        }
        match store.read_at(FileName::Segment(number), offset, out) {
            Err(missing) if missing.fault == StoreFault::Missing => {
                match self.read_packed(store, number, offset, out) {
                    Err(error) if error.fault == StoreFault::Missing => Err(missing),
                    read => read,
                }
            }
            read => read.map(Ok),
        }
    }

    /// The same of the packed segment `number`.
    fn read_packed<S: Store>(
        &mut self,
        store: &S,
        number: u64,
        offset: u64,
        out: &mut [u8],
    ) -> Result<Result<usize, Damage>, StoreError> {
        let table = match Table::read(store, number)? {
            Ok(table) => table,
            Err(damage) => return Ok(Err(damage)),
        };
        let read = self.read_units(store, &table, offset, out);
        self.table = Some(table);
        read
    }

    fn read_units<S: Store>(
        &mut self,
        store: &S,
        table: &Table,
        offset: u64,
        out: &mut [u8],
    ) -> Result<Result<usize, Damage>, StoreError> {
        let end = table.len.min(offset.saturating_add(out.len() as u64));
        if offset >= end {
            return Ok(Ok(0));
        }
        let (units, place) = table.units(offset, end);
        // A row that is wrong is found by its unit's checksum, and costs no more memory than the worst units.
        let len_max = units.len() * lz4_flex::block::get_maximum_output_size(UNIT_LEN);
        self.compressed.resize(((place.end - place.start) as usize).min(len_max), 0);
        let read = store.read_at(FileName::Packed(table.number), place.start, &mut self.compressed)?;
        let mut taken = 0;
        for unit in units {
            let (unit_at, unit_len) = table.extent(unit);
            let row = table.rows[unit];
            let at = row.offset.wrapping_sub(place.start).min(read as u64) as usize;
            let compressed = &self.compressed[at..read.min(at.saturating_add(row.len as usize))];
            let from = (offset + taken as u64 - unit_at) as usize;
            let count = (unit_len - from).min(out.len() - taken);
            let whole = if count == unit_len {
                unpack(compressed, row.checksum, &mut out[taken..taken + count])
            } else {
                self.unit.resize(unit_len, 0);
                let whole = unpack(compressed, row.checksum, &mut self.unit);
                out[taken..taken + count].copy_from_slice(&self.unit[from..from + count]);
                whole
            };
            if !whole {
                let what = format!(
                    "checksum of the bytes {unit_at} to {} of its segment",
                    unit_at + unit_len as u64
                );
                let damage = Damage::new(FileName::Packed(table.number), row.offset, 0, what);
                return Ok(if taken > 0 { Ok(taken) } else { Err(damage) });
            }
            taken += count;
        }
        Ok(Ok(taken))
    }
}

/// Unpacks a unit into `plain`, which is as long as the unit. Returns whether it is what was packed.
fn unpack(compressed: &[u8], row_checksum: u32, plain: &mut [u8]) -> bool {
    let unpacked = lz4_flex::block::decompress_into(compressed, plain);
    unpacked.is_ok_and(|len| len == plain.len()) && checksum(plain, compressed) == row_checksum
}

/// [`SegmentReader::read`], of a reader that reads once.
///
/// # Errors
/// The store's.
pub fn read_segment<S: Store>(
    store: &S,
    number: u64,
    offset: u64,
    out: &mut [u8],
) -> Result<Result<usize, Damage>, StoreError> {
    SegmentReader::default().read(store, number, offset, out)
}

/// The file that holds segment `number`.
pub(crate) fn file_of<S: Store>(store: &S, number: u64) -> FileName {
    let plain = FileName::Segment(number);
    if store.len(plain).is_err() && store.len(FileName::Packed(number)).is_ok() {
        FileName::Packed(number)
    } else {
        plain
    }
}

/// Bytes of the packed segment `number` before it was packed, if its table is whole.
///
/// # Errors
/// The store's.
pub(crate) fn packed_len<S: Store>(store: &S, number: u64) -> Result<Option<u64>, StoreError> {
    Ok(Table::read(store, number)?.ok().map(|table| table.len))
}

/// Packs the sealed segment `number`; returns the bytes before and after, `None` where it is too long or was
/// packed already.
///
/// # Errors
/// The store's. The segment is as it was.
pub(crate) fn pack<S: Store>(store: &mut S, number: u64) -> Result<Option<(u64, u64)>, StoreError> {
    let plain = FileName::Segment(number);
    let len = match store.len(plain) {
        Ok(len) if len <= PACKED_LEN_MAX => len,
        Ok(_) => return Ok(None),
        Err(StoreError { fault: StoreFault::Missing, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut segment = vec![0; len as usize];
    let taken = store.read_at(plain, 0, &mut segment)?;
    segment.truncate(taken);
    let bytes = packed(number, &segment);
    store.replace(FileName::Packed(number), &bytes)?;
    // A file that replaces the only copy is read back, all of it.
    let mut back = vec![0; segment.len()];
    let same = match SegmentReader::default().read_packed(store, number, 0, &mut back)? {
        Ok(read) => read == segment.len() && back == segment,
        Err(_) => false,
    };
    if !same {
        store.remove(FileName::Packed(number))?;
        return Err(StoreError {
            doing: format!("packing {plain}"),
            fault: StoreFault::Failed,
            why: "what was written is not what is read back".to_string(),
        });
    }
    store.remove(plain)?;
    Ok(Some((len, bytes.len() as u64)))
}
