//! # lineage: which history owns which seqs
//!
//! When a quorum is lost for good, the operator founds a new history on the longest journal that is left. The
//! frames below the founding keep their bytes, and so the id of the history in which they were stamped; the
//! first epoch start of the new history, and each one after it, lists the former histories and where each was
//! left.
//!
//! ```text
//!   seq:       1 ───────────────── 700 ───────────── 950 ──────▶
//!   history:   a                   b                 c               ancestors of c: (b, 950), (a, 700)
//!   a's own:   ─────────────────────── 720                           700..720 of a are in no later history
//! ```
//!
//! A reader of a former history learns by such a start that its history was left, and where.

use super::log::LogEnd;
use super::planted::{Mutation, planted};
use bytemuck::Zeroable;
use lockstep_wire::{ANCESTORS_MAX, Ancestor, Chain, EntryKind, EpochStartView, FrameView, Header, Seq};

/// A history and the former ones on which it was founded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lineage {
    history: u64,
    ancestors: [Ancestor; ANCESTORS_MAX],
    count: u8,
}

impl Default for Lineage {
    fn default() -> Self {
        Self::of(0)
    }
}

/// What a reader has of the history that it followed so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReadPosition {
    /// The history.
    pub history: u64,
    /// It takes everything below for final.
    pub commit_next: Seq,
    /// The chain that its own log has where the history was left, if it knows that one.
    pub chain: Option<Chain>,
}

/// Whether a reader of a former history may go on in a later one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LineageCheck {
    /// The later history was not founded on the one that was read.
    Unrelated,
    /// It was, and contains everything that the reader takes for final.
    Continues {
        /// Where the former history was left.
        left: Ancestor,
    },
    /// The reader takes for final what the later history does not have.
    Ahead {
        /// Where the former history was left.
        left: Ancestor,
    },
    /// The former history was left in another log than the reader's.
    Diverged {
        /// Where, and by which chain.
        left: Ancestor,
    },
}

impl Lineage {
    /// A history of which no former one is known; 0 is none.
    pub fn of(history: u64) -> Self {
        Self { history, ancestors: [Ancestor::zeroed(); ANCESTORS_MAX], count: 0 }
    }

    /// What an epoch start of `history` says.
    pub fn of_start(history: u64, start: &EpochStartView<'_>) -> Self {
        let mut lineage = Self::of(history);
        for ancestor in start.ancestors() {
            lineage.ancestors[usize::from(lineage.count)] = ancestor;
            lineage.count += 1;
        }
        lineage
    }

    /// The lineage of `history` that is founded on this one, whose log ends at `end`. Of more than
    /// [`ANCESTORS_MAX`] former histories the oldest is no longer named.
    pub fn founded(&self, history: u64, end: &LogEnd) -> Self {
        let mut lineage = Self::of(history);
        let newest = Ancestor { history: self.history, next: end.next, chain: end.chain };
        for ancestor in std::iter::once(newest).chain(self.ancestors().iter().copied()).take(ANCESTORS_MAX) {
            lineage.ancestors[usize::from(lineage.count)] = ancestor;
            lineage.count += 1;
        }
        lineage
    }

    /// The history's id.
    #[inline]
    pub fn history(&self) -> u64 {
        self.history
    }

