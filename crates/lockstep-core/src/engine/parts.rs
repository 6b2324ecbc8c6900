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
//!                 │ order, discarded (PARTS-1)    │
//!                 └───────────────────────────────┘        Retract: goes back to the parts that are left
//! ```
//!
//! All readers join by this one type: subscribers, readers of journals, bridges, and the publisher, which
//! learns by it that no reader delivers what it has published. When a message that was left unfinished is
//! discarded is a rule of the stream ([`crate::proto::parts`]), and so is the bound of the memory.

use crate::proto::parts::PartsBounds;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Chain, Entry, PART_MORE, PART_NEXT, PublisherId, PublisherSeq, Seq};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

/// What a joiner retains.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PartsLimits {
    /// The rule's bounds: the protocol's, but in a simulation, where all have smaller ones alike.
    pub bounds: PartsBounds,
    /// Bytes of memory that stay for the next messages, once they were needed.
    pub spare_bytes: usize,
    /// Whether bytes are joined. Else only the end of each message is reported.
    pub with_payloads: bool,
}

impl Default for PartsLimits {
    fn default() -> Self {
        Self { bounds: PartsBounds::default(), spare_bytes: 16 << 20, with_payloads: true }
    }
}

/// Why a message that is larger than a datagram is delivered to no reader, or not to this one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PartsBound {
    /// What began with it and behind it, and is unfinished, takes more bytes than this.
    Memory(usize),
    /// It is longer than any message, in bytes.
    Length(usize),
    /// More entries than this stand behind its first part, and it is unfinished.
    Entries(u64),
    /// It began before the first entry that this reader has read. Those that began earlier may have it.
    Beginning,
}

/// A message that is discarded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Discarded {
    /// Its publisher.
    pub publisher: PublisherId,
    /// Where it began; with [`PartsBound::Beginning`], where it ended.
    pub from: Seq,
    /// Why.
    pub bound: PartsBound,
}

/// What became of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joined {
    /// More is to come, or it belongs to nothing that is held.
    Waits,
    /// The message is whole; [`Reassembly::message`] has it.
    Whole(usize),
}

/// A message that is being joined, or was.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Building {
    publisher: PublisherId,
    /// The number of the next part.
    next: PublisherSeq,
    /// Seq of each part, and the length of the message up to its end.
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

    fn len(&self) -> usize {
        self.parts.last().map_or(0, |(_, end)| *end as usize)
    }

    fn cost(&self, bounds: &PartsBounds) -> usize {
        self.len() + self.parts.len() * bounds.part_cost
    }

    /// Bytes of memory that it has taken.
    fn memory(&self) -> usize {
        self.bytes.capacity() + self.parts.capacity() * size_of::<(Seq, u32)>()
    }
}

/// Memory alone, and no part of the state: any two are equal, and a copy begins without.
#[derive(Debug, Default)]
struct SpareBytes(usize);

impl Clone for SpareBytes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for SpareBytes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SpareBytes {}

impl Hash for SpareBytes {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reassembly {
    limits: PartsLimits,
    /// What ended may come back.
    retracts: bool,
    slots: Vec<Building>,
    /// Slots of nothing.
    free: Vec<usize>,
    /// Slot of each message that is open, by its publisher: it has one at most, as its numbers have no holes.
    open: BTreeMap<PublisherId, usize>,
    /// The same, by the first part.
    by_first: BTreeMap<Seq, usize>,
    /// What the open ones take, by the rule.
    cost: usize,
    /// Slots of messages that ended and are not final.
    ended: Vec<usize>,
    /// Bytes of memory of free slots.
    spare: SpareBytes,
    /// A message that ends before this one, and whose first part was not read, may be one of other readers.
    unknown_to: Seq,
    discarded: VecDeque<Discarded>,
    discarded_count: u64,
}

impl Reassembly {
    /// Nothing is being joined. `retracts` says that entries may be taken back.
    pub fn new(limits: PartsLimits, retracts: bool) -> Self {
        Self {
            limits,
            retracts,
            slots: Vec::new(),
            free: Vec::new(),
            open: BTreeMap::new(),
            by_first: BTreeMap::new(),
            cost: 0,
            ended: Vec::new(),
            spare: SpareBytes::default(),
            unknown_to: 0,
            discarded: VecDeque::new(),
            discarded_count: 0,
        }
    }

    /// The first entry that is read is `first`, and nothing is known of what lies before it.
    pub fn begin(&mut self, first: Seq) {
        self.unknown_to = if first > 1 { self.limits.bounds.last_of(first) } else { 0 };
    }

