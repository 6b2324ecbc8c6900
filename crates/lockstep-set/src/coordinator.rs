//! The rules of a coordinator: it reads the merged order as committed, sees how far each stream is committed
//! beyond it, and publishes cuts into the home stream.

use crate::cuts::MergedStream;
use crate::merge::{Merge, MergeTurn};
use crate::payload::{CutEntry, CutPoint, CutRow};
use lockstep_wire::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Nanos, Seq};

/// While the home stream moves there is a cut within this time, so that a reader that begins does not look
/// far back for one.
pub const CUTS_APART_NS_MAX: Nanos = 1_000_000_000;

/// When a coordinator publishes a cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoordinatorLimits {
    /// Least time between two cuts of the home stream (`set.cut_interval`).
    pub interval_ns: Nanos,
    /// For how many intervals a cut is due before this coordinator publishes it: 0 of the one beside the home
    /// stream's leader.
    pub patience: u32,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coordinator {
    limits: CoordinatorLimits,
    /// Since when something is committed that no cut covers.
    due_since: Option<Nanos>,
    /// The home stream's last cut that counts, and when it was read.
    last: (CutPoint, Nanos),
    /// When the cut that is due is to be published.
    wanted: Option<Nanos>,
    /// Our own cut is under way behind this one, under the list of this number. It ends with the next cut
    /// that counts, or with the next list: a cut that is stamped behind that has rows of another one, and is
    /// void.
    under_way: Option<(CutPoint, u64)>,
}

impl Coordinator {
    /// One that has read nothing yet.
    pub fn new(limits: CoordinatorLimits) -> Self {
        Self { limits, due_since: None, last: (CutPoint::default(), 0), wanted: None, under_way: None }
    }

    /// From now on a cut is due for so many intervals before this coordinator publishes it: the home stream
    /// is led from another host.
    pub fn set_patience(&mut self, patience: u32) {
        self.limits.patience = patience;
    }

    /// Since when something is committed that no cut covers.
    pub fn due_since(&self) -> Option<Nanos> {
        self.due_since
    }

    /// Our cut was not published, or will not be stamped: the next turn tries again.
    pub fn on_refused(&mut self) {
        self.under_way = None;
    }

    /// MERGE-4 (what a coordinator writes): the cut that is to be published now, if one is. `merge` is how
    /// far it has read the merged order, and `committed` returns the epoch and the end of the last whole
    /// frame of a stream that it knows to be committed. Rows are such ends, and never below those of the last
    /// cut that counts. One cut is under way at a time.
    pub fn cut(
        &mut self,
        now: Nanos,
        merge: &Merge,
        committed: impl Fn(u64) -> Option<(Epoch, Seq)>,
    ) -> Option<CutEntry> {
        let cuts = merge.cuts();
        let point = cuts.last();
        if self.last.0.seq != point.seq {
            self.last = (point, now);
        }
        let behind = (point, cuts.list());
        self.under_way = self.under_way.filter(|under_way| *under_way == behind);
        let row =
            |one: &MergedStream| committed(one.stream).filter(|end| !one.falls(*end)).unwrap_or(one.row);
        let is_ahead = cuts.streams().iter().any(|one| row(one) != one.row);
        self.due_since = is_ahead.then(|| self.due_since.unwrap_or(now));
        // A cut whose rows are not merged yet is the last one to nobody.
        let may = merge.turn() == MergeTurn::Home && self.under_way.is_none();
        let home = merge.next_of(MergeTurn::Home);
        self.wanted = self.due(merge).filter(|_| may).map(|due| self.wanted_at(due));
        if self.wanted.is_none_or(|wanted| now < wanted) {
            return None;
        }
        let rows = cuts.streams().iter().map(|one| {
            let (epoch, next) = row(one);
            let next = next + Seq::from(planted(Mutation::CutsPromiseMore));
            CutRow { stream: one.stream, next, epoch: epoch.0, copies: 0, routes: 0 }
        });
        (self.wanted, self.under_way) = (None, Some(behind));
        Some(CutEntry { after: point, done: home, rows: rows.collect() })
    }

    /// When the next cut is to be published, if nothing arrives, by the last call of [`Coordinator::cut`];
    /// `Nanos::MAX` if none is due.
    pub fn deadline(&self) -> Nanos {
        self.wanted.unwrap_or(Nanos::MAX)
    }

    /// Since when a cut is due: something is committed that no cut covers, or the home stream moves and has
    /// had no cut for long.
    pub fn due(&self, merge: &Merge) -> Option<Nanos> {
        let moves = merge.cuts().list() > 0 && merge.next_of(MergeTurn::Home) > self.last.0.seq + 1;
        let stale = moves.then(|| self.last.1 + CUTS_APART_NS_MAX);
        self.due_since.into_iter().chain(stale).min()
    }

