//! Digests of states: two independent lanes of 64 bits, fast on words, the same on every machine.

use std::hash::Hasher;

/// A hasher whose both lanes make 128 bits.
#[derive(Clone, Copy, Debug)]
pub struct Digest([u64; 2]);

impl Default for Digest {
    fn default() -> Self {
        Self([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344])
    }
}

impl Digest {
    fn add(&mut self, word: u64) {
        let [a, b] = &mut self.0;
        *a = (*a ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        *b = (*b ^ word.rotate_left(17)).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29);
    }

    /// Both lanes, mixed to the end.
    pub fn both(&self) -> u128 {
        let mix = |mut z: u64| {
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        u128::from(mix(self.0[0])) << 64 | u128::from(mix(self.0[1]))
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.both() as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.add(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }
}

/// A set of digests, open addressed: 8 bytes a state and some air.
#[derive(Clone, Debug)]
pub struct Seen {
    slots: Vec<u64>,
    count: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { slots: vec![0; 1 << 16], count: 0 }
    }
}

impl Seen {
    /// Adds a digest. Returns whether it is new.
    pub fn insert(&mut self, digest: u64) -> bool {
        let digest = digest.max(1);
        if 3 * self.count > 2 * self.slots.len() {
            let larger = vec![0; self.slots.len() * 2];
            let old = std::mem::replace(&mut self.slots, larger);
            self.count = 0;
            old.into_iter().filter(|digest| *digest != 0).for_each(|digest| {
                self.insert(digest);
            });
        }
        let mask = self.slots.len() - 1;
        let mut at = digest as usize & mask;
        while self.slots[at] != 0 {
            if self.slots[at] == digest {
                return false;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = digest;
        self.count += 1;
        true
    }
}
