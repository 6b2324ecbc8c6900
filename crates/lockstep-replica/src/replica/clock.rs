//! This node's clock compared with those of the others, and with the stream's time. A leader stamps by the
//! time that a quorum's clocks have reached (CLOCK-1), so that one wrong clock moves nothing. Time decreases
//! along the stream by an operator's order alone (CLOCK-2): where a quorum's clocks were ahead, it stands
//! still at every later leader until that order, or until the clocks have passed it (DECISIONS 24). The
//! operator is notified of a clock that is apart, and of a stream's time that is ahead and of how long that
//! will last.

use super::role::RoleState;
use super::{Ctx, ReplicaEngine, Turn};
use crate::ports::Ports;
use lockstep_core::proto::clocks::{Clocks, TOLERANCE};
use lockstep_core::proto::membership::Membership;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::sequence::Sequencer;
use lockstep_wire::{Condition, Epoch, Header, Identity, Nanos, Wall};

/// A node that does not lead judges its clock so often; a leader at each heartbeat.
const JUDGED_EVERY: Nanos = 100_000_000;

/// The clocks of the members beside this node's own, and what follows from them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct ClockWatch {
    clocks: Clocks,
    /// When they were judged last.
    judged_at: Nanos,
    /// By how much our clock was ahead of the monotonic one; another number: it was set.
    base: i64,
    /// The stream's time is far ahead of ours.
    is_ahead: bool,
    /// The stream's time when this node, as the leader, knew it first in its epoch; 0: it did not lead.
    learned: Wall,
}

impl ClockWatch {
    /// As it is where no clock differs from ours, at `now`.
    pub(super) fn agreed(now: Nanos) -> Self {
        Self { clocks: Clocks::agreed(), judged_at: now, ..Self::default() }
    }

    /// By how much the stream's time is to differ from our clock; `None` while that is not known (CLOCK-1).
    pub(super) fn correction(&self) -> Option<i64> {
        self.clocks.correction()
    }

    /// When the epoch with this start began. The start of a history's first epoch has no time: the node that
    /// `led` it tells when it knew the stream's time.
    pub(super) fn since(&self, start: &Header, led: Epoch) -> Wall {
        if start.timestamp == 0 && start.epoch() == led { self.learned } else { Wall(start.timestamp) }
    }

    /// CLOCK-1: the leader stamps by what was judged. Returns whether the stream's time is known.
    fn correct(&mut self, sequencer: &mut Sequencer, wall: Wall) -> bool {
        sequencer.set_correction(self.correction());
        self.learned = sequencer.time(wall);
        sequencer.has_time()
    }

    /// Whether our clock was set since the last call.
    #[inline]
    pub(super) fn was_set(&mut self, now: Nanos, wall: Wall) -> bool {
        let base = wall.ahead_of(now);
        std::mem::replace(&mut self.base, base) != base
    }

    /// CLOCK-1: judges our clock by those of the members. Returns by how much it differs, where that is
    /// known.
    pub(super) fn judge(
        &mut self,
        me: Identity,
        members: &Membership,
        now: Nanos,
        wall: Wall,
    ) -> Option<i64> {
        self.judged_at = now;
        self.clocks.judge(me, members, now, wall)
    }

    /// A member's datagram shows its clock.
    #[inline]
    pub(super) fn on_member(&mut self, members: &Membership, now: Nanos, header: &Header) {
        self.clocks.on_time(header.identity(), members, now, Wall(header.timestamp));
    }

    /// A member's ack shows its clock to a node that follows, which looks at those that come shortly before
    /// it judges again.
    #[inline]
    pub(super) fn on_ack(&mut self, members: &Membership, now: Nanos, header: &Header) {
        if now >= self.judged_at + JUDGED_EVERY / 2 {
            self.on_member(members, now, header);
        }
    }

    /// Whether a stream that is so far ahead of our clock is news. A condition that has begun ends at half of
    /// the limit at which it begins.
    fn is_news(&mut self, ahead: Nanos) -> bool {
        let bound = if self.is_ahead { TOLERANCE / 2 } else { TOLERANCE };
        let was_ahead = self.is_ahead;
        self.is_ahead = ahead > bound && !planted(Mutation::ClockNotChecked);
        self.is_ahead || was_ahead
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// This node's clock was set: a leader stamps nothing by it before it is judged.
    #[cold]
    pub(super) fn judge_clock(&mut self, turn: Turn) {
        let (mut ctx, _, role) = self.parts(turn);
        ctx.judge_clock();
        if let RoleState::Leading(leading) = role {
            leading.sequencer.set_correction(ctx.core.clocks.correction());
        }
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// CLOCK-1: the first epoch of a history begins before its leader has received anybody. It stamps its
    /// start, which has no time of its own, and what was submitted waits until the clocks of a quorum are
    /// known: one round trip, and nothing could be committed before. A survivor that has removed the other
    /// member is a quorum at once. Returns whether the stream's time is known.
    #[cold]
    pub(super) fn learn_time(&mut self, sequencer: &mut Sequencer) -> bool {
        self.judge_clock();
        self.core.clocks.correct(sequencer, self.turn.wall)
    }

    /// Called once per turn of a standby or learner, and once per heartbeat of a leader. `stream` is the
    /// stream's time.
    #[inline]
    pub(super) fn check_clock(&mut self, stream: Wall, leads: bool) {
        let Turn { now, wall, .. } = self.turn;
        if leads || now >= self.core.clocks.judged_at + JUDGED_EVERY {
            self.judge_clock();
        }
        let wall = wall.saturating_add_signed(self.core.clocks.correction().unwrap_or(0));
        let ahead = stream.saturating_since(wall);
        if (ahead > TOLERANCE / 2 || self.core.clocks.is_ahead) && self.core.clocks.is_news(ahead) {
            let numbers = (ahead, u64::from(leads));
            self.core.set_condition(Condition::ClockAhead, self.core.clocks.is_ahead, now, numbers);
        }
    }

    /// Judges this node's clock by those of the members.
    #[cold]
    pub(super) fn judge_clock(&mut self) {
        let Turn { now, wall, .. } = self.turn;
        let me = self.core.identity();
        let Some(apart) = self.core.clocks.judge(me, &self.core.log.membership, now, wall) else { return };
        let numbers = (apart.unsigned_abs(), u64::from(apart > 0));
        self.core.set_condition(
            Condition::ClockApart,
            self.core.clocks.correction() != Some(0),
            now,
            numbers,
        );
    }
}
