//! MERGE-5 (where a reader may begin): behind a cut that a later one names, each row of which has ended at
//! its bound.
//!
//! ```text
//!  from() ─▶ read the home stream from there ─▶ on_note for each note ─▶ at its end: at_end()
//!     ▲                                                                    │ Farther: read again
//!     └──────────── a row has ended before its bound: on_early_row ◀─ Place: MergePlaceRow::ended_at_bound
//! ```
//!
//! Readers that begin at the end of a home stream and coordinators look back by these rules, and operators
//! read by the same steps.

use crate::merge::{MergePlace, MergePlaceRow};
use crate::payload::{CutEntry, CutPoint, CutRow};
use lockstep_wire::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Seq};
use std::collections::BTreeMap;
use std::ops::Range;

/// Entries of the home stream that are read first.
const STEP: Seq = 1 << 12;
/// Each further step is so many times as long.
const GROWTH: Seq = 16;

/// How far behind the end of a home stream it is read, in steps that grow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackSteps {
    end: Seq,
    step: Seq,
    /// Entries below this one are no longer retained.
    oldest: Seq,
}

impl BackSteps {
    /// The first step behind the exclusive `end` of the stream.
    pub fn new(end: Seq) -> Self {
        Self { end, step: STEP, oldest: 1 }
    }

    /// Where the present step begins.
    pub fn from(&self) -> Seq {
        self.end.saturating_sub(self.step).max(self.oldest)
    }

    /// The exclusive end up to which each step is read.
    pub fn end(&self) -> Seq {
        self.end
    }

    /// Entries of the present step.
    pub fn len(&self) -> Seq {
        self.end.saturating_sub(self.from())
    }

    /// Whether the stream has nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the present step begins with the first entry of the stream.
    pub fn is_whole(&self) -> bool {
        self.from() == 1
    }

    /// Whether nothing before the present step can be read.
    pub fn is_last(&self) -> bool {
        self.from() == self.oldest
    }

    /// The next step is longer.
    pub fn grow(&mut self) {
        self.step = self.step.saturating_mul(GROWTH);
    }

    /// Entries below `oldest` are no longer retained.
    pub fn on_gone(&mut self, oldest: Seq) {
        self.oldest = self.oldest.max(oldest);
        self.end = self.end.max(self.oldest);
    }
}

/// What a look back has come to, once its step was read up to the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LookBackNext {
    /// A reader begins there, if each row has ended at its bound.
    Place(MergePlace),
    /// The home stream is to be read again, from further back.
    Farther,
    /// All that is retained was read: a cut that is still to come may name another one.
    Wait,
}

/// Reads notes of a home stream from somewhere in its midst, and finds where a reader may begin. A cut that a
/// later cut names counts, as a coordinator names no other one. See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookBack {
    steps: BackSteps,
    /// Rows by the seq of their cut, from the last one that a later cut names on.
    cuts: BTreeMap<Seq, Vec<CutRow>>,
    found: Option<MergePlace>,
    /// Cuts with a row that has ended before its bound.
    early: Vec<Seq>,
}

impl LookBack {
    /// Looks back from the exclusive `end` of a home stream.
    pub fn new(end: Seq) -> Self {
        Self { steps: BackSteps::new(end), cuts: BTreeMap::new(), found: None, early: Vec::new() }
    }

    /// Where the home stream is to be read from now.
    pub fn from(&self) -> Seq {
        self.steps.from()
    }

    /// The exclusive end up to which it is to be read at least.
    pub fn end(&self) -> Seq {
        self.steps.end()
    }

    /// The next entry of the home stream that is addressed to the set's own channel.
    pub fn on_note(&mut self, seq: Seq, payload: &[u8]) {
        let Ok(cut) = CutEntry::parse(payload) else { return };
        let named = cut.after.seq;
        if let Some(rows) = self.cuts.get(&named) {
            if !self.early.contains(&named) {
                self.found = Some(MergePlace::behind(cut.after, rows));
            }
            self.cuts.retain(|seq, _| *seq >= named);
        }
        if planted(Mutation::BeginsAtAnyCut) {
            self.found = Some(MergePlace::behind(CutPoint { seq, ..cut.after }, &cut.rows));
        }
        self.cuts.insert(seq, cut.rows);
    }

    /// The home stream was read up to its end.
    pub fn at_end(&mut self) -> LookBackNext {
        match &self.found {
            Some(place) => LookBackNext::Place(place.clone()),
            None if self.steps.is_whole() => LookBackNext::Place(MergePlace::beginning()),
            None if self.steps.is_last() => LookBackNext::Wait,
            None => {
                self.steps.grow();
                self.again();
                LookBackNext::Farther
            }
        }
    }

    /// Entries of the home stream below `oldest` are no longer retained: it is to be read from there.
    pub fn on_gone(&mut self, oldest: Seq) {
        self.steps.on_gone(oldest);
        self.again();
    }

