//! # delivered_log: how much of what a reader holds survives a takeover
//!
//! The question: a new epoch's start is learned; what of the log that was passed on above the own commit
//! belongs to the new log, and where does one go on? The new table answers it frame by frame, if one still
//! knows where the frames ended. So a reader keeps the boundaries that it passed above its commit. They
//! are few, as commit follows closely; where commit lags far behind, they are thinned out, every second
//! one of an epoch, and what lies between two that are left is fetched again should the cut fall there.
//!
//! ```text
//!   log:      ──────commit│  f  │   g   │ h │      old end
//!   marks:                m0    m1      m2  m3
//!   new table owns …………………………………………………….│        from here on it does not: cut at m2
//! ```

use super::follow::Follow;
use super::log::LogEnd;
use super::planted::{Mutation, planted};
use lockstep_wire::Seq;
use std::collections::VecDeque;

/// Most boundaries that are kept: as many frames may be uncommitted before they are thinned out. 8 KiB.
pub const MARKS_MAX: usize = 256;

/// What becomes of the log that was held when a new epoch's start is learned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SuffixCheck {
    /// All of it belongs to the new log.
    Intact,
    /// Nothing from `from` on does, as far as one can tell, and the log goes on at `end`.
    Cut {
        /// The greatest boundary of the new log that is known; `None` if none is: then one begins
        /// anew with the frame that holds `from`.
        end: Option<LogEnd>,
        /// The first seq that does not survive. It is never below the commit.
        from: Seq,
    },
    /// The new log contradicts what is committed here, which S6 rules out: two histories.
    Contradicted {
        /// Where the new log takes another course, below the commit.
        at: Seq,
    },
}

/// The boundaries of the log that was passed, from the last one at or below the commit on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DeliveredLog {
    /// Ascending. Between two neighbours lie frames of the later one's epoch only. The first one stands for
    /// whatever is below it.
    marks: VecDeque<LogEnd>,
    /// Whether the first one was taken from the frame behind it: its epoch is that frame's, and no log
    /// goes on there in another one.
    by_frame: bool,
}

impl Default for DeliveredLog {
    fn default() -> Self {
        Self { marks: VecDeque::with_capacity(MARKS_MAX), by_frame: false }
    }
}

impl DeliveredLog {
    /// The log begins, for this reader, at `end`: where its owner knows it to end, or (`by_frame`) where
    /// the first frame says that it does.
    pub fn begin(&mut self, end: LogEnd, by_frame: bool) {
        self.by_frame = by_frame;
        self.marks.clear();
        self.marks.push_back(end);
    }

    /// A frame was passed behind which the log ends at `end`.
    pub fn push(&mut self, end: LogEnd, commit_next: Seq) {
        while self.marks.len() > 1 && self.marks[1].next <= commit_next {
            self.marks.pop_front();
            self.by_frame = false;
        }
        if self.marks.len() == MARKS_MAX {
            self.thin();
        }
        self.marks.push_back(end);
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let marks = &self.marks;
        assert!(marks.len() <= MARKS_MAX, "S10: {} boundaries, at most {MARKS_MAX}", marks.len());
        let pairs = marks.iter().zip(marks.iter().skip(1));
        let rises = pairs.into_iter().all(|(a, b)| a.next < b.next);
        assert!(rises, "S10: boundaries rise: {marks:?}");
    }

    /// The last known boundary at or below `bound`.
    pub fn boundary(&self, bound: Seq) -> Option<LogEnd> {
        self.marks.iter().rev().find(|mark| mark.next <= bound).copied()
    }

    /// Forgets every second boundary within an epoch. If each frame has an epoch of its own, the oldest
    /// boundary goes.
    #[cold]
    fn thin(&mut self) {
        let (mut retained, mut skipped) = (0, true);
        for index in 0..self.marks.len() {
            let within = index > 0
                && self.marks.get(index + 1).is_some_and(|next| next.epoch == self.marks[index].epoch);
            skipped = within && !skipped;
            if !skipped {
                self.marks[retained] = self.marks[index];
                retained += 1;
            }
        }
        self.marks.truncate(retained);
        if retained == MARKS_MAX {
            self.marks.pop_front();
            self.by_frame = false;
        }
    }

