//! Which messages are unfinished at a place of the log, and which are whole, without their bytes: for whoever
//! reads a log and does not deliver it. A publisher learns by it of a message of its own that no reader
//! delivers, and a bridge where a subscription must begin that is to have every message behind a place.

use super::parts::{Joined, PartsLimits, Reassembly};
use crate::proto::parts::PartsBounds;
use lockstep_wire::{Chain, Entry, EntryKind, RESERVED, Seq};

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Unfinished {
    parts: Reassembly,
    /// Behind the last entry that was read.
    next: Seq,
}

impl Unfinished {
    /// Of a log whose end may be taken back, or not; `bounds` are the rule's.
    pub fn new(bounds: PartsBounds, retracts: bool) -> Self {
        let limits = PartsLimits { bounds, with_payloads: false, ..PartsLimits::default() };
        Self { parts: Reassembly::new(limits, retracts), next: 0 }
    }

    /// Holds always. Panics with the rule that is broken.
    pub(crate) fn invariants(&self) {
        self.parts.invariants();
    }

    /// The next entry, in a frame that has this chain before it. Returns whether it makes a message whole, or
    /// is one.
    #[inline]
    pub fn read(&mut self, seq: Seq, chain: Chain, entry: &Entry<'_>) -> bool {
        if entry.header.flags == 0 && self.parts.is_empty() {
            return true;
        }
        self.follow(seq, chain, entry)
    }

    #[cold]
    fn follow(&mut self, seq: Seq, chain: Chain, entry: &Entry<'_>) -> bool {
        let is_part = entry.kind() == EntryKind::Message && entry.header.flags != 0;
        if !is_part || entry.header.destination >= RESERVED {
            self.parts.on_end(seq, entry.header.publisher);
            return true;
        }
        match self.parts.on_part(seq, chain, entry) {
            Joined::Whole(slot) => {
                self.parts.on_delivered(slot);
                true
            }
            Joined::Waits => false,
        }
    }

    /// Everything below `next` was read, and everything below `commit_next` is final.
    #[inline]
    pub fn on_read(&mut self, next: Seq, commit_next: Seq) {
        self.next = next;
        self.on_commit(commit_next);
    }

    /// Everything below `commit_next` is final.
    #[inline]
    pub fn on_commit(&mut self, commit_next: Seq) {
        if !self.parts.is_empty() {
            self.parts.on_entry(self.next);
            self.parts.on_commit(commit_next);
        }
        while self.parts.next_discarded().is_some() {}
    }

    /// Everything from `from` on was taken back.
    pub(crate) fn on_cut(&mut self, from: Seq) {
        self.next = self.next.min(from);
        self.parts.on_retract(from);
    }

    /// Where a subscription begins that delivers every message which ends at `next` or behind it, and the
    /// chain before its frame; `chain` is that before the frame of `next`.
    pub fn resume(&self, next: Seq, chain: Chain) -> (Seq, Chain) {
        let place = (next, chain);
        self.parts.oldest(next).map_or(place, |oldest| oldest.min(place))
    }
}
