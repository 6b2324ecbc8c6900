use lockstep_lab::cards::paxos::{
    ByzantinePaxos, CheapPaxos, FastByzantine, FastPaxos, GeneralizedPaxos, MultiPaxos, Paxos,
};
use lockstep_lab::property::{
    AUXILIARIES_REST, CONFLICT_ORDER, NO_CREATION, NO_DUPLICATION, Property, UNIFORM_CONSENSUS,
};
use lockstep_lab::search::Searched;
use lockstep_lab::timed::{Requests, Timing};
use lockstep_lab::{Ask, Card, Detector, Entry, Failures, Model, Pid, Subject, Time, Value};
use lockstep_testkit::lane::amount;

const LEADER: Detector = Detector::Leader { mistakes: 3 };
const SUSPICIONS: Detector = Detector::EventuallyPerfect { mistakes: 4 };

/// With wrong detections the space of a card has no end, as rounds only grow: walks.
fn duel<P: Subject>(detector: Detector, asks: &[(Pid, Ask)], properties: &[&'static Property]) {
    let model = P::CARD.model.detector(detector);
    let searched = Searched { model, asks, dropped: None, properties };
    let steps = amount(20_000, 200_000);
    assert_eq!(searched.lost_on_walks::<P>(1, steps), None, "{}", P::CARD.name);
}

#[test]
fn processes_that_both_lead_agree_and_come_to_an_end() {
    let all = |card: &Card| -> Vec<&'static Property> {
        let judged = card.properties.iter().filter(|property| **property != &AUXILIARIES_REST);
        judged.copied().collect()
    };
    duel::<Paxos>(LEADER, Paxos::CARD.asks, &all(Paxos::CARD));
    duel::<MultiPaxos<Value>>(LEADER, MultiPaxos::CARD.asks, &all(MultiPaxos::CARD));
    duel::<CheapPaxos>(SUSPICIONS, CheapPaxos::CARD.asks, &all(CheapPaxos::CARD));
    duel::<FastPaxos>(SUSPICIONS, FastPaxos::CARD.asks, &all(FastPaxos::CARD));
}

#[test]
fn histories_of_conflicting_and_commuting_commands_agree() {
    let asks = [(0, 0), (1, 1), (1, 2), (2, 3)].map(|(pid, value)| (pid, Ask::Broadcast(Value(value))));
    duel::<GeneralizedPaxos>(Detector::Perfect, &asks, GeneralizedPaxos::CARD.properties);
    duel::<GeneralizedPaxos>(SUSPICIONS, &asks, &[&NO_DUPLICATION, &NO_CREATION, &CONFLICT_ORDER]);
}

/// The delays to the first process, to a majority and to all, and the datagrams, of three processes.
fn cost<P: Subject>(asks: &'static [(Pid, Ask)]) -> ([Option<u64>; 3], u64) {
    let entry = Entry::of::<P>();
    let price = &P::CARD.prices.all()[0];
    let timing = Timing { requests: Requests::AtOnce(asks), ..Timing::of_price(price, 3) };
    let cost = entry.timed(&timing).expect("every subject has timed runs").cost;
    (cost.delays_of(3), cost.multicast)
}

#[test]
fn a_collision_costs_a_fast_round_one_delay_and_a_round_more() {
    const ONE: &[(Pid, Ask)] = &[(1, Ask::Propose(Value(1)))];
    assert_eq!(cost::<FastPaxos>(ONE), ([Some(2); 3], 3));
    assert_eq!(cost::<FastPaxos>(TWO), ([Some(2), Some(2), Some(3)], 6));
}

const TWO: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];

/// Walks through runs with more lies than the card's model has: whether all decide one value. Those that find
/// nothing are fewer on each change.
fn agrees<P: Subject>(liars: &'static [Pid], lies: u8, dropped: Option<&'static str>) -> bool {
    let model = Model {
        failures: Failures::Byzantine { liars, lies },
        time: Time::Asynchronous { timeouts: 1 },
        ..P::CARD.model
    };
    let searched = Searched { model, asks: TWO, dropped, properties: &[&UNIFORM_CONSENSUS] };
    let steps = if dropped.is_none() { amount(40_000, 400_000) } else { 400_000 };
    searched.lost_on_walks::<P>(7, steps).is_none()
}

#[test]
fn the_byzantine_members_agree_whichever_of_them_lies() {
    for liars in [&[0], &[1], &[3]] {
        assert!(agrees::<ByzantinePaxos>(liars, 8, None));
    }
    assert!(!agrees::<ByzantinePaxos>(&[0], 5, Some("verification")), "the walks come so far");
    for liars in [&[2], &[5]] {
        assert!(agrees::<FastByzantine>(liars, 4, None));
    }
    assert!(!agrees::<FastByzantine>(&[5], 2, Some("reports")), "the walks come so far");
}