    /// By S10 every frame above the own commit whose epoch does not own its seqs by the new table is
    /// forgotten, and so is all that lies behind it. What lies before the `floor`, where this reader was
    /// told to begin, was never held, and is not asked for either.
    pub fn judge(&self, follow: &Follow, commit_next: Seq, floor: Seq) -> SuffixCheck {
        if planted(Mutation::DeliveredStays) {
            return SuffixCheck::Intact;
        }
        let Some(first) = self.marks.front() else { return SuffixCheck::Intact };
        let at_commit = self.marks.iter().find(|mark| mark.next >= commit_next).unwrap_or(first);
        if let Some(at) = follow.succeeded_at(at_commit.epoch)
            && at < commit_next
        {
            return SuffixCheck::Contradicted { at };
        }
        if first.next > commit_next {
            // What lies between is not held: the reader began here by what the leader said of its log.
            let known = follow.lists(first.epoch);
            let from = if known { follow.succeeded_at(first.epoch) } else { Some(commit_next) };
            if let Some(from) = from.filter(|from| *from < first.next) {
                return SuffixCheck::Cut { end: None, from: from.max(floor) };
            }
        }
        for (index, (before, mark)) in self.marks.iter().zip(self.marks.iter().skip(1)).enumerate() {
            let start = before.next.max(commit_next);
            if mark.next <= commit_next {
                continue;
            }
            let owned = follow.owner(start) == Some(mark.epoch);
            let to = if owned { follow.succeeded_at(mark.epoch).unwrap_or(Seq::MAX) } else { start };
            if to < mark.next {
                let end = (index > 0 || !self.by_frame).then_some(*before);
                return SuffixCheck::Cut { end, from: to.max(floor) };
            }
        }
        SuffixCheck::Intact
    }