    /// Holds always. Panics with the rule that is broken.
    pub(crate) fn invariants(&self) {
        let Self { limits: PartsLimits { bounds, .. }, slots, open, by_first, .. } = self;
        assert!(
            open.len() + self.ended.len() + self.free.len() == slots.len() && by_first.len() == open.len(),
            "each slot is open, ended or free: {} slots, {} open, {} by their begin, {} ended, {} free",
            slots.len(),
            open.len(),
            by_first.len(),
            self.ended.len(),
            self.free.len(),
        );
        assert!(self.retracts || self.ended.is_empty(), "what ended and is final is kept no longer");
        let cost: usize = open.values().map(|slot| slots[*slot].cost(bounds)).sum();
        assert!(
            cost == self.cost && cost <= bounds.open,
            "PARTS-1: {cost} bytes are open, {} are counted, at most {} may be",
            self.cost,
            bounds.open,
        );
        for (publisher, slot) in open {
            let one = &slots[*slot];
            let is_listed = by_first.get(&one.first()) == Some(slot) && one.publisher == *publisher;
            assert!(is_listed && one.ended_at.is_none(), "a publisher has one message under way");
        }
        for one in open.values().chain(&self.ended).map(|slot| &slots[*slot]) {
            let (len, parts) = (one.len(), one.parts.len());
            assert!(!bounds.is_too_long(parts, len), "{len} bytes, {parts} parts");
            assert!(
                one.parts.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
                    && parts > 0
                    && (one.bytes.len() == len || !self.limits.with_payloads),
                "the parts of a message make it up, in order: {:?}",
                one.parts,
            );
        }
    }

    /// The part of a message at `seq`, in a frame that has this chain before it.
    pub fn on_part(&mut self, seq: Seq, chain: Chain, entry: &Entry<'_>) -> Joined {
        let (publisher, number) = (entry.header.publisher, entry.header.publisher_seq);
        let (more, goes_on) = (entry.header.flags & PART_MORE != 0, entry.header.flags & PART_NEXT != 0);
        self.on_entry(seq);
        if !goes_on {
            self.on_end(seq, publisher);
        }
        let slot = match self.open.get(&publisher) {
            Some(slot) if self.slots[*slot].next == number => *slot,
            Some(_) => {
                // Its publisher left out a part.
                self.on_end(seq, publisher);
                return Joined::Waits;
            }
            None if goes_on => {
                if !more && seq < self.unknown_to {
                    self.give_up(publisher, seq, PartsBound::Beginning);
                }
                return Joined::Waits;
            }
            None => self.take_slot(publisher, chain),
        };
        let one = &mut self.slots[slot];
        let len = one.len() + entry.payload.len();
        if self.limits.bounds.is_too_long(one.parts.len() + 1, len) {
            let first = one.first().min(seq);
            if one.parts.is_empty() {
                self.release(slot)
            } else {
                self.end(slot, seq)
            }
            self.give_up(publisher, first, PartsBound::Length(self.limits.bounds.message_len));
            return Joined::Waits;
        }
        if one.parts.is_empty() {
            self.open.insert(publisher, slot);
            self.by_first.insert(seq, slot);
        }
        one.parts.push((seq, len as u32));
        one.next = number + 1;
        if self.limits.with_payloads {
            one.bytes.extend_from_slice(entry.payload);
        }
        self.cost += entry.payload.len() + self.limits.bounds.part_cost;
        if !more {
            self.close(slot, seq);
            return Joined::Whole(slot);
        }
        while let Some((&first, &slot)) = self.by_first.first_key_value()
            && self.limits.bounds.discards(first, seq, self.cost)
        {
            let publisher = self.slots[slot].publisher;
            self.end(slot, seq);
            self.give_up(publisher, first, PartsBound::Memory(self.limits.bounds.open));
        }
        Joined::Waits
    }

    /// The entry at `seq` is read next, or was read last: what is unfinished for too long is discarded.
    pub fn on_entry(&mut self, seq: Seq) {
        while let Some((&first, &slot)) = self.by_first.first_key_value()
            && self.limits.bounds.discards(first, seq, 0)
        {
            let publisher = self.slots[slot].publisher;
            // Whenever that is seen, it is this entry that ends it.
            self.end(slot, self.limits.bounds.last_of(first) + 1);
            self.give_up(publisher, first, PartsBound::Entries(self.limits.bounds.span));
        }
    }

    fn give_up(&mut self, publisher: PublisherId, from: Seq, bound: PartsBound) {
        self.discarded.push_back(Discarded { publisher, from, bound });
        self.discarded_count += 1;
    }

    /// The next message that was discarded, oldest first.
    #[inline]
    pub fn next_discarded(&mut self) -> Option<Discarded> {
        self.discarded.pop_front()
    }

    /// How many were discarded.
    pub fn discarded_count(&self) -> u64 {
        self.discarded_count
    }

    /// The whole message at `slot`, as [`Joined::Whole`] has named it.
    pub fn message(&self, slot: usize) -> &[u8] {
        &self.slots[slot].bytes
    }

