//! Datagrams that contradict the own log: the leader's may prove that the two differ (DIVERGE-1), an ack that
//! its sender holds another one.

use crate::engine::counters::{Counter, Counters};
use crate::engine::event::{Events, ReplicaEvent};
use crate::proto::divergence::DivergenceProof;
use crate::proto::log::LogEnd;
use lockstep_wire::{Chain, Header, Identity};

/// What contradicts the own log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LogDivergence {
    proof: DivergenceProof,
    /// The owner must stop.
    is_proven: bool,
    /// The sender whose ack was last found to be of another log.
    reported: Option<Identity>,
}

impl LogDivergence {
    /// Whether the own log is proven to differ from the leader's, or from what is committed: the owner must
    /// stop.
    #[inline]
    pub fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// A datagram of the leader agrees with the own log.
    #[inline]
    pub(super) fn on_agreement(&mut self) {
        self.proof.on_agreement();
    }

    /// A datagram of the leader has the chain `seen` where the own log, which ends at `end`, has `have`.
    /// `proof` tells the datagram from every other one; without it the datagram is a proof by itself.
    #[cold]
    pub(super) fn on_contradiction(
        &mut self,
        end: Option<LogEnd>,
        proof: Option<[u64; 2]>,
        (have, seen): (Chain, Chain),
        counters: &mut Counters,
        events: &mut Events,
    ) {
        counters.add(Counter::Contradictions, 1);
        if self.is_proven {
            return;
        }
        self.is_proven |= proof.is_none_or(|proof| self.proof.on_contradiction(proof));
        if self.is_proven {
            let seq = end.map_or(0, |end| end.next);
            events.push(ReplicaEvent::Diverged { seq, have, seen });
        }
    }

    /// The log of a new epoch contradicts what is committed from `seq` on.
    pub(super) fn on_commit_contradicted(&mut self, diverged: ReplicaEvent, events: &mut Events) {
        self.is_proven = true;
        events.push(diverged);
    }

    /// An ack is of another log than the own one, which ends at `end`. It is reported once for each identity,
    /// not for each of its acks.
    pub(super) fn on_divergent_ack(&mut self, end: Option<LogEnd>, header: &Header, events: &mut Events) {
        let identity = header.identity();
        if self.reported != Some(identity)
            && let Some(LogEnd { next: seq, chain: have, .. }) = end
        {
            self.reported = Some(identity);
            events.push(ReplicaEvent::DivergentAck { identity, seq, have, seen: header.chain });
        }
    }

    /// Another history is read: its members are others.
    pub(super) fn forget_acks(&mut self) {
        self.reported = None;
    }
}
