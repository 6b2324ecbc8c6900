//! What a replica acknowledges, and when. An ack is a promise to have stored the log, in memory or on the
//! device (S4).

use super::{FollowerRole, Following, ReplicaCore, Turn, send_small};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::{Group, Net};
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
    pub(super) fn ack<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        net: &mut impl Net,
        tail: &Tail<M>,
        turn: &Turn,
        beaten: Option<Seq>,
    ) {
        let Turn { now, wall, .. } = *turn;
        // A node that knows that its removal is committed sends nothing more, except the ack that the
        // leader lacks: of two members both must have acknowledged the removal.
        let misses = |leaders_commit: Seq| leaders_commit <= core.log.membership.seq;
        let leaves = self.role == FollowerRole::Learner
            && core.last_ack.acked.0 == tail.end().epoch
            && beaten.is_some_and(misses);
        if self.role != FollowerRole::Standby && !leaves || core.stopped {
            return;
        }
        let Some((epoch, next)) = core.may_ack(tail) else { return };
        let news = (epoch, next) > core.last_ack.acked;
        let pending = beaten.is_some_and(|leaders_commit| leaders_commit < next);
        if !news && !pending && now < core.last_ack.at + core.limits.ack_again_ns {
            return;
        }
        (core.last_ack.acked, core.last_ack.at) = ((epoch, next), now);
        let mut out = [0; ACK_LEN];
        let length = core.write_ack_of(tail, wall, (epoch, next), &mut out);
        if send_small(net, Group::Control, &out[..length]) {
            core.counters.add(Counter::AcksOut, 1);
        }
    }
}

impl ReplicaCore {
    /// The epoch and the bound that may be acknowledged now.
    fn may_ack<M: TailMemory>(&self, tail: &Tail<M>) -> Option<(Epoch, Seq)> {
        if !self.identity_watch.probe.may_vote() {
            return None;
        }
        let end = tail.end();
        let stored = match self.ack_durability() {
            Durability::Process => end.next,
            Durability::Power => tail.durable_next(),
        };
        let early = planted(Mutation::AcceptedBeforeLog).then(|| (self.followed.epoch(), stored));
        let acked = early.or_else(|| self.acceptor.ack(&end, stored, self.followed.epoch()));
        let may_say = |&(_, next): &(Epoch, Seq)| next != NOTHING || self.is_promise_stored(tail);
        acked.filter(may_say)
    }

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

    /// Writes our ack into `out`, if anything may be acknowledged.
    pub(super) fn write_own_ack<M: TailMemory>(
        &mut self,
        tail: &Tail<M>,
        wall: Nanos,
        out: &mut [u8],
    ) -> Option<usize> {
        let acked = self.may_ack(tail)?;
        Some(self.write_ack_of(tail, wall, acked, out))
    }

    #[inline]
    fn write_ack_of<M: TailMemory>(
        &mut self,
        tail: &Tail<M>,
        wall: Nanos,
        (epoch, next): (Epoch, Seq),
        out: &mut [u8],
    ) -> usize {
        let end = tail.end();
        self.followed.commit.on_ack(self.identity(), epoch, next);
        self.outbox.number += 1;
        // The chain is that of the log's end; below it an ack carries none.
        let chain = if next == end.next { end.chain } else { 0 };
        let header = Header { epoch: epoch.0, first_seq: next, chain, ..self.header(Kind::Ack, wall, &end) };
        write_ack(out, self.keys(), header, AckBody { process_nonce: self.limits.process_nonce })
    }
}
