//! The card.

use crate::property::{CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY, UNIFORM_CONSENSUS};
use crate::{Ask, Break, Card, Detector, Fact, Failures, Family, Model, Pid, Price, Prices, Search, Value};

const MODEL: Model = Model::PLAIN.detector(Detector::Leader { mistakes: 0 }).stop(1);
const TWO: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];

pub(super) static CARD: Card = Card {
    name: "paxos",
    family: Family::Paxos,
    source: "Lamport 1998; the Paxos family, Basic Paxos",
    says: "A proposer asks a majority to promise that they accept nothing below its round, adopts the value of the \
           highest round that one of them accepted, and has a majority accept it. Any two majorities share an acceptor: \
           a value that may have been chosen is proposed again, whoever leads.",
    buys: &[
        (
            "promises on stable storage",
            "agreement: an acceptor that forgets accepts an older round behind a newer one",
        ),
        ("one leader in the end", "termination: two that retry interrupt each other for ever"),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO,
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &UNIFORM_CONSENSUS, &CONSENSUS_TERMINATION],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Propose(Value(0)))],
        // Of three processes one's own acceptance and that of the leader are a majority.
        delays: [|n| if n == 3 { 3 } else { 4 }, |n| if n == 3 { 3 } else { 4 }, |_| 4],
        multicast: |n| 2 + (n - 1) + n,
        unicast: |n| 2 * (n - 1) + (n - 1) + n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "a-promise-forgotten",
            says: "An acceptor comes back without its stable storage and accepts an older round.",
            model: Model {
                failures: Failures::Recovery { crashes: 1, stable: false },
                ..MODEL.detector(Detector::Leader { mistakes: 1 })
            },
            asks: None,
            dropped: None,
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 20,
            planted: false,
        },
        Break {
            name: "duel",
            says: "Two processes that both lead interrupt each other with ever higher rounds; every message arrives.",
            model: Model::PLAIN.of(2, 0),
            asks: None,
            dropped: Some("one leader"),
            loses: &CONSENSUS_TERMINATION,
            search: Search::Lasso { progress: |fact| matches!(fact, Fact::Decide(_)) },
            steps_max: 20,
            planted: false,
        },
        Break {
            name: "decided-and-at-rest",
            says: "The leader accepts, and crashes before all know. Its successor has decided and begins no round: the \
                   third process never counts a majority.",
            model: MODEL,
            asks: None,
            dropped: Some("rounds of those that have decided"),
            loses: &CONSENSUS_TERMINATION,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
        Break {
            name: "own-value-always",
            says: "A new leader proposes its own value, whatever the promises say.",
            model: MODEL.detector(Detector::Leader { mistakes: 1 }),
            asks: None,
            dropped: Some("value of promises"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 20,
            planted: true,
        },
    ],
};
