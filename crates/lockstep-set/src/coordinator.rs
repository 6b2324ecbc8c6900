//! The rules of a coordinator: it reads the merged order as committed, sees how far each stream is committed
//! beyond it, and publishes cuts into the home stream.

use crate::merge::{Merge, MergeTurn};
use crate::payload::{CutEntry, CutPoint, CutRow};
use lockstep_wire::{Epoch, Nanos, Seq};

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
    /// Our own cut is under way behind this one. It ends with the next cut that counts.
    under_way: Option<CutPoint>,
}

impl Coordinator {
    /// One that has read nothing yet.
    pub fn new(limits: CoordinatorLimits) -> Self {
        Self { limits, due_since: None, last: (CutPoint::default(), 0), under_way: None }
    }

    /// From now on these limits hold: the home stream is led from another host.
    pub fn set_limits(&mut self, limits: CoordinatorLimits) {
        self.limits = limits;
    }

    /// Our cut was not published, or will not be stamped: the next turn tries again.
    pub fn on_refused(&mut self) {
        self.under_way = None;
    }

    /// MERGE-4 (what a coordinator writes): the cut that is to be published now, if one is. `merge` is how far
    /// it has read the merged order, and `committed` returns the epoch and the end of the last whole frame of a
    /// stream that it knows to be committed. Rows are such ends, and never below those of the last cut that
    /// counts. One cut is under way at a time.
    pub fn cut(
        &mut self,
        now: Nanos,
        merge: &Merge,
        committed: impl Fn(u64) -> Option<(Epoch, Seq)>,
    ) -> Option<CutEntry> {
        let cuts = merge.cuts();
        if merge.turn() != MergeTurn::Home {
            return None;
        }
        if self.last.0 != cuts.last() {
            self.last = (cuts.last(), now);
        }
        self.under_way = self.under_way.filter(|after| cuts.last() == *after);
        let row = |stream: u64, row| committed(stream).map_or(row, |end| end.max(row));
        let is_ahead = cuts.streams().iter().any(|one| row(one.stream, one.row) > one.row);
        if !is_ahead || self.under_way.is_some() {
            self.due_since = self.due_since.filter(|_| is_ahead);
            return None;
        }
        let due_since = *self.due_since.get_or_insert(now);
        if now < self.wanted_at(due_since) {
            return None;
        }
        let rows = cuts.streams().iter().map(|one| {
            let (epoch, next) = row(one.stream, one.row);
            CutRow { stream: one.stream, next, epoch: epoch.0, copies: 0, routes: 0 }
        });
        let done = merge.next_of(MergeTurn::Home);
        let cut = CutEntry { after: cuts.last(), done, rows: rows.collect() };
        (self.due_since, self.under_way) = (None, Some(cuts.last()));
        Some(cut)
    }

    /// When the next cut is to be published, if nothing arrives; `Nanos::MAX` if none is due.
    pub fn deadline(&self) -> Nanos {
        match (self.due_since, self.under_way) {
            (Some(since), None) => self.wanted_at(since),
            _ => Nanos::MAX,
        }
    }

    /// The first cut behind a pause leaves at once, the next ones an interval apart.
    fn wanted_at(&self, due_since: Nanos) -> Nanos {
        let CoordinatorLimits { interval_ns, patience } = self.limits;
        let (last, read_at) = self.last;
        let behind_last = if last.seq == 0 { 0 } else { read_at + interval_ns };
        due_since.max(behind_last) + u64::from(patience) * interval_ns
    }
}
