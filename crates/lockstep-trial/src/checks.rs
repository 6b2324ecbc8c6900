//! Whether what was delivered is right: each numbered message once and in order, nothing final taken back,
//! and one digest of all journals.

use lockstep_client::{Message, StreamDigest};
use lockstep_node::{NodeError, NodeSettings};
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use std::collections::{BTreeMap, VecDeque};

/// How a numbered message stands to those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberArrival {
    /// It is the next.
    Next,
    /// So many before it are missing.
    Ahead(u64),
    /// It was missing.
    Late,
    /// It was delivered before.
    Again,
}

/// The numbers of one publisher's messages, from 0, as they were delivered.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NumberCheck {
    greatest: Option<u64>,
    /// Numbers below it that were not delivered: each first one, and the one behind the last.
    holes: BTreeMap<u64, u64>,
    missing: u64,
    duplicated: u64,
    reordered: u64,
}

impl NumberCheck {
    /// One more message.
    pub fn take(&mut self, number: u64) -> NumberArrival {
        if self.greatest.is_none_or(|greatest| number > greatest) {
            let (next, skipped) = (self.next(), number - self.next());
            self.greatest = Some(number);
            if skipped == 0 {
                return NumberArrival::Next;
            }
            self.holes.insert(next, number);
            self.missing += skipped;
            return NumberArrival::Ahead(skipped);
        }
        let hole = self.holes.range(..=number).next_back().map(|(from, to)| (*from, *to));
        let Some((from, to)) = hole.filter(|(_, to)| *to > number) else {
            self.duplicated += 1;
            return NumberArrival::Again;
        };
        self.holes.remove(&from);
        for (from, to) in [(from, number), (number + 1, to)] {
            if from < to {
                self.holes.insert(from, to);
            }
        }
        (self.missing, self.reordered) = (self.missing - 1, self.reordered + 1);
        NumberArrival::Late
    }

    /// The number behind the greatest that was delivered.
    pub fn next(&self) -> u64 {
        self.greatest.map_or(0, |greatest| greatest.saturating_add(1))
    }

    /// Messages that were not delivered, although a later one was.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Messages that were delivered again.
    pub fn duplicated(&self) -> u64 {
        self.duplicated
    }

    /// Messages that were delivered behind a later one.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }
}

/// A message that was delivered and is not final yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingMessage {
    seq: Seq,
    publisher: PublisherId,
    publisher_seq: PublisherSeq,
    destination: Destination,
    timestamp: Nanos,
    payload: Vec<u8>,
}

impl PendingMessage {
    /// A copy.
    pub fn of(message: &Message<'_>) -> Self {
        let Message { seq, publisher, publisher_seq, destination, timestamp, payload } = *message;
        Self { seq, publisher, publisher_seq, destination, timestamp, payload: payload.to_vec() }
    }

    /// As it was delivered.
    pub fn message(&self) -> Message<'_> {
        let Self { seq, publisher, publisher_seq, destination, timestamp, ref payload } = *self;
        Message { seq, publisher, publisher_seq, destination, timestamp, payload }
    }
}

/// What a `stamped` reader was delivered and is not final yet: it is when it is said to be committed, and may
/// be taken back until then.
#[derive(Default)]
pub struct PendingMessages {
    messages: VecDeque<PendingMessage>,
    next: Seq,
    retracted: u64,
}

impl PendingMessages {
    /// A message was stamped.
    ///
    /// # Errors
    /// It stands at or below one that was delivered and not taken back.
    pub fn stamp(&mut self, message: &Message<'_>) -> Result<(), String> {
        if message.seq < self.next {
            return Err(format!(
                "a stamped reader was told seq {} behind {}, without a retraction",
                message.seq, self.next
            ));
        }
        self.next = message.seq + 1;
        self.messages.push_back(PendingMessage::of(message));
        Ok(())
    }

    /// Everything from `from` on is taken back.
    pub fn retract(&mut self, from: Seq) {
        self.next = self.next.min(from);
        let remaining = self.messages.partition_point(|message| message.seq < from);
        self.retracted += (self.messages.len() - remaining) as u64;
        self.messages.truncate(remaining);
    }

    /// Everything below `next` is final, and handed to `f` in order.
    pub fn commit(&mut self, next: Seq, mut f: impl FnMut(&Message<'_>)) {
        while self.messages.front().is_some_and(|first| first.seq < next)
            && let Some(first) = self.messages.pop_front()
        {
            f(&first.message());
        }
    }

    /// Whether all is final.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Messages that were taken back.
    pub fn retracted(&self) -> u64 {
        self.retracted
    }
}

/// The digest of each of these journals up to `next`, and how far it reaches.
///
/// # Errors
/// One cannot be read.
pub fn journal_digests(
    nodes: impl IntoIterator<Item = NodeSettings>,
    next: Seq,
) -> Result<Vec<(StreamDigest, Seq)>, NodeError> {
    nodes.into_iter().map(|node| lockstep_node::journal_digest(&node, Some(next))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_the_next_ahead_late_or_there_again() {
        use NumberArrival::{Again, Ahead, Late, Next};
        let mut check = NumberCheck::default();
        for (number, arrival) in [
            (0, Next),
            (1, Next),
            (6, Ahead(4)),
            (6, Again),
            (3, Late),
            (3, Again),
            (2, Late),
            (5, Late),
            (4, Late),
            (4, Again),
            (7, Next),
            (u64::MAX, Ahead(u64::MAX - 8)),
            (u64::MAX, Again),
            (1 << 60, Late),
        ] {
            assert_eq!(check.take(number), arrival, "{number}");
        }
        assert_eq!((check.duplicated(), check.reordered(), check.missing()), (4, 5, u64::MAX - 9));
    }

    #[test]
    fn what_is_stamped_is_handed_on_when_it_is_final_and_what_is_taken_back_never() {
        let message = |seq| Message {
            seq,
            publisher: 7,
            publisher_seq: seq,
            destination: 0,
            timestamp: 9,
            payload: b"order",
        };
        let mut pending = PendingMessages::default();
        let mut taken = Vec::new();
        for seq in [3, 4, 6] {
            pending.stamp(&message(seq)).expect("seqs rise");
        }
        assert!(pending.stamp(&message(6)).is_err_and(|why| why.contains("seq 6 behind 7")));
        pending.commit(4, |message| taken.push(message.seq));
        pending.retract(5);
        pending.stamp(&message(5)).expect("it was taken back");
        pending.commit(6, |committed| {
            assert_eq!(*committed, message(committed.seq));
            taken.push(committed.seq);
        });
        assert_eq!((taken, pending.retracted(), pending.is_empty()), (vec![3, 4, 5], 1, true));
    }
}
