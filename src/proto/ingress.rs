//! # ingress: messages that came too early
//!
//! The network reorders and loses submissions; a publisher's messages are stamped in its order all the
//! same. What comes too early waits here, in a pool of fixed size, until what it waits for has come.
//! A full pool drops: the publisher resends. Only what waits here may ever be thrown away (S8).

use crate::wire::{Destination, EntryHeader, PublisherId, PublisherSeq};

/// One held-back message: where it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Held {
    publisher: PublisherId,
    publisher_seq: PublisherSeq,
    incarnation: u32,
    destination: Destination,
    kind: u8,
    length: u16,
    slot: u16,
}

/// The pool.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HoldBack {
    /// Sorted by publisher and number.
    held: Vec<Held>,
    free: Vec<u16>,
    memory: Vec<u8>,
    message_len_max: usize,
    /// Most that one publisher may hold: a flood out of order leaves room for the others.
    share: usize,
}

/// A publisher may fill this part of the pool.
const SHARE: usize = 4;

impl HoldBack {
    /// Room for `slots` messages of at most `message_len_max` bytes.
    pub fn new(slots: u16, message_len_max: usize) -> Self {
        Self {
            held: Vec::with_capacity(usize::from(slots)),
            free: (0..slots).collect(),
            memory: vec![0; usize::from(slots) * message_len_max],
            message_len_max,
            share: (usize::from(slots) / SHARE).max(1),
        }
    }

    fn held_of(&self, publisher: PublisherId) -> usize {
        let below = |bound| self.held.partition_point(|held| held.publisher < bound);
        below(publisher.saturating_add(1)) - below(publisher)
    }

    /// Whether nothing waits, which is the rule.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Keeps a message that came too early. Returns whether it is kept (also if it was already).
    pub fn hold(&mut self, entry: &EntryHeader, payload: &[u8]) -> bool {
        let key = (entry.publisher, entry.publisher_seq);
        let found = self.held.binary_search_by_key(&key, |held| (held.publisher, held.publisher_seq));
        let Err(at) = found else { return true };
        if payload.len() > self.message_len_max || self.held_of(entry.publisher) >= self.share {
            return false;
        }
        let Some(slot) = self.free.pop() else { return false };
        let start = usize::from(slot) * self.message_len_max;
        self.memory[start..start + payload.len()].copy_from_slice(payload);
        self.held.insert(
            at,
            Held {
                publisher: entry.publisher,
                publisher_seq: entry.publisher_seq,
                incarnation: entry.time_or_incarnation,
                destination: entry.destination,
                kind: entry.kind,
                length: payload.len() as u16,
                slot,
            },
        );
        true
    }

    /// Gives back the waiting message `publisher_seq`, if it is here, and forgets everything of this
    /// publisher before it. The payload stays valid until the next [`HoldBack::hold`].
    pub fn take(
        &mut self,
        publisher: PublisherId,
        publisher_seq: PublisherSeq,
    ) -> Option<(EntryHeader, &[u8])> {
        let from = self.held.partition_point(|held| (held.publisher, held.publisher_seq) < (publisher, 0));
        let to = self
            .held
            .partition_point(|held| (held.publisher, held.publisher_seq) < (publisher, publisher_seq));
        for stale in self.held.drain(from..to) {
            self.free.push(stale.slot);
        }
        let held = *self.held.get(from)?;
        if (held.publisher, held.publisher_seq) != (publisher, publisher_seq) {
            return None;
        }
        self.held.remove(from);
        self.free.push(held.slot);
        let header = EntryHeader {
            kind: held.kind,
            flags: 0,
            length: held.length,
            publisher,
            publisher_seq,
            destination: held.destination,
            time_or_incarnation: held.incarnation,
        };
        let start = usize::from(held.slot) * self.message_len_max;
        Some((header, &self.memory[start..start + usize::from(held.length)]))
    }

    /// Forgets everything that waits: a node that stops leading.
    pub fn clear(&mut self) {
        for held in self.held.drain(..) {
            self.free.push(held.slot);
        }
    }
}
