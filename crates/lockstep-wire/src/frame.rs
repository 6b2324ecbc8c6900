//! Frames: one datagram's worth of the stream. The leader builds a frame once, in the journal's memory; it is
//! sent, journaled, repaired and replayed as the same bytes.

use super::{
    Chain, Entries, Entry, EntryHeader, EntryKind, HEADER_LEN, Header, Keyring, Kind, Reject, claim_entry,
    open_prefix,
};
use crate::entry::entry_len;
use std::mem::offset_of;

/// A checked frame, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Exactly the frame's bytes, padding included, trailer excluded.
    pub bytes: &'a [u8],
    entries: Entries<'a>,
}

/// Whether an entry behind the first one begins an epoch or a history. It is called for few frames, as most
/// have messages alone.
#[cold]
fn begins_within(mut entries: Entries<'_>) -> bool {
    entries.next();
    entries.any(|entry: Entry<'_>| entry.kind().begins_an_epoch())
}

impl<'a> FrameView<'a> {
    /// Checks bytes whose header has been checked by [`super::Datagram::decode`] or [`open_prefix`]. Only the
    /// first entry of a frame may begin an epoch.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Reject> {
        let header = Header::look(bytes).ok_or(Reject::Short)?;
        if header.kind != Kind::Frame as u8 {
            return Err(Reject::Kind);
        }
        if header.flags != 0 {
            return Err(Reject::Flags);
        }
        if header.count == 0 || header.first_seq == 0 {
            return Err(Reject::Count);
        }
        // The stream ends before u64 does: such a frame is refused, and never wraps.
        if header.first_seq.checked_add(u64::from(header.count)).is_none() {
            return Err(Reject::Seq);
        }
        let bytes = &bytes[..header.length as usize];
        let (entries, _, kinds) = Entries::check(&bytes[HEADER_LEN..], header.count)?;
        // One test of all kinds at once, as most entries are messages.
        if kinds & EntryKind::Genesis as u8 != 0 && begins_within(entries) {
            return Err(Reject::EntryKind);
        }
        Ok(Self { header, bytes, entries })
    }

    /// The frame in front of `bytes`, which was checked before.
    #[inline]
    pub fn known(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::look(bytes)?;
        let bytes = bytes.get(..header.length as usize)?;
        let entries = Entries::known(bytes.get(HEADER_LEN..)?, header.count);
        Some(Self { header, bytes, entries })
    }

    /// Opens and checks the frame in front of `bytes` (a journal's memory).
    pub fn from_prefix(bytes: &'a [u8]) -> Result<Self, Reject> {
        open_prefix(bytes)?;
        Self::parse(bytes)
    }

    /// Its entries, in order; the first has seq `header.first_seq`.
    #[inline]
    pub fn entries(&self) -> Entries<'a> {
        self.entries
    }

    /// Whether its first entry begins an epoch or a history. No other entry of it does.
    #[inline]
    pub fn begins_an_epoch(&self) -> bool {
        const GENESIS: u8 = EntryKind::Genesis as u8;
        const START: u8 = EntryKind::EpochStart as u8;
        matches!(self.bytes.get(HEADER_LEN + offset_of!(EntryHeader, kind)), Some(&(GENESIS | START)))
    }

    /// The chain behind this frame.
    #[inline]
    pub fn chain_after(&self) -> Chain {
        chain_after(self.header)
    }
}

/// The chain behind a frame with this (sealed) header. It is non-linear in every input, so that two frames
/// that are exchanged, left out or altered do not cancel. It is our own mix of two 64×64→128-bit products; it
/// finds accidents, and does not resist an adversary: datagrams have a MAC for that.
#[inline]
pub fn chain_after(header: &Header) -> Chain {
    fn fold(a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    }
    let position = header.first_seq ^ u64::from(header.count).rotate_left(48);
    let a = fold(header.chain ^ 0x9e37_79b9_7f4a_7c15, header.epoch ^ 0xd1b5_4a32_d192_ed03);
    let b =
        fold(position ^ 0x8cb9_2ba7_2f3d_8dd7, u64::from(header.content_checksum()) ^ 0xaef1_7502_108e_f2d9);
    fold(a ^ b.rotate_left(17) ^ header.chain, 0x9fb2_1c65_1e98_df25 ^ b)
}

/// A frame that is being built in memory that it does not own: its length and entries so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpenFrame {
    length: usize,
    count: u16,
}

impl Default for OpenFrame {
    fn default() -> Self {
        Self { length: HEADER_LEN, count: 0 }
    }
}

impl OpenFrame {
    /// Entries so far.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Bytes so far, header included.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no entry is in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether an entry of `payload_len` would fit into a frame of `frame_len_max`.
    pub fn fits(&self, payload_len: usize, frame_len_max: usize) -> bool {
        self.length + entry_len(payload_len) <= frame_len_max
    }

    /// Writes one entry behind the others, if it fits ([`OpenFrame::fits`]). Returns whether it was written.
    #[inline]
    pub fn push(&mut self, memory: &mut [u8], header: EntryHeader, payload: &[u8]) -> bool {
        self.claim(memory, header, payload.len()).map(|body| body.copy_from_slice(payload)).is_some()
    }

    /// Like [`OpenFrame::push`], but the caller fills in the payload; `None` if it does not fit.
    #[inline]
    pub fn claim<'m>(
        &mut self,
        memory: &'m mut [u8],
        header: EntryHeader,
        payload_len: usize,
    ) -> Option<&'m mut [u8]> {
        let (length, body) = claim_entry(memory.get_mut(self.length..)?, header, payload_len)?;
        self.length += length;
        self.count += 1;
        Some(body)
    }

    /// Pads to `padded_len` (at least the present length, a multiple of 8), writes and seals `header`.
    /// Returns it as sealed.
    #[inline]
    pub fn close(self, memory: &mut [u8], keys: &Keyring, mut header: Header, padded_len: usize) -> Header {
        assert!(padded_len >= self.length, "padding never cuts entries: {padded_len} < {}", self.length);
        header.count = self.count;
        if padded_len > self.length {
            memory[self.length..padded_len].fill(0);
        }
        keys.seal(&mut memory[..padded_len], header)
    }
}
