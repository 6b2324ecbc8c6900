//! The rules of a coordinator: it reads all streams of a set as committed, and publishes cuts into the home
//! stream.

use crate::cuts::Cuts;
use crate::payload::{CutEntry, CutRow};
use lockstep_wire::{Epoch, Nanos, Seq};
use std::collections::BTreeMap;

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
    /// By the number of a stream's cluster: the epoch and the end of the last whole frame that was read.
    read: BTreeMap<u64, (Epoch, Seq)>,
    /// Since when something is committed that no cut covers.
    due_since: Option<Nanos>,
    /// The home stream's last cut that counts, and when it was read.
    last: (Seq, Nanos),
    /// Our own cut is under way behind this one. It ends with the next cut that counts.
    under_way: Option<Seq>,
}

impl Coordinator {
    /// One that has read nothing yet.
    pub fn new(limits: CoordinatorLimits) -> Self {
        Self { limits, read: BTreeMap::new(), due_since: None, last: (0, 0), under_way: None }
    }

    /// A whole frame of the stream with this number was read as committed: it ends at `next`, in `epoch`.
    pub fn on_frame(&mut self, stream: u64, next: Seq, epoch: Epoch) {
        let read = self.read.entry(stream).or_default();
        *read = (*read).max((epoch, next));
    }

    /// The home stream was read as far as `cuts` says.
    pub fn on_home(&mut self, now: Nanos, cuts: &Cuts) {
        if self.last.0 != cuts.last() {
            self.last = (cuts.last(), now);
        }
        self.under_way = self.under_way.filter(|after| cuts.last() == *after);
    }

    /// Our cut was not published: the next turn tries again.
    pub fn on_refused(&mut self) {
        self.under_way = None;
    }

    /// MERGE-4 (what a coordinator writes): the cut that is to be published now, if one is. Its rows are ends
    /// of frames that it has read as committed, and never below those of the last cut that counts. One cut is
    /// under way at a time. `home` is the next seq of the home stream.
    pub fn cut(&mut self, now: Nanos, home: Seq, cuts: &Cuts) -> Option<CutEntry> {
        let read = |stream: u64| self.read.get(&stream).copied().unwrap_or_default();
        let is_ahead = cuts.streams().iter().any(|stream| read(stream.stream) > stream.row);
        if !is_ahead || self.under_way.is_some() {
            self.due_since = self.due_since.filter(|_| is_ahead);
            return None;
        }
        let due_since = *self.due_since.get_or_insert(now);
        if now < self.wanted_at(due_since) {
            return None;
        }
        let rows = cuts.streams().iter().map(|stream| {
            let (epoch, next) = read(stream.stream).max(stream.row);
            CutRow { stream: stream.stream, next, epoch: epoch.0, copies: 0, routes: 0 }
        });
        let cut = CutEntry { after: cuts.last(), done: home, rows: rows.collect() };
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
        let behind_last = if self.last.0 == 0 { 0 } else { self.last.1 + interval_ns };
        due_since.max(behind_last) + u64::from(patience) * interval_ns
    }
}
