//! When a node that does not lead misses its leader, and when it accepts the leader again.

use super::{Ctx, Following, ReplicaCore};
use crate::conditions::ConditionSet;
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{Events, ReplicaEvent};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::failure_detector;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::LeaderLossReason;
use lockstep_wire::{
    Condition, DeathNoticeBody, EPOCHS_MAX, Epoch, Header, Identity, Nanos, Seq, StepDownBody,
};

/// A leader that stamps none of the submissions received for this many timeouts is deaf.
const DEAF_PATIENCE: u64 = 10;
/// This many epochs of the log without a commit raise an alarm: half of what an epoch's start can list.
const EPOCHS_ALARM: usize = EPOCHS_MAX / 2;
/// They raise it once they have had no commit for so many timeouts.
const EPOCHS_TIMEOUTS: u64 = 4;

/// Since when the log has had many takeovers without a commit. A log that is read at a start, or replayed, is
/// no news before it is known what is committed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct EpochsAlarm {
    since: Option<Nanos>,
}

impl EpochsAlarm {
    /// So many epochs of the log have no commit, which ends at `commit_next`; where that is known, it is an
    /// alarm once it has lasted.
    #[inline]
    fn check(
        &mut self,
        conditions: &mut ConditionSet,
        events: &mut Events,
        now: Nanos,
        known_lasts_ns: Option<Nanos>,
        count: usize,
        commit_next: Seq,
    ) {
        let holds = conditions.holds(Condition::EpochsUncommitted);
        let (mut lasts, are_many) = (holds, count >= EPOCHS_ALARM);
        if !are_many {
            self.since = None;
        } else if let Some(lasts_ns) = known_lasts_ns {
            lasts |= now >= *self.since.get_or_insert(now) + lasts_ns;
        }
        if holds || are_many && lasts {
            let numbers = (count as u64, commit_next);
            let event = conditions.set(Condition::EpochsUncommitted, are_many, now, numbers);
            event.into_iter().for_each(|event| events.push(event));
        }
    }
}

/// When and why a leader was last missed, for status queries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CurrentSuspicion {
    /// The epoch whose leader was missed.
    pub epoch: Epoch,
    /// Why.
    pub why: LeaderLossReason,
    /// When, on the node's own clock.
    pub at: Nanos,
}

/// The leaders that were missed last.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct LeadersMissed {
    /// The last one, for status queries.
    pub last: Option<CurrentSuspicion>,
    /// The last epoch whose leader handed over, for the counters of takeovers.
    pub handed_over: Epoch,
}

impl Following {
    /// Our place among the successors, as the leader ranked them last; by membership where it did not.
    pub(super) fn rank(&self, core: &ReplicaCore) -> usize {
        let me = core.identity();
        let ranked = self.successors_announced.iter().position(|replica| u32::from(*replica) == me.replica);
        ranked.or_else(|| core.log.membership.position(me)).unwrap_or(0)
    }