    /// The log goes on at `end`, or with the frame that holds `from`.
    pub fn cut(&mut self, follow: &Follow, end: Option<LogEnd>, from: Seq) {
        self.marks.retain(|mark| end.is_some_and(|end| mark.next <= end.next));
        if self.marks.is_empty() {
            // Nothing is held; but the next takeover may go back further still. Only seq and epoch count
            // there: the chain is that of the frame with which one begins anew.
            self.by_frame = false;
            let epoch = follow.owner(from - 1).unwrap_or(follow.epoch());
            self.marks.push_back(LogEnd { next: from, epoch, ..LogEnd::BLANK });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::{epoch, start_payload};
    use lockstep_wire::{Epoch, EpochBase, EpochStartView};

    /// The rows (round, base) of a table, the own commit, and what is judged.
    type Case<'a> = (&'a [(u32, Seq)], Seq, SuffixCheck);

    /// Follows the last of these epochs: (round, base).
    fn follow(rows: &[(u32, Seq)]) -> Follow {
        let table: Vec<_> =
            rows.iter().map(|&(round, base)| EpochBase { epoch: epoch(round, 1).0, base }).collect();
        let &(round, base) = rows.last().unwrap();
        let payload = start_payload(epoch(round, 1), &mark(base, 0), &table);
        let mut follow = Follow::default();
        assert!(follow.on_start(&EpochStartView::parse(&payload).unwrap()));
        follow
    }

    fn mark(next: Seq, round: u32) -> LogEnd {
        let epoch = if round == 0 { Epoch::NONE } else { epoch(round, 1) };
        LogEnd { next, epoch, chain: next ^ 0xc4a1, timestamp: 0 }
    }

    /// Frames that end here: (next, round). The first is where the reader began.
    fn delivered(marks: &[(Seq, u32)], commit_next: Seq) -> DeliveredLog {
        let mut delivered = DeliveredLog::default();
        delivered.begin(mark(marks[0].0, marks[0].1), false);
        for &(next, round) in &marks[1..] {
            delivered.push(mark(next, round), commit_next);
        }
        delivered
    }

    fn cut(end: Option<(Seq, u32)>, from: Seq) -> SuffixCheck {
        SuffixCheck::Cut { end: end.map(|(next, round)| mark(next, round)), from }
    }

    #[test]
    fn s10_the_log_is_cut_before_the_first_frame_that_is_not_owned() {
        let marks = [(10, 1), (12, 1), (15, 1), (20, 2), (21, 2)];
        let table: [Case<'_>; 9] = [
            (&[(1, 2), (2, 15), (3, 21)], 10, SuffixCheck::Intact),
            (&[(1, 2), (2, 15), (3, 30)], 10, SuffixCheck::Intact),
            (&[(1, 2), (2, 15), (3, 20)], 10, cut(Some((20, 2)), 20)),
            (&[(1, 2), (3, 15)], 10, cut(Some((15, 1)), 15)),
            (&[(1, 2), (3, 12)], 10, cut(Some((12, 1)), 12)),
            (&[(1, 2), (3, 10)], 10, cut(Some((10, 1)), 10)),
            // Below the table: nobody knows, so it goes, though what lies behind it is owned.
            (&[(2, 15), (3, 21)], 10, cut(Some((10, 1)), 10)),
            (&[(2, 15), (3, 21)], 15, SuffixCheck::Intact),
            (&[(1, 2), (3, 12)], 15, SuffixCheck::Contradicted { at: 12 }),
        ];
        for (rows, commit_next, check) in table {
            let delivered = delivered(&marks, 1);
            assert_eq!(delivered.judge(&follow(rows), commit_next, 1), check, "{rows:?} at {commit_next}");
        }
    }

    #[test]
    fn s10_who_began_behind_the_cut_begins_anew_with_what_is_known_to_be_new() {
        let begun = delivered(&[(10, 2), (12, 2)], 5);
        let table: [Case<'_>; 5] = [
            (&[(1, 2), (2, 7), (3, 12)], 1, SuffixCheck::Intact),
            (&[(1, 2), (2, 7), (3, 9)], 1, cut(None, 9)),
            (&[(1, 2), (3, 6)], 1, cut(None, 5)),
            (&[(1, 2), (3, 6)], 8, cut(None, 8)),
            (&[(1, 2), (2, 4), (3, 9), (4, 11)], 10, cut(None, 10)),
        ];
        for (rows, floor, check) in table {
            assert_eq!(begun.judge(&follow(rows), 5, floor), check, "{rows:?} above {floor}");
        }
    }

    #[test]
    fn s10_who_began_with_a_frame_that_is_lost_begins_with_another_one() {
        let mut by_frame = DeliveredLog::default();
        by_frame.begin(mark(10, 2), true);
        by_frame.push(mark(12, 2), 10);
        // Epoch 3 goes on at seq 10 with a frame of epoch 1, which could not follow a log of epoch 2.
        assert_eq!(by_frame.judge(&follow(&[(1, 2), (3, 15)]), 10, 1), cut(None, 10));
        by_frame.push(mark(14, 2), 12);
        let after = follow(&[(1, 2), (2, 10), (3, 12)]);
        assert_eq!(by_frame.judge(&after, 12, 1), cut(Some((12, 2)), 12));
    }

    #[test]
    fn s10_a_second_takeover_goes_further_back_than_the_first() {
        let mut delivered = delivered(&[(10, 1)], 5);
        let second = follow(&[(1, 2), (2, 8)]);
        assert_eq!(delivered.judge(&second, 5, 1), cut(None, 8));
        delivered.cut(&second, None, 8);
        assert_eq!(delivered.judge(&follow(&[(1, 2), (3, 6)]), 5, 1), cut(None, 6));
        assert_eq!(delivered.judge(&follow(&[(1, 2), (2, 8), (3, 9)]), 5, 1), SuffixCheck::Intact);
    }

    #[test]
    fn marks_are_bounded_and_the_cut_is_never_behind_what_is_lost() {
        let mut long = delivered(&[(1, 0)], 1);
        for next in 2..10_000 {
            long.push(mark(next, 1), 1);
            assert!(long.marks.len() <= MARKS_MAX);
        }
        for base in [2, 77, 5_000, 9_998] {
            let check = long.judge(&follow(&[(1, 1), (2, base)]), 1, 1);
            let SuffixCheck::Cut { end: Some(end), from } = check else { panic!("{check:?}") };
            assert!(end.next <= base && from == base, "{check:?}");
        }
        // Each frame of an epoch of its own: the oldest boundaries are given up.
        let mut many = delivered(&[(1, 0)], 1);
        for next in 2..2_000 {
            many.push(mark(next, next as u32), 1);
        }
        assert!(many.marks.len() <= MARKS_MAX);
        assert_eq!(many.judge(&follow(&[(1, 1), (5_000, 2)]), 1, 1), cut(None, 1));
    }
}
