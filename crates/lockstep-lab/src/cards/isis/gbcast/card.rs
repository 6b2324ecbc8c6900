//! The card of GBCAST.

use crate::property::{
    AGREEMENT, CRASHED_LEAVE, LAST_VIEW, NO_CREATION, NO_DUPLICATION, NOTHING_AFTER_FAILURE,
    UNIFORM_VIEW_AGREEMENT, VALIDITY, VIEW_ACCURACY, VIEW_ORDER, VIEW_SYNCHRONY, VIEW_SYNCHRONY_OF_CORRECT,
};
use crate::{Ask, Break, Card, Detector, Failures, Family, Links, Model, Pid, Price, Prices, Search, Value};

const MODEL: Model = Model {
    links: Links::Fifo,
    failures: Failures::Stop { crashes: 2, filter: true },
    ..Model::PLAIN.detector(Detector::Perfect)
};
/// A CBCAST of p1, and one and an ABCAST of p3.
const ASKS: &[(Pid, Ask)] =
    &[(0, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1))), (2, Ask::Broadcast(Value(13)))];

pub(super) static CARD: Card = Card {
    name: "isis-gbcast",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §3.1 and §4.3.3",
    says: "A failure is delivered to all at one place of the order of all broadcasts, and after all that the dead \
           process sent. First its ABCASTs get their final priorities everywhere; then the failure itself is an \
           ABCAST; then all that live agree on the CBCASTs that come before it, and hold back the others. Each \
           further failure begins the flush and the lists again, which the text leaves open.",
    buys: &[
        ("the flush", "nothing of a process comes after its failure"),
        ("the before list and the wait queue", "view synchrony of CBCASTs, which nothing else orders"),
        ("nothing is accepted of the dead", "nothing of a process comes after its failure"),
    ],
    uses: &["isis-abcast", "isis-cbcast"],
    model: MODEL,
    asks: ASKS,
    properties: &[
        &VALIDITY,
        &NO_DUPLICATION,
        &NO_CREATION,
        &AGREEMENT,
        &NOTHING_AFTER_FAILURE,
        &VIEW_SYNCHRONY_OF_CORRECT,
        &UNIFORM_VIEW_AGREEMENT,
        &VIEW_ORDER,
        &VIEW_ACCURACY,
        &CRASHED_LEAVE,
        &LAST_VIEW,
    ],
    states_max: 200_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // A CBCAST: a packet for each process, as each may carry something else. An ABCAST costs what
        // isis-abcast costs. A failure costs both and the lists, and is no request.
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |n| n - 1,
        unicast: |n| n - 1,
    }]),
    breaks: &[
        Break {
            name: "no-flush",
            says: "The failure gets its place at once. An ABCAST of the dead process is completed later, with a \
                   higher priority.",
            model: MODEL,
            asks: Some(&[(2, Ask::Broadcast(Value(13)))]),
            dropped: Some("flush"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "no-restart",
            says: "One more process fails meanwhile: what it had passed on of the dead one is in no list.",
            model: MODEL,
            asks: None,
            dropped: Some("restart"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "asked-for-uniform",
            says: "The coordinator alone has delivered a CBCAST, sends its list to itself, leaves the view and fails.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &VIEW_SYNCHRONY,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "no-before-list",
            says: "The failure is ordered among ABCASTs alone: a CBCAST comes before it here and after it there.",
            model: MODEL,
            asks: None,
            dropped: Some("before list"),
            loses: &VIEW_SYNCHRONY_OF_CORRECT,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "no-wait-queue",
            says: "A process delivers a CBCAST after it has sent its list.",
            model: MODEL,
            asks: None,
            dropped: Some("wait queue"),
            loses: &VIEW_SYNCHRONY_OF_CORRECT,
            search: Search::Breadth,
            steps_max: 16,
            planted: true,
        },
        Break {
            name: "hears-the-dead",
            says: "A process that has not observed the failure itself still accepts what the dead one sent.",
            model: MODEL,
            asks: None,
            dropped: Some("filter"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