    fn suspect_leader<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, why: LeaderLossReason, rank: usize) {
        self.report_suspicion(ctx, why);
        ctx.core.election.on_missed(ctx.turn.now, why, rank);
    }

    fn report_suspicion<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, why: LeaderLossReason) {
        let now = ctx.turn.now;
        let epoch = ctx.core.followed.epoch();
        if ctx.core.election.missing() != Some(why) {
            ctx.core.leaders_missed.last = Some(CurrentSuspicion { epoch, why, at: now });
            self.missed_since.get_or_insert(now);
            ctx.core.events.push(ReplicaEvent::LeaderSuspected { epoch, why });
            ctx.core.counters.add(Counter::Suspicions, 1);
        }
    }

    pub(super) fn on_down<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        header: &Header,
        body: &DeathNoticeBody,
    ) {
        let follow = &ctx.core.followed.epochs;
        let dead = header.identity() == follow.epoch().leader()
            && failure_detector::is_down(follow.epoch(), &follow.secret_hash, header.epoch(), &body.secret);
        if dead {
            let rank = self.rank(ctx.core);
            self.suspect_leader(ctx, LeaderLossReason::Down, rank);
        }
    }

    pub(super) fn on_step_down<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        header: &Header,
        body: &StepDownBody,
    ) {
        if header.epoch() != ctx.core.followed.epoch() && !planted(Mutation::OldStepDownObeyed)
            || header.identity() != header.epoch().leader()
        {
            return;
        }
        let (why, rank) = (LeaderLossReason::StepDown, self.rank(ctx.core));
        if body.successor != 0 {
            ctx.core.leaders_missed.handed_over = header.epoch();
        }
        if body.successor == 0 {
            self.suspect_leader(ctx, why, rank);
        } else if Identity::from_packed(body.successor) == ctx.core.identity() {
            self.suspect_leader(ctx, why, 0);
        } else {
            self.report_suspicion(ctx, why);
            ctx.core.election.on_successor_named(ctx.turn.now, rank);
        }
    }

    /// A sign of life of the leader of `epoch`, which we may follow. The leader of an epoch that is new to
    /// us was never missed: the suspicion of its predecessor was no mistake of ours, and doubles no
    /// timeout.
    pub(super) fn on_leader_alive<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, epoch: Epoch) {
        let now = ctx.turn.now;
        if self.no_progress {
            return;
        }
        if epoch > ctx.core.followed.epoch() {
            ctx.core.failure_detector.restart(now);
        } else {
            ctx.core.failure_detector.on_life(now);
        }
        ctx.core.election.on_life();
        if self.missed_since.is_some() && ctx.core.election.is_calm() {
            self.on_leader_returned(ctx, epoch);
        }
    }

    /// The leader that we missed sends again, and no other node took over meanwhile.
    #[cold]
    fn on_leader_returned<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, epoch: Epoch) {
        let lasted = self.missed_since.take().map_or(0, |since| ctx.turn.now.saturating_sub(since));
        ctx.core.events.push(ReplicaEvent::LeaderReturned { epoch, lasted });
    }

    /// SUSPECT-1, and the leader that is heard but deaf: it stamps nothing although we have heard, long ago,
    /// what could be stamped, and it tells no lack of credit, neither of all nor of some.
    pub(super) fn poll_failure_detector<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) {
        let now = ctx.turn.now;
        let waits_since = ctx
            .core
            .pending_submissions
            .drop_committed(ctx.core.followed.end().map_or(1, |end| end.next), &ctx.core.log.publishers);
        let since = waits_since.map(|since| since.max(self.advanced_at));
        self.no_progress = since.is_some_and(|since| self.is_stuck(ctx.core, now, since, DEAF_PATIENCE))
            && self.credit_announced
            && !ctx.core.rx.is_waiting();
        let suspected = ctx.core.failure_detector.poll(now, ctx.turn.drained);
        if ctx.core.election.is_calm() && (suspected || self.no_progress) {
            let rank = self.rank(ctx.core);
            self.suspect_leader(
                ctx,
                if suspected { LeaderLossReason::Silence } else { LeaderLossReason::NoProgress },
                rank,
            );
        }
    }

    /// Whether nothing has moved since `since`, for more than `timeouts` timeouts, and our own journal is
    /// not the cause.
    pub(super) fn is_stuck(&self, core: &ReplicaCore, now: Nanos, since: Nanos, timeouts: u64) -> bool {
        let usual = timeouts * core.failure_detector.timeout_ns();
        failure_detector::is_stuck(
            now,
            since,
            self.device_blocked_at,
            failure_detector::patience(usual, core.log.uncommitted_epochs()),
        )
    }

    /// Checks whether our own journal keeps up with the frames received: it has no room, or its device
    /// lags. Then a missing commit proves nothing about the leader.
    pub(super) fn check_journal<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) {
        let full = ctx.core.conditions.holds(Condition::JournalFull);
        let has_room = full && ctx.tail.has_room();
        if has_room {
            ctx.core.on_journal_free(ctx.tail.end().next);
        }
        let lags = ctx.core.ack_durability() == Durability::Power
            && (ctx.tail.durable_next() < ctx.tail.end().next || !ctx.is_promise_stored());
        if (full && !has_room || lags) && !planted(Mutation::FullMissesLeader) {
            self.device_blocked_at = ctx.turn.now;
        }
        // Of the takeovers that a log has at the start, the commit is not known yet.
        let is_known = self.heartbeat_seen.0 == ctx.core.followed.epoch();
        ctx.core.check_epochs(is_known);
    }
}

impl ReplicaCore {
    /// Takeovers follow each other and nothing is committed: the operator is notified. `is_known`: the leader
    /// of the log's last epoch has announced the commit, or it is this node.
    pub(super) fn check_epochs(&mut self, is_known: bool) {
        let lasts_ns = EPOCHS_TIMEOUTS * self.limits.failure_detector.timeout_ns;
        let (now, known_lasts_ns) = (self.turns.polled_at, is_known.then_some(lasts_ns));
        let (count, commit_next) = (self.log.uncommitted_epochs(), self.commit_next());
        let Self { epochs_alarm, conditions, events, .. } = self;
        epochs_alarm.check(conditions, events, now, known_lasts_ns, count, commit_next);
    }
}
