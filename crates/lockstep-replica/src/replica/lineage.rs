//! The history in which a replica lives, and its reaction when it receives another one.
//!
//! ```text
//!   received                     member                          learner, archiver, blank
//!   an ancestor of ours          notified, refused               notified, refused
//!   one founded on ours          stops: it was left behind       continues there, or stops if it holds more
//!   any other, before our own    stops after a while (S12)       waits; refused
//!   any other, after it          refused and counted             refused and counted
//! ```
//! A learner that has promised may have done so in the history that it receives, and waits as any other.
//!
//! A member waits before it stops for another history, and is stopped by nothing once it has received its
//! own: one datagram that the network delivers late is no proof, and a founder that stopped for it is one
//! node less.

use super::{Ctx, FollowerRole, Following, ReplicaCore};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use crate::ports::Ports;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::proto::lineage::{Lineage, LineageCheck};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Ancestor, Epoch, FrameView, Header, Kind, Reject, RepairTrailer};

impl Following {
    /// Whether a frame is of our history, or of an ancestor and sent by a repairer of our history. A frame
    /// which shows that our history was left is processed here: then it is refused, or it is of the history
    /// in which we continue.
    #[inline]
    pub(super) fn check_frame<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        ctx.core
            .rx
            .check_frame(&mut ctx.core.followed, frame, trailer)
            .or_else(|reject| self.follow_succession(ctx, frame, false, reject))
    }

    /// The same for a frame from a journal of history `source_history`.
    pub(super) fn check_replayed<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        frame: &FrameView<'_>,
        source_history: u64,
    ) -> Result<(), Reject> {
        ctx.core
            .rx
            .check_replayed(&ctx.core.followed, frame, source_history)
            .or_else(|reject| self.follow_succession(ctx, frame, true, reject))
    }

    #[cold]
    fn follow_succession<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        frame: &FrameView<'_>,
        is_committed: bool,
        reject: Reject,
    ) -> Result<(), Reject> {
        let Some((lineage, succession)) = ctx.core.rx.histories.take_succession() else { return Err(reject) };
        let (left, goes_on) = match succession {
            LineageCheck::Continues { left } => {
                let epoch = frame.header.epoch();
                let may = self.may_switch_history(ctx.tail, epoch);
                if may && !is_committed && epoch < ctx.core.acceptor.promised() {
                    // S2: its group comes to an epoch above that, or a journal gives what is committed.
                    return Err(reject);
                }
                (left, may)
            }
            LineageCheck::Ahead { left } | LineageCheck::Diverged { left } => (left, false),
            LineageCheck::Unrelated => {
                // The answer to our own request, and no node of our history was received before: we are out
                // of place.
                if !ctx.core.identity_watch.own_history_seen {
                    ctx.core.stop_for_foreign_history(ctx.core.followed.history(), lineage.history());
                }
                return Err(reject);
            }
        };
        let (history, own_next, commit_next) =
            (lineage.history(), ctx.tail.end().next, ctx.core.commit_next());
        ctx.core.events.push(ReplicaEvent::Founded {
            history,
            next: left.next,
            own_next,
            commit_next,
            goes_on,
        });
        if !goes_on {
            ctx.core.stopped = true;
            return Err(reject);
        }
        self.switch_history(ctx.core, lineage, left);
        Ok(())
    }

    /// S12 (who was left behind): a member of the former history stops. What it holds above the founding may
    /// have been acknowledged, and its word counts for nothing in the new history. Any other node continues,
    /// if the new history's epochs are above its own: rounds rise above everything that the founder had seen.
    /// What it has promised may be an epoch of the new history, where it begins behind a checkpoint of this
    /// one; the promise stays (S2), and below it only what is committed is taken.
    fn may_switch_history<M: TailMemory>(&self, tail: &Tail<M>, epoch: Epoch) -> bool {
        let member = self.role == FollowerRole::Standby;
        (!member || planted(Mutation::MemberGoesOver)) && epoch > tail.end().epoch
    }

    /// We continue in the history that was founded on ours. The start of its epoch, which is learned next,
    /// decides how much of our log belongs to it.
    pub(super) fn switch_history(&mut self, core: &mut ReplicaCore, lineage: Lineage, left: Ancestor) {
        core.rx.go_over(&mut core.followed, lineage, left);
        // A blank node may have followed one epoch of the former history alone (seed 77060665).
        core.followed.raise_floor(core.acceptor.promised());
        core.log.abandon();
        self.reconciling_epoch = Epoch::NONE;
        core.identity_watch.own_history_seen = true;
        (self.heartbeat_seen, self.heartbeat_number) = ((Epoch::NONE, 0), 0);
        core.last_ack.acked = (Epoch::NONE, 0);
    }
}

impl ReplicaCore {
    /// The log's history has changed, or is known for the first time: the journal records it.
    #[inline]
    pub(super) fn report_history(&mut self) {
        let history = self.log.lineage.history();
        if history != self.history_reported && history != 0 {
            self.history_reported = history;
            self.events.push(ReplicaEvent::History { history });
        }
    }

    /// The history of the log in the journal, and its ancestors.
    pub fn lineage(&self) -> Lineage {
        self.log.lineage
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// S12: which life of the stream does the group live? A member that has heard nobody of its own history
    /// yet, and hears another, is the one that is out of place; later the others are noise, refused and
    /// counted. A node without a vote may find that its own history was left, and waits for the proof. A
    /// former history is no place to be: but where it is led, ours was founded in error, and does not begin.
    #[inline]
    pub(super) fn check_group(&mut self, role: Role, header: &Header) -> Result<(), Reject> {
        if header.history == self.core.followed.history() {
            self.core.identity_watch.own_history_seen |= header.identity() != self.core.identity();
            return Ok(());
        }
        self.check_other_group(role, header)
    }

    #[cold]
    fn check_other_group(&mut self, role: Role, header: &Header) -> Result<(), Reject> {
        let have = self.core.followed.history();
        let judged = self.core.rx.check_history(&mut self.core.followed, header);
        let may_be_member = self.core.has_vote(role) && role != Role::Learner;
        self.core.identity_watch.note_other_leader(&self.core.log, role, header, &mut self.core.events);
        match judged {
            Ok(()) => self.core.identity_watch.own_history_seen |= header.identity() != self.core.identity(),
            Err(Reject::History { seen }) if !self.core.identity_watch.own_history_seen && seen != 0 => {
                let is_ancestor = self.core.rx.histories.report_ancestor(
                    self.core.followed.lineage(),
                    header,
                    &mut self.core.events,
                );
                let is_led = header.kind == Kind::Heartbeat as u8 && self.core.led == Epoch::NONE;
                match is_ancestor {
                    _ if role == Role::Leader => {}
                    // A founder that waits for more leads beside the ancestor's group by then.
                    true if is_led => self.core.stop_for_foreign_history(have, seen),
                    false if may_be_member => self.core.on_foreign_history(have, seen),
                    _ => {}
                }
            }
            Err(_) => {
                _ = self.core.rx.histories.report_ancestor(
                    self.core.followed.lineage(),
                    header,
                    &mut self.core.events,
                )
            }
        }
        judged
    }
}
