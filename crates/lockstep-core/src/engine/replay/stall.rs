//! A reader whose source has sent all that it has, and which lacks something all the same.

use lockstep_wire::{Nanos, Seq};

/// A reader that does not move for this long, although its source has sent all that it has, asks the next
/// one.
const STALL_NS: Nanos = 50_000_000;

/// Where a reader stands, and since when.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct StallDetector {
    next: Seq,
    since: Nanos,
}

impl StallDetector {
    /// A look: the reader is at `next`, and frames `come` or do not. Returns whether it has not moved for
    /// long. Then what is missing is in no ring, and its source lies behind itself: two of those would read
    /// from each other for ever.
    pub fn look(&mut self, now: Nanos, next: Seq, come: bool) -> bool {
        let lasts = !come && next == self.next && now >= self.since + STALL_NS;
        if come || lasts || next != self.next {
            *self = Self { next, since: now };
        }
        lasts
    }
}
