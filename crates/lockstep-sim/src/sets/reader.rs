//! Readers of the merged order: they begin at the first entry or behind a cut, are killed and resume, within
//! a cut as well, and what they deliver is the judge's order.

use super::order::SetOrder;
use super::subscriptions::{HOME, Subscriptions};
use crate::check::Violation;
use crate::coverage::{Coverage, Event};
use crate::engines::HISTORY;
use crate::rng::Rng;
use crate::world::World;
use lockstep_core::engine::receiver::Start;
use lockstep_set::{MergePlace, MergedEvent, MergedReader};
use lockstep_wire::{Nanos, Seq};
use std::ops::ControlFlow;

/// See the module.
pub(super) struct SimMergedReader {
    subscriptions: Subscriptions,
    reader: MergedReader,
    /// It has begun.
    begun: bool,
    judged: Judged,
    /// A stream may be founded anew, and then a seq alone does not name its entry: the newest place at which
    /// all that was delivered is merged, and the start of each stream there.
    resumable: Option<(MergePlace, Vec<Start>)>,
    may_found: bool,
    pub(super) acts_at: Nanos,
    dies_at: Nanos,
    rng: Rng,
}

/// The entries that it delivered, as they are judged.
struct Judged {
    /// The number of the first one.
    from: u64,
    delivered: Vec<(u64, Seq)>,
    time: Nanos,
}

impl Judged {
    fn begin(place: &MergePlace) -> Self {
        Self { from: place.number, delivered: Vec::new(), time: place.time }
    }

    fn next(&self) -> u64 {
        self.from + self.delivered.len() as u64
    }

    /// MERGE-3, MERGE-7: an event at its place, and at a time that does not fall.
    fn judge(&mut self, event: &MergedEvent<'_>, order: &SetOrder) -> Result<(), Violation> {
        let (Some(number), Some(seq)) = (event.number, event.event.seq()) else { return Ok(()) };
        let (at, next) = ((event.stream, seq), self.next());
        // What one entry says in several events has one number.
        if number + 1 == next && self.delivered.last() == Some(&at) {
            return Ok(());
        }
        if number != next {
            return Err(format!(
                "MERGE-3: a merged reader delivers {at:?} under {number} where {next} is next"
            ));
        }
        if event.timestamp < self.time {
            return Err(format!("MERGE-7: the merged time falls at number {number}"));
        }
        let is = order.merged.get(number as usize - 1);
        if is != Some(&at) {
            return Err(format!(
                "MERGE-3: a merged reader delivers {at:?} under {number}, and there stands {is:?}"
            ));
        }
        (self.time, _) = (event.timestamp, self.delivered.push(at));
        Ok(())
    }
}

impl SimMergedReader {
    pub(super) fn new(
        worlds: &mut [World],
        number: usize,
        (fault_phase_ns, may_found): (Nanos, bool),
        mut rng: Rng,
    ) -> Self {
        let beginning = MergePlace::beginning();
        Self {
            subscriptions: Subscriptions::new(worlds, &format!("merged-{number}"), None, Nanos::MAX),
            reader: MergedReader::new(HOME, &beginning),
            begun: false,
            judged: Judged::begin(&beginning),
            resumable: None,
            may_found,
            acts_at: rng.below(fault_phase_ns),
            dies_at: rng.below(2 * fault_phase_ns),
            rng,
        }
    }

    /// Its turn. `storms`: it may still be killed.
    pub(super) fn act(
        &mut self,
        now: Nanos,
        worlds: &mut [World],
        (order, storms): (&SetOrder, bool),
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        self.acts_at = now + 1 + self.rng.below(200_000);
        let has_ended = self.subscriptions.ended().is_some();
        if has_ended || !self.begun {
            if has_ended {
                coverage.count(Event::MergedAnew);
            }
            self.begin(now, worlds, order, coverage);
        } else if storms && now >= self.dies_at {
            self.resume(now, worlds, coverage);
        }
        let is_doomed = self.is_doomed(order);
        let before = self.judged.next();
        let Self { subscriptions, reader, judged, .. } = self;
        let mut failure = None;
        subscriptions.pump((worlds, now), reader, &mut |event| {
            if !is_doomed && let Err(violation) = judged.judge(&event, order) {
                failure.get_or_insert(violation);
            }
            ControlFlow::Continue(())
        });
        coverage.count_times(Event::MergedEntries, judged.next() - before);
        self.note_place();
        failure.map_or(Ok(()), Err)
    }

