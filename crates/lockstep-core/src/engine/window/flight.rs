//! How many datagrams may be under way: sent, and not seen stamped.
//!
//! A window may hold more than the leader's socket does. Sent at once, most of it would be lost there, sent
//! again, and lost again, and the more was offered, the less was carried. So what is under way is bounded by
//! what a socket of this network takes; and as others publish into the same one, by what becomes of it: a
//! loss halves the bound, once for all that was under way, and each time that as much as the bound was
//! stamped while more waited, it grows by an eighth.

use lockstep_wire::Nanos;

/// A loss leaves this much: with it, each round trip of 100 us still carries 160,000 datagrams a second.
const LEAST: u64 = 16;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flight {
    /// Most datagrams ever.
    max: u64,
    /// Most at present.
    limit: u64,
    flying: u64,
    /// Datagrams seen stamped since the limit last changed, while more waited.
    landed: u64,
    /// More waited at the last look.
    full: bool,
    lost_at: Nanos,
}

impl Flight {
    /// At most `max` datagrams; nothing was lost yet.
    pub fn new(max: u32) -> Self {
        let max = u64::from(max).max(1);
        Self { max, limit: max, flying: 0, landed: 0, full: false, lost_at: 0 }
    }

    /// How many of `waiting` datagrams may be sent now.
    #[inline]
    pub(super) fn admit(&mut self, waiting: u64) -> u64 {
        let room = self.limit.saturating_sub(self.flying);
        self.full = waiting > room;
        waiting.min(room)
    }

    /// How many are under way.
    pub(super) fn flying(&self) -> u64 {
        self.flying
    }

    /// One was sent for the first time.
    #[inline]
    pub(super) fn on_sent(&mut self) {
        self.flying += 1;
    }

    /// One that was sent was seen stamped, or needs it no longer.
    #[inline]
    pub(super) fn on_landed(&mut self) {
        self.flying -= 1;
        if self.full && self.limit < self.max {
            self.landed += 1;
            if self.landed >= self.limit {
                self.limit = (self.limit + (self.limit / 8).max(1)).min(self.max);
                self.landed = 0;
            }
        }
    }

    /// One that was sent at `sent_at` was lost, as far as anybody can tell. What was sent before the last
    /// halving says nothing of what came of it.
    pub(super) fn on_loss(&mut self, now: Nanos, sent_at: Nanos) {
        if sent_at >= self.lost_at {
            self.lost_at = now;
            self.limit = (self.limit / 2).max(LEAST.min(self.max));
            self.landed = 0;
        }
    }
}
