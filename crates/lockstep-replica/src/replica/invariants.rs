//! The invariants of a replica after each of its turns, in the words of the rules.

use super::{ReplicaEngine, RoleState};
use crate::ports::Ports;
use lockstep_core::proto::membership::Membership;
use lockstep_core::proto::publishers::Publishers;
use lockstep_wire::{EpochBase, Seq};
use std::collections::VecDeque;

/// The state that a replica derives from its log (S8): a function of the log alone, equal at every node.
pub struct Tables<'r> {
    /// The members at the log's end.
    pub membership: Membership,
    /// A membership change that may not be committed.
    pub change: Option<(Seq, Membership)>,
    /// The epochs from the one in force at the commit on, or from further below.
    pub epochs: &'r VecDeque<EpochBase>,
    /// The publishers at the log's end.
    pub publishers: &'r Publishers,
}

impl<P: Ports> ReplicaEngine<P> {
    /// Checked after each turn. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let (core, end) = (&self.core, self.tail.end());
        core.followed.invariants();
        core.rx.invariants();
        core.repairs.invariants();
        core.address_proofs.invariants();
        core.pending_submissions.invariants();
        core.losses.invariants();
        core.events.invariants();
        core.election.invariants(core.acceptor.promised());
        let commit_next = core.commit_next();
        assert!(commit_next <= end.next, "S4: the commit is {commit_next}, and the log ends at {}", end.next);
        if self.has_tables() {
            core.log.invariants(end.epoch, end.next);
        }
        match &self.role {
            RoleState::Following(following) => following.invariants(core),
            RoleState::Leading(leading) => leading.invariants(core, &end),
        }
    }

    /// Whether the tables are those of the log as it stands. An open frame changes them before it is in the
    /// log, and a replica that has stopped may have replaced a longer suffix than its ring can read again.
    pub(super) fn has_tables(&self) -> bool {
        !self.core.stopped && self.role.leading().is_none_or(|leading| leading.sequencer.is_drained())
    }
}
