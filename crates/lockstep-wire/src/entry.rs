//! Entries: one slot of the stream each, one behind the other in a frame; and the same shape for the
//! not yet stamped messages of a submission.

use super::{Destination, PublisherId, PublisherSeq, Reject, crc};
use bytemuck::{Pod, Zeroable};

/// Bytes of an [`EntryHeader`].
pub const ENTRY_HEADER_LEN: usize = size_of::<EntryHeader>();

/// Bytes of the largest message that any configuration may ask for.
pub const MESSAGE_LEN_MAX: usize = 64 << 10;
/// Flag of a message: it is a part of a larger one, and the publisher's next entry is the next part.
pub const PART_MORE: u8 = 1;
/// Flag of a message: it is a part of a larger one, and not the first.
pub const PART_NEXT: u8 = 2;

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum EntryKind {
    /// A message of the application.
    Message = 1,
    /// A publisher's name is bound to its id and its incarnation rises.
    Open = 2,
    /// A publisher is closed; the payload is its owner's reason.
    Close = 3,
    /// A trading day begins or ends: a message of its own kind, of the publisher of the calendar
    /// ([`super::DayMark`]).
    Day = 4,
    /// Entry 1 of a history: the identities with which it begins.
    Genesis = 16,
    /// The first entry of an epoch.
    EpochStart = 17,
    /// One identity joins or leaves the membership.
    Membership = 18,
    /// The preceding membership change is committed, as the frame's `commit_next` shows; no payload.
    ChangeCommitted = 19,
    /// An operator's order that the leader carries out ([`super::OrderView`]).
    Order = 20,
}

impl EntryKind {
    /// Whether entries of this kind have the next number of their publisher: they are stamped once, in the
    /// publisher's order (S8), and have an outcome.
    pub fn is_numbered(self) -> bool {
        matches!(self, Self::Message | Self::Close | Self::Day)
    }

    /// Whether an entry of this kind is the first one of an epoch or of a history.
    #[inline]
    pub(crate) fn begins_an_epoch(self) -> bool {
        matches!(self, Self::Genesis | Self::EpochStart)
    }

    /// The kind with this number, if there is one.
    #[inline]
    pub fn from_u8(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Message,
            2 => Self::Open,
            3 => Self::Close,
            4 => Self::Day,
            16 => Self::Genesis,
            17 => Self::EpochStart,
            18 => Self::Membership,
            19 => Self::ChangeCommitted,
            20 => Self::Order,
            _ => return None,
        })
    }
}

/// The 24 bytes before an entry's payload. Like a datagram's header, they are read where they lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C, packed)]
pub struct EntryHeader {
    /// An [`EntryKind`].
    pub kind: u8,
    /// [`PART_MORE`] and [`PART_NEXT`] for messages; all other bits must be zero.
    pub flags: u8,
    /// Bytes of the payload, without the padding to a multiple of 8.
    pub length: u16,
    /// The entry's publisher; 0 for entries of the cluster and for an open that asks for its id.
    pub publisher: PublisherId,
    /// The entry's number at its publisher.
    pub publisher_seq: PublisherSeq,
    /// The destination.
    pub destination: Destination,
    /// Stamped: nanoseconds since the frame's timestamp. In a submission: the publisher's incarnation.
    pub time_or_incarnation: u32,
}

impl EntryHeader {
    /// Whether both are of one message: they differ only in the fields that stamping writes.
    #[inline]
    pub fn is_of(&self, other: &Self) -> bool {
        let [a, b]: [[u64; 3]; 2] = [bytemuck::cast(*self), bytemuck::cast(*other)];
        // The upper half of the last word is the time, or the incarnation.
        a[0] == b[0] && a[1] == b[1] && a[2] as u32 == b[2] as u32
    }
}

const _: () = {
    assert!(size_of::<EntryHeader>() == 24 && align_of::<EntryHeader>() == 1);
    assert!(std::mem::offset_of!(EntryHeader, length) == 2);
    assert!(std::mem::offset_of!(EntryHeader, publisher) == 4);
    assert!(std::mem::offset_of!(EntryHeader, publisher_seq) == 8);
    assert!(std::mem::offset_of!(EntryHeader, destination) == 16);
    assert!(std::mem::offset_of!(EntryHeader, time_or_incarnation) == 20);
};

/// `len` bytes with their padding to a multiple of 8.
const fn padded(len: usize) -> usize {
    (len + 7) & !7
}

