//! The card.

use super::CHANGE;
use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{Ask, Break, Card, Detector, Family, Links, Model, Price, Prices, Search, Value};

const MODEL: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.of(4, 1).detector(Detector::Leader { mistakes: 0 }).stop(1) };
const MISTAKE: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.of(4, 1).detector(Detector::Leader { mistakes: 1 }) };

pub(super) static CARD: Card = Card {
    name: "reconfiguration",
    family: Family::Paxos,
    source: "Lamport, Malkhi, Zhou 2010; the Paxos family, reconfiguration",
    says: "An entry of the log may replace a member, and is decided by the members of before; the next entry is decided by \
           those of after, and is not proposed until they are known. A leader needs the promises of a majority of the new \
           members before it goes on with them. So a group outlives more failures in all than it does at once.",
    buys: &[
        (
            "the log decides its members",
            "agreement: old and new members decide one entry, and their majorities have nobody in common",
        ),
        ("new members promise as well", "agreement: they have accepted what the old ones do not know of"),
        ("one failure at a time", "termination: the change itself needs a majority of the old members"),
    ],
    uses: &["multi-paxos"],
    model: MODEL,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(CHANGE))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT, &UNIFORM_TOTAL_ORDER],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        // All but the last are members.
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| 2 * (n - 2) + (n - 1),
        unicast: |n| 2 * (n - 2) + (n - 1),
    }]),
    breaks: &[
        Break {
            name: "two-configurations-at-once",
            says: "p3 is asked for the change and puts it in force at once: {p3, p4} decide it while {p1, p2} decide a.",
            model: MISTAKE,
            asks: Some(&[(0, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(CHANGE))]),
            dropped: Some("change by the log"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 10,
            planted: false,
        },
        Break {
            name: "two-crashes-before-the-change",
            says: "Two of three members crash, and nobody is left who could let in a fourth.",
            model: Model {
                links: Links::Fifo,
                ..Model::PLAIN.of(4, 1).detector(Detector::Leader { mistakes: 0 }).stop(2)
            },
            asks: None,
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-promises-of-new-members",
            says: "A leader goes on with the promises of the old members. The new ones have accepted an entry of the leader before.",
            model: MISTAKE,
            asks: Some(&[
                (0, Ask::Broadcast(CHANGE)),
                (0, Ask::Broadcast(Value(0))),
                (1, Ask::Broadcast(Value(1))),
            ]),
            dropped: Some("promises of new members"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Walks(3_000_000),
            steps_max: 34,
            planted: true,
        },
    ],
};