    /// The message at `slot` was delivered.
    pub fn on_delivered(&mut self, slot: usize) {
        if self.retracts {
            self.ended.push(slot);
        } else if !planted(Mutation::PartsRetained) {
            self.release(slot);
        }
    }

    /// A slot for a message that begins.
    fn take_slot(&mut self, publisher: PublisherId, chain: Chain) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Building::default());
            self.slots.len() - 1
        });
        let one = &mut self.slots[slot];
        self.spare.0 = self.spare.0.saturating_sub(one.memory());
        (one.publisher, one.chain, one.next, one.ended_at) = (publisher, chain, 0, None);
        slot
    }

    /// The slot has nothing any more. Its memory stays for the next message, up to the limit.
    fn release(&mut self, slot: usize) {
        let one = &mut self.slots[slot];
        if self.spare.0 + one.memory() > self.limits.spare_bytes {
            (one.bytes, one.parts) = (Vec::new(), Vec::new());
        }
        one.parts.clear();
        one.bytes.clear();
        self.spare.0 += one.memory();
        self.free.push(slot);
        if self.free.len() == self.slots.len() && self.slots.len() > SLOTS_SPARE {
            self.slots.truncate(SLOTS_SPARE);
            self.free.retain(|slot| *slot < SLOTS_SPARE);
            self.spare.0 = self.slots.iter().map(Building::memory).sum();
        }
    }

    /// The open message in `slot` is open no more, from the entry `at` on.
    fn close(&mut self, slot: usize, at: Seq) {
        let one = &mut self.slots[slot];
        one.ended_at = Some(at);
        self.cost -= one.cost(&self.limits.bounds);
        self.open.remove(&one.publisher);
        self.by_first.remove(&one.first());
    }

    fn end(&mut self, slot: usize, at: Seq) {
        self.close(slot, at);
        self.on_delivered(slot);
    }

    /// At `seq` a publisher was opened anew or closed, or published what is no next part: what it had begun
    /// before will never be whole.
    pub fn on_end(&mut self, seq: Seq, publisher: PublisherId) {
        self.on_entry(seq);
        if let Some(slot) = self.open.get(&publisher) {
            self.end(*slot, seq);
        }
    }

    /// Everything from `from` on was taken back.
    pub(crate) fn on_retract(&mut self, from: Seq) {
        // What began above is gone, ...
        let mut gone: Vec<usize> = self.by_first.split_off(&from).into_values().collect();
        for slot in &gone {
            self.cost -= self.slots[*slot].cost(&self.limits.bounds);
            self.open.remove(&self.slots[*slot].publisher);
        }
        // ... what ended above is open again, ...
        let Self { slots, ended, .. } = self;
        let is_back = |slot: &usize| slots[*slot].ended_at.is_some_and(|at| at >= from);
        let (back, ended_before) = std::mem::take(ended).into_iter().partition(is_back);
        *ended = ended_before;
        let back: Vec<usize> = back;
        for slot in back {
            let one = &mut self.slots[slot];
            one.ended_at = None;
            if one.first() >= from {
                gone.push(slot);
                continue;
            }
            self.cost += one.cost(&self.limits.bounds);
            self.open.insert(one.publisher, slot);
            self.by_first.insert(one.first(), slot);
        }
        gone.into_iter().for_each(|slot| self.release(slot));
        // ... and lacks the parts that stood there.
        for slot in self.open.values() {
            let one = &mut self.slots[*slot];
            self.cost -= one.cost(&self.limits.bounds);
            while one.parts.pop_if(|(seq, _)| *seq >= from).is_some() {
                one.next -= 1;
            }
            one.bytes.truncate(one.len());
            self.cost += one.cost(&self.limits.bounds);
        }
    }

    /// Everything below `commit_next` is final.
    pub(crate) fn on_commit(&mut self, commit_next: Seq) {
        let mut at = 0;
        while let Some(&slot) = self.ended.get(at) {
            if self.slots[slot].ended_at.is_some_and(|at| at < commit_next) {
                self.ended.swap_remove(at);
                self.release(slot);
            } else {
                at += 1;
            }
        }
    }

    /// Whether nothing is buffered, which is the normal case.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty()
    }

    /// Where the oldest message begins that is not whole yet, and the chain before the frame that does, where
    /// `next` is the next entry.
    pub fn oldest(&self, next: Seq) -> Option<(Seq, Chain)> {
        let (first, slot) = self.by_first.range(next.saturating_sub(self.limits.bounds.span)..).next()?;
        Some((*first, self.slots[*slot].chain))
    }
}

/// Slots that stay when all are free.
const SLOTS_SPARE: usize = 64;

#[cfg(test)]
mod tests;
