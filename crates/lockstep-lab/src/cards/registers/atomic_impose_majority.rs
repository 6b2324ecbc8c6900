//! The atomic register of majorities (Guerraoui's course, "Atomic register - Majority Algorithm").

use super::MajorityRegister;
use crate::property::{LINEARIZABLE, REGISTER_TERMINATION};
use crate::{Ask, Break, Card, Family, Model, Pid, Search, Subject, Value};

impl Subject for MajorityRegister<true> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.stop(1);
const ASKS: &[(Pid, Ask)] = &[(0, Ask::Write(Value(1))), (1, Ask::Read)];

static CARD: Card = Card {
    name: "atomic-impose-majority",
    family: Family::Registers,
    source: "Guerraoui's course, Atomic register, Majority Algorithm",
    says: "As regular-majority, and a reader has a majority adopt what it is about to return: a read costs four delays instead of two.",
    buys: &[("a majority is correct", "termination"), ("a reader imposes", "atomicity: new, then old")],
    uses: &[],
    model: MODEL,
    asks: ASKS,
    properties: &[&LINEARIZABLE, &REGISTER_TERMINATION],
    states_max: 600_000,
    whole: true,
    price: None,
    breaks: &[
        Break {
            name: "half-of-them-fail",
            says: "With two of three dead no majority answers.",
            model: Model::PLAIN.stop(2),
            asks: None,
            dropped: None,
            loses: &REGISTER_TERMINATION,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "reads-that-do-not-impose",
            says: "One reader asks a process that has the new value; another one asks two that do not have it yet.",
            model: Model::PLAIN.of(5, 2),
            asks: Some(&[(0, Ask::Write(Value(1))), (1, Ask::Read), (2, Ask::Read)]),
            dropped: Some("imposing"),
            loses: &LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 11,
            planted: true,
        },
    ],
};
