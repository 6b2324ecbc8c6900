//! # ingress: in which order submissions are taken, whose share is used up, and what came too early
//!
//! [`IngressRounds`] is the order within one receive, [`Shares`] the part of a scarce window that one
//! publisher may have, [`HoldBack`] what waits for an earlier message of its publisher.
//!
//! The network reorders and loses submissions; a publisher's messages are stamped in its order all the
//! same. What comes too early waits here, in a pool of fixed size, until what it waits for has come.
//! A full pool drops: the publisher resends. Only what waits here may ever be thrown away (S8).
//!
//! Whatever waits says what is missing before it. Its publisher is told so at once, and need not wait for
//! its timer.

mod order;
mod share;

pub use order::IngressRounds;
pub use share::Shares;

use super::planted::{Mutation, planted};
use lockstep_wire::{Destination, EntryHeader, Nanos, NoticeRow, PublisherId, PublisherNotice, PublisherSeq};
use std::hash::{Hash, Hasher};

/// One held-back message: where it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct BufferedSubmission {
    publisher: PublisherId,
    publisher_seq: PublisherSeq,
    incarnation: u32,
    destination: Destination,
    kind: u8,
    flags: u8,
    length: u16,
    slot: u16,
    /// How often its publisher was told what is missing before it, and when last.
    notices: u8,
    notified_at: Nanos,
}

/// The pool. Two are equal if the same messages wait in them, wherever in memory.
#[derive(Clone, Debug)]
pub struct HoldBack {
    /// Sorted by publisher and number.
    buffered: Vec<BufferedSubmission>,
    free: Vec<u16>,
    memory: Vec<u8>,
    message_len_max: usize,
    /// Most that one publisher may hold: a flood out of order leaves room for the others.
    share: usize,
}

impl PartialEq for HoldBack {
    fn eq(&self, other: &Self) -> bool {
        self.waiting().eq(other.waiting())
    }
}

impl Eq for HoldBack {}

impl Hash for HoldBack {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.buffered.len().hash(state);
        self.waiting().for_each(|waiting| waiting.hash(state));
    }
}

/// A publisher may fill this part of the pool.
const SHARE: usize = 4;
/// A publisher is told of one gap this often at the most: then it is gone, or deaf.
const NOTICES_MAX: u8 = 6;

impl HoldBack {
    /// Room for `slots` messages of at most `message_len_max` bytes.
    pub fn new(slots: u16, message_len_max: usize) -> Self {
        Self {
            buffered: Vec::with_capacity(usize::from(slots)),
            free: (0..slots).collect(),
            // Not zero: zeroed pages would come one by one, as faults of the hot thread.
            memory: vec![0xa5; usize::from(slots) * message_len_max],
            message_len_max,
            share: (usize::from(slots) / SHARE).max(1),
        }
    }

