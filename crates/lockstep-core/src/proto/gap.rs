//! # gap: what is missing, each range with its own requests
//!
//! The question: of all that is missing, what is asked for now? Everything whose time has come, several
//! ranges in one request, the nearest first. A range that is found missing later has its own guard and its
//! own retries, and waits for nobody.
//!
//! The owner knows what it holds, and says what is missing whenever that has changed ([`Gaps::sync`]): what
//! was known keeps its timers, whatever it was split into; what is new begins with a guard.

use super::nack::{NackLimits, RequestTimer, Rtt};
use lockstep_wire::{NACK_RANGES_MAX, Nanos, Seq, SeqRange};

/// Most ranges that are known at once: four requests full. At 30 % loss and 100,000 datagrams a second that
/// is what is lost in four round trips of a millisecond. What lies beyond is found when the nearer ones are
/// filled.
pub const GAPS_MAX: usize = 4 * NACK_RANGES_MAX;

/// A missing range and its requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Gap {
    /// The missing range.
    pub range: SeqRange,
    /// When it is asked for.
    pub request: RequestTimer,
}

/// All of them, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Gaps {
    list: Vec<Gap>,
    /// Where the next list is built.
    next: Vec<Gap>,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { list: Vec::with_capacity(GAPS_MAX), next: Vec::with_capacity(GAPS_MAX) }
    }
}

fn overlap(a: SeqRange, b: SeqRange) -> bool {
    a.from < b.to && b.from < a.to
}

impl Gaps {
    /// In order of their seqs.
    pub fn list(&self) -> &[Gap] {
        &self.list
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let list = &self.list;
        assert!(list.len() <= GAPS_MAX, "GAP-1: {} ranges, at most {GAPS_MAX}", list.len());
        let rises = list.windows(2).all(|pair| pair[0].range.from <= pair[1].range.from);
        assert!(rises, "GAP-1: ranges are in order: {list:?}");
    }

    /// Nothing is missing any more.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// When the next one is due; `Nanos::MAX` if none is.
    pub fn next_deadline(&self) -> Nanos {
        self.list.iter().map(|gap| gap.request.deadline()).min().unwrap_or(Nanos::MAX)
    }

    /// GAP-1 (what is missing): exactly these ranges, in order. What was known keeps its requests, whatever
    /// is left of it; what was not begins with `fresh` of its first seq. At most [`GAPS_MAX`] are kept, the
    /// nearest; from the half on what is new is joined to the range that it follows.
    pub fn sync(
        &mut self,
        missing: impl Iterator<Item = SeqRange>,
        mut fresh: impl FnMut(Seq) -> RequestTimer,
    ) {
        let Self { list, next, .. } = self;
        next.clear();
        let mut known = 0;
        for range in missing {
            let mut at = range.from;
            while at < range.to && next.len() < GAPS_MAX {
                while list.get(known).is_some_and(|gap| gap.range.to <= at) {
                    known += 1;
                }
                let old = list.get(known).filter(|gap| gap.range.from < range.to);
                match old {
                    Some(gap) if gap.range.from <= at => {
                        let to = gap.range.to.min(range.to);
                        next.push(Gap { range: SeqRange { from: at, to }, request: gap.request });
                        at = to;
                    }
                    _ => {
                        let to = old.map_or(range.to, |gap| gap.range.from);
                        let count = next.len();
                        match next.last_mut() {
                            Some(last) if last.range.to == at && count * 2 >= GAPS_MAX => last.range.to = to,
                            _ => next.push(Gap { range: SeqRange { from: at, to }, request: fresh(at) }),
                        }
                        at = to;
                    }
                }
            }
            if next.len() == GAPS_MAX {
                break;
            }
        }
        std::mem::swap(list, next);
    }

    /// What begins below `bound` is missing for certain: what was never asked for is, at `until` of its first
    /// seq.
    pub fn hasten(&mut self, bound: Seq, until: impl Fn(Seq) -> Nanos) {
        for gap in self.list.iter_mut().take_while(|gap| gap.range.from < bound) {
            gap.request.hasten(until(gap.range.from));
        }
    }

    /// Frames of `range` came, for the request and the place `answered` if they name one.
    pub fn on_frames(&mut self, answered: Option<(u64, u32)>, range: SeqRange) {
        for gap in &mut self.list {
            gap.request.on_frames(answered, overlap(gap.range, range));
        }
    }

