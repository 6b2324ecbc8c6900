//! A digest of a state, computed as bytes are written.

use crate::machine::StateMachine;
use std::io;

/// Multipliers of 64 bits with about as many ones as zeros (Steele and Vigna 2021, table 6).
const A: u64 = 0xd134_2543_de82_ef95;
const B: u64 = 0xaf25_1af3_b0f0_25b5;

/// Digests bytes in their order, however they are split into writes. It finds accidents, and does not resist
/// a forger.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateDigest {
    value: u64,
    /// Bytes that do not fill a word yet, and their number.
    word: [u8; 8],
    len: u64,
}

impl StateDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut digest = Self::default();
        digest.write(bytes);
        digest.value()
    }

    /// The digest of a machine's snapshot; 0 for a machine that fails to write one.
    pub fn of_state(machine: &impl StateMachine) -> u64 {
        let mut digest = Self::default();
        machine.snapshot(&mut digest).map_or(0, |()| digest.value())
    }

    /// Digests more bytes.
    pub fn write(&mut self, mut bytes: &[u8]) {
        let used = (self.len % 8) as usize;
        self.len += bytes.len() as u64;
        if used > 0 {
            let (front, rest) = bytes.split_at(bytes.len().min(8 - used));
            self.word[used..used + front.len()].copy_from_slice(front);
            if used + front.len() < 8 {
                return;
            }
            self.value = mixed(self.value, u64::from_le_bytes(self.word));
            bytes = rest;
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.value = mixed(self.value, u64::from_le_bytes(*word));
        }
        self.word[..rest.len()].copy_from_slice(rest);
    }

    /// The digest of all bytes so far.
    pub fn value(&self) -> u64 {
        let used = (self.len % 8) as usize;
        let mut last = [0; 8];
        last[..used].copy_from_slice(&self.word[..used]);
        mixed(mixed(self.value, u64::from_le_bytes(last)), self.len)
    }
}

/// One step: both operands change every bit of the result.
fn mixed(value: u64, word: u64) -> u64 {
    let product = u128::from(value ^ A).wrapping_mul(u128::from((word ^ B) | 1 << 63));
    let folded = (product >> 64) as u64 ^ product as u64;
    folded.rotate_left(23).wrapping_mul(B) ^ word
}

impl io::Write for StateDigest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn pieces_do_not_count(bytes in prop::collection::vec(any::<u8>(), 0..100), cuts in prop::collection::vec(0..100usize, 0..5)) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut digest, mut from) = (StateDigest::default(), 0);
            for cut in cuts {
                digest.write(&bytes[from..cut]);
                from = cut;
            }
            digest.write(&bytes[from..]);
            prop_assert_eq!(digest.value(), StateDigest::of(&bytes));
        }
    }

    #[test]
    fn every_flipped_bit_every_length_and_every_exchange_of_words_gives_another_digest() {
        let bytes: Vec<u8> = (1..=64).collect();
        let mut all = BTreeSet::from([StateDigest::of(&bytes)]);
        for bit in 0..512 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(all.insert(StateDigest::of(&flipped)), "bit {bit}");
        }
        for len in 1..64 {
            assert!(all.insert(StateDigest::of(&bytes[..len])), "{len} bytes");
            assert!(all.insert(StateDigest::of(&vec![0; len])), "{len} zeros");
        }
        for word in 1..8 {
            let mut exchanged = bytes.clone();
            (0..8).for_each(|byte| exchanged.swap(byte, word * 8 + byte));
            assert!(all.insert(StateDigest::of(&exchanged)), "words 0 and {word}");
        }
    }
}
