//! How a leader begins its epoch. It stamps nothing before the epoch start, and nothing between that and
//! the removal of the member that the operator declared dead.
//!
//! ```text
//!   promise stored ─▶ epoch start ─▶ (removal of the dead) ─▶ pending submissions ─▶ everything else
//! ```

use super::pending_submissions::{PendingSubmissions, opened};
use super::{Leading, OUTGOING_SEND, ReplicaCore, Turn};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use bytemuck::Zeroable;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::engine::ports::Net;
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
    pub(super) fn poll_epoch_start<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        turn: &Turn,
    ) -> bool {
        let Turn { now, wall, .. } = *turn;
        if !core.identity_watch.probe.may_vote() {
            return false;
        }
        let started = self.epoch() == tail.end().epoch
            || core.is_promise_stored(tail) && self.start_epoch(core, tail, turn);
        if !started || !self.remove_declared_dead(core, tail, wall) {
            return false;
        }
        core.turns.at = now;
        self.redundancy.restart(now);
        if core.learn_time(&mut self.sequencer, turn) {
            self.stamp_pending_submissions(core, net, tail, turn);
        }
        true
    }

    /// Stamps the submissions that were received while nothing could be stamped.
    pub(super) fn stamp_pending_submissions<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        turn: &Turn,
    ) {
        let now = turn.now;
        // Moved out while its datagrams are stamped; a queue without room allocates nothing.
        let mut pending = std::mem::replace(&mut core.pending_submissions, PendingSubmissions::new(0));
        let mut index = 0;
        while let Some(bytes) = pending.get(index) {
            index += 1;
            if let Some((header, entries)) = opened(bytes) {
                let _ = self.on_submission(core, tail, turn, bytes, header, entries);
            }
            if self.outgoing_frames.len() >= OUTGOING_SEND {
                self.send_frames(core, net, tail, now, &[]);
            }
        }
        pending.clear();
        core.pending_submissions = pending;
    }

    /// Stamps the epoch start, before anything else of the epoch. Returns whether the journal stored it.
    fn start_epoch<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        turn: &Turn,
    ) -> bool {
        core.learn_time(&mut self.sequencer, turn);
        let end = tail.end();
        let commit_next = core.commit_next().max(self.commit_won.min(end.next));
        let epoch = self.epoch();
        let secret = failure_detector::secret(&core.limits.secret_seed, epoch);
        let body = EpochStartBody {
            epoch: epoch.0,
            base: end.next,
            chain_at_base: end.chain,
            secret_hash: failure_detector::secret_hash(&secret),
            window_entries: core.limits.window.entries,
            window_bytes: core.limits.window.bytes,
            durability: (core.limits.durability == Durability::Power) as u8,
            ..EpochStartBody::zeroed()
        };
        let members = core.log.membership;
        let mut table = core.log.table(commit_next);
        table.push(EpochBase { epoch: epoch.0, base: end.next });
        let mut payload = [0; EPOCH_START_LEN_MAX];
        let length =
            write_epoch_start(&mut payload, body, members.members(), &table, core.log.lineage.ancestors());
        let stamp =
            Stamp { kind: EntryKind::EpochStart, flags: 0, publisher: 0, publisher_seq: 0, destination: 0 };
        let Ok(memory) = tail.room() else { return false };
        let written = self.sequencer.stamp(&end, memory, turn.wall, stamp, &payload[..length]);
        assert!(written.is_some(), "S7: an epoch's start of {length} bytes fits the frame that it opens");
        // Frames below the table are repaired only as committed: a node that holds this frame must know
        // that they are.
        self.close_and_report(core, tail, false, commit_next);
        if let Some(&span) = self.outgoing_frames.last() {
            core.log.on_start(end.next, tail.bytes(span), &payload[..length]);
        }
        core.followed.restore(&table, core.log.membership, core.limits.durability);
        core.rx.drop_buffered(&core.followed);
        core.check_durability();
        core.followed.epochs.set_start(&body);
        core.followed.on_stored(&tail.end());
        core.followed.commit.on_announced(epoch, self.commit_won);
        core.events.push(ReplicaEvent::Epoch { epoch, base: end.next });
        true
    }
}
