//! What a subscriber was given, judged: each message of the load once, in its order, and a digest of all
//! that the other subscriber must have as well.

use lockstep_client::{Message, StreamDigest, SubscriberEvent};
use lockstep_trial::checks::{NumberCheck, PendingMessages};
use lockstep_wire::{Nanos, Seq};
use std::collections::VecDeque;

/// The shortest message: its number and when it was due.
pub const SIZE_MIN: usize = 16;

fn word(payload: &[u8], at: usize) -> u64 {
    payload.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
}

/// The number of a message.
fn number(payload: &[u8]) -> u64 {
    word(payload, 0)
}

/// When a message was due to be published.
pub fn due(payload: &[u8]) -> Nanos {
    word(payload, 8)
}

/// Writes message `number` into `payload`, which has at least [`SIZE_MIN`] bytes.
pub fn write_message(payload: &mut [u8], number: u64, due: Nanos) {
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload[8..SIZE_MIN].copy_from_slice(&due.to_le_bytes());
}

/// Two digests are compared each time that so many messages have been delivered.
pub const MARK_EVERY: u64 = 500;

/// What was wrong with a delivered stream, in messages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Faults {
    /// Not delivered, although a later one was.
    pub missing: u64,
    /// Delivered again.
    pub duplicated: u64,
    /// Delivered behind a later one.
    pub reordered: u64,
}

impl Faults {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            missing: self.missing + other.missing,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
        }
    }
}

/// A delivered stream of one publisher whose messages are numbered from 0.
#[derive(Default)]
pub struct Checker {
    digest: StreamDigest,
    numbers: NumberCheck,
    seq_first: Seq,
    seq_next: Seq,
    marks: VecDeque<String>,
}

impl Checker {
    /// One more message, for ever.
    pub fn take(&mut self, message: &Message<'_>) {
        if self.digest.messages() == 0 {
            self.seq_first = message.seq;
        }
        self.seq_next = message.seq + 1;
        self.digest.add(message);
        if self.digest.messages().is_multiple_of(MARK_EVERY) {
            self.marks.push_back(self.digest.hex());
        }
        self.numbers.take(number(message.payload));
    }

    /// Messages so far, copies included.
    pub fn messages(&self) -> u64 {
        self.digest.messages()
    }

    /// The seq behind the last message.
    pub fn seq_next(&self) -> Seq {
        self.seq_next
    }

    /// The digest of all.
    pub fn digest(&self) -> String {
        self.digest.hex()
    }

    /// The errors so far.
    pub fn faults(&self) -> Faults {
        let numbers = &self.numbers;
        Faults {
            missing: numbers.missing(),
            duplicated: numbers.duplicated(),
            reordered: numbers.reordered(),
        }
    }
}

/// Compares two streams as far as both have been delivered since the last time; both must be given in the
/// same order each time. Returns how many more messages are equal.
///
/// # Errors
/// Two digests over as many messages that differ.
pub fn compare(one: &mut Checker, other: &mut Checker, equal: u64) -> Result<u64, String> {
    let mut more = 0;
    while let (Some(ours), Some(theirs)) = (one.marks.front(), other.marks.front()) {
        more += MARK_EVERY;
        if ours != theirs {
            return Err(format!(
                "two subscribers differ: after {} messages one, which began at seq {}, has the digest {ours}, \
                 the other, which began at seq {}, has {theirs}",
                equal + more,
                one.seq_first,
                other.seq_first
            ));
        }
        one.marks.pop_front();
        other.marks.pop_front();
    }
    Ok(more)
}

/// What a `stamped` reader was told.
#[derive(Default)]
pub struct Optimist {
    /// Final messages.
    pub checker: Checker,
    pending: PendingMessages,
}

impl Optimist {
    /// A message was stamped.
    ///
    /// # Errors
    /// It stands at or below one that was told and not taken back.
    pub fn on_message(&mut self, message: &Message<'_>) -> Result<(), String> {
        self.pending.stamp(message)
    }

    /// Everything from `from` on is taken back.
    pub fn on_retract(&mut self, from: Seq) {
        self.pending.retract(from);
    }

    /// Everything below `next` is final.
    pub fn on_committed(&mut self, next: Seq) {
        let Self { checker, pending } = self;
        pending.commit(next, |message| checker.take(message));
    }

    /// Messages that were taken back.
    pub fn retracted(&self) -> u64 {
        self.pending.retracted()
    }
}

/// Why a subscription ends with `event`, if it does.
pub fn end_of(event: &SubscriberEvent<'_>) -> Option<String> {
    match event {
        SubscriberEvent::Abandoned { from, oldest, .. } => {
            Some(format!("seq {from} cannot be repaired any more, the oldest is {oldest}"))
        }
        SubscriberEvent::Refused { why, next } => Some(format!("seq {next} cannot be replayed: {why:?}")),
        SubscriberEvent::Diverged { seq } => Some(format!("the logs diverge at seq {seq}")),
        _ => None,
    }
}

/// The same of one that delivers what is committed, of which nothing may be taken back.
pub fn end_of_committed(event: &SubscriberEvent<'_>) -> Option<String> {
    match event {
        SubscriberEvent::Retract { from } => {
            Some(format!("a committed reader was told to take back from seq {from} on"))
        }
        event => end_of(event),
    }
}
