//! What holds of a replica after each of its turns, in the words of the rules.

use super::{OUTGOING_MAX, ReplicaCore, ReplicaEngine, Role};
use crate::ports::Ports;
use lockstep_core::proto::membership::Membership;
use lockstep_core::proto::publishers::Publishers;
use lockstep_wire::{EpochBase, Seq};
use std::collections::VecDeque;

/// What a replica has made of its log (S8): all of it is a function of the log, whoever computed it.
pub struct Tables<'r> {
    /// The members at the log's end.
    pub membership: Membership,
    /// A change of them that may not be committed.
    pub change: Option<(Seq, Membership)>,
    /// The epochs from the one in force at the commit on, or from further below.
    pub epochs: &'r VecDeque<EpochBase>,
    /// The publishers at the log's end.
    pub publishers: &'r Publishers,
}

impl<P: Ports> ReplicaEngine<P> {
    /// Holds after each turn. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let (core, end) = (&self.core, self.tail.end());
        core.rx.invariants();
        core.hold.invariants();
        core.uncommitted.invariants();
        core.repairs.invariants();
        core.pending_submissions.invariants();
        core.losses.invariants();
        core.events.invariants();
        let waiting = core.outgoing_frames.len();
        assert!(waiting <= OUTGOING_MAX, "S1: {waiting} frames wait to be sent, at most {OUTGOING_MAX}");
        let promised = core.acceptor.promised();
        core.election.invariants(promised);
        let commit_next = core.commit_next();
        assert!(commit_next <= end.next, "S4: the commit is {commit_next}, and the log ends at {}", end.next);
        if core.has_tables() {
            core.log.invariants(end.epoch, end.next);
        }
        let leads = core.sequencer.as_ref().map(|sequencer| sequencer.epoch());
        assert_eq!(leads.is_some(), core.role == Role::Leader, "S1: who stamps leads, and nobody else");
        if let Some(epoch) = leads {
            assert!(epoch == promised, "S2: {epoch} is led, and {promised} is promised");
            assert!(epoch.leader() == core.identity(), "S1: {epoch} is led, which is another's");
            let counted = core.uncommitted.end().unwrap_or(end.next);
            assert!(
                counted == end.next || counted <= commit_next,
                "WIN-1: the window ends at {counted}, and the log at {}",
                end.next,
            );
        } else {
            assert!(core.outgoing_frames.is_empty(), "S1: nothing waits to be sent where nobody leads");
            assert!(core.hold.is_empty(), "S8: nothing is held back where nobody leads");
            assert!(core.handover.is_none(), "only who leads hands over");
        }
        assert!(
            core.role != Role::Standby || core.counts(core.identity()),
            "S12: a standby that its log's members do not list",
        );
    }
}

impl ReplicaCore {
    /// Whether the tables are those of the log as it stands: an open frame has changed them before it is in the
    /// log, and a replica that has stopped may have exchanged more than its ring can run again over.
    fn has_tables(&self) -> bool {
        !self.stopped && self.sequencer.as_ref().is_none_or(|sequencer| sequencer.is_drained())
    }

    /// What this replica has made of its log; `None` while that is not the log as it stands.
    pub fn tables(&self) -> Option<Tables<'_>> {
        self.has_tables().then(|| Tables {
            membership: self.log.membership,
            change: self.log.change,
            epochs: self.log.epochs(),
            publishers: &self.log.publishers,
        })
    }
}
