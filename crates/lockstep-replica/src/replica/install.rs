//! How a node without a log begins behind a checkpoint, where no journal has the stream from its first entry
//! on.
//!
//! It is the state of a node that starts on a journal whose beginning retention has removed: the log's end,
//! the tables there, and no frame. What the checkpoint covers is committed, so nothing of it can ever be
//! asked for by an election.
//!
//! Retention may remove what follows that checkpoint too, before the node has stored a frame of it: it was
//! down, or the stream was faster. So a node begins again behind a later checkpoint for as long as neither
//! its ring nor a segment has a record. It is a restart on a journal that retention has cut further, and the
//! identity keeps all that it has said meanwhile:
//!
//! ```text
//!  the journal:   [0.ckp ends at 70]                      ──replace──▶   [0.ckp ends at 170]
//!  said before:   ack (e, 70), promise p ≥ e, my log is (e, 70)          all true of a log that ends at 170
//! ```
//!
//! * S6: both checkpoints cover committed prefixes of one history, so one continues the other: the log grows
//!   as it would by the frames between. So does one of a history that was founded on this one, at the log's
//!   end or behind it (LINEAGE-2). Any other checkpoint is refused, and a shorter one.
//! * S2: the promise is a word of the tail and of the superblock, which stay; it rises to the checkpoint's
//!   epoch and never falls. A committed entry is taken below a promise as well.
//! * S3, S4: an ack that was sent named a prefix of the longer log. What comes with the checkpoint was
//!   committed by others, so no quorum needs this node for it.
//! * S5: a promise that was given named the shorter log. The candidate's choice is the same as if the frames
//!   had come a moment after the promise, and every log that it can choose has what is committed.
//! * S9: the file is replaced in one step, and nothing is said of the longer log before the device has it: a
//!   crash leaves the checkpoint of which everything was said, or the later one.
//! * S12: whether another process of this identity runs is no part of the log: the answer stays. A candidacy
//!   ends, as it does by a restart. A node that has gone over to a later history stays in it, and has no vote
//!   by what is listed below its founding (seed 92091711).

use super::{FollowerRole, Following, LeaderMemory, Recovered, ReplicaCore, ReplicaEngine, RoleState};
use crate::journal::{Checkpoint, base};
use crate::ports::Ports;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::start::{self, StartRole};
use std::mem::swap;

impl<P: Ports> ReplicaEngine<P> {
    /// Whether this node has no record, so that it may begin behind a checkpoint.
    pub fn is_installable(&self) -> bool {
        let may_again = !planted(Mutation::BaseBegunForEver) || self.tail.end().next == 1;
        !self.core.stopped && self.role.leading().is_none() && self.tail.is_untouched() && may_again
    }

    /// Whether it may begin behind this one, which continues its log if it has one: in the same history, or
    /// in one that was founded on it there or further on.
    pub fn may_begin_behind(&self, checkpoint: &Checkpoint) -> bool {
        let (ours, end) = (self.core.lineage().history(), self.tail.end());
        let founded_behind = || {
            let left = checkpoint.lineage().left_at(ours);
            left.is_some_and(|left| end.next < left.next || (end.next, end.chain) == (left.next, left.chain))
        };
        self.is_installable()
            && checkpoint.end.next > end.next
            && (end.next == 1 || checkpoint.history == ours || founded_behind())
    }

    /// Begins behind `checkpoint`, which the journal's files have by now (S7). What this process has counted
    /// and reported stays.
    ///
    /// # Panics
    /// Something was stored meanwhile ([`ReplicaEngine::may_begin_behind`]), or the checkpoint was not
    /// judged.
    pub fn install(&mut self, checkpoint: &Checkpoint) {
        assert!(self.may_begin_behind(checkpoint), "S6: a log that has begun does not begin anew");
        assert_eq!(base::judge(checkpoint), Ok(()), "S8: a checkpoint is judged where it comes from");
        let Self { tail, core, role, .. } = self;
        tail.begin_behind(checkpoint.end);
        // S2: whoever stores an epoch's log has promised that epoch, as if it had come frame by frame.
        if !planted(Mutation::BaseNotPromised) {
            tail.promise(checkpoint.end.epoch);
        }
        let (end, promised) = (tail.end(), tail.promised());
        let recovered = Recovered::of_base(checkpoint, core.limits.publishers_max);
        let before = recovered.open_change.as_ref().map(|(_, before)| before);
        let granted = start::role(core.identity(), &end, &recovered.membership, before, promised);
        let lived_in = *core.followed.lineage();
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
        // S12: whoever has gone over to a later history stays there, and copies what lies below its founding.
        let left = lived_in.left_at(core.lineage().history()).filter(|left| end.next <= left.next);
        let may_vote = !core.standing.is_archiver && left.is_none();
        let begins_as = match granted {
            StartRole::Standby if may_vote => FollowerRole::Standby,
            StartRole::Standby | StartRole::Learner => FollowerRole::Learner,
            StartRole::Blank | StartRole::Lead(_) => unreachable!("S12: a log whose first epoch has begun"),
        };
        if let RoleState::Following(following) = role {
            let memory = std::mem::replace(&mut following.memory, LeaderMemory::none());
            *following = Following::new(following.role, memory, core.turns.polled_at);
            if following.role == begins_as {
                core.losses.leave();
            } else {
                following.transition(core, begins_as, &end);
            }
            if let Some(left) = left {
                following.switch_history(core, lived_in, left);
            }
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
