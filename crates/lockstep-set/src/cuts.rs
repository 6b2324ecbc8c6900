//! Which cuts of a home stream count, and which streams they speak of.

use crate::payload::{CutEntry, CutPoint, CutRow, SetEntry};
use lockstep_wire::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Nanos, Seq};

/// A stream of the set, besides the home stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MergedStream {
    /// The number of its cluster.
    pub stream: u64,
    /// The epoch and the bound of its row in the last cut that counts; before there is one, no epoch and the
    /// seq from which it is merged.
    pub row: (Epoch, Seq),
}

impl MergedStream {
    /// Whether a row falls below the last one: rows compare by epoch, then by bound. So a stream that was
    /// founded anew below a bound goes on at once, and not when it has grown up to that bound. Before the
    /// first cut with a row for it, a stream is not merged below the seq of the list.
    pub(crate) fn falls(&self, row: (Epoch, Seq)) -> bool {
        let (epoch, next) = self.row;
        if planted(Mutation::RowsMayFall) {
            return false;
        }
        if epoch == Epoch::NONE { row.1 < next } else { row < self.row }
    }
}

/// What the home stream says about the set, up to an entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cuts {
    /// The number of the last list of streams; 0 before there is one.
    list: u64,
    streams: Vec<MergedStream>,
    /// As [`CutPoint::base`], up to here.
    base: u64,
    last: CutPoint,
    voided: u64,
}

/// What an entry that is addressed to the set's own channel does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SetsEntry {
    /// A cut that counts.
    Counts(CutEntry),
    /// A list of the set's streams that is in force from here on.
    Listed,
    /// Nothing: a cut that does not count, a list that was in force before, or something of a later release.
    Void,
}

impl Cuts {
    /// The state at a place between cuts, with the list in force there and its base.
    pub fn between(last: CutPoint, list: u64, base: u64, streams: Vec<MergedStream>) -> Self {
        Self { list, streams, base, last, voided: 0 }
    }

    /// The streams besides the home stream, in the order in which they are merged at a cut.
    pub fn streams(&self) -> &[MergedStream] {
        &self.streams
    }

    /// The number of the list of streams that is in force; 0 before there is one.
    pub fn list(&self) -> u64 {
        self.list
    }

    /// As [`CutPoint::base`], up to here.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The last cut that counts, as the next one names it.
    pub fn last(&self) -> CutPoint {
        self.last
    }

    /// Cuts that did not count.
    pub fn voided(&self) -> u64 {
        self.voided
    }

    /// The next entry of the home stream, for a reader of that stream alone: it does not know how far others
    /// are merged, and believes what a cut says of the point that it names.
    pub fn on_home_entry(&mut self, seq: Seq, payload: &[u8]) -> SetsEntry {
        if let Ok(cut) = CutEntry::parse(payload)
            && cut.after.seq == self.last.seq
        {
            self.last = cut.after;
            // A reader that began in the midst may not have read the list.
            self.list = self.list.max(cut.after.list);
        }
        self.on_entry(seq, payload, |_| 0)
    }

    /// The next entry of the home stream that is addressed to the set's own channel. `merged_next` returns
    /// how far the stream with an index is merged.
    pub(crate) fn on_entry(
        &mut self,
        seq: Seq,
        payload: &[u8],
        merged_next: impl Fn(usize) -> Seq,
    ) -> SetsEntry {
        if SetEntry::is_meant(payload) {
            let listed = self.on_list(payload, merged_next);
            return if listed { SetsEntry::Listed } else { SetsEntry::Void };
        }
        if !CutEntry::is_meant(payload) {
            return SetsEntry::Void;
        }
        match self.counted(payload) {
            Some(cut) => {
                self.last = CutPoint { seq, list: self.list, base: self.base, time: self.last.time };
                for (stream, row) in self.streams.iter_mut().zip(&cut.rows) {
                    stream.row = (row.epoch(), row.next);
                }
                SetsEntry::Counts(cut)
            }
            None => {
                self.voided += 1;
                SetsEntry::Void
            }
        }
    }

    /// The last cut that counts was delivered at this merged time.
    pub(crate) fn on_delivered(&mut self, time: Nanos) {
        self.last.time = time;
    }

    /// MERGE-1 (which cuts count): a cut counts if it names the last one before it that counts and where the
    /// merged order stood there, has a row for each stream of the set, and none of them falls.
    fn counted(&self, payload: &[u8]) -> Option<CutEntry> {
        let cut = CutEntry::parse(payload)
            .ok()
            .filter(|cut| cut.after == self.last || planted(Mutation::AnyCutCounts))?;
        let streams = self.streams.iter().map(|stream| stream.stream);
        let is_whole = cut.rows.iter().map(|row| row.stream).eq(streams);
        let falls = |(row, stream): (&CutRow, &MergedStream)| stream.falls((row.epoch(), row.next));
        (is_whole && !cut.rows.iter().zip(&self.streams).any(falls)).then_some(cut)
    }

    /// SET-2 (the streams of a set): the list is whole each time. A stream that it adds is merged from its
    /// `from` on, one that it lacks is merged no more.
    fn on_list(&mut self, payload: &[u8], merged_next: impl Fn(usize) -> Seq) -> bool {
        let Some(list) = SetEntry::parse(payload).ok().filter(|list| list.number == self.list + 1) else {
            return false;
        };
        self.list = list.number;
        let known = std::mem::take(&mut self.streams);
        for (index, known) in known.iter().enumerate() {
            if list.rows.iter().all(|row| row.stream != known.stream) {
                self.base = self.base.wrapping_sub(merged_next(index));
            }
        }
        for row in list.rows {
            let stays = known.iter().find(|known| known.stream == row.stream).copied();
            if stays.is_none() {
                self.base = self.base.wrapping_add(row.from);
            }
            let added = MergedStream { stream: row.stream, row: (Epoch::NONE, row.from) };
            self.streams.push(stays.unwrap_or(added));
        }
        true
    }
}
