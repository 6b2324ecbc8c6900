//! What a replica acknowledges, and when. An ack is a promise to have stored the log, in memory or on the
//! device (S4).

use super::{Ctx, FollowerRole, Following, ReplicaCore, send_small};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::Group;
use lockstep_core::proto::accept::{NOTHING, rests_on};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{ACK_LEN, AckBody, Condition, Epoch, Header, Kind, Nanos, Seq, write_ack};

/// The last ack that was sent: an epoch and the exclusive bound in it, and when.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct LastAck {
    pub(super) acked: (Epoch, Seq),
    pub(super) at: Nanos,
}

impl Default for LastAck {
    fn default() -> Self {
        Self { acked: (Epoch::NONE, 0), at: 0 }
    }
}

impl Following {
    /// Acknowledges the end of the log: when something new is stored, when the leader's heartbeat shows a
    /// commit below it (our ack may be lost), and at intervals.
    pub(super) fn ack<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net, beaten: Option<Seq>) {
        let now = ctx.turn.now;
        // A node that knows that its removal is committed sends nothing more, except the ack that the
        // leader lacks: of two members both must have acknowledged the removal.
        let misses = |leaders_commit: Seq| leaders_commit <= ctx.core.log.membership.seq;
        let leaves = self.role == FollowerRole::Learner
            && ctx.core.last_ack.acked.0 == ctx.tail.end().epoch
            && beaten.is_some_and(misses);
        if self.role != FollowerRole::Standby && !leaves || ctx.core.stopped {
            return;
        }
        let Some((epoch, next)) = ctx.may_ack() else { return };
        let news = (epoch, next) > ctx.core.last_ack.acked;
        let pending = beaten.is_some_and(|leaders_commit| leaders_commit < next);
        if !news && !pending && now < ctx.core.last_ack.at + ctx.core.limits.ack_again_ns {
            return;
        }
        (ctx.core.last_ack.acked, ctx.core.last_ack.at) = ((epoch, next), now);
        let mut out = [0; ACK_LEN];
        let length = ctx.write_ack_of(epoch, next, &mut out);
        if send_small(net, Group::Control, &out[..length]) {
            ctx.core.counters.add(Counter::AcksOut, 1);
        }
    }
}

impl ReplicaCore {
    /// The basis of an ack.
    pub(super) fn ack_durability(&self) -> Durability {
        rests_on(self.limits.durability, self.followed.commit.durability())
    }

    /// Whether the epoch that this replica follows requires the device.
    pub fn follows_power(&self) -> bool {
        self.followed.commit.durability() == Durability::Power
    }

    /// A replica whose configured durability differs from that of its leader is safe, and reports it.
    pub(super) fn check_durability(&mut self) {
        let (own, epochs) = (self.limits.durability, self.followed.epochs.durability);
        let mixed = own != epochs && !self.standing.is_archiver && self.followed.epoch().round() > 0;
        self.set_condition(
            Condition::DurabilityMixed,
            mixed,
            self.turns.polled_at,
            (own as u64, epochs as u64),
        );
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// The epoch and the bound that may be acknowledged now.
    fn may_ack(&self) -> Option<(Epoch, Seq)> {
        if !self.core.identity_watch.probe.may_vote() {
            return None;
        }
        let end = self.tail.end();
        let stored = match self.core.ack_durability() {
            Durability::Process => end.next,
            Durability::Power => self.tail.durable_next(),
        };
        let early = planted(Mutation::AcceptedBeforeLog).then(|| (self.core.followed.epoch(), stored));
        let acked = early.or_else(|| self.core.acceptor.ack(&end, stored, self.core.followed.epoch()));
        let may_say = |&(_, next): &(Epoch, Seq)| next != NOTHING || self.is_promise_stored();
        acked.filter(may_say)
    }

    /// Writes our ack into `out`, if anything may be acknowledged.
    pub(super) fn write_own_ack(&mut self, out: &mut [u8]) -> Option<usize> {
        let (epoch, next) = self.may_ack()?;
        Some(self.write_ack_of(epoch, next, out))
    }

    #[inline]
    fn write_ack_of(&mut self, epoch: Epoch, next: Seq, out: &mut [u8]) -> usize {
        let end = self.tail.end();
        self.core.followed.commit.on_ack(self.core.identity(), epoch, next);
        self.core.outbox.number += 1;
        // The chain is that of the log's end; below it an ack carries none.
        let chain = if next == end.next { end.chain } else { 0 };
        let header = Header { epoch: epoch.0, first_seq: next, chain, ..self.header(Kind::Ack) };
        write_ack(out, self.core.keys(), header, AckBody { process_nonce: self.core.limits.process_nonce })
    }
}
