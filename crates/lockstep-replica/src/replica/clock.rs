//! The stream's time compared with this node's clock. Time never decreases along the stream. So a leader
//! whose clock is far ahead moves the stream's time ahead for good: at every later leader it stands still
//! until that leader's clock has passed it (DECISIONS 24). No rule reads a clock. The operator is notified
//! of the difference and of how long it will last.

use super::{ReplicaCore, Turn};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Condition, Nanos};

/// The stream's time may be this far ahead of a node's clock: far more than disciplined clocks differ.
const AHEAD_NS: Nanos = 100_000_000;

impl ReplicaCore {
    /// Called once per turn of a standby or learner, and once per heartbeat of a leader. `stream` is the
    /// stream's time.
    #[inline]
    pub(super) fn check_clock(&mut self, stream: Nanos, turn: &Turn, leads: bool) {
        let Turn { now, wall, .. } = *turn;
        if stream > wall + AHEAD_NS / 2 || self.clock_ahead {
            self.report_clock_ahead(now, stream.saturating_sub(wall), leads);
        }
    }

    /// A condition that has begun ends at half of the limit at which it begins.
    #[cold]
    fn report_clock_ahead(&mut self, now: Nanos, ahead: Nanos, leads: bool) {
        let bound = if self.clock_ahead { AHEAD_NS / 2 } else { AHEAD_NS };
        self.clock_ahead = ahead > bound && !planted(Mutation::ClockNotChecked);
        self.set_condition(Condition::ClockAhead, self.clock_ahead, now, (ahead, u64::from(leads)));
    }
}
