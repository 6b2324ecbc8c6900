//! The rules of a reader of the merged order.
//!
//! A reader asks [`Merge::turn`] whose entry is next, reads that stream, and asks [`Merge::judge`] about each
//! committed entry. An entry is delivered under its merged number, or held until other streams are merged up
//! to their rows: then it is judged again. [`Merge::deliver`] notes that it was delivered.

use crate::cuts::{Cuts, MergedStream, SetsEntry};
use crate::payload::{CutPoint, CutRow};
use lockstep_wire::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Nanos, Seq};

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

/// A place in the merged order, from which a reader goes on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MergePlace {
    /// The number of the next merged entry.
    pub number: u64,
    /// The merged time before it.
    pub time: Nanos,
    /// The next seq of the home stream: that of a cut whose rows are not merged yet, if it is the last one's.
    pub home: Seq,
    /// The last cut that counts.
    pub last: CutPoint,
    /// The list of streams that is in force.
    pub list: u64,
    /// As [`CutPoint::base`].
    pub base: u64,
    /// The other streams, in the order of the list.
    pub streams: Vec<MergePlaceRow>,
}

/// How far one stream is merged at a place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MergePlaceRow {
    /// The number of its cluster.
    pub stream: u64,
    /// The epoch and the bound of its row in the last cut.
    pub row: (Epoch, Seq),
    /// The next seq.
    pub next: Seq,
    /// The last epoch whose start was merged.
    pub epoch: Epoch,
}

impl MergePlace {
    /// At the beginning of the home stream.
    pub fn beginning() -> Self {
        let last = CutPoint::default();
        Self { number: 1, time: 0, home: 1, last, list: 0, base: 0, streams: Vec::new() }
    }

    /// MERGE-5 (where a reader may begin): behind a cut that a later one names, with what that one says of
    /// it. The row of each stream must have ended at its bound: the entry before it is of no higher epoch
    /// than the row.
    pub fn behind(point: CutPoint, rows: &[CutRow]) -> Self {
        let streams = rows.iter().map(|row| {
            let (stream, epoch, next) = (row.stream, row.epoch(), row.next);
            MergePlaceRow { stream, row: (epoch, next), next, epoch }
        });
        let streams: Vec<_> = streams.collect();
        let home = point.seq + 1;
        let number = number(home, &streams, point.base);
        Self { number, time: point.time, home, last: point, list: point.list, base: point.base, streams }
    }
}

impl MergePlace {
    /// Whether its number follows from its positions.
    pub fn is_whole(&self) -> bool {
        self.number == number(self.home, &self.streams, self.base)
    }
}

/// The merged number follows from the positions.
fn number(home: Seq, streams: &[MergePlaceRow], base: u64) -> u64 {
    streams.iter().fold(home, |sum, stream| sum.wrapping_add(stream.next)).wrapping_sub(base)
}

/// Where a reader stands, and the rules by which it goes on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Merge {
    cuts: Cuts,
    /// The next seq of the home stream.
    home: Seq,
    /// Of each other stream, in the order of the list.
    merged: Vec<Merged>,
    /// A cut that counts is reached: the entries below its rows are merged first, now those of the stream
    /// with this index.
    reached: Option<usize>,
    /// The number of the next merged entry.
    number: u64,
    time: Nanos,
}

impl Default for Merge {
    fn default() -> Self {
        Self::at(&MergePlace::beginning())
    }
}

impl Merge {
    /// A reader that goes on at this place.
    pub fn at(place: &MergePlace) -> Self {
        let streams = place.streams.iter();
        let listed = streams.clone().map(|one| MergedStream { stream: one.stream, row: one.row });
        let merged = streams.map(|one| Merged { next: one.next, epoch: one.epoch });
        let mut merge = Self {
            cuts: Cuts::between(place.last, place.list, place.base, listed.collect()),
            home: place.home,
            merged: merged.collect(),
            reached: None,
            number: place.number,
            time: place.time,
        };
        if place.home == place.last.seq && !planted(Mutation::RestOfCutSkipped) {
            merge.pass_ended_rows(0);
        }
        merge
    }

    /// Where this reader stands.
    pub fn place(&self) -> MergePlace {
        let streams = self.cuts.streams().iter().zip(&self.merged).map(|(one, &Merged { next, epoch })| {
            MergePlaceRow { stream: one.stream, row: one.row, next, epoch }
        });
        MergePlace {
            number: self.number,
            time: self.time,
            home: self.home,
            last: self.cuts.last(),
            list: self.cuts.list(),
            base: self.cuts.base(),
            streams: streams.collect(),
        }
    }