    /// Whose, which, of which incarnation, and what it says.
    fn waiting(&self) -> impl Iterator<Item = (PublisherId, PublisherSeq, u32, &[u8])> {
        self.buffered.iter().map(|buffered| {
            let start = usize::from(buffered.slot) * self.message_len_max;
            let payload = &self.memory[start..start + usize::from(buffered.length)];
            (buffered.publisher, buffered.publisher_seq, buffered.incarnation, payload)
        })
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let slots = self.memory.len().checked_div(self.message_len_max).unwrap_or(0);
        let places = self.buffered.iter().map(|buffered| buffered.slot).chain(self.free.iter().copied());
        let mut left = vec![true; slots];
        let once = places.into_iter().all(|place| std::mem::take(&mut left[usize::from(place)]));
        let all = self.buffered.len() + self.free.len() == slots;
        assert!(once && all, "INGRESS-1: each of {slots} places of the pool is free or taken, once");
        let key = |buffered: &BufferedSubmission| (buffered.publisher, buffered.publisher_seq);
        assert!(
            self.buffered.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])),
            "INGRESS-1: what waits is sorted, and each number waits once",
        );
        let within = |buffered: &BufferedSubmission| self.buffered_of(buffered.publisher) <= self.share;
        assert!(
            self.buffered.iter().all(within),
            "INGRESS-1: a publisher has its share of the pool, and no more"
        );
    }

    fn buffered_of(&self, publisher: PublisherId) -> usize {
        let below = |bound| self.buffered.partition_point(|buffered| buffered.publisher < bound);
        below(publisher.saturating_add(1)) - below(publisher)
    }

    /// Whether nothing waits, which is the rule.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buffered.is_empty()
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.buffered.len()
    }

    /// Keeps a message that came too early. Returns whether it is kept (also if it was already).
    pub fn hold(&mut self, entry: &EntryHeader, payload: &[u8]) -> bool {
        let key = (entry.publisher, entry.publisher_seq);
        let found =
            self.buffered.binary_search_by_key(&key, |buffered| (buffered.publisher, buffered.publisher_seq));
        if payload.len() > self.message_len_max {
            return false;
        }
        let at = match found {
            // Only a newer incarnation's message replaces one: the older process is fenced, or will be.
            Ok(at) if self.buffered[at].incarnation >= entry.time_or_incarnation => return true,
            Ok(at) => {
                self.free.push(self.buffered.remove(at).slot);
                at
            }
            Err(_) if self.buffered_of(entry.publisher) >= self.share => return false,
            Err(at) => at,
        };
        let Some(slot) = self.free.pop() else { return false };
        let start = usize::from(slot) * self.message_len_max;
        self.memory[start..start + payload.len()].copy_from_slice(payload);
        self.buffered.insert(
            at,
            BufferedSubmission {
                publisher: entry.publisher,
                publisher_seq: entry.publisher_seq,
                incarnation: entry.time_or_incarnation,
                destination: entry.destination,
                kind: entry.kind,
                flags: entry.flags,
                length: payload.len() as u16,
                slot,
                notices: 0,
                notified_at: 0,
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
        let from = self
            .buffered
            .partition_point(|buffered| (buffered.publisher, buffered.publisher_seq) < (publisher, 0));
        let to = self.buffered.partition_point(|buffered| {
            (buffered.publisher, buffered.publisher_seq) < (publisher, publisher_seq)
        });
        for stale in self.buffered.drain(from..to) {
            self.free.push(stale.slot);
        }
        let buffered = *self.buffered.get(from)?;
        if (buffered.publisher, buffered.publisher_seq) != (publisher, publisher_seq) {
            return None;
        }
        self.buffered.remove(from);
        self.free.push(buffered.slot);
        let header = EntryHeader {
            kind: buffered.kind,
            flags: buffered.flags,
            length: buffered.length,
            publisher,
            publisher_seq,
            destination: buffered.destination,
            time_or_incarnation: buffered.incarnation,
        };
        let start = usize::from(buffered.slot) * self.message_len_max;
        Some((header, &self.memory[start..start + usize::from(buffered.length)]))
    }

    /// INGRESS-1 (what a publisher is told at once): writes the numbers that are missing before those that
    /// wait here, one range a row, into `out`; each gap at once, then again after `again_ns`, which doubles,
    /// a few times. `last` gives the last number that was stamped of a publisher, if this is its incarnation.
    /// Returns the rows.
    pub fn missing(
        &mut self,
        now: Nanos,
        again_ns: Nanos,
        last: impl Fn(PublisherId, u32) -> Option<PublisherSeq>,
        out: &mut [NoticeRow],
    ) -> usize {
        let mut rows = 0;
        let mut before: Option<(PublisherId, PublisherSeq)> = None;
        for buffered in &mut self.buffered {
            let behind = match before {
                Some((publisher, publisher_seq)) if publisher == buffered.publisher => Some(publisher_seq),
                _ => last(buffered.publisher, buffered.incarnation),
            };
            before = Some((buffered.publisher, buffered.publisher_seq));
            let Some(from) = behind.map(|behind| behind + 1).filter(|from| *from < buffered.publisher_seq)
            else {
                continue;
            };
            let is_due =
                buffered.notices == 0 || now >= buffered.notified_at + (again_ns << buffered.notices);
            if buffered.notices == NOTICES_MAX || !is_due {
                continue;
            }
            let Some(row) = out.get_mut(rows) else { return rows };
            (buffered.notices, buffered.notified_at) = (buffered.notices + 1, now);
            *row = NoticeRow {
                publisher: buffered.publisher,
                incarnation: buffered.incarnation,
                from: from - PublisherSeq::from(planted(Mutation::NoticeOfStamped)),
                to: buffered.publisher_seq,
                notice: PublisherNotice::Missing as u32,
                key: 0,
            };
            rows += 1;
        }
        rows
    }

    /// Forgets everything that waits: a node that stops leading.
    pub fn clear(&mut self) {
        for buffered in self.buffered.drain(..).filter(|_| !planted(Mutation::HoldLeaks)) {
            self.free.push(buffered.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::EntryKind;

    fn message(publisher: PublisherId, publisher_seq: PublisherSeq, incarnation: u32) -> EntryHeader {
        EntryHeader {
            kind: EntryKind::Message as u8,
            flags: 0,
            length: 0,
            publisher,
            publisher_seq,
            destination: 9,
            time_or_incarnation: incarnation,
        }
    }

    #[test]
    fn s8_what_came_too_early_comes_back_in_its_publishers_order() {
        let mut hold = HoldBack::new(8, 16);
        for (publisher, publisher_seq) in [(2, 4), (1, 7), (2, 3), (1, 6)] {
            let payload = [publisher as u8, publisher_seq as u8];
            assert!(hold.hold(&message(publisher, publisher_seq, 1), &payload));
        }
        assert_eq!(hold.take(2, 5), None, "what waited before it is forgotten");
        for publisher_seq in [6, 7] {
            let (header, payload) = hold.take(1, publisher_seq).expect("it waits");
            assert_eq!((header.publisher_seq, header.destination), (publisher_seq, 9));
            assert_eq!(payload, [1, publisher_seq as u8]);
        }
        assert!(hold.is_empty());
    }

    #[test]
    fn s8_a_copy_is_held_once() {
        let mut hold = HoldBack::new(8, 16);
        assert!(hold.hold(&message(1, 5, 1), b"first"));
        assert!(hold.hold(&message(1, 5, 1), b"again"));
        assert_eq!(hold.len(), 1);
        assert_eq!(hold.take(1, 5).map(|(_, payload)| payload.to_vec()), Some(b"first".to_vec()));
    }

    #[test]
    fn s8_a_newer_incarnations_message_takes_the_place_of_a_fenced_one() {
        let mut hold = HoldBack::new(1, 16);
        assert!(hold.hold(&message(1, 5, 1), b"fenced"));
        assert!(hold.hold(&message(1, 5, 2), b"new"));
        assert!(hold.hold(&message(1, 5, 1), b"late copy"));
        let (header, payload) = hold.take(1, 5).expect("it waits");
        assert_eq!((header.time_or_incarnation, payload), (2, b"new".as_slice()));
    }

    #[test]
    fn a_full_pool_drops_and_takes_again_when_there_is_room() {
        let mut hold = HoldBack::new(2, 4);
        assert!(!hold.hold(&message(1, 3, 1), b"longer than a slot"));
        assert!(hold.hold(&message(1, 3, 1), b"a") && hold.hold(&message(2, 4, 1), b"b"));
        assert!(!hold.hold(&message(3, 5, 1), b"c"));
        assert!(hold.take(1, 3).is_some());
        assert!(hold.hold(&message(3, 5, 1), b"c"));
        hold.clear();
        assert!(hold.is_empty());
        assert!(hold.hold(&message(3, 9, 1), b"x") && hold.hold(&message(4, 8, 1), b"y"));
    }

    #[test]
    fn ingress_1_a_publisher_is_told_at_once_what_is_missing_and_ever_more_seldom() {
        // INGRESS-1
        let mut hold = HoldBack::new(16, 4);
        for (publisher, publisher_seq) in [(1, 4), (1, 5), (1, 8), (2, 3), (3, 9)] {
            assert!(hold.hold(&message(publisher, publisher_seq, 1), b"x"));
        }
        // Of 1 the first two are stamped, of 2 as well; 3 has a newer process.
        let last = |publisher, _| if publisher == 3 { None } else { Some(2) };
        let due_notices = |hold: &mut HoldBack, now, most: usize| {
            let mut rows = [NoticeRow::default(); 16];
            let count = hold.missing(now, 100, last, &mut rows[..most]);
            rows[..count].iter().map(|row| (row.publisher, row.from, row.to)).collect::<Vec<_>>()
        };
        assert_eq!(due_notices(&mut hold, 1_000, 1), [(1, 3, 4)], "no more than there is room for");
        assert_eq!(due_notices(&mut hold, 1_000, 16), [(1, 6, 8)], "the rest follows, nothing twice");
        assert!(hold.hold(&message(1, 7, 1), b"y"));
        assert_eq!(due_notices(&mut hold, 1_100, 16), [(1, 6, 7)], "what is missing now is another gap");
        let times: Vec<_> =
            (1_000..60_000).filter(|now| !due_notices(&mut hold, *now, 1).is_empty()).collect();
        assert_eq!(times.len(), 10, "six times each, and then no more: {times:?}");
    }

    #[test]
    fn one_publisher_fills_a_quarter_of_the_pool_and_no_more() {
        let mut hold = HoldBack::new(8, 4);
        assert!(hold.hold(&message(1, 3, 1), b"a") && hold.hold(&message(1, 5, 1), b"b"));
        assert!(!hold.hold(&message(1, 4, 1), b"c"));
        assert!(hold.hold(&message(1, 5, 2), b"new"), "a newer incarnation's takes a place that is there");
        assert!(hold.hold(&message(2, 3, 1), b"a"));
    }
}
