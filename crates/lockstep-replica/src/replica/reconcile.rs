//! How a replica's log becomes the log of a new epoch: from the point where the two diverge, the suffix is
//! replaced in one step (S7).

use super::replica_log::{LogRefusal, ReplicaLog};
use super::{FollowerRole, Following, ReplicaCore};
use crate::journal::ports::TailMemory;
use crate::journal::{StageError, Tail};
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{EntryKind, Epoch, FrameView, Nanos};

impl Following {
    /// The start of an epoch that is to be followed is known: from the point where the replica log and that
    /// epoch's log diverge, the suffix replacement begins (S7). Returns whether frames of that epoch's log
    /// may be placed: not while the journal has no room for the replacement.
    #[inline]
    pub(super) fn reconcile_log<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        now: Nanos,
    ) -> bool {
        let followed = core.rx.follow.epoch();
        let pursued =
            followed == self.reconciling_epoch || followed <= tail.end().epoch || !core.is_admitted();
        pursued || self.reconcile_with_epoch(core, tail, now, followed)
    }

    #[cold]
    fn reconcile_with_epoch<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        now: Nanos,
        followed: Epoch,
    ) -> bool {
        let commit_next = core.commit_next();
        let end = tail.end();
        let (cut, same_to) = match ReplicaLog::cut(tail, &core.rx.follow, commit_next) {
            Ok(None) => (end, end.next),
            Err(from) => {
                core.events.push(ReplicaEvent::CommitContradicted { from, commit_next, epoch: followed });
                core.stopped = true;
                return false;
            }
            Ok(Some(from)) => match core.log.stage(tail, from, &core.rx.follow) {
                Ok(()) => (tail.staged_end().unwrap_or(end), from),
                Err(StageError::Full(_)) => {
                    self.on_refused(core, tail, LogRefusal::Full);
                    return false;
                }
                Err(StageError::TooOld { .. }) => {
                    self.on_refused(core, tail, LogRefusal::Overrun);
                    return false;
                }
                Err(_) => {
                    core.events.push(ReplicaEvent::CommitContradicted { from, commit_next, epoch: followed });
                    core.stopped = true;
                    return false;
                }
            },
        };
        if cut == end {
            core.log.abandon();
        }
        self.reconciling_epoch = followed;
        core.check_durability();
        core.rx.cut_to(cut, same_to);
        if followed >= core.acceptor.promised() {
            // A candidate has won: this node no longer follows or promises anything lower. A blank node
            // waits with that: the log on which all others agree may be a lower one, and no node may have
            // this one.
            if self.role != FollowerRole::Blank {
                core.promise(tail, followed);
            }
            core.election.on_started();
            self.missed_since = None;
            core.failure_detector.restart(now);
            self.advanced_at = now;
            self.moved_at = now;
            self.heartbeat_number = 0;
        }
        true
    }
}

impl ReplicaCore {
    /// Salvage stops before a membership entry (S5): the promises describe, and so decide, which members
    /// elect.
    pub(super) fn is_beyond_salvage(&self, frame: &FrameView<'_>) -> bool {
        frame.header.epoch() < self.acceptor.promised()
            && frame.entries().any(|entry| entry.kind() == EntryKind::Membership)
    }

    /// Whether a frame may enter the log: it is of the promised epoch or a higher one, or of the log that a
    /// candidate adopts. Committed entries always may: the log of every later epoch contains them.
    pub(super) fn is_admitted(&self) -> bool {
        let followed = self.rx.follow.epoch();
        !self.acceptor.refuses(followed)
            || followed == self.rx.adopting
            || planted(Mutation::SalvageFromAnyEpoch)
    }
}