    /// The former histories, newest first.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors[..usize::from(self.count)]
    }

    /// Where `history` was left; `None` if it is no former history of this one.
    pub fn left_at(&self, history: u64) -> Option<Ancestor> {
        self.ancestors().iter().find(|ancestor| ancestor.history == history).copied()
    }

    /// Whether a log that ends before `next` is still of a former history: the founding is not in it.
    #[inline]
    pub fn is_before_founding(&self, next: Seq) -> bool {
        self.ancestors().first().is_some_and(|left| next <= left.next)
    }

    /// LINEAGE-1 (what a former history owns): whether a frame is of the history that owns its seqs: the
    /// present one from its founding on, a former one below the seq at which it was left and from its own
    /// founding on. What lies below all that can be listed is owned by histories that are no longer named.
    #[inline]
    pub fn owns(&self, header: &Header) -> bool {
        if header.history == self.history {
            return self.count == 0 || header.first_seq >= self.ancestors[0].next;
        }
        self.is_owned_by_ancestor(header)
    }

    #[cold]
    fn is_owned_by_ancestor(&self, header: &Header) -> bool {
        let ancestor = self.ancestors();
        if planted(Mutation::AncestorUnbounded) && self.left_at(header.history).is_some() {
            return true;
        }
        match ancestor.iter().position(|ancestor| ancestor.history == header.history) {
            Some(at) => {
                let begins_at = ancestor.get(at + 1).map_or(1, |older| older.next);
                header.first_seq >= begins_at && header.next_seq() <= ancestor[at].next
            }
            None => ancestor.len() == ANCESTORS_MAX && header.next_seq() <= ancestor[ANCESTORS_MAX - 1].next,
        }
    }

    /// LINEAGE-2 (who goes on in a later history): whether a reader of a former history may follow this one.
    /// It may where this one was founded on what it read, and at or above all that it takes for final. A
    /// reader that is ahead was told entries that this history does not have: its application must hear so.
    pub fn judge(&self, reading: &ReadPosition) -> LineageCheck {
        let Some(left) = self.left_at(reading.history) else { return LineageCheck::Unrelated };
        if reading.commit_next > left.next && !planted(Mutation::AheadGoesOn) {
            LineageCheck::Ahead { left }
        } else if reading.chain.is_some_and(|chain| chain != left.chain) {
            LineageCheck::Diverged { left }
        } else {
            LineageCheck::Continues { left }
        }
    }
}

/// LINEAGE-3 (where a history changes): whether `frame` may stand behind a log of `history` (0: of any, where
/// nothing is known). A history ends only where an epoch start says that the next one was founded on it,
/// right there.
pub fn goes_on(history: u64, frame: &FrameView<'_>) -> bool {
    history == 0
        || frame.header.history == history
        || founds_on(history, frame)
        || planted(Mutation::HistoryChangesAnywhere)
}

