//! The Paxos family.

pub(super) mod acceptor;
mod basic;
pub(super) mod log;
mod multi;

pub use basic::Paxos;
pub use multi::MultiPaxos;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[Entry::of::<Paxos>(), Entry::of::<MultiPaxos<Value>>()];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Lab;
    use crate::{Detector, Subject};
    use lockstep_sim::explore::random_walks;

    /// With leaders that are named by mistake the space of a card has no end, as rounds only grow: walks.
    fn duel<P: Subject>() {
        let model = P::CARD.model.detector(Detector::Leader { mistakes: 3 });
        let mut lab = Lab::<P>::new(model, P::CARD.asks, None, P::CARD.properties.to_vec(), true);
        let found = random_walks(&mut lab, 1, 200_000).violation;
        assert!(found.is_none(), "{}: {:?}", P::CARD.name, found.map(|found| found.what));
    }

    #[test]
    fn processes_that_both_lead_agree_and_come_to_an_end() {
        duel::<Paxos>();
        duel::<MultiPaxos<Value>>();
    }
}
