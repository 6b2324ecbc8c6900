//! The card.

use crate::property::{
    CONFLICT_ORDER, NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, VALIDITY,
};
use crate::{Ask, Break, Card, Detector, Family, Links, Model, Pid, Price, Prices, Search, Value};

const MODEL: Model = Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Perfect).stop(1) };

pub(super) static CARD: Card = Card {
    name: "generalized-paxos",
    family: Family::Paxos,
    source: "Lamport 2005; the Paxos family, Generalized Paxos",
    says: "As Fast Paxos, of histories that grow instead of one value. Two histories are one if they differ only by the \
           order of commands that commute, so that only conflicting commands collide. In the model a and b conflict, as c \
           and d do, and the others commute.",
    buys: &[
        (
            "commands that commute",
            "two delays for both: in a total order they collide as conflicting ones do",
        ),
        ("fast quorums", "order: with majorities two histories of the fast round may seem chosen"),
    ],
    uses: &["fast-paxos"],
    model: MODEL,
    asks: CONFLICT,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT, &CONFLICT_ORDER],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(2)))],
        delays: [|_| 2, |_| 2, |_| 2],
        multicast: |n| 2 * n,
        unicast: |n| 2 * n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "asked-for-a-total-order",
            says: "Commands that commute are delivered in two orders, which no reader of the registers can tell.",
            model: MODEL,
            asks: Some(&[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(2)))]),
            dropped: None,
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 10,
            planted: false,
        },
        Break {
            name: "conflicts-that-commute",
            says: "Conflicting commands are taken for commands that commute.",
            model: MODEL,
            asks: None,
            dropped: Some("conflicts"),
            loses: &CONFLICT_ORDER,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
        Break {
            name: "majorities-in-the-fast-round",
            says: "Two of three acceptors are a quorum of the fast round too.",
            model: MODEL,
            asks: None,
            dropped: Some("fast quorums"),
            loses: &CONFLICT_ORDER,
            search: Search::Breadth,
            steps_max: 10,
            planted: false,
        },
    ],
};

const CONFLICT: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];
