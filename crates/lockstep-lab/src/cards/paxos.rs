//! The Paxos family.

pub(super) mod acceptor;
mod basic;
mod cheap;
mod fast;
mod generalized;
pub(super) mod log;
mod multi;

pub use basic::Paxos;
pub use cheap::CheapPaxos;
pub use fast::FastPaxos;
pub use generalized::GeneralizedPaxos;
pub use multi::MultiPaxos;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<Paxos>(),
    Entry::of::<MultiPaxos<Value>>(),
    Entry::of::<CheapPaxos>(),
    Entry::of::<FastPaxos>(),
    Entry::of::<GeneralizedPaxos>(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::{AUXILIARIES_REST, CONFLICT_ORDER, NO_CREATION, NO_DUPLICATION, Property};
    use crate::space::Lab;
    use crate::timed::cost_of;
    use crate::{Ask, Card, Detector, Pid, Price, Subject};
    use lockstep_sim::explore::random_walks;

    const LEADER: Detector = Detector::Leader { mistakes: 3 };
    const SUSPICIONS: Detector = Detector::EventuallyPerfect { mistakes: 4 };

    /// With wrong detections the space of a card has no end, as rounds only grow: walks.
    fn duel<P: Subject>(detector: Detector, asks: &[(Pid, Ask)], judged: Vec<&'static Property>) {
        let model = P::CARD.model.detector(detector);
        let mut lab = Lab::<P>::new(model, asks, None, judged, true);
        let found = random_walks(&mut lab, 1, 200_000).violation;
        assert!(found.is_none(), "{}: {:?}", P::CARD.name, found.map(|found| found.what));
    }

    #[test]
    fn processes_that_both_lead_agree_and_come_to_an_end() {
        let all = |card: &Card| {
            let judged = card.properties.iter().filter(|property| **property != &AUXILIARIES_REST);
            judged.copied().collect()
        };
        duel::<Paxos>(LEADER, Paxos::CARD.asks, all(Paxos::CARD));
        duel::<MultiPaxos<Value>>(LEADER, MultiPaxos::CARD.asks, all(MultiPaxos::CARD));
        duel::<CheapPaxos>(SUSPICIONS, CheapPaxos::CARD.asks, all(CheapPaxos::CARD));
        duel::<FastPaxos>(SUSPICIONS, FastPaxos::CARD.asks, all(FastPaxos::CARD));
    }

    #[test]
    fn histories_of_conflicting_and_commuting_commands_agree() {
        let asks: Vec<_> =
            [(0, 0), (1, 1), (1, 2), (2, 3)].map(|(pid, value)| (pid, Ask::Broadcast(Value(value)))).into();
        duel::<GeneralizedPaxos>(Detector::Perfect, &asks, GeneralizedPaxos::CARD.properties.to_vec());
        duel::<GeneralizedPaxos>(SUSPICIONS, &asks, vec![&NO_DUPLICATION, &NO_CREATION, &CONFLICT_ORDER]);
    }

    /// The delays to the first process, to a majority and to all, and the datagrams, of three processes.
    fn cost<P: Subject>(asks: &'static [(Pid, Ask)]) -> ([Option<u64>; 3], u64) {
        let delays: [fn(u64) -> u64; 3] = [|_| 0; 3];
        let cost = cost_of::<P>(&Price { asks, delays, multicast: |_| 0, unicast: |_| 0 }, 3);
        (cost.delays_of(3), cost.multicast)
    }

    #[test]
    fn a_collision_costs_a_fast_round_one_delay_and_a_round_more() {
        const ONE: &[(Pid, Ask)] = &[(1, Ask::Propose(Value(1)))];
        const TWO: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];
        assert_eq!(cost::<FastPaxos>(ONE), ([Some(2); 3], 3));
        assert_eq!(cost::<FastPaxos>(TWO), ([Some(2), Some(2), Some(3)], 6));
    }
}
