//! The payloads of simulated publishers: each shows its publisher and how it continues.

use crate::machine::MTU;
use lockstep_wire::{ENTRY_HEADER_LEN, HEADER_LEN, frame_len_max};

/// The longest payload that is not sent in parts.
pub(crate) const PART_LEN: usize = frame_len_max(MTU) - HEADER_LEN - ENTRY_HEADER_LEN;

/// The `number`th payload of process `who`, in `len` bytes. In one of several parts each word follows from
/// its place, so that parts that are joined wrongly are detected.
pub(crate) fn of(who: usize, number: u64, len: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; len];
    if len >= 16 {
        payload[..8].copy_from_slice(&(who as u64).to_le_bytes());
        payload[8..16].copy_from_slice(&number.to_le_bytes());
    }
    if len > PART_LEN {
        for (index, word) in payload[16..].chunks_exact_mut(8).enumerate() {
            let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number ^ (who as u64) << 56;
            word.copy_from_slice(&mixed.to_le_bytes());
        }
    }
    payload
}

/// Whether a delivered payload is whole: one that [`of`] makes.
pub(crate) fn is_whole(payload: &[u8]) -> bool {
    if payload.len() <= PART_LEN {
        return true;
    }
    let word = |at: usize| payload[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    payload == of(word(0) as usize, word(8), payload.len())
}

/// The parts in which a payload is sent: whole, or in as few parts as possible, all of one length but the
/// last.
pub(crate) fn parts(payload: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
    let count = payload.len().div_ceil(PART_LEN).max(1);
    payload.chunks(payload.len().div_ceil(count).max(1))
}

/// The last part of a payload.
pub(crate) fn last_part(payload: &[u8]) -> &[u8] {
    parts(payload).last().unwrap_or_default()
}
