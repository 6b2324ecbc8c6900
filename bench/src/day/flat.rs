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
