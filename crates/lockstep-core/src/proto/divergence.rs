//! # divergence: when two logs are proven to differ
//!
//! The question: a heartbeat or a frame of the followed leader carries a chain that differs from that of the
//! own log. Either the logs differ, and the node must stop; or this one datagram is wrong: of a broken host,
//! of a wrong file, or forged.
//!
//! ```text
//!   contradiction ─▶ 1 ─ contradiction ─▶ 2 ─ contradiction ─▶ 3: proven, the node stops
//!         ▲          │                    │
//!         └──────────┴── agreement ◀──────┘       a frame that follows, or a heartbeat with the own chain
//! ```
//!
//! A log that really differs from its leader's is contradicted by each heartbeat at its end, or by each
//! answer to its own requests for what follows that end, and agrees with none: the proof takes two more of
//! these. Meanwhile nothing is stored, as no frame follows that log.

use super::planted::{Mutation, planted};

/// Datagrams that contradict the own log, none of which is a copy of the one before, without an agreement
/// between them.
const PROOF: u8 = 3;

/// The contradictions since the last agreement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DivergenceProof {
    contradictions: u8,
    /// The tag of the last one: a repair's own, which covers the token of the request, or the datagram's.
    tag: [u64; 2],
}

impl DivergenceProof {
    /// A datagram of the followed leader fits the own log at its end.
    #[inline]
    pub fn on_agreement(&mut self) {
        if self.contradictions > 0 {
            *self = Self::default();
        }
    }

    /// DIVERGE-1 (when logs are proven to differ): the datagram with this tag contradicts the own log.
    /// Returns whether that is proven now.
    #[cold]
    pub fn on_contradiction(&mut self, tag: [u64; 2]) -> bool {
        if self.contradictions == 0 || self.tag != tag {
            self.contradictions = self.contradictions.saturating_add(1);
            self.tag = tag;
        }
        self.contradictions >= PROOF || planted(Mutation::OneDatagramDiverges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DIVERGE-1.
    #[test]
    fn a_single_datagram_and_its_copies_prove_nothing() {
        let mut divergence = DivergenceProof::default();
        assert!((0..1_000).all(|_| !divergence.on_contradiction([7, 0])));
    }

    /// DIVERGE-1.
    #[test]
    fn an_agreement_between_contradictions_begins_the_count_anew() {
        let mut divergence = DivergenceProof::default();
        for tag in 0..1_000 {
            assert!(!divergence.on_contradiction([tag, 0]));
            if tag % 2 == 1 {
                divergence.on_agreement();
            }
        }
    }

    /// DIVERGE-1.
    #[test]
    fn three_contradictions_in_a_row_are_the_proof() {
        let mut divergence = DivergenceProof::default();
        assert_eq!([1, 2, 3].map(|tag| divergence.on_contradiction([tag, 0])), [false, false, true]);
    }
}
