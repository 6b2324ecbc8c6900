//! What tests of the codecs draw from a seed: numbers, and bytes with something wrong in them. The crates are
//! used by themselves, so that they depend on none of lockstep's.

/// A stream of numbers from one seed: SplitMix64 (Steele, Lea, Flood 2014).
pub struct Rng(u64);

impl Rng {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 below 1).
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Whether something with a chance of `per_million` happens.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }
}

/// Changes, doubles, drops and adds bytes, mostly where the lengths are.
pub fn inject(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.pick(&[0, 0, 0, 1, 1, 2, 5]) {
        let near = if rng.chance(500_000) { 24 } else { bytes.len() as u64 };
        let at = rng.below(near.min(bytes.len() as u64)) as usize;
        let byte = rng.pick(b"\0\x01\x02\xFF 09AZ+SULRO");
        match rng.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            _ if at < bytes.len() => bytes[at] = byte,
            _ => bytes.push(byte),
        }
    }
}
