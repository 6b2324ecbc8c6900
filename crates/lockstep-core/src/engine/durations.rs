//! # durations: a distribution of times in fixed memory
//!
//! Each power of two is divided into eight classes, so that a class is at most an eighth wide and a
//! quantile is at most so much too high. Counting is a shift and an add, and the words can be published
//! one by one into a counters file (`hdrhistogram`, which the bench tool uses, owns and resizes its memory).
//!
//! ```text
//!   classes   0 … 7   0 ns, 1 ns, … 7 ns
//!             8 … 15  8 ns to 15 ns, one each;  16 … 23  16 ns to 31 ns, two each; …
//!             271     60 s and everything above
//!   word      272     the sum
//! ```

use lockstep_wire::Nanos;

/// Classes of one power of two.
const PER_OCTAVE: u32 = 8;
const SHIFT: u32 = PER_OCTAVE.trailing_zeros();
/// The power of two from which on everything is of the last class.
const HIGHEST: u32 = 36;
/// How many classes there are.
pub const CLASSES: usize = ((HIGHEST - SHIFT + 1) * PER_OCTAVE) as usize;
/// Words of a distribution: its classes, and the sum of all times.
pub const WORDS: usize = CLASSES + 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Durations([u64; WORDS]);

impl Default for Durations {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

/// The class of a time.
#[inline]
const fn class_of(ns: Nanos) -> usize {
    let highest = 63 - (ns | 1).leading_zeros();
    if highest < SHIFT {
        return ns as usize;
    }
    if highest >= HIGHEST {
        return CLASSES - 1;
    }
    let within = (ns >> (highest - SHIFT)) & (PER_OCTAVE as u64 - 1);
    ((highest - SHIFT + 1) * PER_OCTAVE) as usize + within as usize
}

/// The longest time of a class; the last one has no end.
pub const fn longest_of(class: usize) -> Nanos {
    let (octave, within) = (class as u32 / PER_OCTAVE, class as u64 % PER_OCTAVE as u64);
    if octave == 0 {
        return within;
    }
    ((PER_OCTAVE as u64 + within + 1) << (octave - 1)) - 1
}

impl Durations {
    /// The distribution with these words.
    pub fn from_words(words: &[u64]) -> Option<Self> {
        Some(Self(words.try_into().ok()?))
    }

    /// Counts a time.
    #[inline]
    pub fn add(&mut self, ns: Nanos) {
        self.0[class_of(ns)] += 1;
        self.0[CLASSES] = self.0[CLASSES].wrapping_add(ns);
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.0[..CLASSES].iter().sum()
    }

    /// The sum of all.
    pub fn sum(&self) -> Nanos {
        self.0[CLASSES]
    }

    /// How many were at most so long; exact where a class ends there.
    pub fn up_to(&self, ns: Nanos) -> u64 {
        (0..CLASSES).filter(|class| longest_of(*class) <= ns).map(|class| self.0[class]).sum()
    }

    /// The time that `per_mille` of 1,000 do not exceed: the end of its class. `None` of none.
    pub fn quantile(&self, per_mille: u64) -> Option<Nanos> {
        let rank = (self.count() * per_mille).div_ceil(1_000).max(1);
        let mut below = 0;
        (0..CLASSES)
            .find(|class| {
                below += self.0[*class];
                below >= rank
            })
            .map(longest_of)
    }

    /// The longest one: the end of its class.
    pub fn longest(&self) -> Option<Nanos> {
        self.0[..CLASSES].iter().rposition(|count| *count > 0).map(longest_of)
    }

    /// What has been counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        later.0.iter_mut().zip(earlier.0).for_each(|(word, before)| *word = word.wrapping_sub(before));
        later
    }

    /// All classes, and the sum.
    pub fn words(&self) -> &[u64; WORDS] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_ends_where_the_next_one_begins_and_is_at_most_an_eighth_wide() {
        for class in 0..CLASSES - 1 {
            let longest = longest_of(class);
            assert_eq!((class_of(longest), class_of(longest + 1)), (class, class + 1), "{longest}");
            let width = longest_of(class + 1) - longest;
            assert!(width == 1 || width * 8 <= longest + 1, "{longest}: {width}");
        }
        assert_eq!((class_of(u64::MAX), class_of(1 << 36)), (CLASSES - 1, CLASSES - 1));
    }

    #[test]
    fn quantiles_are_those_of_all_times_but_for_an_eighth() {
        let mut durations = Durations::default();
        assert_eq!((durations.quantile(500), durations.longest()), (None, None));
        for ns in 1..=100_000 {
            durations.add(ns);
        }
        for (per_mille, exact) in [(1, 100), (500, 50_000), (990, 99_000), (1_000, 100_000)] {
            let found = durations.quantile(per_mille).expect("there are some");
            assert!((exact..=exact + exact / 8).contains(&found), "{per_mille}: {found}");
        }
        assert_eq!((durations.count(), durations.sum()), (100_000, 100_000 * 100_001 / 2));
        assert_eq!(durations.up_to(1_023), 1_023);
    }

    #[test]
    fn what_came_since_is_told_from_what_was_before() {
        let mut durations = Durations::default();
        durations.add(1_000_000);
        let before = durations.clone();
        durations.add(10);
        let since = durations.since(&before);
        assert_eq!((since.count(), since.sum(), since.longest()), (1, 10, Some(10)));
        assert_eq!(Durations::from_words(since.words()), Some(since));
        assert_eq!(Durations::from_words(&[0; 3]), None);
    }
}
