//! # beat: when a leader that has nothing to send says that it lives
//!
//! Heartbeats follow the last datagram at 50, 100 and 200 µs, so that a lost tail shows at once, then at
//! the beat. Under load a heartbeat is due at each beat all the same: frames alone do not tell a receiver
//! where the epoch began.

use crate::wire::Nanos;

/// The ladder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BeatLimits {
    /// First rung after a datagram; the next ones double.
    pub first_ns: Nanos,
    /// The steady interval.
    pub beat_ns: Nanos,
}

impl Default for BeatLimits {
    fn default() -> Self {
        Self { first_ns: 50_000, beat_ns: 1_000_000 }
    }
}

/// Rungs of the ladder before the steady beat.
const RUNGS: u32 = 3;

/// One leader's heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Beat {
    limits: BeatLimits,
    last_datagram: Nanos,
    last_beat: Nanos,
    rung: u32,
}

impl Beat {
    /// Due at once.
    pub fn new(limits: BeatLimits) -> Self {
        Self { limits, last_datagram: 0, last_beat: 0, rung: 0 }
    }

    /// Frames were sent.
    #[inline]
    pub fn on_sent(&mut self, now: Nanos) {
        self.last_datagram = now;
        self.rung = 0;
    }

    /// When the next one is due.
    #[inline]
    pub fn next_deadline(&self) -> Nanos {
        let steady = self.last_beat + self.limits.beat_ns;
        if self.rung < RUNGS {
            steady.min(self.last_datagram + (self.limits.first_ns << self.rung))
        } else {
            steady
        }
    }

    /// BEAT-1 (when to beat): on the ladder behind the last datagram, then at the beat, and at each beat
    /// under load too. Returns whether a heartbeat is due now, and counts it as sent.
    #[inline]
    pub fn due(&mut self, now: Nanos) -> bool {
        if now < self.next_deadline() {
            return false;
        }
        while self.rung < RUNGS && now >= self.last_datagram + (self.limits.first_ns << self.rung) {
            self.rung += 1;
        }
        self.last_beat = now;
        true
    }
}
