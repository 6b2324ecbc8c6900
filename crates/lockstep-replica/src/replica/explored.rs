//! What an explorer of all interleavings needs of a replica. Time stands still for the explorer: state that
//! only counts or measures is cleared after each turn, and the explorer triggers the work of timers. States
//! that differ in nothing that a rule reads then become one state.

use super::catch_up::CatchUp;
use super::clock::ClockWatch;
use super::{
    Events, Following, HeartbeatTimer, LeaderMemory, Leading, Nanos, ReplicaCore, ReplicaEngine, RoleState,
};
use crate::conditions::ConditionSet;
use crate::ports::Ports;
use lockstep_core::engine::UNICAST_TURNS;
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::event::Role;
use lockstep_core::proto::redundancy::Redundancy;
use lockstep_wire::LeaderLossReason;
use lockstep_wire::{Epoch, Seq};
use std::hash::{Hash, Hasher};
use std::net::SocketAddrV4;

impl<P: Ports> ReplicaEngine<P> {
    /// Clears everything that is no part of the protocol's state. The next turn polls the unicast socket
    /// too.
    pub fn forget_times(&mut self, now: Nanos) {
        self.core.forget_times(now);
        match &mut self.role {
            RoleState::Following(following) => following.forget_times(now),
            RoleState::Leading(leading) => leading.forget_times(&self.core, now),
        }
    }

    /// All that decides the next actions of this replica, except its journal and its device.
    pub fn hash_state(&self, state: &mut impl Hasher) {
        self.core.hash(state);
        self.role.hash(state);
    }

    /// `address` needs no proof: a proof is one more step of each repair, and decides nothing else.
    pub fn assume_address(&mut self, address: SocketAddrV4) {
        let proof = self.core.address_proofs.proof(address);
        self.core.address_proofs.on_returned(address, proof);
    }

    /// The leader sends a heartbeat in its next turn.
    pub fn heartbeat_now(&mut self) {
        if let RoleState::Leading(leading) = &mut self.role {
            leading.heartbeat_timer = HeartbeatTimer::new(self.core.limits.heartbeat);
        }
    }

    /// Every timer has expired: a standby asks for promises in its next turn, unless the round would exceed
    /// `round_max`.
    pub fn campaign_now(&mut self, now: Nanos, round_max: u32) {
        if self.may_campaign(round_max) {
            self.core.election.on_started();
            self.core.election.on_missed(now, LeaderLossReason::Down, 0);
        }
    }

    /// Whether [`ReplicaEngine::campaign_now`] does anything.
    pub fn may_campaign(&self, round_max: u32) -> bool {
        let ballot = self.core.election.next_ballot(self.core.acceptor.promised());
        self.role() == Role::Standby && ballot.is_some_and(|ballot| ballot.round() <= round_max)
    }
}

impl Following {
    fn forget_times(&mut self, now: Nanos) {
        let Self { role, reconciling_epoch, no_progress, waits_for_room, .. } = *self;
        let mut memory = std::mem::replace(&mut self.memory, LeaderMemory::none());
        memory.forget_times(now);
        let fresh = Self::new(role, memory, now);
        *self = Self { reconciling_epoch, no_progress, waits_for_room, device_blocked_at: now, ..fresh };
    }
}

impl Leading {
    fn forget_times(&mut self, core: &ReplicaCore, now: Nanos) {
        self.redundancy = Redundancy::new(0);
        self.rejected_command = None;
        self.quorum_contacts = 0;
        (self.refusing, self.refused) = (false, false);
        // Nothing waits for a notice: a publisher's timer may expire at any moment.
        self.notice_at = Nanos::MAX;
        self.quorum.restart(now);
        self.heartbeat_timer = HeartbeatTimer::new(core.limits.heartbeat);
        // Counted as sent: no heartbeat is due before the explorer asks for one.
        self.heartbeat_timer.due(now, false, true);
    }
}

impl ReplicaCore {
    fn forget_times(&mut self, now: Nanos) {
        self.outbox.number = 0;
        self.turns.count = UNICAST_TURNS - 1;
        self.counters = Counters::default();
        self.events = Events::default();
        self.leaders_missed = Default::default();
        self.conditions = ConditionSet::default();
        self.outbox.refused_at = 0;
        (self.turns.polled_at, self.turns.at, self.last_ack.at) = (now, now, now);
        self.identity_watch.probe.forget();
        self.identity_watch.tokens = 0;
        self.clocks = ClockWatch::agreed(now); // no clock differs there
        self.failure_detector.restart(now);
        self.election.forget_times();
        self.unicast_probe.on_group(now);
        self.pending_submissions.forget_copies();
        self.repairs.clear();
        self.catch_up = CatchUp::default();
        self.rx.forget_times();
    }

    /// The epoch whose acks are counted, and how far they commit it.
    pub fn counted(&self) -> (Epoch, Seq) {
        (self.followed.commit.epoch(), self.followed.commit.commit_next())
    }
}
