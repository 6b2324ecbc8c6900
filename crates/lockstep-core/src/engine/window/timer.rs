//! When what was sent is sent again: RFC 6298's estimator without its second-long floor, from sending to
//! being seen stamped.
//!
//! Karn's rule has two halves. What was sent twice is no sample: nobody knows which copy was stamped. So a
//! round trip that has outgrown the wait would never be measured again, and everything would be sent twice
//! for ever; hence the wait that a resend has doubled stays doubled for all, until a sample has come.

use lockstep_wire::Nanos;

/// Waits are doubled this often at the most.
const BACKOFF_MAX: u16 = 10;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ResendTimer {
    min_ns: Nanos,
    max_ns: Nanos,
    smoothed_ns: Nanos,
    variation_ns: Nanos,
    /// How often the wait was doubled since the last sample.
    backoff: u16,
}

impl ResendTimer {
    /// Between these bounds; before the first sample it waits ten times the minimum.
    pub fn new(min_ns: Nanos, max_ns: Nanos) -> Self {
        Self { min_ns, max_ns, smoothed_ns: 0, variation_ns: 0, backoff: 0 }
    }

    /// A datagram that was sent once was seen stamped after this long.
    pub(super) fn on_sample(&mut self, took_ns: Nanos) {
        self.backoff = 0;
        if self.smoothed_ns == 0 {
            (self.smoothed_ns, self.variation_ns) = (took_ns, took_ns / 2);
        } else {
            self.variation_ns = (3 * self.variation_ns + self.smoothed_ns.abs_diff(took_ns)) / 4;
            self.smoothed_ns = (7 * self.smoothed_ns + took_ns) / 8;
        }
    }

    /// The time of datagrams was over, of which one had been sent again `resends` times.
    pub(super) fn on_timeout(&mut self, resends: u16) {
        self.backoff = (resends.max(self.backoff) + 1).min(BACKOFF_MAX);
    }

    /// How often in a row the wait was doubled.
    pub(super) fn timeouts(&self) -> u16 {
        self.backoff
    }

    /// Another leader answers: what the one before did not says nothing of it.
    pub(super) fn on_leader_changed(&mut self) {
        self.backoff = 0;
    }

    /// How long to wait for a datagram that was sent again `resends` times.
    pub(super) fn delay_ns(&self, resends: u16) -> Nanos {
        let first = match self.smoothed_ns {
            0 => self.min_ns * 10,
            smoothed => (smoothed + 4 * self.variation_ns).max(self.min_ns),
        };
        let doubled = resends.max(self.backoff).min(BACKOFF_MAX);
        first.saturating_mul(1 << doubled).min(self.max_ns)
    }

    /// The smoothed round trip; 0 before the first sample.
    pub(super) fn smoothed_ns(&self) -> Nanos {
        self.smoothed_ns
    }
}
