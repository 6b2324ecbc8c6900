//! The Paxos family.

pub(super) mod acceptor;
mod basic;
mod cheap;
pub(super) mod log;
mod multi;

pub use basic::Paxos;
pub use cheap::CheapPaxos;
pub use multi::MultiPaxos;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] =
    &[Entry::of::<Paxos>(), Entry::of::<MultiPaxos<Value>>(), Entry::of::<CheapPaxos>()];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::AUXILIARIES_REST;
    use crate::space::Lab;
    use crate::{Detector, Subject};
    use lockstep_sim::explore::random_walks;

    const LEADER: Detector = Detector::Leader { mistakes: 3 };
    const SUSPICIONS: Detector = Detector::EventuallyPerfect { mistakes: 4 };

    /// With wrong detections the space of a card has no end, as rounds only grow: walks.
    fn duel<P: Subject>(detector: Detector) {
        let judged = P::CARD.properties.iter().filter(|property| **property != &AUXILIARIES_REST);
        let model = P::CARD.model.detector(detector);
        let mut lab = Lab::<P>::new(model, P::CARD.asks, None, judged.copied().collect(), true);
        let found = random_walks(&mut lab, 1, 200_000).violation;
        assert!(found.is_none(), "{}: {:?}", P::CARD.name, found.map(|found| found.what));
    }

    #[test]
    fn processes_that_both_lead_agree_and_come_to_an_end() {
        duel::<Paxos>(LEADER);
        duel::<MultiPaxos<Value>>(LEADER);
        duel::<CheapPaxos>(SUSPICIONS);
    }
}
