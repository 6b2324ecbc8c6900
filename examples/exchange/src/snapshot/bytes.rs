//! Integers to bytes and back, and the checksum of all that passes.

use super::invalid;
use std::io::{self, Read, Write};

/// A hash of 64 bits, eight bytes at a time: multiply and fold, as MurmurHash64A does. The way in which the
/// bytes are cut into updates does not matter.
struct Hasher {
    state: u64,
    len: u64,
    partial: u64,
}

const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;

impl Hasher {
    fn new() -> Self {
        Self { state: 0x6c73_6578, len: 0, partial: 0 }
    }

    fn word(&mut self, word: u64) {
        let word = word.wrapping_mul(MULTIPLIER);
        self.state = (self.state ^ word ^ word >> 47).wrapping_mul(MULTIPLIER);
        self.state ^= self.state >> 32;
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !self.len.is_multiple_of(8) && !bytes.is_empty() {
            self.byte(bytes[0]);
            bytes = &bytes[1..];
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        self.len += 8 * words.len() as u64;
        for byte in rest {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.partial |= u64::from(byte) << (8 * (self.len % 8));
        self.len += 1;
        if self.len.is_multiple_of(8) {
            let word = std::mem::take(&mut self.partial);
            self.word(word);
        }
    }

    fn finish(&self) -> u64 {
        let mut last = Self { ..*self };
        last.word(self.partial);
        last.word(self.len);
        last.state ^ last.state >> 29
    }
}

/// Bytes that are collected before they are hashed and written.
const SPILL: usize = 1 << 15;

/// Writes integers, little-endian.
pub(super) struct Encoder<W> {
    out: W,
    hasher: Hasher,
    buffer: Vec<u8>,
}

macro_rules! put {
    ($($name:ident: $kind:ty),+) => {
        $(pub(super) fn $name(&mut self, value: $kind) {
            self.buffer.extend_from_slice(&value.to_le_bytes());
        })+
    };
}

impl<W: Write> Encoder<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, hasher: Hasher::new(), buffer: Vec::with_capacity(2 * SPILL) }
    }

    put!(u8: u8, u16: u16, u32: u32, u64: u64);

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Passes on what is collected, if it is much. To be called after each element of a list.
    pub(super) fn spill(&mut self) -> io::Result<()> {
        if self.buffer.len() >= SPILL { self.pass() } else { Ok(()) }
    }

    fn pass(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    /// Writes what is collected, and the checksum.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.pass()?;
        self.out.write_all(&self.hasher.finish().to_le_bytes())
    }

    /// The checksum of all that was written.
    pub(super) fn digest(mut self) -> u64 {
        self.hasher.update(&self.buffer);
        self.hasher.finish()
    }
}

/// Reads integers, little-endian. It reads no byte that is not the snapshot's: ahead only as far as a list's
/// length says that there must be bytes.
pub(super) struct Decoder<R> {
    input: R,
    hasher: Hasher,
    /// Bytes that were read ahead, and how many of them are used.
    ahead: Vec<u8>,
    used: usize,
    /// Bytes of the list behind those.
    due: u64,
}

macro_rules! get {
    ($($name:ident: $kind:ty),+) => {
        $(pub(super) fn $name(&mut self) -> io::Result<$kind> {
            Ok(<$kind>::from_le_bytes(self.array()?))
        })+
    };
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, hasher: Hasher::new(), ahead: Vec::new(), used: 0, due: 0 }
    }

    get!(u8: u8, u16: u16, u32: u32, u64: u64);

    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        if let Some(bytes) = self.ahead[self.used..].first_chunk() {
            self.used += N;
            return Ok(*bytes);
        }
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, mut wanted: &mut [u8]) -> io::Result<()> {
        while !wanted.is_empty() {
            if self.used == self.ahead.len() {
                self.read_ahead(wanted.len())?;
            }
            let len = wanted.len().min(self.ahead.len() - self.used);
            let (now, later) = wanted.split_at_mut(len);
            now.copy_from_slice(&self.ahead[self.used..self.used + len]);
            self.used += len;
            wanted = later;
        }
        Ok(())
    }

    /// Reads what is due, no more than a buffer; `least` if nothing is.
    fn read_ahead(&mut self, least: usize) -> io::Result<()> {
        let due = usize::try_from(self.due).unwrap_or(usize::MAX).min(SPILL);
        let len = if due == 0 { least } else { due };
        self.due -= due as u64;
        self.ahead.resize(len, 0);
        self.used = 0;
        self.input.read_exact(&mut self.ahead)?;
        self.hasher.update(&self.ahead);
        Ok(())
    }

    /// A number of elements, no more than there may be, each of so many bytes.
    pub(super) fn count(&mut self, max: u32, of: &str, bytes: u64) -> io::Result<u32> {
        let count = self.u32()?;
        if count > max {
            return Err(invalid(format!("{count} {of}, where its rules allow {max}")));
        }
        self.due = u64::from(count) * bytes;
        Ok(count)
    }

    pub(super) fn flag(&mut self, name: &str) -> io::Result<bool> {
        self.byte_of(name, |byte| (byte < 2).then_some(byte == 1))
    }

    /// A byte that stands for one of a few values.
    pub(super) fn byte_of<T>(&mut self, name: &str, of_byte: impl Fn(u8) -> Option<T>) -> io::Result<T> {
        let byte = self.u8()?;
        of_byte(byte).ok_or_else(|| invalid(format!("{byte} is no {name}")))
    }

    /// Reads the checksum and compares it with that of what was read.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let digest = self.hasher.finish();
        debug_assert!(self.due == 0 && self.used == self.ahead.len());
        let found = self.u64()?;
        if found != digest {
            return Err(invalid(format!("checksum {found:016x}, and its bytes have {digest:016x}")));
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_depend_on_how_bytes_are_cut_and_depends_on_each() {
        let bytes: Vec<u8> = (0..=255).collect();
        let of = |cuts: &[usize], bytes: &[u8]| {
            let (mut hasher, mut from) = (Hasher::new(), 0);
            for &to in cuts {
                hasher.update(&bytes[from..to]);
                from = to;
            }
            hasher.update(&bytes[from..]);
            hasher.finish()
        };
        let whole = of(&[], &bytes);
        for first in 0..20 {
            assert_eq!(of(&[first, first + 3, 100], &bytes), whole);
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_ne!(of(&[], &changed), whole);
        }
        assert_ne!(of(&[], &bytes[..255]), whole);
        assert_ne!(of(&[], &[0; 7]), of(&[], &[0; 8]));
    }
}