    /// The first cut behind a pause leaves at once, the next ones an interval apart.
    fn wanted_at(&self, due_since: Nanos) -> Nanos {
        let CoordinatorLimits { interval_ns, patience } = self.limits;
        let (last, read_at) = self.last;
        let behind_last = if last.seq == 0 { 0 } else { read_at + interval_ns };
        due_since.max(behind_last) + u64::from(patience) * interval_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{MergeEntry, MergeOutcome};
    use crate::payload::{SetEntry, SetRow};

    const MS: Nanos = 1_000_000;

    fn read(merge: &mut Merge, of: MergeTurn, entry: MergeEntry<'_>) {
        let judged = merge.judge(of, merge.next_of(of), 0, entry);
        if matches!(judged, MergeOutcome::Deliver { .. }) {
            merge.deliver(of, 0, entry);
        }
    }

    /// One stream besides the home stream, which has its list at seq 2.
    fn listed() -> Merge {
        let mut merge = Merge::default();
        let rows = vec![SetRow { stream: 20, from: 1, name: "a".to_owned() }];
        read(&mut merge, MergeTurn::Home, MergeEntry::Plain);
        read(&mut merge, MergeTurn::Home, MergeEntry::Sets(&SetEntry { number: 1, rows }.to_bytes()));
        merge
    }

    /// Reads a cut and all that it covers.
    fn merge_all(merge: &mut Merge, cut: &CutEntry) {
        let payload = cut.to_bytes();
        read(merge, MergeTurn::Home, MergeEntry::Sets(&payload));
        while merge.turn() != MergeTurn::Home {
            read(merge, merge.turn(), MergeEntry::Plain);
        }
        read(merge, MergeTurn::Home, MergeEntry::Sets(&payload));
    }

    fn with_patience(patience: u32) -> Coordinator {
        Coordinator::new(CoordinatorLimits { interval_ns: MS, patience })
    }

    #[test]
    fn the_first_cut_leaves_at_once_and_that_of_the_next_rank_when_it_was_due_for_its_patience() {
        let (mut first, mut next, mut merge) = (with_patience(0), with_patience(4), listed());
        let (none, nine, twelve) = (|_| None, |_| Some((Epoch(1), 9)), |_| Some((Epoch(1), 12)));
        for coordinator in [&mut first, &mut next] {
            assert_eq!(coordinator.cut(5 * MS, &merge, none), None, "nothing is committed");
        }
        assert_eq!(next.cut(6 * MS, &merge, nine), None);
        assert_eq!((next.deadline(), next.due_since()), (10 * MS, Some(6 * MS)));
        assert!(next.cut(10 * MS, &merge, nine).is_some());
        let cut = first.cut(6 * MS, &merge, nine).expect("it is due");
        assert_eq!((cut.after, cut.rows[0].next), (CutPoint::default(), 9));
        assert_eq!(first.cut(7 * MS, &merge, nine), None, "one is under way");
        merge_all(&mut merge, &cut);
        assert_eq!(
            (first.cut(8 * MS, &merge, twelve), first.deadline()),
            (None, 9 * MS),
            "an interval apart"
        );
        let next = first.cut(9 * MS, &merge, twelve).expect("it is due");
        assert_eq!(next.after, CutPoint { seq: 3, list: 1, base: 1, time: 0 });
    }

    /// Otherwise no coordinator would publish again.
    #[test]
    fn a_cut_that_a_list_has_made_void_is_under_way_no_more() {
        let (mut coordinator, mut merge) = (with_patience(0), listed());
        let nine = |_| Some((Epoch(1), 9));
        let cut = coordinator.cut(MS, &merge, nine).expect("it is due");
        let rows = vec![SetRow { stream: 30, from: 1, name: "b".to_owned() }];
        let list = SetEntry { number: 2, rows }.to_bytes();
        read(&mut merge, MergeTurn::Home, MergeEntry::Sets(&list));
        read(&mut merge, MergeTurn::Home, MergeEntry::Sets(&cut.to_bytes()));
        assert_eq!((merge.cuts().voided(), merge.cuts().last().seq), (1, 0), "its rows are of another list");
        let next = coordinator.cut(2 * MS, &merge, nine).expect("another one is published");
        assert_eq!(next.rows[0].stream, 30);
    }

    #[test]
    fn a_home_stream_that_moves_has_a_cut_a_second_and_one_that_stands_has_none() {
        let (mut coordinator, mut merge) = (with_patience(0), listed());
        let nine = |_| Some((Epoch(1), 9));
        let cut = coordinator.cut(MS, &merge, nine).expect("it is due");
        merge_all(&mut merge, &cut);
        assert_eq!(coordinator.cut(2 * MS, &merge, nine), None);
        assert_eq!((coordinator.cut(5_000 * MS, &merge, nine), coordinator.deadline()), (None, Nanos::MAX));
        read(&mut merge, MergeTurn::Home, MergeEntry::Plain);
        assert_eq!(coordinator.cut(900 * MS, &merge, nine), None);
        assert_eq!(coordinator.deadline(), 1_002 * MS);
        assert!(coordinator.cut(1_002 * MS, &merge, nine).is_some());
    }
}
