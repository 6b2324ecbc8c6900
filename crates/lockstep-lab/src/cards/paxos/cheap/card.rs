//! The card.

use crate::property::{
    AUXILIARIES_REST, CONSENSUS_INTEGRITY, CONSENSUS_VALIDITY, PROPOSER_TERMINATION, UNIFORM_CONSENSUS,
};
use crate::{Ask, Break, Card, Detector, Family, Model, Pid, Price, Prices, Search, Value};

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(1);
const FIVE: Model = MODEL.of(5, 2);
const WRONG: Model = Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 2 });

const TWO: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];

pub(super) static CARD: Card = Card {
    name: "cheap-paxos",
    family: Family::Paxos,
    source: "Lamport and Massa 2004; the Paxos family, Cheap Paxos",
    says: "Paxos of f + 1 main processes and f auxiliary acceptors. While the main processes live they are a majority by \
           themselves, and no message goes to an auxiliary; once one is suspected, an auxiliary stands in its place. The \
           auxiliaries can be slow machines.",
    buys: &[
        ("f auxiliaries", "termination: f + 1 processes that need each other stop with the first that fails"),
        (
            "the auxiliary accepts in the place of the failed one",
            "agreement: two that suspect each other decide alone",
        ),
    ],
    uses: &["paxos"],
    model: FIVE,
    asks: &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1))), (2, Ask::Propose(Value(2)))],
    properties: &[
        &CONSENSUS_VALIDITY,
        &CONSENSUS_INTEGRITY,
        &UNIFORM_CONSENSUS,
        &PROPOSER_TERMINATION,
        &AUXILIARIES_REST,
    ],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Propose(Value(0)))],
        // Of three processes one's own acceptance and that of the leader are a majority. Auxiliaries do not
        // learn.
        delays: [|n| if n == 3 { 1 } else { 2 }, |_| 2, |_| Price::NEVER],
        multicast: |n| n / 2 + (n / 2) * (n / 2),
        unicast: |n| n / 2 + (n / 2) * (n / 2),
    }]),
    breaks: &[
        Break {
            name: "without-its-auxiliary",
            says: "Two main processes and nobody else: one crashes, and the other waits for it.",
            model: MODEL.of(2, 1),
            asks: Some(TWO),
            dropped: None,
            loses: &PROPOSER_TERMINATION,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "the-living-decide",
            says: "Nobody crashes. Two main processes suspect each other, and each decides without an auxiliary.",
            model: WRONG,
            asks: Some(TWO),
            dropped: Some("auxiliaries in quorums"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "a-silent-auxiliary",
            says: "The auxiliary promises, and does not report what it has accepted.",
            model: WRONG,
            asks: Some(TWO),
            dropped: Some("report of the auxiliary"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
        Break {
            name: "no-rest",
            says: "The leader uses all acceptors from the start.",
            model: MODEL,
            asks: Some(TWO),
            dropped: Some("rest"),
            loses: &AUXILIARIES_REST,
            search: Search::Breadth,
            steps_max: 2,
            planted: true,
        },
    ],
};
