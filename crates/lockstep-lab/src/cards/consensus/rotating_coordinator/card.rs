//! The card of the rotating coordinator.

use super::RotatingCoordinator;
use crate::cards::consensus::{PROPOSALS, THREE};
use crate::property::{CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY, UNIFORM_CONSENSUS};
use crate::{Break, Card, Detector, Family, Links, Model, Price, Prices, Search, Subject, Value};

impl Subject for RotatingCoordinator<Value> {
    const CARD: &'static Card = &CARD;
}

// Links without an order have more than three million states.
const MODEL: Model = Model {
    links: Links::Fifo,
    ..Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 1 }).stop(1)
};

static CARD: Card = Card {
    name: "rotating-coordinator",
    family: Family::Consensus,
    source: "Chandra and Toueg 1996; Guerraoui's course, Consensus Algorithm 3",
    says: "The leader of a round takes the latest value that one of a majority has adopted, has a majority adopt it, and \
           broadcasts the decision. A process that suspects the leader goes on to the next round. Agreement needs no \
           detector at all; termination needs a leader that nobody suspects. A leader that leaves its round informs all, \
           which the text leaves out. The links are FIFO for the size of the space.",
    buys: &[
        (
            "a majority is correct",
            "termination: a leader waits for a majority. A smaller quorum loses agreement",
        ),
        (
            "the latest adopted value",
            "uniform agreement: what a majority has adopted is proposed in all later rounds",
        ),
        (
            "the decision is broadcast reliably",
            "termination: a process that has decided stops, and the rest may be no majority",
        ),
        ("the detector is accurate in the end", "termination: every leader may be suspected for ever"),
    ],
    uses: &["reliable-eager"],
    model: MODEL,
    asks: THREE,
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &UNIFORM_CONSENSUS, &CONSENSUS_TERMINATION],
    states_max: 500_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: PROPOSALS,
        delays: [|_| 3, |_| 4, |_| 4],
        multicast: |n| 2 * (n - 1) + 1 + n,
        unicast: |n| 2 * (n - 1) + (n - 1) + n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "no-majority-is-correct",
            says: "Two of three crash, and the third waits for a majority for ever.",
            model: MODEL.detector(Detector::EventuallyPerfect { mistakes: 0 }).stop(2),
            asks: None,
            dropped: None,
            loses: &CONSENSUS_TERMINATION,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "quorum-of-n-minus-f",
            says: "For two failures of three a quorum is one process: each decides alone.",
            model: MODEL.of(3, 2),
            asks: None,
            dropped: Some("majority"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "decision-by-best-effort",
            says: "The leader crashes after one process has its decision. That one stops, and the other has no majority.",
            model: MODEL,
            asks: None,
            dropped: Some("relay"),
            loses: &CONSENSUS_TERMINATION,
            search: Search::Breadth,
            steps_max: 10,
            planted: false,
        },
        Break {
            name: "nobody-is-informed",
            says: "As printed. One process suspects the leader, informs it and crashes. The leader goes on with the next one; \
                   the fourth, which does not suspect it, waits in its round, and two of four are no majority.",
            model: MODEL.of(4, 1),
            asks: Some(PROPOSALS.split_at(4).0),
            dropped: Some("informing all"),
            loses: &CONSENSUS_TERMINATION,
            search: Search::Walks(1_000_000),
            steps_max: 16,
            planted: false,
        },
        Break {
            name: "any-estimate",
            says: "A leader proposes some value of its majority, not the one that was adopted last.",
            model: MODEL,
            asks: None,
            dropped: Some("latest estimate"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 9,
            planted: true,
        },
    ],
};
