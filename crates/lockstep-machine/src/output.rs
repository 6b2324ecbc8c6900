//! The effects of an input: messages and timers.

use lockstep_wire::{Destination, Nanos};

/// An effect of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect<'a> {
    /// A message.
    Publish {
        /// Its destination.
        destination: Destination,
        /// Its content.
        payload: &'a [u8],
    },
    /// A timer is set; a pending one with this key is replaced.
    Timer {
        /// Its key.
        key: u64,
        /// When it is due, by the stream's time: not before the input that sets it.
        due: Nanos,
        /// Whether it is set relative to its input ([`Output::timer_after`]), and not at a time.
        is_relative: bool,
        /// The bytes that it returns.
        payload: &'a [u8],
    },
    /// The timer with this key is cancelled, if it is pending.
    Cancel {
        /// Its key.
        key: u64,
    },
}

/// An effect without its bytes.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Publish(Destination),
    Timer { key: u64, due: Nanos, is_relative: bool },
    Cancel(u64),
}

/// Collects the effects of an input, in order. Its memory is used again for the next input.
#[derive(Clone, Default, Debug)]
pub struct Output {
    time: Nanos,
    effects: Vec<(Stored, usize)>,
    /// The bytes of all effects; each effect stores the end of its own.
    bytes: Vec<u8>,
}

impl Output {
    /// The effects of an input at this time of the stream. A test of a machine may make one.
    pub fn new(time: Nanos) -> Self {
        Self { time, ..Self::default() }
    }

    /// Clears the effects, and begins with those of an input at this time.
    pub fn begin(&mut self, time: Nanos) {
        self.time = time;
        self.effects.clear();
        self.bytes.clear();
    }

    /// Publishes a message to a destination: [`EVERYBODY`](crate::EVERYBODY), a publisher, or a channel. It
    /// is stamped once, whichever copies of the machine run.
    pub fn publish(&mut self, destination: Destination, payload: &[u8]) {
        self.push(Stored::Publish(destination), payload);
    }

    /// As [`publish`](Self::publish), for a message in several pieces.
    pub fn publish_parts(&mut self, destination: Destination, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.push(Stored::Publish(destination), b"");
    }

    /// Sets the timer `key` to `at`, nanoseconds since the Unix epoch by the stream's time; it is due at once
    /// if that has passed. It returns as [`InputEvent::Timer`](crate::InputEvent::Timer), once, and never
    /// earlier. A pending timer with this key is replaced. If the stream's time is set back
    /// ([`InputEvent::TimeSetBack`](crate::InputEvent::TimeSetBack)) it waits for the same time again.
    pub fn timer_at(&mut self, key: u64, at: Nanos, payload: &[u8]) {
        self.push(Stored::Timer { key, due: at.max(self.time), is_relative: false }, payload);
    }

    /// As [`timer_at`](Self::timer_at), `after` nanoseconds behind the input's time. If the stream's time is
    /// set back, its remaining time stays the same.
    pub fn timer_after(&mut self, key: u64, after: Nanos, payload: &[u8]) {
        let due = self.time.saturating_add(after);
        self.push(Stored::Timer { key, due, is_relative: true }, payload);
    }

    /// Cancels the timer `key`, if it is pending.
    pub fn cancel(&mut self, key: u64) {
        self.push(Stored::Cancel(key), b"");
    }

    fn push(&mut self, effect: Stored, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.effects.push((effect, self.bytes.len()));
    }

    /// The effects, in order.
    pub fn effects(&self) -> impl Iterator<Item = Effect<'_>> {
        let mut from = 0;
        self.effects.iter().map(move |(effect, end)| {
            let payload = &self.bytes[from..*end];
            from = *end;
            match *effect {
                Stored::Publish(destination) => Effect::Publish { destination, payload },
                Stored::Timer { key, due, is_relative } => Effect::Timer { key, due, is_relative, payload },
                Stored::Cancel(key) => Effect::Cancel { key },
            }
        })
    }

    /// The messages alone, in order.
    pub fn published(&self) -> impl Iterator<Item = (Destination, &[u8])> {
        self.effects().filter_map(|effect| match effect {
            Effect::Publish { destination, payload } => Some((destination, payload)),
            Effect::Timer { .. } | Effect::Cancel { .. } => None,
        })
    }
}
