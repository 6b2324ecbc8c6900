//! The effects of an input: what a machine publishes, and its timers.

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
    /// A timer is set; one with this key that was pending is replaced.
    Timer {
        /// Its key.
        key: u64,
        /// When it is due, by the stream's time: not before the input that has set it.
        due: Nanos,
        /// Whether it is due so long behind the input that has set it, and not at that time
        /// ([`Output::timer_after`]).
        is_relative: bool,
        /// What comes back with it.
        payload: &'a [u8],
    },
    /// The timer with this key is no longer pending, if it was.
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

/// Collects the effects of an input, in order. Its memory is used again for the next one.
#[derive(Clone, Default, Debug)]
pub struct Output {
    time: Nanos,
    effects: Vec<(Stored, usize)>,
    /// The bytes of all effects; each has the end of its own.
    bytes: Vec<u8>,
}

impl Output {
    /// Those of an input at this time of the stream. A test of a machine makes one by itself.
    pub fn new(time: Nanos) -> Self {
        Self { time, ..Self::default() }
    }

    /// Forgets the effects, and begins with those of an input at this time.
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

    /// As [`publish`](Self::publish), of a message in several pieces.
    pub fn publish_parts(&mut self, destination: Destination, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.push(Stored::Publish(destination), b"");
    }

    /// The timer `key` is due at `at`, nanoseconds since the Unix epoch by the stream's time, and at once if
    /// that has passed. It comes back as [`InputEvent::Timer`](crate::InputEvent::Timer), once, and never
    /// earlier. One with this key that is pending is replaced. Where the stream's time is set back
    /// ([`InputEvent::TimeSetBack`](crate::InputEvent::TimeSetBack)) it waits for the same time once more.
    pub fn timer_at(&mut self, key: u64, at: Nanos, payload: &[u8]) {
        self.push(Stored::Timer { key, due: at.max(self.time), is_relative: false }, payload);
    }

    /// As [`timer_at`](Self::timer_at), so many nanoseconds behind the input's time. Where the stream's time
    /// is set back, what is left of them stays.
    pub fn timer_after(&mut self, key: u64, after: Nanos, payload: &[u8]) {
        let due = self.time.saturating_add(after);
        self.push(Stored::Timer { key, due, is_relative: true }, payload);
    }

    /// The timer `key` is cancelled, if it is pending.
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
