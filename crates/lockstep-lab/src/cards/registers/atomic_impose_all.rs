//! The atomic register of one writer that imposes on all (Guerraoui's course, "Atomic register").

use super::impose_all::{MODEL, NO_IMPOSING};
use super::{ImposeAll, READ_PRICE, TWO_READERS, WRITE_PRICE};
use crate::property::{LINEARIZABLE, REGISTER_TERMINATION};
use crate::{Break, Card, Detector, Family, Prices, Search, Subject};

impl Subject for ImposeAll<false> {
    const CARD: &'static Card = &CARD;
}

static CARD: Card = Card {
    name: "atomic-impose-all",
    family: Family::Registers,
    source: "Guerraoui's course, Atomic register",
    says: "A reader sends what it is about to return to all, and returns when all that are not \
           suspected have it: no later read is older.",
    buys: &[
        ("a reader imposes", "atomicity: new, then old"),
        (
            "the detector is accurate",
            "atomicity: a correct process that was not waited for returns an old value",
        ),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO_READERS,
    properties: &[&LINEARIZABLE, &REGISTER_TERMINATION],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[WRITE_PRICE, READ_PRICE]),
    breaks: &[
        Break {
            name: "wrong-suspicions",
            says: "A write does not wait for a correct process, which returns the old value.",
            model: MODEL.detector(Detector::EventuallyPerfect { mistakes: 2 }),
            asks: None,
            dropped: None,
            loses: &LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 7,
            planted: false,
        },
        Break {
            name: "a-dead-process-is-waited-for",
            says: "Nobody learns of the crash, and an operation waits for ever.",
            model: MODEL.detector(Detector::None),
            asks: None,
            dropped: None,
            loses: &REGISTER_TERMINATION,
            search: Search::Breadth,
            steps_max: 7,
            planted: false,
        },
        NO_IMPOSING,
    ],
};