    /// MERGE-5: at the first entry, or behind a cut.
    fn begin(&mut self, now: Nanos, worlds: &mut [World], order: &SetOrder, coverage: &mut Coverage) {
        let behind = if self.rng.below(3) > 0 { order.look_back(&mut self.rng) } else { None };
        let event = if behind.is_some() { Event::MergedBehindCut } else { Event::MergedBegun };
        coverage.count(event);
        self.begin_at(now, worlds, &behind.unwrap_or_else(MergePlace::beginning));
    }

    fn begin_at(&mut self, now: Nanos, worlds: &mut [World], place: &MergePlace) {
        self.reader = MergedReader::new(HOME, place);
        let reader = &self.reader;
        let from = |stream: u64| Start::From(reader.next_of(stream).unwrap_or(1));
        self.subscriptions.restart(worlds, now, from);
        (self.judged, self.resumable, self.begun) = (Judged::begin(place), None, true);
    }

    /// It is killed, and the next one goes on where it was.
    fn resume(&mut self, now: Nanos, worlds: &mut [World], coverage: &mut Coverage) {
        self.dies_at = now + self.rng.below(100_000_000);
        let (place, starts) = match self.resumable.take() {
            _ if !self.may_found => (self.reader.merge().place(), None),
            Some((place, starts)) => (place, Some(starts)),
            None => {
                self.begin_at(now, worlds, &MergePlace::beginning());
                return;
            }
        };
        coverage.count(Event::MergedResumed);
        if place.home == place.last.seq {
            coverage.count(Event::MergedResumedWithin);
        }
        let reader = MergedReader::new(HOME, &place);
        self.subscriptions.restart(worlds, now, |stream| match &starts {
            Some(starts) => starts[stream as usize - 1],
            None => Start::From(reader.next_of(stream).unwrap_or(1)),
        });
        self.judged.delivered.truncate(place.number.saturating_sub(self.judged.from) as usize);
        (self.reader, self.judged.time) = (reader, place.time);
    }

    fn note_place(&mut self) {
        if !self.may_found || self.reader.has_waiting() || !self.subscriptions.is_empty() {
            return;
        }
        let start = |(stream, tap): (u64, &super::tap::Tap)| match tap.borrow().cursor {
            Some(cursor) => Start::Cursor(cursor),
            None => Start::From(self.reader.next_of(stream).unwrap_or(1)),
        };
        let starts = (1..).zip(&self.subscriptions.taps).map(start).collect();
        self.resumable = Some((self.reader.merge().place(), starts));
    }

    /// A history was founded: one that was about to begin in the one before, by a seq alone, begins anew.
    pub(super) fn on_founding(&mut self, now: Nanos, worlds: &mut [World], order: &SetOrder) {
        let is_lost = (0..worlds.len()).any(|index| {
            let is_unanchored = self.subscriptions.taps[index].borrow().history == 0;
            let next = self.reader.next_of(index as u64 + 1);
            is_unanchored && order.founded_at(index).zip(next).is_some_and(|(at, next)| next > at)
        });
        if self.begun && is_lost {
            self.begin_at(now, worlds, &MergePlace::beginning());
        }
    }

    /// LINEAGE-2: it has read more of a stream than the history that was founded on the rest of it, and ends.
    fn is_doomed(&self, order: &SetOrder) -> bool {
        (1..).zip(&self.subscriptions.taps).any(|(stream, tap)| {
            let tap = tap.borrow();
            let next = self.reader.next_of(stream).unwrap_or(1).max(tap.newest + 1);
            tap.history == HISTORY && order.founded_at(stream as usize - 1).is_some_and(|at| next > at)
        })
    }

    /// What it lacks of the order, in words; `None` if it has all of it.
    pub(super) fn lacking(&self, order: &SetOrder) -> Option<String> {
        let (all, next) = (order.merged.len() as u64, self.judged.next());
        if self.is_doomed(order) || self.subscriptions.ended().is_some() {
            return Some(format!("a merged reader that is ahead of a founding at {next} has not ended"));
        }
        (next <= all).then(|| format!("a merged reader waits for number {next} of {all}"))
    }

    /// Everything that it delivered stands in the order as it is now.
    pub(super) fn check(&self, order: &SetOrder) -> Result<(), Violation> {
        let Judged { from, delivered, .. } = &self.judged;
        let is_so = order.merged.get(*from as usize - 1..).is_some_and(|all| all.starts_with(delivered));
        if is_so || delivered.is_empty() || self.is_doomed(order) || self.subscriptions.ended().is_some() {
            return Ok(());
        }
        Err(format!("MERGE-3: a merged reader goes on with {} entries from {from} on", delivered.len()))
    }
}