    /// A row of the place that was found has ended before its bound, as a takeover has taken entries back: a
    /// reader may begin behind another cut, and the home stream is to be read again.
    pub fn on_early_row(&mut self) {
        if let Some(place) = &self.found {
            self.early.push(place.last.seq);
        }
        self.steps.grow();
        self.again();
    }

    fn again(&mut self) {
        self.cuts.clear();
        self.found = None;
    }
}

impl MergePlaceRow {
    /// The entry whose epoch says whether the row has ended at its bound: the one before it. None where the
    /// stream has no such entry.
    pub fn last_covered(&self) -> Option<Seq> {
        self.next.checked_sub(1).filter(|seq| *seq > 0)
    }

    /// MERGE-5 (where a reader may begin): whether the row has ended at its bound, by a frame of its stream
    /// with these entries and of this epoch. None if the frame does not say so.
    pub fn ended_at_bound(&self, entries: Range<Seq>, epoch: Epoch) -> Option<bool> {
        let last = self.last_covered()?;
        entries.contains(&last).then(|| epoch <= self.row.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(after: Seq, next: Seq) -> Vec<u8> {
        let after = CutPoint { seq: after, list: 1, base: 1, time: 5 };
        let rows = vec![CutRow { stream: 20, next, epoch: 1, ..CutRow::default() }];
        CutEntry { after, done: 0, rows }.to_bytes()
    }

    fn place(look_back: &mut LookBack) -> Option<MergePlace> {
        match look_back.at_end() {
            LookBackNext::Place(place) => Some(place),
            LookBackNext::Farther | LookBackNext::Wait => None,
        }
    }

    #[test]
    fn a_reader_begins_behind_the_newest_cut_that_is_named_wherever_it_looks_from() {
        let notes = [
            (3, cut(0, 7)),
            (4, cut(0, 9)),
            (6, cut(3, 11)),
            (7, cut(3, 12)),
            (9, cut(6, 15)),
            (10, cut(6, 16)),
        ];
        for (begin, home) in [(0, Some(7)), (1, Some(7)), (2, Some(7)), (3, None), (5, None)] {
            let mut look_back = LookBack::new(1 << 20);
            for (seq, payload) in &notes[begin..] {
                look_back.on_note(*seq, payload);
            }
            let found = place(&mut look_back);
            assert_eq!(found.as_ref().map(|place| place.home), home, "from {begin}");
            assert_eq!(found.map(|place| (place.number, place.time)), home.map(|home| (home + 11 - 1, 5)));
        }
    }

    #[test]
    fn behind_a_cut_whose_row_has_ended_early_nobody_begins_and_one_further_back_is_found() {
        let notes = [(3, cut(0, 7)), (6, cut(3, 11)), (9, cut(6, 15))];
        let read = |look_back: &mut LookBack| {
            notes.iter().for_each(|(seq, payload)| look_back.on_note(*seq, payload));
            place(look_back).expect("a cut is named")
        };
        let mut look_back = LookBack::new(10);
        let newest = read(&mut look_back);
        let row = newest.streams[0];
        assert_eq!((newest.last.seq, row.last_covered()), (6, Some(10)));
        assert_eq!(row.ended_at_bound(5..10, Epoch(9)), None, "the frame before it says nothing");
        assert_eq!(row.ended_at_bound(10..12, row.row.0), Some(true));
        assert_eq!(row.ended_at_bound(9..11, Epoch(2)), Some(false), "a takeover has taken entries back");
        look_back.on_early_row();
        assert_eq!(read(&mut look_back).last.seq, 3);
        look_back.on_early_row();
        notes.iter().for_each(|(seq, payload)| look_back.on_note(*seq, payload));
        assert_eq!(
            place(&mut look_back),
            Some(MergePlace::beginning()),
            "the stream was read from its first entry"
        );
    }

    #[test]
    fn what_is_no_longer_retained_is_not_asked_for_and_the_first_entry_is_not_believed_to_be_there() {
        let mut look_back = LookBack::new(1 << 30);
        let first = look_back.from();
        assert_eq!((first, look_back.at_end()), ((1 << 30) - STEP, LookBackNext::Farther));
        assert_eq!(look_back.from(), (1 << 30) - STEP * GROWTH);
        look_back.on_gone(first - 1);
        assert_eq!((look_back.from(), look_back.at_end()), (first - 1, LookBackNext::Wait));
        look_back.on_note(first, &cut(0, 7));
        look_back.on_note(first + 1, &cut(first, 9));
        assert_eq!(place(&mut look_back).map(|place| place.last.seq), Some(first));
    }

    #[test]
    fn memory_holds_no_more_cuts_than_those_since_the_last_one_that_is_named() {
        let mut look_back = LookBack::new(1_000);
        for seq in 1..1_000 {
            look_back.on_note(seq, &cut(seq - 1, seq));
        }
        assert!(look_back.cuts.len() <= 2, "{}", look_back.cuts.len());
    }
}
