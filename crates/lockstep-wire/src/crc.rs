//! # crc: CRC-32C, over each byte once
//!
//! Uses the crate `crc32c`, until `io` selects shorter code for this CPU ([`choose`]). Both compute the same
//! numbers. Datagrams are short, so the cost of a call before its first byte counts.

use std::sync::OnceLock;

/// Continues a checksum: takes the checksum so far (0 at the start) and more bytes, and returns the new one.
pub type Append = fn(u32, &[u8]) -> u32;

static CHOSEN: OnceLock<Append> = OnceLock::new();

/// Selects the function that computes checksums from now on. The first choice of a process stays.
pub fn choose(append: Append) {
    let _first = CHOSEN.set(append);
}

/// CRC-32C of the bytes that `crc` covers, followed by `bytes`.
#[inline]
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    CHOSEN.get().map_or_else(|| crc32c::crc32c_append(crc, bytes), |append| append(crc, bytes))
}

/// CRC-32C of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    append(0, bytes)
}
