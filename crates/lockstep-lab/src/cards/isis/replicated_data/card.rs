//! The card of replicated data under locks.

use crate::cards::isis::flush_store::MODEL;
use crate::property::{LINEARIZABLE, REGISTER_TERMINATION, SURVIVORS_LINEARIZABLE};
use crate::{Ask, Break, Card, Detector, Failures, Family, Model, Pid, Price, Prices, Search, Value};

const ASKS: &[(Pid, Ask)] = &[(0, Ask::Write(Value(1))), (1, Ask::Write(Value(2))), (2, Ask::Read)];
const ONE_WRITE: &[(Pid, Ask)] = &[(0, Ask::Write(Value(1))), (1, Ask::Read), (2, Ask::Read)];

pub(super) static CARD: Card = Card {
    name: "replicated-data",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §5.1, §5.3",
    says: "A reader locks its own copy alone, which costs no message. A writer asks all copies for the lock, in one order, \
           and then its update is over at once: the broadcast brings it to each copy before the lock is returned \
           there, and before its failure is seen. A write of a site that fails may be lost with the site.",
    buys: &[
        (
            "a write lock of all copies, a read lock of one",
            "no read beside a write, for reads without a message",
        ),
        ("requests for locks in one order", "no deadlock: two writers with one lock each wait for ever"),
        (
            "locks end in the view without their holder",
            "the last update of the dead is everywhere or nowhere",
        ),
        ("the input filter", "no update of the dead after that"),
    ],
    uses: &["flush-store"],
    model: MODEL,
    asks: ASKS,
    properties: &[&SURVIVORS_LINEARIZABLE, &REGISTER_TERMINATION],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // To the lowest process, which asks all copies for the lock; their grants; the update.
        Price::of_one(&[(1, Ask::Write(Value(1)))], |_| 3, |n| n + 2, |n| 3 * (n - 1) + 1),
        Price::of_one(&[(2, Ask::Read)], |_| 0, |_| 0, |_| 0),
    ]),
    breaks: &[
        Break {
            name: "read-without-lock",
            says: "A copy that has granted the lock is read: the writer has written, and its update is under way.",
            model: MODEL,
            asks: Some(ONE_WRITE),
            dropped: Some("read lock"),
            loses: &SURVIVORS_LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "lock-of-one-copy",
            says: "The writer writes with its own grant alone.",
            model: MODEL,
            asks: Some(ONE_WRITE),
            dropped: Some("grants of all"),
            loses: &SURVIVORS_LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "locks-in-any-order",
            says: "Two writers ask all copies themselves. Each has the lock of its own copy, and waits for that of the other.",
            model: MODEL,
            asks: None,
            dropped: Some("order of locks"),
            loses: &REGISTER_TERMINATION,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "locks-of-the-dead",
            says: "Nobody returns the lock of a writer that fails.",
            model: MODEL,
            asks: Some(ONE_WRITE),
            dropped: Some("locks of the dead"),
            loses: &REGISTER_TERMINATION,
            search: Search::Breadth,
            steps_max: 10,
            planted: false,
        },
        Break {
            name: "no-filter",
            says: "An update of the dead arrives after its lock has ended, at one copy alone.",
            model: Model { failures: Failures::Stop { crashes: 1, filter: false }, ..MODEL },
            asks: Some(ONE_WRITE),
            dropped: None,
            loses: &SURVIVORS_LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 13,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "A writer that suspects all others writes alone.",
            model: MODEL.detector(Detector::EventuallyPerfect { mistakes: 2 }),
            asks: Some(ONE_WRITE),
            dropped: None,
            loses: &SURVIVORS_LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "asked-for-linearizable",
            says: "A write returns before its update has left the site, and is lost with it. A site that answers to the outside \
                   must flush first.",
            model: MODEL,
            asks: Some(ONE_WRITE),
            dropped: None,
            loses: &LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 11,
            planted: false,
        },
        Break {
            name: "ends-a-lock-at-the-suspicion",
            says: "A copy ends the lock when it suspects the holder, and is read before the forwarded update comes.",
            model: MODEL,
            asks: Some(ONE_WRITE),
            dropped: Some("locks until the view"),
            loses: &SURVIVORS_LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
