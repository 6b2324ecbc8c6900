//! Stamped messages of a publisher's names, until they are final.

use lockstep_wire::{PublisherSeq, Seq};

/// Messages of a line that are stamped and not committed, one behind the other by number and by place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct StampedRun {
    /// The first one is final when everything up to here is, and each of the others one seq later.
    pub(super) bound: Seq,
    /// The place of the first one; 0 of a single one whose place is no longer remembered.
    pub(super) seq: Seq,
    /// The number of the first one.
    pub(super) publisher_seq: PublisherSeq,
    /// How many they are.
    pub(super) count: u64,
    pub(super) line: u32,
    /// What stands there, beside what was handed in.
    pub(super) content: PayloadMatch,
    /// Whether `Stamped` was reported of them.
    pub(super) reported: bool,
    /// The last part of a message that readers have discarded.
    pub(super) discarded: bool,
}

impl StampedRun {
    /// How many of them are final where everything below `commit_next` is.
    pub(super) fn committed(&self, commit_next: Seq) -> u64 {
        commit_next.saturating_sub(self.bound).min(self.count)
    }

    /// The same without the first `count`.
    pub(super) fn behind(self, count: u64) -> Self {
        Self {
            bound: self.bound + count,
            seq: self.seq + count,
            publisher_seq: self.publisher_seq + count,
            count: self.count - count,
            ..self
        }
    }
}

/// What stands under a number, beside what was handed in under it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum PayloadMatch {
    /// The same.
    Same,
    /// Something else.
    Other,
    /// It was stamped before anything was handed in; what it says, as [`entry_digest`] tells it.
    Digest(u32),
    /// That is no longer remembered.
    Unknown,
}
