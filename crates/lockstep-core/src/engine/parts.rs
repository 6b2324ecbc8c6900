//! Joins messages that are larger than a datagram.
//!
//! A publisher splits such a message; each part is an entry of its own, and entries of others may stand
//! between them. The message is delivered with its last part: that part's seq and number are the message's.
//! So nothing is ever half delivered: what lacks its last part, because its publisher died, was fenced or
//! closed, is no message.
//!
//! ```text
//!   first ──▶ Building ──▶ last part: delivered ──┐
//!                 │ opened anew, closed, out of   ├─▶ kept until that is final, if it may be retracted
//!                 │ order, too long               │
//!                 └───────────────────────────────┘        Retract: goes back to the parts that are left
//! ```
//!
//! Memory is bounded: so many messages of the greatest length. It is allocated when it is first needed, and
//! retained. When all of it is in use, the message that began first makes room, and the application is
//! notified.

use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Chain, Entry, MESSAGE_LEN_MAX, PART_MORE, PART_NEXT, PublisherId, PublisherSeq, Seq};

/// Memory of messages whose parts have not all come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PartsLimits {
    /// Bytes of the longest message.
    pub message_len_max: usize,
    /// Bytes of all that are being joined.
    pub bytes: usize,
}

impl Default for PartsLimits {
    fn default() -> Self {
        Self { message_len_max: MESSAGE_LEN_MAX, bytes: 16 << 20 }
    }
}

/// Which bound a message met that is larger than a datagram, and was given up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PartsBound {
    /// More messages are being joined than there is memory for (`subscriber.parts`), in bytes.
    Memory(usize),
    /// It is longer than any message may be (`stream.message_len_max`), in bytes.
    Length(usize),
}

/// What became of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joined {
    /// More is to come, or it belongs to nothing that is held.
    Waits,
    /// The message is whole; [`Reassembly::message`] has it.
    Whole(usize),
    /// A message that began at this seq is given up, and the part is taken.
    Abandoned(PublisherId, Seq, PartsBound),
}

/// Parts of one message: the shortest frame that a configuration allows takes 560 bytes.
const PARTS_MAX: usize = 128;

/// A message that is being joined, or was.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Building {
    publisher: PublisherId,
    /// The number of the next part.
    next: PublisherSeq,
    /// Seq of each part, and the bytes up to its end.
    parts: Vec<(Seq, u32)>,
    /// The chain before the frame that holds the first of them.
    chain: Chain,
    bytes: Vec<u8>,
    /// The entry that made it whole, or ended it.
    ended_at: Option<Seq>,
}

impl Building {
    fn first(&self) -> Seq {
        self.parts.first().map_or(Seq::MAX, |(seq, _)| *seq)
    }
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reassembly {
    limits: PartsLimits,
    /// What ended may come back.
    retracts: bool,
    list: Vec<Building>,
    /// Memory that was used before.
    spare: Vec<Building>,
    /// What had ended and was not final had to make room: a part that belongs to nothing may be one of its.
    forgot: bool,
}

impl Reassembly {
    /// Nothing is being joined. `retracts` says that entries may be taken back.
    pub fn new(limits: PartsLimits, retracts: bool) -> Self {
        Self { limits, retracts, list: Vec::new(), spare: Vec::new(), forgot: false }
    }

    /// Holds always. Panics with the rule that is broken.
    pub(crate) fn invariants(&self) {
        let most = (self.limits.bytes / self.limits.message_len_max.max(1)).max(1);
        let (joined, spare) = (self.list.len(), self.spare.len());
        assert!(
            joined + spare <= most,
            "{joined} messages are joined, {spare} places are free: at most {most}"
        );
        for (at, one) in self.list.iter().enumerate() {
            let (bytes, parts) = (one.bytes.len(), one.parts.len());
            assert!(
                bytes <= self.limits.message_len_max && parts <= PARTS_MAX,
                "{bytes} bytes, {parts} parts"
            );
            assert!(
                one.parts.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
                    && one.parts.last().is_some_and(|(_, end)| *end as usize == bytes),
                "the parts of a message make it up, in order: {:?}",
                one.parts,
            );
            let is_open = one.ended_at.is_none();
            let twice = |other: &Building| other.publisher == one.publisher && other.ended_at.is_none();
            assert!(!is_open || !self.list[..at].iter().any(twice), "a publisher has one message under way");
            assert!(
                is_open || self.retracts,
                "what ended and is final is kept no longer: {:?}",
                one.ended_at
            );
        }
    }

    fn building(&self, publisher: PublisherId) -> Option<usize> {
        self.list.iter().position(|one| one.publisher == publisher && one.ended_at.is_none())
    }

