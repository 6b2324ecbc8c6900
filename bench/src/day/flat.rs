//! Flatness: whether a process uses more in the last period than it did in the second one, when it was warm.
//!
//! * Memory: the medians of the samples of two periods are compared. Growth by more than the [`Bound`] is
//!   wrong: a fixed amount for what an allocator does, and a share.
//! * Descriptors: the least of the last period above the greatest of the second is a lasting growth. One that
//!   is opened for a moment is none.

use crate::usage::Usage;

/// Periods that a judgement needs: the first warms up.
pub const PERIODS_MIN: usize = 3;

/// How much more memory is no growth.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bound {
    /// Bytes, ...
    pub bytes: u64,
    /// ... and beside them a share of what there was.
    pub share: f64,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MiB and {:.1} %", mebibytes(self.bytes), self.share * 100.0)
    }
}

/// As people read it.
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// The usage of a process in a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level {
    /// Resident bytes, the median.
    pub resident: u64,
    /// Resident bytes that no file backs, the median.
    pub anonymous: u64,
    /// The least and the greatest number of open descriptors.
    pub descriptors: [u64; 2],
    /// Threads, the most.
    pub threads: u64,
}

impl Level {
    /// Of the samples of a period; `None` where there is none.
    pub fn of(samples: &[Usage]) -> Option<Self> {
        let column = |of: fn(&Usage) -> u64| {
            let mut column: Vec<u64> = samples.iter().map(of).collect();
            column.sort_unstable();
            column
        };
        let median = |of| column(of).get(samples.len() / 2).copied();
        let descriptors = column(|usage| usage.descriptors);
        Some(Self {
            resident: median(|usage| usage.resident)?,
            anonymous: median(|usage| usage.anonymous)?,
            descriptors: [*descriptors.first()?, *descriptors.last()?],
            threads: column(|usage| usage.threads).last().copied()?,
        })
    }
}

/// The growths from the second period to the last, a line for each.
pub fn growths(name: &str, [second, last]: [&Level; 2], bound: Bound) -> Vec<String> {
    let mut growths = Vec::new();
    let allowed = |before: u64| before + bound.bytes + (before as f64 * bound.share) as u64;
    if last.resident > allowed(second.resident) {
        growths.push(format!(
            "the memory of {name} grew from {:.1} to {:.1} MiB, of which no file backs {:.1} and {:.1} MiB: by more than \
             {bound}",
            mebibytes(second.resident),
            mebibytes(last.resident),
            mebibytes(second.anonymous),
            mebibytes(last.anonymous),
        ));
    }
    if last.descriptors[0] > second.descriptors[1] {
        growths.push(format!(
            "the open descriptors of {name} grew from at most {} to at least {}",
            second.descriptors[1], last.descriptors[0]
        ));
    }
    growths
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { bytes: 2 << 20, share: 0.02 };

    fn usage(resident: u64, descriptors: u64) -> Usage {
        Usage { resident, anonymous: resident / 2, descriptors, threads: 3 }
    }

    fn level(samples: &[(u64, u64)]) -> Level {
        let samples: Vec<Usage> = samples.iter().map(|&(mib, count)| usage(mib << 20, count)).collect();
        Level::of(&samples).expect("samples")
    }

    fn found(second: &[(u64, u64)], last: &[(u64, u64)]) -> Vec<String> {
        growths("the gateway", [&level(second), &level(last)], BOUND)
    }

    #[test]
    fn a_planted_growth_of_memory_is_found_and_one_within_the_bound_is_none() {
        let before = [(100, 20), (101, 20), (99, 20)];
        assert!(found(&before, &before).is_empty());
        assert!(found(&before, &[(104, 20); 3]).is_empty(), "2 MiB and 2 %");
        let grown = found(&before, &[(105, 20); 3]);
        assert_eq!(grown.len(), 1);
        assert!(grown[0].starts_with("the memory of the gateway grew from 100.0 to 105.0 MiB"), "{grown:?}");
        assert!(found(&before, &[(100, 20), (300, 20), (100, 20)]).is_empty(), "a moment is no growth");
        assert!(found(&before, &[(50, 20); 3]).is_empty(), "less is none");
    }

    #[test]
    fn a_descriptor_that_stays_open_is_found_and_one_of_a_moment_is_none() {
        let before = [(100, 20), (100, 22), (100, 21)];
        assert!(found(&before, &[(100, 22), (100, 40), (100, 23)]).is_empty());
        let grown = found(&before, &[(100, 23), (100, 24), (100, 25)]);
        assert_eq!(grown, ["the open descriptors of the gateway grew from at most 22 to at least 23"]);
        assert_eq!(found(&before, &[(200, 23); 3]).len(), 2);
    }

    #[test]
    fn a_level_is_of_the_median_and_no_sample_has_none() {
        let level = level(&[(9, 7), (1, 5), (2, 6)]);
        assert_eq!((level.resident, level.descriptors, level.threads), (2 << 20, [5, 7], 3));
        assert_eq!(level.anonymous, 1 << 20);
        assert_eq!(Level::of(&[]), None);
        assert_eq!(BOUND.to_string(), "2.0 MiB and 2.0 %");
    }
}
