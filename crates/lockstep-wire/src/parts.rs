//! Optional parts of a status, behind its members and conditions, where its query leaves room. A reader skips
//! the parts that it does not know.
//!
//! ```text
//!  status ─ members ─ conditions ─┬─ part: kind, row_len, count ─ rows, padded to 8 ─┬─ part …
//! ```
//!
//! A query of a release without parts is as long as the longest status without them
//! ([`STATUS_LEN_MAX`](super::STATUS_LEN_MAX)): a query of that length gets no part, however short the status
//! is. A node never sends more to an address than came from there.

use super::{AgreedRow, ConditionRow, HEADER_LEN, Reject};
use bytemuck::{Pod, Zeroable};

/// Bytes of a query for a status with all of its parts: what the smallest MTU that a configuration allows
/// carries.
pub const STATUS_LONG_LEN_MAX: usize = 1024;

const _: () = assert!(STATUS_LONG_LEN_MAX > super::STATUS_LEN_MAX && STATUS_LONG_LEN_MAX > HEADER_LEN);

/// The kind of a part's rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u16)]
pub enum StatusPartKind {
    /// All keys that are set and that all files must have alike: [`AgreedRow`]s.
    Agreed = 1,
    /// Conditions that the previous release does not know: [`ConditionRow`]s.
    Conditions = 2,
    /// The paths from each of the other nodes to this one: [`WayRow`]s.
    Ways = 3,
}

/// Most nodes of a file beside one: seven replicas and sixteen archivers, less one.
pub const NEIGHBOURS_MAX: usize = 22;

/// The number of rounds in a row without a success from which on a path counts as lost: fewer may be chance.
pub const LOST_ROUNDS: u8 = 3;

/// What a node receives from another one that it asks all the time. Each number counts rounds in a row
/// without a success; 0 means no loss.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WayRow {
    /// The other node's number.
    pub peer: u8,
    /// Questions without an answer, in rounds in which the other node gave another sign of life.
    pub unanswered: u8,
    /// Questions of the size of `mtu` without an answer, in rounds in which short ones were answered.
    pub large: u8,
    /// Connections to its replay port that were neither accepted nor refused, while it answered.
    pub replay: u8,
    /// Rounds in which it answered, modulo 256: it changes while the other node lives.
    pub answered: u8,
    /// Zero.
    pub reserved: u8,
    /// Milliseconds since its last question arrived here; [`ASKED_NEVER`]: none arrived.
    pub asked_ms: u16,
}

const _: () = assert!(size_of::<WayRow>() == 8);

/// No question arrived, or none within the last minute.
pub const ASKED_NEVER: u16 = u16::MAX;

/// A living node asks much more often than this.
const ASKS_MS: u16 = 1_100;

impl WayRow {
    /// Whether its questions arrive.
    pub fn asks(&self) -> bool {
        self.asked_ms < ASKS_MS
    }
}

/// Precedes the rows of a part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
struct PartHeader {
    /// A [`StatusPartKind`], or one of a later release.
    kind: u16,
    /// Bytes of a row.
    row_len: u16,
    /// How many rows follow.
    count: u16,
    /// Zero.
    reserved: u16,
}

const PART_LEN: usize = size_of::<PartHeader>();
const _: () = assert!(PART_LEN == 8);

impl PartHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.get(..PART_LEN).map(bytemuck::pod_read_unaligned)
    }

    /// Whether it may precede a part: no release has a kind 0, or rows of no bytes.
    fn is_sound(&self) -> bool {
        self.kind != 0 && self.row_len != 0 && self.reserved == 0
    }

    fn rows_len(&self) -> usize {
        usize::from(self.row_len) * usize::from(self.count)
    }
}

/// The parts of a status, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct StatusParts<'a>(&'a [u8]);

