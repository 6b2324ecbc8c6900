//! The stream's time beside this node's clock. Time never falls along the stream, so a leader whose clock is
//! far ahead takes it there for good: then it stands still at every leader until that leader's clock is past
//! it (DECISIONS 24). No rule looks at a clock; the operator is told, by how much and how long it will take.

use super::{ReplicaCore, Turn};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Condition, Nanos};

/// The stream's time may be this far ahead of a node's clock: far more than clocks differ that something
/// disciplines.
const AHEAD_NS: Nanos = 100_000_000;

impl ReplicaCore {
    /// Once a turn of a standby or learner, once a beat of a leader: `stream` is the stream's time.
    #[inline]
    pub(super) fn check_clock(&mut self, stream: Nanos, turn: &Turn, leads: bool) {
        let Turn { now, wall, .. } = *turn;
        if stream > wall + AHEAD_NS / 2 || self.clock_ahead {
            self.report_clock_ahead(now, stream.saturating_sub(wall), leads);
        }
    }

    /// What has begun ends at half of what begins it.
    #[cold]
    fn report_clock_ahead(&mut self, now: Nanos, ahead: Nanos, leads: bool) {
        let bound = if self.clock_ahead { AHEAD_NS / 2 } else { AHEAD_NS };
        self.clock_ahead = ahead > bound && !planted(Mutation::ClockNotLookedAt);
        self.set_condition(Condition::ClockAhead, self.clock_ahead, now, (ahead, u64::from(leads)));
    }
}
