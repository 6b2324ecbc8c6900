//! The only source of random numbers: a seed decides everything. SplitMix64 (Steele, Lea, Flood 2014):
//! small, known, and the same on every machine.

/// A stream of numbers from one seed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
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

    /// A number from `from` to below `to`, each doubling as likely as the next: short and long alike.
    pub fn log_uniform(&mut self, from: u64, to: u64) -> u64 {
        let doublings = u64::from((to / from.max(1)).max(1).ilog2());
        let low = from << self.below(doublings + 1);
        low + self.below(low).min(to.saturating_sub(low))
    }

    /// A stream of its own: draws from it change nothing here.
    pub fn fork(&mut self) -> Self {
        Self(self.next_u64() ^ 0xf0_f0f0)
    }

    /// Whether something with a chance of `per_million` happens.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }
}
