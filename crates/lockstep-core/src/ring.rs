//! Places in memory that is used round and round.

/// The place of position `pos` in a ring of `ring_len` bytes: by a mask where that is a power of two, as the
/// default is, by a division otherwise.
#[inline]
pub fn place_in(ring_len: u64, pos: u64) -> u64 {
    if ring_len.is_power_of_two() { pos & (ring_len - 1) } else { pos % ring_len }
}
