//! The card.

use crate::property::{CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY, UNIFORM_CONSENSUS};
use crate::{Ask, Break, Card, Detector, Family, Model, Price, Prices, Search, Value};

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(1);

pub(super) static CARD: Card = Card {
    name: "fast-paxos",
    family: Family::Paxos,
    source: "Lamport 2006; the Paxos family, Fast Paxos",
    says: "In the fast round proposals go to all acceptors at once, without a leader: two message delays from any process. \
           Where acceptors take different proposals first, a coordinator begins a classic round. Fast quorums are so large, \
           n - n / 4, that what a majority reports leaves one value at most that may be chosen.",
    buys: &[
        ("fast quorums", "agreement: with majorities two values of the fast round may seem chosen"),
        (
            "a coordinator in the end",
            "termination: a collision, or a crash in the fast quorum, ends the fast round",
        ),
    ],
    uses: &["paxos"],
    model: MODEL,
    asks: &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))],
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &UNIFORM_CONSENSUS, &CONSENSUS_TERMINATION],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(1, Ask::Propose(Value(0)))],
        delays: [|_| 2, |_| 2, |_| 2],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "majorities-in-the-fast-round",
            says: "Two of three acceptors are a quorum of the fast round too. The coordinator sees both values and takes the \
                   wrong one.",
            model: MODEL,
            asks: None,
            dropped: Some("fast quorums"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "any-value-after-the-fast-round",
            says: "The next coordinator takes its own proposal although a fast quorum may have accepted another.",
            model: MODEL,
            asks: None,
            dropped: Some("choosable values"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
