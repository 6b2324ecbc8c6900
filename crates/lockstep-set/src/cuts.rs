//! Which cuts of a home stream count, and which streams they speak of.

use crate::payload::{CutEntry, CutRow, SetEntry};
use lockstep_wire::{Epoch, Seq};

/// A stream of the set, besides the home stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MergedStream {
    /// The number of its cluster.
    pub stream: u64,
    /// Its name.
    pub name: String,
    /// The seq from which it is merged.
    pub from: Seq,
    /// The epoch and the bound of its row in the last cut that counts; none and `from` before there is one.
    pub row: (Epoch, Seq),
}

/// What the home stream says about the set, up to an entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cuts {
    /// The number of the last list of streams; 0 before there is one.
    list: u64,
    streams: Vec<MergedStream>,
    last: Seq,
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
    /// The streams besides the home stream, in the order in which they are merged at a cut.
    pub fn streams(&self) -> &[MergedStream] {
        &self.streams
    }

    /// The number of the list of streams that is in force; 0 before there is one.
    pub fn list(&self) -> u64 {
        self.list
    }

    /// The seq of the last cut that counts; 0 before there is one.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Cuts that did not count.
    pub fn voided(&self) -> u64 {
        self.voided
    }

    /// The next entry of the home stream that is addressed to the set's own channel.
    pub fn on_entry(&mut self, seq: Seq, payload: &[u8]) -> SetsEntry {
        if SetEntry::is_meant(payload) {
            return if self.on_list(payload) { SetsEntry::Listed } else { SetsEntry::Void };
        }
        if !CutEntry::is_meant(payload) {
            return SetsEntry::Void;
        }
        match self.counted(payload) {
            Some(cut) => {
                self.last = seq;
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

    /// MERGE-1 (which cuts count): a cut counts if it names the last one before it that counts, has a row for
    /// each stream of the set, and none of them falls: rows compare by epoch, then by bound. So a stream that
    /// was founded anew below a bound goes on at once, and not when it has grown up to that bound.
    fn counted(&self, payload: &[u8]) -> Option<CutEntry> {
        let cut = CutEntry::parse(payload).ok().filter(|cut| cut.after == self.last)?;
        let streams = self.streams.iter().map(|stream| stream.stream);
        let is_whole = cut.rows.iter().map(|row| row.stream).eq(streams);
        let falls = |(row, stream): (&CutRow, &MergedStream)| (row.epoch(), row.next) < stream.row;
        (is_whole && !cut.rows.iter().zip(&self.streams).any(falls)).then_some(cut)
    }

    /// SET-2 (the streams of a set): the list is whole each time. A stream that it adds is merged from its
    /// `from` on, one that it lacks is merged no more.
    fn on_list(&mut self, payload: &[u8]) -> bool {
        let Some(list) = SetEntry::parse(payload).ok().filter(|list| list.number == self.list + 1) else {
            return false;
        };
        self.list = list.number;
        let known = std::mem::take(&mut self.streams);
        let streams = list.rows.into_iter().map(|row| {
            let stays = known.iter().find(|known| known.stream == row.stream).cloned();
            let row_of_new = (Epoch::NONE, row.from);
            stays.unwrap_or(MergedStream {
                stream: row.stream,
                name: row.name,
                from: row.from,
                row: row_of_new,
            })
        });
        self.streams = streams.collect();
        true
    }
}
