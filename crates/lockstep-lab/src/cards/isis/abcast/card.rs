//! The card of ABCAST.

use crate::property::{AGREEMENT, NO_CREATION, NO_DUPLICATION, PAIRWISE_TOTAL_ORDER, TOTAL_ORDER, VALIDITY};
use crate::{Ask, Break, Card, Detector, Failures, Family, Links, Model, Pid, Price, Prices, Search, Value};

const fn model(crashes: u8, filter: bool) -> Model {
    let model = Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Perfect) };
    Model { failures: Failures::Stop { crashes, filter }, ..model }
}

const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1)))];

pub(super) static CARD: Card = Card {
    name: "isis-abcast",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §3.2 and §4.3.1",
    says: "The sender asks all for a priority; each recipient gives one above all that it has, and the highest is \
           final. Messages are delivered in the order of final priorities, and one whose priority may still grow \
           blocks those behind it. If the sender fails, a process that has the message completes it: as printed \
           several at once, which may find different priorities; here each recipient answers one of them.",
    buys: &[
        (
            "the input filter",
            "progress: a message that comes after its sender's failure is completed by nobody",
        ),
        (
            "a process answers one coordinator",
            "total order: two coordinators may find different highest priorities",
        ),
        ("all that live answer", "total order: the final priority is above all that one has delivered"),
    ],
    uses: &[],
    model: model(2, true),
    asks: TWO,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT, &TOTAL_ORDER],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| n + 1,
        unicast: |n| 3 * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "no-input-filter",
            says: "A message arrives from a process that is already observed to have failed. Nobody completes it, \
                   and it blocks all behind it.",
            model: model(1, false),
            asks: None,
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        Break {
            name: "asked-for-uniform",
            says: "The exercise of §3.2: the process with the highest priority and one that has delivered by it \
                   fail. Those that remain know lower priorities alone, and deliver in another order.",
            model: model(2, true),
            asks: None,
            dropped: None,
            loses: &PAIRWISE_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "two-coordinators",
            says: "As printed: a process answers the one that takes over, and then takes the final priority of the \
                   dead sender, which counted its own priority too.",
            model: model(1, true),
            asks: None,
            dropped: Some("one coordinator"),
            loses: &TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 18,
            planted: false,
        },
        Break {
            name: "no-takeover",
            says: "Nobody completes the message of a sender that failed.",
            model: model(1, true),
            asks: None,
            dropped: Some("takeover"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 9,
            planted: true,
        },
    ],
};
