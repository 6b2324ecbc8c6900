//! # crc: CRC-32C, over each byte once
//!
//! The crate `crc32c` everywhere, until `io` has found shorter instructions on this CPU and selects them
//! ([`choose`]). Both give the same numbers; datagrams are short, so what a call costs before its
//! first byte counts.

use std::sync::OnceLock;

/// Continues a checksum over more bytes: the one so far (0 at the start) and the bytes, to the new one.
pub type Append = fn(u32, &[u8]) -> u32;

static CHOSEN: OnceLock<Append> = OnceLock::new();

/// From now on this is how checksums are computed, if it is the first choice of this process.
pub fn choose(append: Append) {
    let _first = CHOSEN.set(append);
}

/// CRC-32C of what `crc` covers and `bytes` behind it.
#[inline]
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    CHOSEN.get().map_or_else(|| crc32c::crc32c_append(crc, bytes), |append| append(crc, bytes))
}

/// CRC-32C of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    append(0, bytes)
}