    /// The stream of the next entry.
    pub fn turn(&self) -> MergeTurn {
        self.reached.map_or(MergeTurn::Home, MergeTurn::Other)
    }

    /// The next seq of the stream whose turn it is, or of any other one.
    pub fn next_of(&self, turn: MergeTurn) -> Seq {
        match turn {
            MergeTurn::Home => self.home,
            MergeTurn::Other(index) => self.merged[index].next,
        }
    }

    /// The exclusive bound of what may be read of a stream now: entries from there on wait for a cut, or for
    /// the turn of their stream.
    pub fn bound_of(&self, of: MergeTurn) -> Seq {
        match of {
            _ if planted(Mutation::MergedByArrival) => Seq::MAX,
            _ if of != self.turn() => self.next_of(of),
            MergeTurn::Home => Seq::MAX,
            MergeTurn::Other(index) => self.cuts.streams()[index].row.1,
        }
    }

    /// What the home stream has said of the set so far.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// The merged time: the greatest timestamp so far.
    pub fn time(&self) -> Nanos {
        self.time
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
        if of != self.turn() && !planted(Mutation::MergedByArrival) {
            return MergeOutcome::Hold;
        }
        match (of, entry) {
            (MergeTurn::Home, MergeEntry::Sets(payload)) if seq != self.cuts.last().seq => {
                self.on_sets(seq, payload)
            }
            (MergeTurn::Other(index), MergeEntry::Epoch(epoch)) => self.on_epoch(index, epoch),
            _ => {}
        }
        match of == self.turn() || planted(Mutation::MergedByArrival) {
            true => MergeOutcome::Deliver { number: self.number, timestamp: self.time_of(timestamp) },
            false => MergeOutcome::Hold,
        }
    }

    /// The entry that was judged last was delivered.
    pub fn deliver(&mut self, of: MergeTurn, timestamp: Nanos, entry: MergeEntry<'_>) {
        self.time = self.time_of(timestamp);
        self.number += 1;
        match of {
            MergeTurn::Home => {
                if self.home == self.cuts.last().seq {
                    self.cuts.on_delivered(self.time);
                }
                self.home += 1;
            }
            MergeTurn::Other(index) => {
                let merged = &mut self.merged[index];
                merged.next += 1;
                if let MergeEntry::Epoch(epoch) = entry {
                    merged.epoch = epoch;
                }
                self.pass_ended_rows(index);
            }
        }
        debug_assert_eq!(self.number, number(self.home, &self.place().streams, self.cuts.base()), "MERGE-3");
    }

    /// MERGE-7 (time): it never falls.
    fn time_of(&self, timestamp: Nanos) -> Nanos {
        if planted(Mutation::MergedTimeFalls) { timestamp } else { self.time.max(timestamp) }
    }

    #[cold]
    fn on_sets(&mut self, seq: Seq, payload: &[u8]) {
        let streams = self.cuts.streams().iter().map(|one| one.stream);
        let known: Vec<_> = streams.zip(self.merged.iter().copied()).collect();
        let Self { cuts, merged, .. } = self;
        match cuts.on_entry(seq, payload, |index| merged[index].next) {
            SetsEntry::Counts(_) if planted(Mutation::RowsNotAwaited) => {}
            SetsEntry::Counts(_) => self.pass_ended_rows(0),
            SetsEntry::Listed => {
                // A stream that was taken out and comes back is merged from where the new list says.
                let merged = self.cuts.streams().iter().map(|one| {
                    let stays = known.iter().find(|(stream, _)| *stream == one.stream);
                    stays.map_or(Merged { next: one.row.1, epoch: Epoch::NONE }, |(_, merged)| *merged)
                });
                self.merged = merged.collect();
            }
            SetsEntry::Void => {}
        }
    }

    /// MERGE-2 (where a row ends): at its bound, or at the first entry below it whose epoch is higher.
    fn on_epoch(&mut self, index: usize, epoch: Epoch) {
        let ends = !planted(Mutation::RowsWithoutEpoch);
        if ends && self.reached.is_some() && epoch > self.cuts.streams()[index].row.0 {
            self.pass_ended_rows(index + 1);
        }
    }

    /// MERGE-3 (the order): at a cut the first stream from `at` on whose row has not ended is next; behind
    /// the last one the home stream is.
    fn pass_ended_rows(&mut self, at: usize) {
        let streams = self.cuts.streams();
        let is_left = |index: &usize| {
            let (merged, (epoch, next)) = (self.merged[*index], streams[*index].row);
            merged.next < next && (merged.epoch <= epoch || planted(Mutation::RowsWithoutEpoch))
        };
        self.reached = (at..streams.len()).find(is_left);
    }
}
