//! How a leader begins its epoch. It stamps nothing before the epoch start, and nothing between that and
//! the removal of the member that the operator declared dead.
//!
//! ```text
//!   promise stored ─▶ epoch start ─▶ (removal of the dead) ─▶ pending submissions ─▶ everything else
//! ```

use super::pending_submissions::{PendingSubmissions, opened};
use super::{Ctx, Leading, OUTGOING_SEND, ReplicaCore};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use crate::ports::Ports;
use bytemuck::Zeroable;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::failure_detector;
use lockstep_core::proto::sequence::Stamp;
use lockstep_wire::{EPOCH_START_LEN_MAX, EntryKind, EpochBase, EpochStartBody, write_epoch_start};

impl Leading {
    /// Whether the log contains the start of the epoch that this node leads, and directly behind it the
    /// removal of the member that the operator declared dead.
    #[inline]
    pub(super) fn has_epoch_begun<M: TailMemory>(&self, core: &ReplicaCore, tail: &Tail<M>) -> bool {
        core.declared_dead.is_none() && self.epoch() == tail.end().epoch
    }

    /// Stamps the epoch start, and behind it the pending submissions. Returns whether the epoch has begun.
    /// It has not if the journal has no room, if in `power` the promise is not on the device yet, or while
    /// the process still checks for another process of its identity (S12).
    #[cold]
    pub(super) fn poll_epoch_start<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) -> bool {
        let now = ctx.turn.now;
        if !ctx.core.identity_watch.probe.may_vote() {
            return false;
        }
        let started =
            self.epoch() == ctx.tail.end().epoch || ctx.is_promise_stored() && self.start_epoch(ctx);
        if !started || !self.remove_declared_dead(ctx) {
            return false;
        }
        ctx.core.turns.at = now;
        self.redundancy.restart(now);
        if ctx.learn_time(&mut self.sequencer) {
            self.stamp_pending_submissions(ctx, net);
        }
        true
    }

    /// Stamps the submissions that were received while nothing could be stamped.
    pub(super) fn stamp_pending_submissions<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) {
        // Moved out while its datagrams are stamped; a queue without room allocates nothing.
        let mut pending = std::mem::replace(&mut ctx.core.pending_submissions, PendingSubmissions::new(0));
        let mut index = 0;
        while let Some(bytes) = pending.get(index) {
            index += 1;
            if let Some((header, entries)) = opened(bytes) {
                let _ = self.on_submission(ctx, bytes, header, entries);
            }
            if self.outgoing_frames.len() >= OUTGOING_SEND {
                self.send_frames(ctx, net, &[]);
            }
        }
        pending.clear();
        ctx.core.pending_submissions = pending;
    }

    /// Stamps the epoch start, before anything else of the epoch. Returns whether the journal stored it.
    fn start_epoch<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) -> bool {
        ctx.learn_time(&mut self.sequencer);
        let end = ctx.tail.end();
        let commit_next = ctx.core.commit_next().max(self.commit_won.min(end.next));
        let epoch = self.epoch();
        let secret = failure_detector::secret(&ctx.core.limits.secret_seed, epoch);
        let body = EpochStartBody {
            epoch: epoch.0,
            base: end.next,
            chain_at_base: end.chain,
            secret_hash: failure_detector::secret_hash(&secret),
            window_entries: ctx.core.limits.window.entries,
            window_bytes: ctx.core.limits.window.bytes,
            durability: (ctx.core.limits.durability == Durability::Power) as u8,
            ..EpochStartBody::zeroed()
        };
        let members = ctx.core.log.membership;
        let mut table = ctx.core.log.table(commit_next);
        table.push(EpochBase { epoch: epoch.0, base: end.next });
        let mut payload = [0; EPOCH_START_LEN_MAX];
        let length = write_epoch_start(
            &mut payload,
            body,
            members.members(),
            &table,
            ctx.core.log.lineage.ancestors(),
        );
        let stamp = Stamp::of_cluster(EntryKind::EpochStart);
        let Ok(memory) = ctx.tail.room() else { return false };
        let written = self.sequencer.stamp(&end, memory, ctx.turn.wall, stamp, &payload[..length]);
        assert!(written.is_some(), "S7: an epoch's start of {length} bytes fits the frame that it opens");
        // Frames below the table are repaired only as committed: a node that holds this frame must know
        // that they are.
        self.close_and_report(ctx, false, commit_next);
        if let Some(&span) = self.outgoing_frames.last() {
            ctx.core.log.on_start(end.next, ctx.tail.bytes(span), &payload[..length]);
        }
        ctx.core.followed.restore(&table, ctx.core.log.membership, ctx.core.limits.durability);
        ctx.core.rx.drop_buffered(&ctx.core.followed);
        ctx.core.check_durability();
        ctx.core.followed.epochs.set_start(&body);
        ctx.core.followed.on_stored(&ctx.tail.end());
        ctx.core.followed.commit.on_announced(epoch, self.commit_won);
        ctx.core.events.push(ReplicaEvent::Epoch { epoch, base: end.next });
        true
    }
}