#[cold]
fn founds_on(history: u64, frame: &FrameView<'_>) -> bool {
    let first = frame.entries().next().filter(|entry| entry.kind() == EntryKind::EpochStart);
    let start = first.and_then(|entry| EpochStartView::parse(entry.payload).ok());
    start.and_then(|start| start.founded_on()).is_some_and(|left| left.history == history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::{epoch, frame as frame_of, start_payload_of, view};
    use lockstep_wire::{EpochBase, Kind, seal};

    /// History 3 was founded at seq 95 on history 2, and that one at seq 70 on history 1.
    fn third() -> Lineage {
        let first = Lineage::of(1);
        let second = first.founded(2, &LogEnd { next: 70, chain: 0x70, ..LogEnd::BLANK });
        second.founded(3, &LogEnd { next: 95, chain: 0x95, ..LogEnd::BLANK })
    }

    fn frame(history: u64, first_seq: Seq, count: u16) -> Header {
        Header { history, first_seq, count, ..Header::new(Kind::Frame) }
    }

    #[test]
    fn a_log_is_of_a_former_history_until_the_founding_is_in_it() {
        let end = LogEnd { next: 90, epoch: epoch(4, 1), chain: 7, timestamp: 5 };
        let first = Lineage::of(1);
        let later = first.founded(2, &end);
        for (next, is_before) in [(1, true), (89, true), (90, true), (91, false), (200, false)] {
            assert_eq!(later.is_before_founding(next), is_before, "{next}");
            assert!(!first.is_before_founding(next), "nothing was founded on another history");
        }
    }

    #[test]
    fn lineage_1_a_frame_is_taken_only_where_its_history_owns_its_seqs() {
        let lineage = third();
        let table = [
            (3, 95, 1, true),
            (3, 94, 1, false),
            (3, 1_000, 4, true),
            (2, 70, 1, true),
            (2, 69, 1, false),
            (2, 90, 5, true),
            (2, 90, 6, false),
            (2, 95, 1, false),
            (1, 1, 1, true),
            (1, 60, 10, true),
            (1, 60, 11, false),
            (1, 70, 1, false),
            (4, 10, 1, false),
            (0, 10, 1, false),
        ];
        for (history, first_seq, count, owned) in table {
            let owns = lineage.owns(&frame(history, first_seq, count));
            assert_eq!(owns, owned, "history {history}, seq {first_seq}, {count} entries");
        }
    }

    #[test]
    fn lineage_1_a_history_without_former_ones_owns_every_seq_and_nobody_elses() {
        assert!(Lineage::of(5).owns(&frame(5, 1, 1)));
        assert!(!Lineage::of(5).owns(&frame(6, 1, 1)));
    }

    #[test]
    fn lineage_1_below_the_oldest_that_can_be_named_any_former_history_owns() {
        let mut lineage = Lineage::of(1);
        for number in 2..=ANCESTORS_MAX as u64 + 3 {
            lineage = lineage.founded(number, &LogEnd { next: number * 10, ..LogEnd::BLANK });
        }
        let oldest = *lineage.ancestors().last().unwrap();
        assert_eq!((lineage.ancestors().len(), oldest.history), (ANCESTORS_MAX, 3), "the newest are named");
        assert!(lineage.owns(&frame(1, 5, 1)), "no longer named");
        assert!(!lineage.owns(&frame(1, oldest.next, 1)));
        assert!(lineage.owns(&frame(3, oldest.next - 1, 1)));
    }

    #[test]
    fn lineage_1_a_start_says_what_its_writer_knew() {
        let lineage = third();
        let end = LogEnd { next: 120, epoch: epoch(7, 1), chain: 9, timestamp: 0 };
        let table = [EpochBase { epoch: epoch(8, 2).0, base: end.next }];
        let payload = start_payload_of(epoch(8, 2), &end, &table, lineage.ancestors());
        let start = EpochStartView::parse(&payload).unwrap();
        assert_eq!(Lineage::of_start(3, &start), lineage);
        assert_eq!(start.founded_on(), None, "it begins within its history");
    }

    #[test]
    fn lineage_3_a_history_changes_only_at_a_founding_on_the_one_before() {
        let end = LogEnd { next: 95, chain: 0x95, epoch: epoch(7, 1), timestamp: 0 };
        let table = [EpochBase { epoch: epoch(8, 2).0, base: end.next }];
        let payload = start_payload_of(epoch(8, 2), &end, &table, third().ancestors());
        let entries = [(EntryKind::EpochStart, payload.as_slice()), (EntryKind::Message, b"x")];
        for (count, from, to, fits) in
            [(1, 2, 3, true), (1, 1, 3, false), (1, 3, 3, true), (2, 2, 3, true), (2, 0, 3, true)]
        {
            let mut bytes = frame_of(&end, epoch(8, 2), &entries[..count]);
            let header = Header { history: to, ..Header::peek(&bytes).unwrap() };
            seal(&mut bytes, header);
            assert_eq!(goes_on(from, &view(&bytes)), fits, "{from} to {to}");
        }
        let mut message = frame_of(&end, epoch(8, 2), &entries[1..]);
        let header = Header { history: 3, ..Header::peek(&message).unwrap() };
        seal(&mut message, header);
        assert!(goes_on(3, &view(&message)) && !goes_on(2, &view(&message)));
    }

    #[test]
    fn lineage_2_who_holds_nothing_final_above_the_founding_goes_on() {
        let lineage = third();
        let reading = |history, commit_next, chain| ReadPosition { history, commit_next, chain };
        let left = |history, next| Ancestor { history, next, chain: next / 10 * 16 + next % 10 };
        let table = [
            (reading(2, 95, None), LineageCheck::Continues { left: left(2, 95) }),
            (reading(2, 95, Some(0x95)), LineageCheck::Continues { left: left(2, 95) }),
            (reading(2, 40, Some(0x96)), LineageCheck::Diverged { left: left(2, 95) }),
            (reading(2, 96, Some(0x95)), LineageCheck::Ahead { left: left(2, 95) }),
            (reading(1, 70, None), LineageCheck::Continues { left: left(1, 70) }),
            (reading(1, 71, None), LineageCheck::Ahead { left: left(1, 70) }),
            (reading(9, 1, None), LineageCheck::Unrelated),
            (reading(3, 1, None), LineageCheck::Unrelated),
        ];
        for (reading, succession) in table {
            assert_eq!(lineage.judge(&reading), succession, "{reading:?}");
        }
    }
}
