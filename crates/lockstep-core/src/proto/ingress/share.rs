//! How much of a scarce window one publisher may have.
//!
//! A quorum that lags fills the window, and whoever submits most would have all that is left of it. While
//! less than half of it is used, nobody is counted. Beyond that each publisher may stamp one share until what
//! was uncommitted when counting began is committed; then it begins anew. A message above the share stays
//! with its publisher, which is told.

use crate::proto::window::Window;
use lockstep_wire::{NoticeRow, PublisherId, PublisherNotice, PublisherSeq, Seq};

/// A share is this part of the window, ...
const PART: u32 = 8;
/// ... and at least so many entries.
const SHARE_MIN: u32 = 16;
/// Publishers that are told apart while the window is scarce; all others have one share together.
const ROWS: usize = 64;

/// A publisher in this period.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Row {
    publisher: PublisherId,
    incarnation: u32,
    stamped: u32,
    /// The first number that was refused; 0: none, or it was told.
    refused: PublisherSeq,
    over: bool,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Shares {
    rows: [Row; ROWS],
    used: usize,
    /// When this is committed, counting begins anew.
    until: Seq,
    /// Rows that were refused something and are to be told.
    pending_notices: u32,
}

impl Default for Shares {
    fn default() -> Self {
        Self { rows: [Row::default(); ROWS], used: 0, until: 0, pending_notices: 0 }
    }
}

impl Shares {
    /// INGRESS-3 (who is over its share): whether the message `publisher_seq` may be stamped, although more
    /// than half of `window` is used.
    #[cold]
    pub fn take(
        &mut self,
        window: &Window,
        (stamp_next, commit_next): (Seq, Seq),
        (publisher, incarnation): (PublisherId, u32),
        publisher_seq: PublisherSeq,
    ) -> bool {
        if commit_next >= self.until {
            (self.used, self.pending_notices, self.until) = (0, 0, stamp_next);
        }
        let known = self.rows[..self.used].iter().position(|row| row.publisher == publisher);
        let index = known.unwrap_or_else(|| {
            if self.used < ROWS {
                self.rows[self.used] = Row { publisher, incarnation, ..Row::default() };
                self.used += 1;
            }
            self.used - 1
        });
        let row = &mut self.rows[index];
        if row.stamped < (window.entries / PART).max(SHARE_MIN) {
            row.stamped += 1;
            return true;
        }
        if !row.over && row.publisher == publisher {
            (row.over, row.refused, row.incarnation) = (true, publisher_seq, incarnation);
            self.pending_notices += 1;
        }
        false
    }

    /// Whether this publisher was refused something: what is missing of it is known.
    pub fn is_over(&self, publisher: PublisherId) -> bool {
        self.rows[..self.used].iter().any(|row| row.publisher == publisher && row.over)
    }

    /// How many publishers were refused something in this period. There is none once what was uncommitted
    /// when it began is committed.
    pub fn over(&self, commit_next: Seq) -> u32 {
        let rows = if commit_next < self.until { self.used } else { 0 };
        self.rows[..rows].iter().filter(|row| row.over).count() as u32
    }

    /// Whether somebody is to be told.
    #[inline]
    pub fn has_throttled(&self) -> bool {
        self.pending_notices > 0
    }

    /// Writes a row for each publisher that is to be told, once in a period, unless what was refused has been
    /// stamped since: `last` is the last number of a publisher. Returns the rows.
    pub fn drain_throttled(
        &mut self,
        last: impl Fn(PublisherId) -> PublisherSeq,
        out: &mut [NoticeRow],
    ) -> usize {
        let (mut rows, mut drained) = (0, 0);
        for row in self.rows[..self.used].iter_mut().filter(|row| row.refused > 0) {
            let Some(out) = out.get_mut(rows) else { break };
            let from = std::mem::take(&mut row.refused);
            drained += 1;
            if from <= last(row.publisher) {
                continue;
            }
            *out = NoticeRow {
                publisher: row.publisher,
                incarnation: row.incarnation,
                from,
                to: from + 1,
                notice: PublisherNotice::Throttled as u32,
                key: 0,
            };
            rows += 1;
        }
        self.pending_notices -= drained;
        rows
    }

    /// Forgets all: a node that stops leading.
    pub fn clear(&mut self) {
        (self.used, self.pending_notices, self.until) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { entries: 160, bytes: 1 << 20 };

    #[test]
    fn ingress_3_a_flood_has_its_share_of_a_scarce_window_and_the_others_theirs() {
        // INGRESS-3
        let mut shares = Shares::default();
        let mut stamped = 0;
        for number in 1..=100 {
            stamped += u32::from(shares.take(&WINDOW, (300, 200), (7, 1), number));
        }
        assert_eq!(stamped, 20);
        assert!(shares.is_over(7) && shares.has_throttled());
        assert_eq!((shares.over(299), shares.over(300)), (1, 0));
        assert!(shares.take(&WINDOW, (320, 200), (8, 1), 1), "another one has not had any");
        let mut rows = [NoticeRow::default(); 4];
        assert_eq!(shares.drain_throttled(|_| 20, &mut rows), 1);
        assert_eq!((rows[0].publisher, rows[0].from, rows[0].to), (7, 21, 22));
        assert!(!shares.take(&WINDOW, (321, 299), (7, 1), 22));
        assert!(!shares.has_throttled(), "told once");
        assert!(shares.take(&WINDOW, (321, 300), (7, 1), 21), "what was uncommitted then is committed");
        assert!(!shares.is_over(7));
    }

    /// Seed 78097 of the exchange's trial: the other copy of an application handed the message in again, when
    /// the window was wide again.
    #[test]
    fn ingress_3_nobody_is_told_of_a_refusal_once_the_message_is_stamped() {
        let mut shares = Shares::default();
        for publisher in [7, 8] {
            let has = (1..=21).map(|number| shares.take(&WINDOW, (300, 200), (publisher, 1), number));
            assert!(!has.last().expect("twenty-one"), "that one is refused");
        }
        let mut rows = [NoticeRow::default(); 4];
        let last = |publisher| if publisher == 7 { 21 } else { 20 };
        assert_eq!(shares.drain_throttled(last, &mut rows), 1);
        assert_eq!((rows[0].publisher, rows[0].from), (8, 21));
        assert!(!shares.has_throttled(), "both are done with");
    }

    #[test]
    fn ingress_3_more_publishers_than_can_be_told_apart_have_one_share_together() {
        // INGRESS-3
        let mut shares = Shares::default();
        let stamped = (1..=200).filter(|id| shares.take(&WINDOW, (300, 200), (*id, 1), 1)).count();
        assert_eq!(stamped, 63 + 20, "each of the known its own, the last place for all others");
    }
}