    /// The request `token` was refused for `range` by one of `repairers`.
    pub fn on_refused(
        &mut self,
        now: Nanos,
        token: u64,
        range: SeqRange,
        repairers: usize,
        retry_after_ns: Nanos,
        limits: &NackLimits,
    ) {
        for gap in self.list.iter_mut().filter(|gap| overlap(gap.range, range)) {
            gap.request.on_refused(now, token, repairers, retry_after_ns, limits);
        }
    }

    /// A repairer asks for a proof of our address before it answers the request `token`.
    pub fn on_proof_demanded(&mut self, now: Nanos, token: u64, repairers: usize, limits: &NackLimits) {
        for gap in &mut self.list {
            gap.request.on_proof_demanded(now, token, repairers, limits);
        }
    }

    /// Sets the timers by what came since the last check.
    pub fn poll(&mut self, now: Nanos, limits: &NackLimits, rtt: &Rtt) {
        self.list.iter_mut().for_each(|gap| gap.request.poll(now, limits, rtt));
    }

    /// GAP-2 (all at once): the ranges of one request that is due now, which go to the repairer at the
    /// place that is returned; those of other repairers, and what finds no room, in the next one. Neighbours
    /// are written as one. `first` gives the place to begin with for entries from a seq on; places go round
    /// after `repairers` of them.
    pub fn take_due(
        &mut self,
        now: Nanos,
        first: impl Fn(u32, Seq) -> u32,
        repairers: u32,
        out: &mut [SeqRange; NACK_RANGES_MAX],
        mut on_sent: impl FnMut(&mut RequestTimer, u32),
    ) -> Option<DueRanges> {
        let due_at = |gap: &Gap| {
            let place = gap.request.due(now)? % repairers.max(1);
            // Behind silence, or as many requests in vain, everybody has its turn.
            let passes_over = gap.request.is_answered() && gap.request.next_tries() <= repairers;
            Some(if passes_over { first(place, gap.range.from) } else { place })
        };
        let (place, tries) =
            self.list.iter().find_map(|gap| due_at(gap).map(|place| (place, gap.request.next_tries())))?;
        let mut due = DueRanges { place, tries, count: 0, new_from: None };
        for gap in &mut self.list {
            if due_at(gap) != Some(place) {
                continue;
            }
            match out[..due.count].last_mut() {
                Some(last) if last.to == gap.range.from => last.to = gap.range.to,
                _ if due.count == NACK_RANGES_MAX => break,
                _ => {
                    out[due.count] = gap.range;
                    due.count += 1;
                }
            }
            if gap.request.is_new() && due.new_from.is_none() {
                due.new_from = Some(gap.range.from);
            }
            on_sent(&mut gap.request, place);
        }
        Some(due)
    }
}

