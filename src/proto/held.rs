//! # held: how much of what a reader holds survives a takeover
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
use crate::wire::Seq;
use std::collections::VecDeque;

/// Most boundaries that are kept: as many frames may be uncommitted before they are thinned out. 8 KiB.
pub const MARKS_MAX: usize = 256;

/// What becomes of the log that was held when a new epoch's start is learned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// All of it belongs to the new log.
    Whole,
    /// Nothing from `from` on does, as far as one can tell, and the log goes on at `end`.
    Cut {
        /// The greatest boundary at or below `from` that is known; `None` if none is: then one begins
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
pub struct Held {
    /// Ascending. Between two neighbours lie frames of the later one's epoch only. The first one stands for
    /// whatever is below it.
    marks: VecDeque<LogEnd>,
}

impl Default for Held {
    fn default() -> Self {
        Self { marks: VecDeque::with_capacity(MARKS_MAX) }
    }
}

impl Held {
    /// The log begins, for this reader, at `end`.
    pub fn begin(&mut self, end: LogEnd) {
        self.marks.clear();
        self.marks.push_back(end);
    }

    /// A frame was passed behind which the log ends at `end`.
    pub fn push(&mut self, end: LogEnd, commit_next: Seq) {
        while self.marks.len() > 1 && self.marks[1].next <= commit_next {
            self.marks.pop_front();
        }
        if self.marks.len() == MARKS_MAX {
            self.thin();
        }
        self.marks.push_back(end);
    }

    /// The last known boundary at or below `bound`.
    pub fn boundary(&self, bound: Seq) -> Option<LogEnd> {
        self.marks.iter().rev().find(|mark| mark.next <= bound).copied()
    }

    /// Forgets every second boundary within an epoch. If each frame has an epoch of its own, the oldest
    /// boundary goes.
    #[cold]
    fn thin(&mut self) {
        let (mut kept, mut skipped) = (0, true);
        for index in 0..self.marks.len() {
            let within = index > 0
                && self.marks.get(index + 1).is_some_and(|next| next.epoch == self.marks[index].epoch);
            skipped = within && !skipped;
            if !skipped {
                self.marks[kept] = self.marks[index];
                kept += 1;
            }
        }
        self.marks.truncate(kept);
        if kept == MARKS_MAX {
            self.marks.pop_front();
        }
    }

    /// By S10 every frame above the own commit whose epoch does not own its seqs by the new table is
    /// forgotten, and so is all that lies behind it. What lies before the `floor`, where this reader was
    /// told to begin, was never held, and is not asked for either.
    pub fn judge(&self, follow: &Follow, commit_next: Seq, floor: Seq) -> Verdict {
        let Some(first) = self.marks.front() else { return Verdict::Whole };
        let at_commit = self.marks.iter().find(|mark| mark.next >= commit_next).unwrap_or(first);
        if let Some(at) = follow.succeeded_at(at_commit.epoch)
            && at < commit_next
        {
            return Verdict::Contradicted { at };
        }
        if first.next > commit_next {
            // What lies between is not held: the reader began here by what the leader said of its log.
            let known = follow.lists(first.epoch);
            let from = if known { follow.succeeded_at(first.epoch) } else { Some(commit_next) };
            if let Some(from) = from.map(|from| from.max(floor)).filter(|from| *from < first.next) {
                return Verdict::Cut { end: None, from };
            }
        }
        for (before, mark) in self.marks.iter().zip(self.marks.iter().skip(1)) {
            let start = before.next.max(commit_next);
            if mark.next <= commit_next {
                continue;
            }
            let owned = follow.owner(start) == Some(mark.epoch);
            let to = if owned { follow.succeeded_at(mark.epoch).unwrap_or(Seq::MAX) } else { start };
            if to < mark.next {
                return Verdict::Cut { end: Some(*before), from: to };
            }
        }
        Verdict::Whole
    }

    /// The log goes on at `end`, or with the frame that holds `from`.
    pub fn cut(&mut self, follow: &Follow, end: Option<LogEnd>, from: Seq) {
        self.marks.retain(|mark| end.is_some_and(|end| mark.next <= end.next));
        if self.marks.is_empty() {
            // Nothing is held; but the next takeover may go back further still. Only seq and epoch count
            // there: the chain is that of the frame with which one begins anew.
            let epoch = follow.owner(from - 1).unwrap_or(follow.epoch());
            self.marks.push_back(LogEnd { next: from, epoch, ..LogEnd::BLANK });
        }
    }
}
