//! The atomic register of many writers (Guerraoui's course, "(N,N) Atomic Register").

use super::impose_all::{MODEL, NO_IMPOSING};
use super::{ImposeAll, READ_PRICE, WRITE_PRICE};
use crate::property::{LINEARIZABLE, REGISTER_TERMINATION};
use crate::{Ask, Break, Card, Family, Model, Pid, Prices, Search, Subject, Value};

impl Subject for ImposeAll<true> {
    const CARD: &'static Card = &CARD;
}

const ASKS: &[(Pid, Ask)] = &[(0, Ask::Write(Value(1))), (1, Ask::Write(Value(2))), (2, Ask::Read)];

static CARD: Card = Card {
    name: "atomic-n-n",
    family: Family::Registers,
    source: "Guerraoui's course, (N,N) Atomic Register",
    says: "As atomic-impose-all, with many writers: two versions of one time are ordered by the rank of their writers.",
    buys: &[
        (
            "the rank of a writer",
            "one order of the writes: of two of one time each process would retain the first that came",
        ),
        ("a reader imposes", "atomicity: new, then old"),
    ],
    uses: &[],
    model: MODEL,
    asks: ASKS,
    properties: &[&LINEARIZABLE, &REGISTER_TERMINATION],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[WRITE_PRICE, READ_PRICE]),
    breaks: &[
        Break {
            name: "two-writers-without-rank",
            says: "Both writers write at one time; each returns its own value ever after.",
            model: Model::PLAIN.of(2, 0),
            asks: Some(&[
                (0, Ask::Write(Value(1))),
                (0, Ask::Read),
                (1, Ask::Write(Value(2))),
                (1, Ask::Read),
                (1, Ask::Read),
            ]),
            dropped: Some("rank"),
            loses: &LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        NO_IMPOSING,
    ],
};
