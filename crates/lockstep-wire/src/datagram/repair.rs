//! Requests for frames and repairs: the ranges of a nack, and the trailer of a repair.

use crate::{Epoch, Header, Identity, Keyring, Reject, Seq, SeqRange, crc};
use bytemuck::{Pod, Zeroable};

/// Behind a repaired frame: its repairer, and the repairer's log and commit (S11).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct RepairTrailer {
    /// The repairer's [`Identity`], packed in the low 36 bits; above it the low 28 bits of the history that
    /// its commit belongs to ([`RepairTrailer::is_of`]).
    pub repairer: u64,
    /// The epoch of its log.
    pub accepted: u64,
    /// Its commit.
    pub commit_next: Seq,
    /// The request's token; 0 in a frame that is not the answer to a single request.
    pub token: u64,
    /// Like a header's tag, over the trailer and the frame: under the repairer's present keys.
    pub tag: [u64; 2],
}

impl RepairTrailer {
    /// The repairer.
    pub fn repairer(&self) -> Identity {
        Identity::from_packed(self.repairer)
    }

    /// Whether the repairer's history is this one. The frame may be of an ancestor history: then it may be
    /// committed in one later history, and not in another one with the same ancestor.
    pub fn is_of(&self, history: u64) -> bool {
        self.repairer >> IDENTITY_BITS == history & HISTORY_MASK
    }
}

/// Bits of a packed identity.
const IDENTITY_BITS: u32 = 36;

/// The bits of a history's id that stand above them.
const HISTORY_MASK: u64 = u64::MAX >> IDENTITY_BITS;

/// Bytes of a [`RepairTrailer`]. Frames are that much shorter than the largest datagram, so that
/// every frame can be repaired in one.
pub const REPAIR_TRAILER_LEN: usize = size_of::<RepairTrailer>();

/// Bytes in front of a trailer's tag.
const FIELDS_LEN: usize = std::mem::offset_of!(RepairTrailer, tag);

/// The tag of a trailer in a cluster without keys: over the trailer and the frame's checksum, which covers
/// the frame.
pub(crate) fn repair_checksum(frame: &[u8], fields: &[u8; FIELDS_LEN]) -> u64 {
    let number = Header::look(frame).map_or(0, |header| header.number);
    u64::from(crc::append(crc::crc32c(&number.to_le_bytes()), fields))
}

/// The trailer for a repair of the (sealed) `frame` by `repairer`, whose log is of `history`.
pub fn repair_trailer(
    keys: &Keyring,
    (repairer, history): (Identity, u64),
    accepted: Epoch,
    commit_next: Seq,
    token: u64,
    frame: &[u8],
) -> [u8; REPAIR_TRAILER_LEN] {
    let repairer = repairer.packed() | (history & HISTORY_MASK) << IDENTITY_BITS;
    let mut trailer = RepairTrailer { repairer, accepted: accepted.0, commit_next, token, tag: [0; 2] };
    trailer.tag = keys.trailer_tag(frame, fields(bytemuck::bytes_of(&trailer)));
    bytemuck::cast(trailer)
}

fn fields(trailer: &[u8]) -> &[u8; FIELDS_LEN] {
    trailer.first_chunk().expect("a trailer is longer")
}

/// Whether these bytes, which are not checked yet, are a frame with a trailer that has the token of a
/// request: a repair for one requester. A repair for all has none.
#[inline]
pub fn is_repair_for_one(datagram: &[u8]) -> bool {
    const LENGTH: usize = std::mem::offset_of!(Header, length);
    const TOKEN: usize = REPAIR_TRAILER_LEN - std::mem::offset_of!(RepairTrailer, token);
    let Some(length) = datagram.get(LENGTH..LENGTH + 4) else { return false };
    let length = bytemuck::pod_read_unaligned::<u32>(length) as usize;
    if datagram.len() != length + REPAIR_TRAILER_LEN {
        return false;
    }
    let token = &datagram[datagram.len() - TOKEN..][..8];
    token.iter().any(|byte| *byte != 0)
}

pub(super) fn open_trailer(bytes: &[u8], keys: &Keyring, frame: &[u8]) -> Result<RepairTrailer, Reject> {
    let trailer: RepairTrailer = bytemuck::pod_read_unaligned(bytes);
    if !keys.opens_trailer(frame, fields(bytes), trailer.tag) {
        return Err(if keys.own().is_some() { Reject::Tag } else { Reject::Checksum });
    }
    Ok(trailer)
}

/// The ranges of a nack, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Ranges<'a>(&'a [u8]);

impl<'a> Ranges<'a> {
    /// The ranges in `bytes`, which were checked.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The ranges, in the order of the request.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SeqRange> + use<'a> {
        self.0.chunks_exact(16).map(bytemuck::pod_read_unaligned)
    }
}