/// Bytes that an entry with a payload of `payload_len` takes, padded so that the next one is aligned.
pub const fn entry_len(payload_len: usize) -> usize {
    ENTRY_HEADER_LEN + padded(payload_len)
}

/// Writes the header of an entry with a payload of `payload_len` bytes to the front of `out`, zeroes its
/// padding, and returns the entry's bytes and its payload to be filled in; `None` if it does not fit.
/// `header.length` is filled in here.
#[inline]
pub fn claim_entry(
    out: &mut [u8],
    mut header: EntryHeader,
    payload_len: usize,
) -> Option<(usize, &mut [u8])> {
    let length = entry_len(payload_len);
    let out = out.get_mut(..length)?;
    header.length = u16::try_from(payload_len).ok()?;
    let (head, rest) = out.split_at_mut(ENTRY_HEADER_LEN);
    head.copy_from_slice(bytemuck::bytes_of(&header));
    let (payload, padding) = rest.split_at_mut(payload_len);
    // Most entries have no padding, and a call for zero bytes costs time too.
    if !padding.is_empty() {
        padding.fill(0);
    }
    Some((length, payload))
}

/// Writes one entry to the front of `out` and returns its bytes, or `None` if it does not fit.
pub fn write_entry(out: &mut [u8], header: EntryHeader, payload: &[u8]) -> Option<usize> {
    let (length, body) = claim_entry(out, header, payload.len())?;
    body.copy_from_slice(payload);
    Some(length)
}

/// A digest of an entry in 32 bits: its destination, its flags and its payload. It distinguishes two messages
/// under one number. It finds accidents, and proves nothing.
#[inline]
pub fn entry_digest(header: &EntryHeader, payload: &[u8]) -> u32 {
    crc::append(header.destination ^ u32::from(header.flags) << 24, payload)
}

/// One entry, borrowed from the datagram that it came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Its header.
    pub header: &'a EntryHeader,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Splits the first entry off `bytes`, unchecked, and returns the bytes behind it; `None` if the entry
    /// reaches beyond them.
    #[inline]
    pub fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, behind) = bytes.split_first_chunk::<ENTRY_HEADER_LEN>()?;
        let header: &EntryHeader = bytemuck::from_bytes(header);
        let length = usize::from(header.length);
        let rest = behind.get(padded(length)..)?;
        Some((Self { header, payload: behind.get(..length)? }, rest))
    }

    /// The kind. Entries are handed out only after [`Entries::check`], so it is known.
    #[inline]
    pub fn kind(&self) -> EntryKind {
        EntryKind::from_u8(self.header.kind).unwrap_or(EntryKind::Message)
    }

    /// Whether `other` has the same destination, flags and payload.
    #[inline]
    pub fn is_set(&self, other: &Entry<'_>) -> bool {
        (self.header.destination, self.header.flags) == (other.header.destination, other.header.flags)
            && self.payload == other.payload
    }
}

/// The entries behind a header: `count` of them, checked once by [`Entries::check`].
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    left: u16,
}

impl<'a> Entries<'a> {
    /// No entries.
    pub const NONE: Self = Self { bytes: &[], left: 0 };

    /// The `count` entries in front of `bytes`, which were checked before, or written here.
    #[inline]
    pub fn known(bytes: &'a [u8], count: u16) -> Self {
        Self { bytes, left: count }
    }

    /// Walks `count` entries in `bytes` and refuses what does not fit: unknown kinds and flags,
    /// lengths beyond the end. Returns the entries, the bytes that they take, and the bits of their kinds.
    #[inline]
    pub fn check(bytes: &'a [u8], count: u16) -> Result<(Self, usize, u8), Reject> {
        let (mut behind, mut kinds) = (bytes, 0);
        for _ in 0..count {
            let header = behind.first_chunk::<ENTRY_HEADER_LEN>().ok_or(Reject::Count)?;
            let header: &EntryHeader = bytemuck::from_bytes(header);
            let kind = EntryKind::from_u8(header.kind).ok_or(Reject::EntryKind)?;
            kinds |= header.kind;
            if header.flags != 0
                && (kind != EntryKind::Message || header.flags & !(PART_MORE | PART_NEXT) != 0)
            {
                return Err(Reject::Flags);
            }
            behind = behind.get(entry_len(header.length as usize)..).ok_or(Reject::EntryLength)?;
        }
        Ok((Self { bytes, left: count }, bytes.len() - behind.len(), kinds))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (entry, behind) = Entry::split(self.bytes)?;
        self.bytes = behind;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Entries<'_> {}