/// A request that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DueRanges {
    /// The repairer to ask, as a place in the order of repairers.
    pub place: u32,
    /// Requests for the first of them that brought nothing.
    pub tries: u32,
    /// Ranges.
    pub count: usize,
    /// The first range of them that was never asked for.
    pub new_from: Option<Seq>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: NackLimits =
        NackLimits { guard_ns: 20, apart_ns: 0, retry_ns_min: 100, retry_ns_max: 1_000 };

    fn ranges(list: &[(Seq, Seq)]) -> impl Iterator<Item = SeqRange> + use<'_> {
        list.iter().map(|&(from, to)| SeqRange { from, to })
    }

    struct Receiver {
        gaps: Gaps,
        token: u64,
    }

    impl Receiver {
        fn new() -> Self {
            Self { gaps: Gaps::default(), token: 0 }
        }

        fn misses(&mut self, now: Nanos, missing: &[(Seq, Seq)]) {
            self.gaps.sync(ranges(missing), |_| RequestTimer::new(now + 20, 0));
        }

        /// What it asks for, and of whom.
        fn requests(&mut self, now: Nanos) -> Option<(u32, Vec<(Seq, Seq)>)> {
            let mut out = [SeqRange { from: 0, to: 0 }; NACK_RANGES_MAX];
            self.gaps.poll(now, &LIMITS, &Rtt::default());
            self.token += 1;
            let token = self.token;
            let due = self.gaps.take_due(
                now,
                |place, _| place,
                4,
                &mut out,
                |ask, place| {
                    ask.on_sent(now, token, place, &LIMITS, &Rtt::default());
                },
            )?;
            Some((due.place, out[..due.count].iter().map(|range| (range.from, range.to)).collect()))
        }
    }

    /// GAP-2.
    #[test]
    fn gap_2_a_new_gap_waits_for_its_own_guard_and_for_no_answer() {
        let mut receiver = Receiver::new();
        receiver.misses(0, &[(5, 6), (8, 10)]);
        assert_eq!(receiver.requests(19), None);
        assert_eq!(receiver.requests(20), Some((0, vec![(5, 6), (8, 10)])));
        receiver.misses(30, &[(5, 6), (8, 10), (20, 21)]);
        assert_eq!(receiver.requests(49), None);
        assert_eq!(receiver.requests(50), Some((0, vec![(20, 21)])));
        assert_eq!(receiver.requests(120), Some((1, vec![(5, 6), (8, 10)])), "each retries at its own time");
        assert_eq!(receiver.requests(150), Some((1, vec![(20, 21)])));
    }

    /// GAP-1.
    #[test]
    fn gap_1_what_is_left_of_a_gap_keeps_its_timers_and_what_is_filled_is_forgotten() {
        let mut receiver = Receiver::new();
        receiver.misses(0, &[(5, 15)]);
        assert_eq!(receiver.requests(20), Some((0, vec![(5, 15)])));
        receiver.misses(30, &[(5, 8), (9, 12)]);
        assert_eq!(receiver.requests(119), None);
        assert_eq!(receiver.requests(120), Some((1, vec![(5, 8), (9, 12)])));
        receiver.misses(130, &[]);
        assert_eq!((receiver.gaps.list().len(), receiver.gaps.next_deadline()), (0, Nanos::MAX));
    }

    /// GAP-1.
    #[test]
    fn gap_1_a_gap_that_grows_on_both_sides_has_three_parts_and_is_one_range_when_all_are_due() {
        let mut receiver = Receiver::new();
        receiver.misses(0, &[(10, 12)]);
        receiver.misses(15, &[(8, 14)]);
        assert_eq!(receiver.requests(20), Some((0, vec![(10, 12)])));
        assert_eq!(receiver.requests(35), Some((0, vec![(8, 10), (12, 14)])));
        assert_eq!(receiver.requests(1_000), Some((1, vec![(8, 14)])));
    }

    /// GAP-1.
    #[test]
    fn gap_1_the_table_is_bounded_and_keeps_the_nearest() {
        let mut receiver = Receiver::new();
        let many: Vec<_> = (0..1_000).map(|at| (2 * at + 1, 2 * at + 2)).collect();
        receiver.misses(0, &many);
        assert_eq!(receiver.gaps.list().len(), GAPS_MAX);
        let asked: usize = std::iter::from_fn(|| receiver.requests(20)).map(|(_, ranges)| ranges.len()).sum();
        assert_eq!(asked, GAPS_MAX, "four requests");
        receiver.misses(30, &many[100..]);
        assert_eq!(receiver.gaps.list()[0].range, SeqRange { from: 201, to: 202 });
        assert_eq!(receiver.gaps.list().len(), GAPS_MAX);
    }

    /// GAP-1.
    #[test]
    fn gap_1_a_stream_that_cannot_be_kept_is_one_long_gap_not_a_thousand() {
        let mut receiver = Receiver::new();
        for next in 2..2_000 {
            receiver.misses(next, &[(1, next)]);
        }
        assert!(receiver.gaps.list().len() <= GAPS_MAX / 2 + 1, "{}", receiver.gaps.list().len());
        assert_eq!(receiver.gaps.list().last().unwrap().range.to, 1_999);
    }

    /// GAP-2.
    #[test]
    fn gap_2_a_refusal_of_one_range_leaves_the_others_alone() {
        let mut receiver = Receiver::new();
        receiver.misses(0, &[(5, 6), (8, 10)]);
        receiver.requests(20);
        let token = receiver.token;
        receiver.gaps.on_refused(30, token, SeqRange { from: 8, to: 10 }, 4, 0, &LIMITS);
        assert_eq!(receiver.requests(50), Some((1, vec![(8, 10)])));
        assert_eq!(receiver.requests(120), Some((1, vec![(5, 6)])));
    }

    /// GAP-2.
    #[test]
    fn gap_2_what_one_answer_of_two_ranges_has_left_out_is_asked_for_at_once() {
        let mut receiver = Receiver::new();
        receiver.misses(0, &[(5, 6), (8, 9)]);
        receiver.requests(20);
        let token = receiver.token;
        receiver.gaps.on_frames(Some((token, 0)), SeqRange { from: 8, to: 9 });
        receiver.misses(40, &[(5, 6)]);
        assert_eq!(receiver.requests(40), None);
        assert_eq!(receiver.requests(60), Some((1, vec![(5, 6)])));
    }
}
