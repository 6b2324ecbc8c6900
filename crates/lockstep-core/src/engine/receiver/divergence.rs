//! Datagrams that contradict the own log: the leader's may prove that the two differ (DIVERGE-1), an ack that
//! its sender holds another one.

use super::Receiver;
use crate::engine::counters::{Counter, Counters};
use crate::engine::event::{Events, ReplicaEvent};
use lockstep_wire::{Chain, Header};

impl Receiver {
    /// The own chain, if the log whose end `header` reports ends where the own log does, in the same epoch:
    /// only then can the two be compared.
    #[inline]
    fn comparable_chain(&self, header: &Header) -> Option<Chain> {
        let end = self.end?;
        (end.next == header.first_seq && end.epoch == header.epoch()).then_some(end.chain)
    }

    /// A heartbeat reports the end of its leader's log, and the chain there.
    pub(super) fn compare_chains(&mut self, header: &Header, counters: &mut Counters, events: &mut Events) {
        match self.comparable_chain(header) {
            None => {}
            Some(own) if own == header.chain => self.divergence.on_agreement(),
            Some(own) => self.on_contradiction(Some(header.tag), (own, header.chain), counters, events),
        }
    }

    /// A datagram of the leader has the chain `seen` where the own log has `have`.
    #[cold]
    pub(super) fn on_contradiction(
        &mut self,
        proof: Option<[u64; 2]>,
        (have, seen): (Chain, Chain),
        counters: &mut Counters,
        events: &mut Events,
    ) {
        counters.add(Counter::Contradictions, 1);
        if self.has_diverged() {
            return;
        }
        self.contradicted |= proof.is_none_or(|proof| self.divergence.on_contradiction(proof));
        if self.contradicted {
            let seq = self.end.map_or(0, |end| end.next);
            events.push(ReplicaEvent::Diverged { seq, have, seen });
        }
    }

    /// An ack over another chain than ours is of another log: it counts for nothing. Which of the two is
    /// wrong, only the leader's word tells, and ends the one that it contradicts. An ack below its
    /// sender's end carries no chain.
    pub(super) fn is_divergent(&self, header: &Header) -> bool {
        header.chain != 0 && self.comparable_chain(header).is_some_and(|own| own != header.chain)
    }

    /// Once for each identity, not for each of its acks.
    pub(super) fn report_divergence(&mut self, header: &Header, events: &mut Events) {
        if self.divergent != Some(header.identity())
            && let Some(end) = self.end
        {
            self.divergent = Some(header.identity());
            let identity = header.identity();
            events.push(ReplicaEvent::DivergentAck {
                identity,
                seq: end.next,
                have: end.chain,
                seen: header.chain,
            });
        }
    }
}
