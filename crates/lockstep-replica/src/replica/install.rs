//! How a node without a log begins behind a checkpoint, where no journal has the stream from its first entry
//! on.
//!
//! It is the state of a node that starts on a journal whose beginning retention has removed: the log's end,
//! the tables there, and no frame. What the checkpoint covers is committed, so nothing of it can ever be
//! asked for by an election, and the identity has promised and acknowledged nothing.

use super::{FollowerRole, Recovered, ReplicaCore, ReplicaEngine, RoleState};
use crate::journal::{Checkpoint, base};
use crate::ports::Ports;
use lockstep_core::engine::event::Role;
use lockstep_core::proto::start::{self, StartRole};
use std::mem::swap;

impl<P: Ports> ReplicaEngine<P> {
    /// Whether this node holds nothing, so that it may begin behind a checkpoint.
    pub fn is_installable(&self) -> bool {
        !self.core.stopped && self.role() == Role::Blank && self.tail.is_untouched()
    }

    /// Begins behind `checkpoint`, which the journal's files have by now (S7). What this process has counted
    /// and reported stays.
    ///
    /// # Panics
    /// Something was stored meanwhile ([`ReplicaEngine::is_installable`]), or the checkpoint was not judged.
    pub fn install(&mut self, checkpoint: &Checkpoint) {
        assert!(self.is_installable(), "S6: a log that has begun does not begin anew");
        assert_eq!(base::judge(checkpoint), Ok(()), "S8: a checkpoint is judged where it comes from");
        let Self { tail, core, role, .. } = self;
        tail.begin_behind(checkpoint.end);
        // S2: whoever stores an epoch's log has promised that epoch, as if it had come frame by frame.
        tail.promise(checkpoint.end.epoch);
        let (end, promised) = (tail.end(), tail.promised());
        let recovered = Recovered::of_base(checkpoint, core.limits.publishers_max);
        let before = recovered.open_change.as_ref().map(|(_, before)| before);
        let granted = start::role(core.identity(), &end, &recovered.membership, before, promised);
        let mut begun = ReplicaCore::new(end, promised, recovered, core.limits.clone());
        swap(&mut begun.counters, &mut core.counters);
        swap(&mut begun.losses, &mut core.losses);
        swap(&mut begun.conditions, &mut core.conditions);
        swap(&mut begun.events, &mut core.events);
        swap(&mut begun.event_queries, &mut core.event_queries);
        swap(&mut begun.address_proofs, &mut core.address_proofs);
        swap(&mut begun.identity_watch, &mut core.identity_watch);
        begun.standing.is_archiver = core.standing.is_archiver;
        (begun.turns, begun.history_reported) = (core.turns, core.history_reported);
        begun.stopping = core.stopping;
        *core = begun;
        core.report_history();
        core.check_durability();
        let begins_as = match granted {
            StartRole::Standby if !core.standing.is_archiver => FollowerRole::Standby,
            StartRole::Standby | StartRole::Learner => FollowerRole::Learner,
            StartRole::Blank | StartRole::Lead(_) => unreachable!("S12: a log whose first epoch has begun"),
        };
        if let RoleState::Following(following) = role {
            following.advanced_at = core.turns.polled_at;
            following.transition(core, begins_as, &end);
        }
    }

    /// Whether a leader leaves replays to others: another full member holds the log.
    pub fn leaves_replays(&self) -> bool {
        let Some(leading) = self.role.leading() else { return false };
        let (me, members) = (self.core.identity(), self.core.log.membership);
        let mut others = members.members().iter().filter(|member| member.identity() != me);
        others.any(|member| !member.is_witness() && leading.redundancy.is_available(member.identity()))
    }
}