impl<'a> StatusParts<'a> {
    /// Checks what lies behind the conditions: whole parts, of any kind.
    pub(super) fn check(bytes: &'a [u8]) -> Result<Self, Reject> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let header = PartHeader::read(rest).filter(PartHeader::is_sound).ok_or(Reject::Length)?;
            let len = PART_LEN + header.rows_len().next_multiple_of(8);
            rest = rest.get(len..).ok_or(Reject::Length)?;
        }
        Ok(Self(bytes))
    }

    /// The rows of the part of this kind; `None` if the status has none, or one of another layout.
    fn rows<T: Pod>(&self, kind: StatusPartKind) -> Option<impl ExactSizeIterator<Item = T> + use<'a, T>> {
        let mut rest = self.0;
        while let Some(header) = PartHeader::read(rest) {
            let len = header.rows_len();
            if header.kind == kind as u16 && usize::from(header.row_len) == size_of::<T>() {
                let rows = rest.get(PART_LEN..PART_LEN + len)?;
                return Some(rows.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned));
            }
            rest = rest.get(PART_LEN + len.next_multiple_of(8)..)?;
        }
        None
    }

    /// The keys that all files must have alike, as this node's process has them; `None` if the node's release
    /// does not report them.
    pub fn agreed(&self) -> Option<impl ExactSizeIterator<Item = AgreedRow> + use<'a>> {
        self.rows(StatusPartKind::Agreed)
    }

    /// Conditions of the node beside those that every release knows, the gravest first. Those of a later
    /// release are among them.
    pub fn conditions(&self) -> impl Iterator<Item = ConditionRow> + use<'a> {
        self.rows(StatusPartKind::Conditions).into_iter().flatten()
    }

    /// What this node receives from each of the others; `None` if its release does not ask them.
    pub fn ways(&self) -> Option<impl ExactSizeIterator<Item = WayRow> + use<'a>> {
        self.rows(StatusPartKind::Ways)
    }

    /// The parts as they were sent.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Writes a part at the front of `out` and returns its bytes. A part that does not fit is left out as a
/// whole: then 0.
pub fn write_status_part<T: Pod>(out: &mut [u8], kind: StatusPartKind, rows: &[T]) -> usize {
    let len = size_of_val(rows);
    let padded = PART_LEN + len.next_multiple_of(8);
    let (Ok(row_len), Ok(count)) = (size_of::<T>().try_into(), rows.len().try_into()) else { return 0 };
    let Some(out) = out.get_mut(..padded) else { return 0 };
    let header = PartHeader { kind: kind as u16, row_len, count, reserved: 0 };
    out[..PART_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    out[PART_LEN..PART_LEN + len].copy_from_slice(bytemuck::cast_slice(rows));
    out[PART_LEN + len..].fill(0);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<AgreedRow> {
        let keys = [("lines.1.control", "239.77.1.3:7700"), ("lines.1.mtu", "1500"), ("lines.2.mtu", "1500")];
        keys.iter().filter_map(|(path, value)| AgreedRow::new(path, value)).collect()
    }

    #[test]
    fn a_part_of_another_release_is_skipped_whatever_it_holds() {
        let mut out = [0xee; 200];
        let unknown = PartHeader { kind: 77, row_len: 3, count: 5, reserved: 0 };
        out[..PART_LEN].copy_from_slice(bytemuck::bytes_of(&unknown));
        let second = PART_LEN + 16;
        let third = second + write_status_part(&mut out[second..], StatusPartKind::Agreed, &[7u64]);
        let end = third + write_status_part(&mut out[third..], StatusPartKind::Agreed, &rows());
        let parts = StatusParts::check(&out[..end]).expect("whole parts");
        assert_eq!(parts.agreed().expect("the third").collect::<Vec<_>>(), rows());
        assert!(StatusParts::check(&[]).expect("none").agreed().is_none());
    }

    #[test]
    fn a_part_that_is_cut_off_is_refused_and_one_without_room_is_left_out_whole() {
        let mut out = [0; 64];
        let len = write_status_part(&mut out, StatusPartKind::Agreed, &rows());
        assert_eq!(len, 8 + 40);
        for end in (1..len).filter(|end| *end > 0) {
            assert_eq!(StatusParts::check(&out[..end]).err(), Some(Reject::Length), "{end}");
        }
        assert_eq!(write_status_part(&mut out[..len - 1], StatusPartKind::Agreed, &rows()), 0);
    }
}