    /// The part of a message at `seq`, in a frame that has this chain before it.
    pub fn on_part(&mut self, seq: Seq, chain: Chain, entry: &Entry<'_>) -> Joined {
        let (publisher, number) = (entry.header.publisher, entry.header.publisher_seq);
        let mut abandoned = Joined::Waits;
        if entry.header.flags & PART_NEXT == 0 {
            self.on_end(seq, publisher);
            if let Some((publisher, first)) = self.begin(publisher, number, chain) {
                abandoned = Joined::Abandoned(publisher, first, PartsBound::Memory(self.limits.bytes));
            }
        }
        let Some(index) = self.building(publisher).filter(|index| self.list[*index].next == number) else {
            // It began before us, or its publisher left out a part.
            self.on_end(seq, publisher);
            return if self.forgot {
                Joined::Abandoned(publisher, seq, PartsBound::Memory(self.limits.bytes))
            } else {
                Joined::Waits
            };
        };
        let one = &mut self.list[index];
        if one.bytes.len() + entry.payload.len() > self.limits.message_len_max || one.parts.len() == PARTS_MAX
        {
            let first = one.first().min(seq);
            self.on_end(seq, publisher);
            return Joined::Abandoned(publisher, first, PartsBound::Length(self.limits.message_len_max));
        }
        one.bytes.extend_from_slice(entry.payload);
        one.parts.push((seq, one.bytes.len() as u32));
        one.next = number + 1;
        if entry.header.flags & PART_MORE == 0 {
            one.ended_at = Some(seq);
            return Joined::Whole(index);
        }
        abandoned
    }

    /// The whole message at `index`, as [`Joined::Whole`] told it.
    pub fn message(&self, index: usize) -> &[u8] {
        &self.list[index].bytes
    }

    /// The message at `index` was delivered.
    pub fn on_delivered(&mut self, index: usize) {
        if !self.retracts && !planted(Mutation::PartsRetained) {
            self.free(index);
        }
    }

    /// A place for a message whose first part is `number`. Returns whose message, begun where, made room and
    /// is lost by it.
    fn begin(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        chain: Chain,
    ) -> Option<(PublisherId, Seq)> {
        let most = (self.limits.bytes / self.limits.message_len_max.max(1)).max(1);
        let mut lost = None;
        if self.list.len() >= most {
            // What ended is needed only if it is taken back.
            let oldest = (0..self.list.len())
                .min_by_key(|index| (self.list[*index].ended_at.is_none(), self.list[*index].first()));
            if let Some(index) = oldest {
                let one = &self.list[index];
                self.forgot |= one.ended_at.is_some();
                lost = one.ended_at.is_none().then(|| (one.publisher, one.first()));
                self.free(index);
            }
        }
        let mut one = self.spare.pop().unwrap_or_else(|| Building {
            publisher,
            next: number,
            chain,
            parts: Vec::with_capacity(PARTS_MAX),
            bytes: Vec::with_capacity(self.limits.message_len_max),
            ended_at: None,
        });
        (one.publisher, one.next, one.chain, one.ended_at) = (publisher, number, chain, None);
        self.list.push(one);
        lost
    }

    fn free(&mut self, index: usize) {
        let mut one = self.list.swap_remove(index);
        one.parts.clear();
        one.bytes.clear();
        self.spare.push(one);
    }

    /// At `seq` a publisher was opened anew or closed, or began another message: what it had begun before
    /// will never be whole.
    pub fn on_end(&mut self, seq: Seq, publisher: PublisherId) {
        if let Some(index) = self.building(publisher) {
            self.list[index].ended_at = Some(seq);
            self.on_delivered(index);
        }
    }

    /// Everything from `from` on was taken back.
    pub(crate) fn on_retract(&mut self, from: Seq) {
        let mut index = 0;
        while let Some(one) = self.list.get_mut(index) {
            while one.parts.pop_if(|(seq, _)| *seq >= from).is_some() {
                one.next -= 1;
            }
            one.bytes.truncate(one.parts.last().map_or(0, |(_, end)| *end as usize));
            if one.ended_at.is_some_and(|at| at >= from) {
                one.ended_at = None;
            }
            if one.parts.is_empty() {
                self.free(index);
            } else {
                index += 1;
            }
        }
    }

    /// Everything below `commit_next` is final.
    pub(crate) fn on_commit(&mut self, commit_next: Seq) {
        let mut index = 0;
        while let Some(one) = self.list.get(index) {
            if one.ended_at.is_some_and(|at| at < commit_next) {
                self.free(index);
            } else {
                index += 1;
            }
        }
    }

    /// Whether nothing is buffered, which is the normal case.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Where the oldest message begins that is not whole yet, and the chain before the frame that does.
    pub(crate) fn oldest(&self) -> Option<(Seq, Chain)> {
        let open = self.list.iter().filter(|one| one.ended_at.is_none());
        open.map(|one| (one.first(), one.chain)).min()
    }
}

#[cfg(test)]
mod tests;
