//! The rules of a reader of the merged order.
//!
//! A reader asks [`Merge::turn`] whose entry is next, reads that stream, and asks [`Merge::judge`] about each
//! committed entry. An entry is delivered under its merged number, or held until other streams are merged up
//! to their rows: then it is judged again. [`Merge::deliver`] notes that it was delivered.

use crate::cuts::{Cuts, SetsEntry};
use crate::payload::CutRow;
use lockstep_wire::{Epoch, Nanos, Seq};
use std::collections::BTreeMap;

/// The stream of the next entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MergeTurn {
    /// The home stream's.
    Home,
    /// That of the other stream with this index in the set's list.
    Other(usize),
}

/// What an entry says about the set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MergeEntry<'a> {
    /// Nothing.
    Plain,
    /// An epoch begins with it.
    Epoch(Epoch),
    /// It is addressed to the set's own channel; with its payload.
    Sets(&'a [u8]),
}

/// The place of an entry in the merged order, if it has one yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MergeOutcome {
    /// It is the next one of the merged order.
    Deliver {
        /// Its place there, from 1.
        number: u64,
        /// Its time there: the greatest stamp so far (MERGE-7).
        timestamp: Nanos,
    },
    /// Another stream is next: the entry stays where it is.
    Hold,
}

/// How far a stream is merged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Merged {
    /// The next seq.
    next: Seq,
    /// The last epoch whose start was merged.
    epoch: Epoch,
}

/// A cut that counts and that the reader has reached: the entries below its rows are merged first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Reached {
    rows: Vec<CutRow>,
    /// The stream that is merged now.
    at: usize,
}

/// Where a reader stands, and the rules by which it goes on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Merge {
    cuts: Cuts,
    /// The next seq of the home stream.
    home: Seq,
    /// By the number of the stream's cluster.
    merged: BTreeMap<u64, Merged>,
    reached: Option<Reached>,
    /// The number of the next merged entry.
    number: u64,
    time: Nanos,
}

impl Default for Merge {
    /// At the beginning of the home stream.
    fn default() -> Self {
        let cuts = Cuts::default();
        Self { cuts, home: 1, merged: BTreeMap::new(), reached: None, number: 1, time: 0 }
    }
}

impl Merge {
    /// The stream of the next entry.
    pub fn turn(&self) -> MergeTurn {
        self.reached.as_ref().map_or(MergeTurn::Home, |reached| MergeTurn::Other(reached.at))
    }

    /// The next seq of the stream whose turn it is, or of any other one.
    pub fn next_of(&self, turn: MergeTurn) -> Seq {
        match turn {
            MergeTurn::Home => self.home,
            MergeTurn::Other(index) => self.merged_of(index).next,
        }
    }

    /// What the home stream has said of the set so far.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// The number that the next entry gets.
    pub fn next_number(&self) -> u64 {
        self.number
    }

    /// Judges the next entry of a stream, which is committed: entries of a stream come by their seqs, without
    /// a hole. `timestamp` is when it was stamped.
    pub fn judge(
        &mut self,
        of: MergeTurn,
        seq: Seq,
        timestamp: Nanos,
        entry: MergeEntry<'_>,
    ) -> MergeOutcome {
        assert!(seq == self.next_of(of), "MERGE-3: seq {seq} of {of:?}, and {} is next", self.next_of(of));
        if of != self.turn() {
            return MergeOutcome::Hold;
        }
        match (of, entry) {
            (MergeTurn::Home, MergeEntry::Sets(payload)) if seq != self.cuts.last() => {
                self.on_sets(seq, payload)
            }
            (MergeTurn::Other(index), MergeEntry::Epoch(epoch)) => self.on_epoch(index, epoch),
            _ => {}
        }
        match of == self.turn() {
            true => MergeOutcome::Deliver { number: self.number, timestamp: self.time.max(timestamp) },
            false => MergeOutcome::Hold,
        }
    }

    /// The entry that was judged last was delivered.
    pub fn deliver(&mut self, of: MergeTurn, timestamp: Nanos, entry: MergeEntry<'_>) {
        // MERGE-7 (time): it never falls.
        self.time = self.time.max(timestamp);
        self.number += 1;
        let MergeTurn::Other(index) = of else {
            self.home += 1;
            return;
        };
        let stream = self.cuts.streams()[index].stream;
        let merged = self.merged.entry(stream).and_modify(|merged| merged.next += 1);
        if let MergeEntry::Epoch(epoch) = entry {
            merged.and_modify(|merged| merged.epoch = epoch);
        }
        self.pass_ended_rows(index);
    }

    fn merged_of(&self, index: usize) -> Merged {
        let stream = &self.cuts.streams()[index];
        self.merged.get(&stream.stream).copied().unwrap_or(Merged { next: stream.from, epoch: Epoch::NONE })
    }

    fn on_sets(&mut self, seq: Seq, payload: &[u8]) {
        match self.cuts.on_entry(seq, payload) {
            SetsEntry::Counts(cut) => {
                self.reached = Some(Reached { rows: cut.rows, at: 0 });
                self.pass_ended_rows(0);
            }
            SetsEntry::Listed => {
                // A stream that was taken out and comes back is merged from where the new list says.
                let streams: Vec<_> = self.cuts.streams().iter().map(|one| (one.stream, one.from)).collect();
                self.merged.retain(|stream, _| streams.iter().any(|(listed, _)| listed == stream));
                for (stream, from) in streams {
                    self.merged.entry(stream).or_insert(Merged { next: from, epoch: Epoch::NONE });
                }
            }
            SetsEntry::Void => {}
        }
    }

    /// MERGE-2 (where a row ends): at its bound, or at the first entry below it whose epoch is higher.
    fn on_epoch(&mut self, index: usize, epoch: Epoch) {
        if self.reached.as_ref().is_some_and(|reached| epoch > reached.rows[index].epoch()) {
            self.pass_ended_rows(index + 1);
        }
    }

    /// MERGE-3 (the order): the first stream from `at` on whose row has not ended is next; behind the last
    /// one the home stream is.
    fn pass_ended_rows(&mut self, at: usize) {
        let Some(reached) = &self.reached else { return };
        let is_left = |index: &usize| {
            let (merged, row) = (self.merged_of(*index), &reached.rows[*index]);
            merged.next < row.next && merged.epoch <= row.epoch()
        };
        let left = (at..reached.rows.len()).find(is_left);
        self.reached = left.and_then(|at| Some(Reached { at, rows: self.reached.take()?.rows }));
    }
}
