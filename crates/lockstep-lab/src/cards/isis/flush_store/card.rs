//! The card of the flush and the store.

use crate::property::{
    AGREEMENT, COLLECTION, LAST_VIEW, NO_CREATION, NO_DUPLICATION, NOTHING_AFTER_FAILURE, STABLE_COLLECTION,
    VALIDITY, VIEW_ORDER, VIEW_SYNCHRONY,
};
use crate::{Ask, Break, Card, Detector, Failures, Family, Links, Model, Pid, Price, Prices, Search, Value};

/// The model of the cards above this module too: ordered links, and the input filter.
pub(in crate::cards::isis) const MODEL: Model = Model {
    links: Links::Fifo,
    failures: Failures::Stop { crashes: 1, filter: true },
    ..Model::PLAIN.detector(Detector::Perfect)
};
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];

pub(super) static CARD: Card = Card {
    name: "flush-store",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §4.3.3 part 1, §4.4, §4.5",
    says: "A process stores each message until all that live have it. When one fails, the others forward what is left in \
           their stores, and indicate the failure after that: nobody hears of the dead again. A message costs one \
           datagram and its acks; it is forwarded only where somebody fails.",
    buys: &[
        ("a message is stored until it is stable", "agreement: what one has, it can forward"),
        ("the mark behind what is forwarded", "the failure comes after the last message of the dead"),
        ("the input filter", "a late message of the dead does not come after the flush"),
        (
            "the second round of the collection",
            "no duplicate: a copy under way would find no trace of the first one",
        ),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO,
    properties: &[
        &VALIDITY,
        &NO_DUPLICATION,
        &NO_CREATION,
        &AGREEMENT,
        &STABLE_COLLECTION,
        &COLLECTION,
        &NOTHING_AFTER_FAILURE,
        &VIEW_SYNCHRONY,
        &VIEW_ORDER,
        &LAST_VIEW,
    ],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |n| 2 * n,
        unicast: |n| (n + 2) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "collects-before-stable",
            says: "The sender takes the first ack for all of them. It fails, and nobody has a copy for the last process.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("acks of all"),
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 10,
            planted: false,
        },
        Break {
            name: "no-forwarding",
            says: "Nobody forwards at a failure: a message that reached one process reaches no other.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("forwarding"),
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 7,
            planted: false,
        },
        Break {
            name: "no-filter",
            says: "A message of the dead arrives after the flush, and only one process has it then.",
            model: Model { failures: Failures::Stop { crashes: 1, filter: false }, ..MODEL },
            asks: Some(ONE),
            dropped: None,
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "failure-before-the-flush",
            says: "A process indicates the failure at once, and the forwarded message comes after it.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("waiting for the flush"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "broadcasts-during-the-flush",
            says: "A broadcast behind the mark is delivered in the old view here and in the new view there.",
            model: MODEL,
            asks: None,
            dropped: Some("waiting for the view"),
            loses: &VIEW_SYNCHRONY,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "mark-of-an-earlier-flush",
            says: "Two of four fail. A process takes the mark of the flush for one of them for both, and gets a message \
                   of the other one after the view.",
            model: Model { failures: Failures::Stop { crashes: 2, filter: true }, ..MODEL.of(4, 2) },
            asks: Some(ONE),
            dropped: Some("marks of one set"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Walks(200_000),
            steps_max: 10,
            planted: true,
        },
        Break {
            name: "forgets-at-once",
            says: "A process deletes a stable message before the others send no copy any more: the next copy is a new message.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("silence of all"),
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 6,
            planted: true,
        },
    ],
};
