//! A leader's notices to publishers: missing numbers, a used-up share of the window, an open that finds no
//! room, and what their key does not allow. A lost notice only costs time: the publishers' timers have the
//! same effect later.

use super::{HEADER_LEN, Header, PUBLISHER_KEYS_MAX, PublisherId, PublisherSeq, Reject};
use bytemuck::{Pod, Zeroable};

/// The kind of a row of a notice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum PublisherNotice {
    /// `from..to` have not arrived, but a later number has.
    Missing = 1,
    /// From `from` on the leader accepted nothing, because the publisher's share of the window, or its key's
    /// rate, is used up.
    Throttled = 2,
    /// The open with the nonce (`from`, `to`) was refused: the table of publishers is full, with
    /// `incarnation` names.
    TableFull = 3,
    /// The sender's key does not allow the message `from` (`to` is the next number); for publisher 0 the open
    /// with the nonce (`from`, `to`).
    NotAllowed = 4,
}

impl PublisherNotice {
    /// The kind with this number, if there is one.
    pub fn from_u32(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Missing),
            2 => Some(Self::Throttled),
            3 => Some(Self::TableFull),
            4 => Some(Self::NotAllowed),
            _ => None,
        }
    }
}

/// Behind a notice's header, whose `first_seq` is the leader's next: `count` rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct NoticeRow {
    /// The publisher (0 for an open).
    pub publisher: PublisherId,
    /// The publisher's incarnation.
    pub incarnation: u32,
    /// The first number.
    pub from: PublisherSeq,
    /// The exclusive bound.
    pub to: PublisherSeq,
    /// A [`PublisherNotice`].
    pub notice: u32,
    /// Only the holder of the publisher's key with this number minus 1 is concerned; 0: every holder.
    pub key: u32,
}

/// Most rows in one notice.
pub const NOTICE_ROWS_MAX: usize = 16;

const _: () = {
    assert!(size_of::<NoticeRow>() == 32);
    assert!(HEADER_LEN + NOTICE_ROWS_MAX * 32 <= super::SMALL_LEN_MAX);
};

/// The rows of a notice, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct NoticeRows<'a>(&'a [u8]);

impl<'a> NoticeRows<'a> {
    /// The rows, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = NoticeRow> + use<'a> {
        self.0.chunks_exact(size_of::<NoticeRow>()).map(bytemuck::pod_read_unaligned)
    }

    /// Judges the rows of the datagram of `header`.
    pub(super) fn check(header: &Header, bytes: &'a [u8]) -> Result<Self, Reject> {
        if !(1..=NOTICE_ROWS_MAX).contains(&usize::from(header.count)) {
            return Err(Reject::Count);
        }
        let rows = Self(&bytes[HEADER_LEN..header.length as usize]);
        let is_key = |row: NoticeRow| row.key <= u32::from(PUBLISHER_KEYS_MAX);
        let is_sound = |row: NoticeRow| match PublisherNotice::from_u32(row.notice).filter(|_| is_key(row)) {
            Some(PublisherNotice::Missing | PublisherNotice::Throttled) => row.from > 0 && row.from < row.to,
            // A nonce is any two words.
            Some(PublisherNotice::TableFull) => row.publisher == 0,
            Some(PublisherNotice::NotAllowed) => row.publisher == 0 || row.from > 0 && row.from < row.to,
            None => false,
        };
        rows.iter().all(is_sound).then_some(rows).ok_or(Reject::Body)
    }
}
