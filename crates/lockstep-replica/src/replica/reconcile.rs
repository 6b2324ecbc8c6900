//! How a replica's log becomes the log of a new epoch: from the point where the two diverge, the suffix is
//! replaced in one step (S7).

use super::replica_log::{LogRefusal, ReplicaLog};
use super::{Ctx, FollowerRole, Following, ReplicaCore};
use crate::journal::StageError;
use crate::ports::Ports;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::proto::planted::{Mutation, planted};

use lockstep_wire::{EntryKind, Epoch, FrameView};

impl Following {
    /// The start of an epoch that is to be followed is known: from the point where the replica log and that
    /// epoch's log diverge, the suffix replacement begins (S7). Returns whether frames of that epoch's log
    /// may be placed: not while the journal has no room for the replacement.
    #[inline]
    pub(super) fn reconcile_log<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) -> bool {
        let followed = ctx.core.followed.epoch();
        let pursued =
            followed == self.reconciling_epoch || followed <= ctx.tail.end().epoch || !ctx.core.is_admitted();
        pursued || self.reconcile_with_epoch(ctx, followed)
    }

    #[cold]
    fn reconcile_with_epoch<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, followed: Epoch) -> bool {
        let now = ctx.turn.now;
        if !self.cut_log(ctx) {
            return false;
        }
        self.reconciling_epoch = followed;
        ctx.core.check_durability();
        if followed >= ctx.core.acceptor.promised() {
            // A candidate has won: this node no longer follows or promises anything lower. A blank node
            // waits with that: the log on which all others agree may be a lower one, and no node may have
            // this one.
            if self.role != FollowerRole::Blank {
                ctx.promise(followed);
            }
            ctx.core.election.on_started();
            self.missed_since = None;
            ctx.core.failure_detector.restart(now);
            self.advanced_at = now;
            self.moved_at = now;
            self.heartbeat_number = 0;
        }
        true
    }

    /// From the point where the replica log and that of the followed epoch diverge, frames are staged from
    /// now on. Returns false where the replica must stop, or has no room to begin.
    fn cut_log<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) -> bool {
        let (commit_next, end, epoch) = (ctx.core.commit_next(), ctx.tail.end(), ctx.core.followed.epoch());
        let (from, cut) = match ReplicaLog::cut(ctx.tail, &ctx.core.followed.epochs, commit_next) {
            Ok(None) => (end.next, Ok(end)),
            Ok(Some(from)) => {
                let staged = ctx.core.log.stage(ctx.tail, from, &ctx.core.followed.epochs);
                (from, staged.map(|()| ctx.tail.staged_end().unwrap_or(end)).map_err(Some))
            }
            Err(from) => (from, Err(None)),
        };
        match cut {
            Ok(cut) => {
                if cut == end {
                    ctx.core.log.abandon();
                }
                ctx.core.rx.cut_to(&mut ctx.core.followed, cut, from);
                return true;
            }
            Err(Some(StageError::Full(_))) => self.on_refused(ctx, LogRefusal::Full),
            Err(Some(StageError::TooOld { .. })) => self.on_refused(ctx, LogRefusal::Overrun),
            Err(_) => {
                ctx.core.events.push(ReplicaEvent::CommitContradicted { from, commit_next, epoch });
                ctx.core.stopped = true;
            }
        }
        false
    }

    /// S10: nothing showed so far that a part of the replica log is the followed epoch's, and it was about to
    /// be replaced. A committed frame behind that part shows it: the log stays up to there. Where all
    /// journals begin there, no replacement can be had (seed 20261126502471). Where the staged frames have
    /// become equal to the whole log, the frame right behind both shows it too: otherwise the rest of that
    /// epoch would be staged, and the ring need not have room for it.
    #[inline]
    pub(super) fn retain_proven<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, frame: &FrameView<'_>) {
        let first = frame.header.first_seq;
        let is_equal = || ctx.core.log.is_staging() && ctx.tail.staged_end() == Some(ctx.tail.end());
        if ctx.core.followed.end().is_some_and(|end| end.next < first || end.next == first && is_equal()) {
            self.retain_up_to(ctx, frame);
        }
    }

    #[cold]
    fn retain_up_to<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, frame: &FrameView<'_>) {
        let owner = ctx.core.followed.epochs.owner(frame.header.first_seq);
        let is_owned = owner.is_none_or(|owner| owner == frame.header.epoch());
        if !is_owned || !ReplicaLog::is_proven_by(ctx.tail, frame) {
            return;
        }
        ctx.core.followed.on_proven(frame.header.first_seq);
        if !self.cut_log(ctx) {
            self.reconciling_epoch = Epoch::NONE;
        }
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
        let followed = self.followed.epoch();
        !self.acceptor.refuses(followed)
            || followed == self.followed.adopting
            || planted(Mutation::SalvageFromAnyEpoch)
    }
}
