//! Coordinators of a set: each reads all streams, and publishes the list of them and cuts into the home
//! stream. They die and begin anew, their cuts may be late, and some of their cuts are wrong.

use super::order::SetOrder;
use super::subscriptions::{HOME, Notes, Subscriptions};
use crate::check::Violation;
use crate::coverage::{Coverage, Event};
use crate::rng::Rng;
use crate::world::World;
use lockstep_core::engine::receiver::Start;
use lockstep_set::{
    Coordinator, CoordinatorLimits, CutEntry, CutRow, MergePlace, MergeTurn, MergedReader, SetEntry, SetRow,
};
use lockstep_wire::{Epoch, Nanos};
use std::ops::ControlFlow;

/// A cut that was not stamped for so long is not expected any more.
const RETRY_NS: Nanos = 20_000_000;
/// The longest delay of a late cut.
const LATE_NS_MAX: Nanos = 10_000_000;
/// One turn in so many publishes another list of the streams, and one a cut with a row that falls.
const LISTS: u64 = 800;
const FALLING: u64 = 400;

/// See the module.
pub(super) struct SimCoordinator {
    subscriptions: Subscriptions,
    notes: Notes,
    reader: MergedReader,
    rules: Coordinator,
    limits: CoordinatorLimits,
    /// Cuts that it publishes then.
    late: Vec<(Nanos, Vec<u8>)>,
    /// When its last cut or list was handed in.
    published_at: Option<Nanos>,
    /// A stream may be founded anew: lists leave none out.
    may_found: bool,
    pub(super) acts_at: Nanos,
    dies_at: Nanos,
    rng: Rng,
}

impl SimCoordinator {
    pub(super) fn new(
        worlds: &mut [World],
        number: u32,
        (fault_phase_ns, may_found): (Nanos, bool),
        mut rng: Rng,
    ) -> Self {
        let limits = CoordinatorLimits { interval_ns: rng.pick(&[0, 50_000, 500_000]), patience: 4 * number };
        let notes = Notes::default();
        let subscriptions = Subscriptions::new(worlds, &format!("cuts-{number}"), Some(&notes), 0);
        Self {
            subscriptions,
            notes,
            reader: MergedReader::new(HOME, &MergePlace::beginning()),
            rules: Coordinator::new(limits),
            limits,
            late: Vec::new(),
            published_at: None,
            may_found,
            acts_at: 0,
            dies_at: rng.below(2 * fault_phase_ns),
            rng,
        }
    }

    /// Its turn. `storms`: it may still die, and err.
    pub(super) fn act(
        &mut self,
        now: Nanos,
        worlds: &mut [World],
        (order, storms): (&SetOrder, bool),
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        self.acts_at = now + 1 + self.rng.below(100_000);
        let has_ended = self.subscriptions.ended().is_some();
        if storms && now >= self.dies_at || has_ended {
            coverage.count(if has_ended { Event::CoordinatorsAnew } else { Event::CoordinatorsKilled });
            self.die(now, worlds);
            return Ok(());
        }
        self.subscriptions.pump((worlds, now), &mut self.reader, &mut |_| ControlFlow::Continue(()));
        if self.published_at.is_some_and(|at| now >= at + RETRY_NS) {
            self.published_at = None;
            self.rules.on_refused();
        }
        if self.reader.merge().cuts().list() == 0 {
            self.list(now, worlds.len());
            return Ok(());
        }
        if storms {
            self.err(worlds.len(), order, coverage);
        }
        let reader = &self.reader;
        let committed = |stream: u64| {
            let end = self.subscriptions.committed(stream)?;
            Some(end).filter(|(_, next)| reader.next_of(stream).is_some_and(|merged| *next >= merged))
        };
        if let Some(cut) = self.rules.cut(now, reader.merge(), committed) {
            order.check_promise(&cut)?;
            let late_ns = if self.rng.below(4) == 0 { self.rng.below(LATE_NS_MAX) } else { 0 };
            coverage.count_times(Event::SetCutsLate, u64::from(late_ns > 0));
            self.late.push((now + late_ns, cut.to_bytes()));
            self.published_at = Some(now + late_ns);
        }
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = late;
        let due: Vec<(Nanos, Vec<u8>)> = due;
        self.notes.borrow_mut().extend(due.into_iter().map(|(_, note)| note));
        Ok(())
    }

    /// Its state, in words.
    pub(super) fn described(&self, worlds: &[World]) -> String {
        let merge = self.reader.merge();
        let committed = (1..=worlds.len() as u64).map(|stream| self.subscriptions.committed(stream));
        format!(
            "\n  coordinator: number {} is next, turn {:?}, {:?}; committed {:?}; {} notes wait, {:?} since {:?}; {}",
            merge.next_number(),
            merge.turn(),
            merge.cuts(),
            committed.collect::<Vec<_>>(),
            self.notes.borrow().len(),
            self.rules,
            self.published_at,
            self.subscriptions.described(worlds)
        )
    }

    /// Publishes the list of streams, where none is known.
    fn list(&mut self, now: Nanos, streams: usize) {
        if self.published_at.is_none() {
            let list = SetEntry { number: 1, rows: (2..=streams as u64).map(|one| row(one, 1)).collect() };
            self.notes.borrow_mut().push_back(list.to_bytes());
            self.published_at = Some(now);
        }
    }

    /// An operator changes the list; or a cut is published with a row that falls, which does not count.
    fn err(&mut self, streams: usize, order: &SetOrder, coverage: &mut Coverage) {
        let merge = self.reader.merge();
        let cuts = merge.cuts();
        if self.rng.below(LISTS) == 0 {
            let mut rows: Vec<SetRow> = Vec::new();
            for stream in 2..=streams as u64 {
                let from = if self.may_found { 1 } else { 1 + self.rng.below(order.committed(stream) + 1) };
                if self.may_found || self.rng.below(3) > 0 {
                    rows.insert(self.rng.below(rows.len() as u64 + 1) as usize, row(stream, from));
                }
            }
            let list = SetEntry { number: cuts.list() + 1, rows };
            self.notes.borrow_mut().push_back(list.to_bytes());
        } else if merge.turn() == MergeTurn::Home && self.rng.below(FALLING) == 0 {
            let falling = |(epoch, next): (Epoch, u64)| epoch > Epoch::NONE && next > 1;
            if !cuts.streams().iter().any(|one| falling(one.row)) {
                return;
            }
            let rows = cuts.streams().iter().map(|one| CutRow {
                stream: one.stream,
                next: one.row.1 - u64::from(falling(one.row)),
                epoch: one.row.0.0,
                ..CutRow::default()
            });
            let cut =
                CutEntry { after: cuts.last(), done: merge.next_of(MergeTurn::Home), rows: rows.collect() };
            self.notes.borrow_mut().push_back(cut.to_bytes());
            coverage.count(Event::SetCutsFalling);
        }
    }

    fn die(&mut self, now: Nanos, worlds: &mut [World]) {
        self.subscriptions.restart(worlds, now, |_| Start::From(1));
        self.notes.borrow_mut().clear();
        self.reader = MergedReader::new(HOME, &MergePlace::beginning());
        self.rules = Coordinator::new(self.limits);
        (self.late, self.published_at) = (Vec::new(), None);
        self.dies_at = now + self.rng.below(100_000_000);
    }
}

fn row(stream: u64, from: u64) -> SetRow {
    SetRow { stream, from, name: format!("stream-{stream}") }
}
