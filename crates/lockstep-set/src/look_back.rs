//! MERGE-5 (where a reader may begin): behind a cut that a later one names.

use crate::merge::MergePlace;
use crate::payload::{CutEntry, CutPoint, CutRow};
use lockstep_wire::Seq;
use lockstep_wire::planted::{Mutation, planted};
use std::collections::BTreeMap;

/// Reads notes of a home stream from somewhere in its midst, and finds where a reader may begin. A cut that a
/// later cut names counts, as a coordinator names no other one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LookBack {
    /// Rows by the seq of their cut, from the last one that a later cut names on.
    cuts: BTreeMap<Seq, Vec<CutRow>>,
    found: Option<MergePlace>,
}

impl LookBack {
    /// The next entry of the home stream that is addressed to the set's own channel.
    pub fn on_note(&mut self, seq: Seq, payload: &[u8]) {
        let Ok(cut) = CutEntry::parse(payload) else { return };
        if let Some(rows) = self.cuts.get(&cut.after.seq) {
            self.found = Some(MergePlace::behind(cut.after, rows));
            self.cuts.retain(|seq, _| *seq >= cut.after.seq);
        }
        if planted(Mutation::BeginsAtAnyCut) {
            self.found = Some(MergePlace::behind(CutPoint { seq, ..cut.after }, &cut.rows));
        }
        self.cuts.insert(seq, cut.rows);
    }

    /// The place behind the newest cut that a later one names. A reader begins there if the row of each
    /// stream has ended at its bound: the entry before [`next`](crate::MergePlaceRow::next) is of no higher
    /// epoch than the row.
    pub fn found(&self) -> Option<&MergePlace> {
        self.found.as_ref()
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
            let mut look_back = LookBack::default();
            for (seq, payload) in &notes[begin..] {
                look_back.on_note(*seq, payload);
            }
            let found = look_back.found();
            assert_eq!(found.map(|place| place.home), home, "from {begin}");
            assert_eq!(found.map(|place| (place.number, place.time)), home.map(|home| (home + 11 - 1, 5)));
        }
    }

    #[test]
    fn memory_holds_no_more_cuts_than_those_since_the_last_one_that_is_named() {
        let mut look_back = LookBack::default();
        for seq in 1..1_000 {
            look_back.on_note(seq, &cut(seq - 1, seq));
        }
        assert!(look_back.cuts.len() <= 2, "{}", look_back.cuts.len());
    }
}
