//! The regular register of majorities (Guerraoui's course, "Regular register - Majority Algorithm").

use super::majority::{ASKS, HALF_FAIL, MODEL};
use super::{MajorityRegister, READ_PRICE, TWO_READERS, WRITE_PRICE};
use crate::property::{LINEARIZABLE, REGISTER_TERMINATION, REGULAR};
use crate::{Break, Card, Family, Model, Prices, Search, Subject};

impl Subject for MajorityRegister<false> {
    const CARD: &'static Card = &CARD;
}

static CARD: Card = Card {
    name: "regular-majority",
    family: Family::Registers,
    source: "Guerraoui's course, Regular register, Majority Algorithm",
    says: "A writer waits for a majority, a reader asks a majority and returns the latest of their versions. \
           It needs no detector.",
    buys: &[
        ("a majority is correct", "termination: half of the processes cannot tell a crash from a delay"),
        ("the highest of a majority", "regularity: two majorities share a process"),
    ],
    uses: &[],
    model: MODEL,
    asks: ASKS,
    properties: &[&REGULAR, &REGISTER_TERMINATION],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[WRITE_PRICE, READ_PRICE]),
    breaks: &[
        Break {
            name: "asked-for-atomic",
            says: "One reader asks a process that has the new value; another one asks two that do not have it yet.",
            model: Model::PLAIN.of(5, 2),
            asks: Some(TWO_READERS),
            dropped: None,
            loses: &LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 11,
            planted: false,
        },
        HALF_FAIL,
        Break {
            name: "returns-an-older-version",
            says: "The reader has a version of a majority, and does not take the highest.",
            model: MODEL,
            asks: None,
            dropped: Some("highest of a majority"),
            loses: &REGULAR,
            search: Search::Breadth,
            steps_max: 6,
            planted: true,
        },
    ],
};
