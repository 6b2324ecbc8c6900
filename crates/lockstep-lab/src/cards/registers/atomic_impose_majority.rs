//! The atomic register of majorities (Guerraoui's course, "Atomic register - Majority Algorithm").

use super::majority::{ASKS, HALF_FAIL, MODEL};
use super::{MajorityRegister, READ, TWO_READERS, WRITE_PRICE};
use crate::property::{LINEARIZABLE, REGISTER_TERMINATION};
use crate::{Break, Card, Family, Model, Price, Prices, Search, Subject};

impl Subject for MajorityRegister<true> {
    const CARD: &'static Card = &CARD;
}

static CARD: Card = Card {
    name: "atomic-impose-majority",
    family: Family::Registers,
    source: "Guerraoui's course, Atomic register, Majority Algorithm",
    says: "As regular-majority, and a reader has a majority adopt what it is about to return: a read costs \
           four delays instead of two.",
    buys: &[("a majority is correct", "termination"), ("a reader imposes", "atomicity: new, then old")],
    uses: &[],
    model: MODEL,
    asks: ASKS,
    properties: &[&LINEARIZABLE, &REGISTER_TERMINATION],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[
        WRITE_PRICE,
        // It asks for versions, and then writes what it returns.
        Price::of_one(READ, |_| 4, |n| 2 * n, |n| 4 * (n - 1)),
    ]),
    breaks: &[
        HALF_FAIL,
        Break {
            name: "reads-that-do-not-impose",
            says: "One reader asks a process that has the new value; another one asks two that do not have it yet.",
            model: Model::PLAIN.of(5, 2),
            asks: Some(TWO_READERS),
            dropped: Some("imposing"),
            loses: &LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 11,
            planted: true,
        },
    ],
};
