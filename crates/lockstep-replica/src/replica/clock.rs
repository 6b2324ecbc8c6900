//! This node's clock compared with those of the others, and with the stream's time. A leader stamps by the
//! time that a quorum's clocks have reached (CLOCK-1), so that one wrong clock moves nothing. Time never
//! decreases along the stream: where a quorum's clocks were ahead, it stands still at every later leader
//! until the clocks have passed it (DECISIONS 24). The operator is notified of a clock that is apart, and of
//! a stream's time that is ahead and of how long that will last.

use super::role::RoleState;
use super::{ReplicaCore, ReplicaEngine, Turn};
use crate::ports::Ports;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Condition, Nanos};

/// The stream's time may be this far ahead of a node's clock: far more than disciplined clocks differ.
const AHEAD_NS: Nanos = 100_000_000;
/// A node that does not lead judges its clock so often; a leader at each heartbeat.
const JUDGED_EVERY: Nanos = 100_000_000;

impl<P: Ports> ReplicaEngine<P> {
    /// This node's clock was set: a leader stamps nothing by it before it is judged.
    #[cold]
    pub(super) fn judge_clock(&mut self, turn: &Turn) {
        self.core.judge_clock(turn);
        if let RoleState::Leading(leading) = &mut self.role {
            leading.sequencer.set_correction(self.core.clocks.correction());
        }
    }
}

impl ReplicaCore {
    /// Called once per turn of a standby or learner, and once per heartbeat of a leader. `stream` is the
    /// stream's time.
    #[inline]
    pub(super) fn check_clock(&mut self, stream: Nanos, turn: &Turn, leads: bool) {
        let Turn { now, wall, .. } = *turn;
        if leads || now >= self.clock_judged_at + JUDGED_EVERY {
            self.judge_clock(turn);
        }
        let wall = wall.saturating_add_signed(self.clocks.correction());
        if stream > wall + AHEAD_NS / 2 || self.clock_ahead {
            self.report_clock_ahead(now, stream.saturating_sub(wall), leads);
        }
    }

    /// Judges this node's clock by those of the members.
    #[cold]
    pub(super) fn judge_clock(&mut self, turn: &Turn) {
        let Turn { now, wall, .. } = *turn;
        self.clock_judged_at = now;
        let Some(apart) = self.clocks.judge(self.identity(), &self.log.membership, (now, wall)) else {
            return;
        };
        let numbers = (apart.unsigned_abs(), u64::from(apart > 0));
        self.set_condition(Condition::ClockApart, self.clocks.correction() != 0, now, numbers);
    }

    /// A condition that has begun ends at half of the limit at which it begins.
    #[cold]
    fn report_clock_ahead(&mut self, now: Nanos, ahead: Nanos, leads: bool) {
        let bound = if self.clock_ahead { AHEAD_NS / 2 } else { AHEAD_NS };
        self.clock_ahead = ahead > bound && !planted(Mutation::ClockNotChecked);
        self.set_condition(Condition::ClockAhead, self.clock_ahead, now, (ahead, u64::from(leads)));
    }
}
