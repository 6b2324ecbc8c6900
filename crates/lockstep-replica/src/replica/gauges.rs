//! What a replica is at this moment, as gauges: its role, whom it follows, and who the members are.

use super::{ReplicaCore, ReplicaEngine, RoleState};
use crate::ports::Ports;
use lockstep_core::engine::counters::CounterRow;
use lockstep_core::engine::event::Role;
use lockstep_wire::{Header, Identity, Wall};

/// The gauges, in the order of [`ReplicaEngine::gauges`].
pub const REPLICA_ROWS: [CounterRow; 9] = [
    CounterRow::state("role", "blank|standby|leader|learner", "The role of this replica."),
    CounterRow::gauge("witness", "1 if it is listed as a witness, which votes and never leads."),
    CounterRow::gauge("epoch", "The round of the epoch that it follows or leads; 0 none."),
    CounterRow::gauge("epoch_start_time_ns", "When that epoch began, since the Unix epoch; 0 none."),
    CounterRow::gauge("leader", "The number of the replica that it follows, or its own if it leads; 0 none."),
    CounterRow::gauge("members", "Listed members."),
    CounterRow::gauge("quorum", "Members that are a quorum."),
    CounterRow::gauge("membership_seq", "The seq of the entry that set the members."),
    CounterRow::gauge(
        "readers_ahead",
        "Addresses whose readers have read more than this leader's log holds; of more than one, entries are lost.",
    ),
];

impl ReplicaCore {
    /// The leader that the node follows, or is.
    pub(super) fn present_leader(&self, role: &RoleState) -> Option<Identity> {
        let is = role.role();
        let follows = matches!(is, Role::Standby | Role::Learner)
            && self.followed.epoch().round() > 0
            && self.election.is_calm();
        if is == Role::Leader {
            Some(self.identity())
        } else if follows {
            Some(self.followed.epoch().leader())
        } else {
            None
        }
    }

    /// The timestamp of the followed epoch's start; 0 of none.
    pub(super) fn epoch_since(&self) -> Wall {
        Header::peek(&self.log.start_frame)
            .map_or(Wall::default(), |start| self.clocks.since(&start, self.led))
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// The values of [`REPLICA_ROWS`].
    pub fn gauges(&self) -> [u64; REPLICA_ROWS.len()] {
        let core = &self.core;
        let membership = &core.log.membership;
        [
            self.role() as u64,
            u64::from(core.is_witness()),
            u64::from(self.tail.end().epoch.round()),
            core.epoch_since().0,
            core.present_leader(&self.role).map_or(0, |leader| u64::from(leader.replica)),
            membership.members().len() as u64,
            membership.quorum() as u64,
            membership.seq,
            core.readers_ahead.count(),
        ]
    }
}
