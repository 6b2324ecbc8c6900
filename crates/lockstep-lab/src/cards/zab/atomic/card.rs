//! The card.

use crate::cards::zab::ASKED_FOR_VALIDITY;
use crate::property::{
    NO_CREATION, NO_DUPLICATION, PRIMARY_INTEGRITY, PRIMARY_ORDER, PRIMARY_PROGRESS, UNIFORM_AGREEMENT,
    UNIFORM_TOTAL_ORDER,
};
use crate::{Ask, Break, Card, Detector, Family, Links, Model, Pid, Price, Prices, Search, Value};

const MODEL: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Leader { mistakes: 1 }).stop(1) };
const MISTAKES: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Leader { mistakes: 2 }) };
const THREE: &[(Pid, Ask)] =
    &[(0, Ask::Broadcast(Value(0))), (0, Ask::Broadcast(Value(1))), (1, Ask::Broadcast(Value(2)))];
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(2)))];

pub(super) static CARD: Card = Card {
    name: "zab",
    family: Family::Zab,
    source: "Junqueira, Reed, Serafini 2011",
    says: "A leader broadcasts transactions in the order of its epoch, and commits what a quorum has accepted. A new leader \
           first has a quorum promise its epoch, takes the longest history of the highest epoch among theirs, has a quorum \
           accept it as the beginning of the new epoch, and only then broadcasts. So a transaction is delivered with all \
           that its primary broadcast before it, and nothing of an earlier epoch appears later.",
    buys: &[
        (
            "a promise of the new epoch",
            "total order: the old leader commits behind the histories that were reported",
        ),
        (
            "a quorum accepts the history before the epoch begins",
            "primary integrity: a primary broadcasts and has not delivered what was committed before it",
        ),
        (
            "the epoch of a history before its length",
            "total order: a long history that was never committed replaces a committed one",
        ),
        ("links are first in first out", "primary order: a transaction overtakes the one that it depends on"),
        ("a majority lives", "progress"),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO,
    properties: &[
        &NO_CREATION,
        &NO_DUPLICATION,
        &UNIFORM_TOTAL_ORDER,
        &UNIFORM_AGREEMENT,
        &PRIMARY_ORDER,
        &PRIMARY_INTEGRITY,
        &PRIMARY_PROGRESS,
    ],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| n + 1,
        unicast: |n| 3 * (n - 1),
    }]),
    breaks: &[
        ASKED_FOR_VALIDITY,
        Break {
            name: "links-without-order",
            says: "The second transaction of the primary overtakes the first.",
            model: Model::PLAIN,
            asks: Some(THREE),
            dropped: None,
            loses: &PRIMARY_ORDER,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "a-majority-dies",
            says: "Two of three processes crash: the third one has no quorum for its epoch.",
            model: Model {
                links: Links::Fifo,
                ..Model::PLAIN.detector(Detector::Leader { mistakes: 0 }).stop(2)
            },
            asks: None,
            dropped: None,
            loses: &PRIMARY_PROGRESS,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-synchronization",
            says: "The new primary broadcasts as soon as it knows the history, before a quorum has accepted it.",
            model: MODEL,
            asks: None,
            dropped: Some("synchronization"),
            loses: &PRIMARY_INTEGRITY,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "no-promise",
            says: "A follower that has promised a new epoch still accepts what the old leader broadcasts.",
            model: MISTAKES,
            asks: None,
            dropped: Some("promise"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 15,
            planted: true,
        },
        Break {
            name: "longest-history",
            says: "A leader takes the longest history, whatever its epoch: one that was never committed.",
            model: MISTAKES,
            asks: Some(THREE),
            dropped: Some("epoch of the history"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Walks(3_000_000),
            steps_max: 24,
            planted: true,
        },
    ],
};
