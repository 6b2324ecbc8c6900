//! What an explorer of all interleavings needs of a replica: time stands still for it, so whatever only
//! counts or measures is forgotten after each turn, and what a timer would do is done when it says so.
//! States that differ in nothing that a rule looks at are then one state.

use super::{Events, HeartbeatTimer, Nanos, ReplicaCore, ReplicaEngine, StallDetector};
use crate::conditions::ConditionSet;
use crate::ports::Ports;
use lockstep_core::engine::UNICAST_TURNS;
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::event::Role;
use lockstep_core::proto::election::Why;
use lockstep_core::proto::redundancy::Redundancy;
use lockstep_wire::{Epoch, Seq};

impl<P: Ports> ReplicaEngine<P> {
    /// Forgets what is no part of the protocol's state. The next turn looks at the unicast socket too.
    pub fn forget_times(&mut self, now: Nanos) {
        let core = &mut self.core;
        core.number = 0;
        core.turns = UNICAST_TURNS - 1;
        core.counters = Counters::default();
        core.events = Events::default();
        core.suspicion = None;
        core.missed_since = None;
        core.redundancy = Redundancy::new(0);
        core.rejected_command = None;
        core.conditions = ConditionSet::default();
        core.takeover_wait_reported = Epoch::NONE;
        core.refused_at = 0;
        core.fetched = (Epoch::NONE, 0);
        core.successors_announced = [0; 8];
        core.credit_announced = false;
        core.heartbeat_seen = (Epoch::NONE, 0);
        core.heartbeat_number = 0;
        core.quorum_contacts = 0;
        (core.refusing, core.refused) = (false, false);
        // Nothing waits for a notice: a publisher's timer may be over at any moment.
        core.notice_at = Nanos::MAX;
        (core.moved_at, core.advanced_at, core.turn_at, core.acked_at) = (now, now, now, now);
        (core.polled_at, core.device_blocked_at) = (now, now);
        core.presence.forget();
        (core.tokens, core.clock_announced, core.clock_ahead) = (0, 0, false);
        core.failure_detector.restart(now);
        core.quorum.restart(now);
        core.heartbeat_timer = HeartbeatTimer::new(core.limits.heartbeat);
        // Counted as sent: not due again before it is said so.
        core.heartbeat_timer.due(now, false);
        core.unicast_probe.on_group(now);
        core.pending_submissions.forget_copies();
        core.repairs.clear();
        core.stall_detector = StallDetector::default();
        core.rx.forget_times();
    }
}

impl ReplicaCore {
    /// The leader is to beat in its next turn.
    pub fn heartbeat_now(&mut self) {
        self.heartbeat_timer = HeartbeatTimer::new(self.limits.heartbeat);
    }

    /// Whatever a timer waits for has passed: a standby is to ask for promises in its next turn, unless the
    /// round would be above `round_max`.
    pub fn campaign_now(&mut self, now: Nanos, round_max: u32) {
        if self.may_campaign(round_max) {
            self.election.on_started();
            self.election.on_missed(now, Why::Down, 0);
        }
    }

    /// Whether [`ReplicaCore::campaign_now`] does anything.
    pub fn may_campaign(&self, round_max: u32) -> bool {
        let ballot = self.election.next_ballot(self.acceptor.promised());
        self.role == Role::Standby && ballot.is_some_and(|ballot| ballot.round() <= round_max)
    }

    /// The epoch in which this replica stamps.
    pub fn leads(&self) -> Option<Epoch> {
        self.sequencer.as_ref().map(|sequencer| sequencer.epoch())
    }

    /// The epoch whose acks are counted, and how far they commit it.
    pub fn counted(&self) -> (Epoch, Seq) {
        (self.rx.commit.epoch(), self.rx.commit.commit_next())
    }
}
