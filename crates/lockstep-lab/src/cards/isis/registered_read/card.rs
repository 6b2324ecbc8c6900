//! The card of the registered read lock.

use crate::cards::isis::flush_store::MODEL;
use crate::property::{REGISTER_TERMINATION, REPEATABLE_READ};
use crate::{Ask, Break, Card, Failures, Family, Model, Pid, Price, Prices, Search, Value};

/// One client reads twice under one lock; another process writes.
const ASKS: &[(Pid, Ask)] = &[(1, Ask::Write(Value(1))), (2, Ask::Read), (2, Ask::Read), (2, Ask::Release)];

pub(super) static CARD: Card = Card {
    name: "registered-read",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §5.3",
    says: "A client reads under a lock of one copy. That copy registers the lock with the others by a broadcast, and answers \
           without a wait. If its site fails, whoever has the answer has the registration too, and the flush brings \
           it to all before the failure: so the lock counts as one of all copies, and the next site goes on with it.",
    buys: &[
        ("the registration", "the lock after the failure of its site: another site reads the same value"),
        (
            "the flush before the view",
            "a registration that anybody has is with all before they act on the failure",
        ),
        ("a writer that looks again after a failure", "a grant from before the registration does not count"),
    ],
    uses: &["flush-store"],
    model: MODEL,
    asks: ASKS,
    properties: &[&REPEATABLE_READ, &REGISTER_TERMINATION],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // The request for the lock, the grants, the update.
        Price::of_one(&[(1, Ask::Write(Value(1)))], |_| 2, |n| n + 1, |n| 3 * (n - 1)),
        // To the coordinator, which registers the lock and answers. Its return is a request of its own.
        Price::of_one(&[(2, Ask::Read)], |_| 2, |_| 3, |n| n + 1),
    ]),
    breaks: &[
        Break {
            name: "no-registration",
            says: "The lock is lost with its site. The writer writes between two reads of the client.",
            model: MODEL,
            asks: None,
            dropped: Some("registration"),
            loses: &REPEATABLE_READ,
            search: Search::Breadth,
            steps_max: 15,
            planted: false,
        },
        Break {
            name: "grants-before-the-registration",
            says: "The copies that live granted the write lock before they heard of the read lock, and the writer does not look.",
            model: MODEL,
            asks: None,
            dropped: Some("locks of the dead"),
            loses: &REPEATABLE_READ,
            search: Search::Breadth,
            steps_max: 18,
            planted: true,
        },
        Break {
            name: "no-filter",
            says: "An answer of the dead comes after that of the next site, which has read what was written since.",
            model: Model { failures: Failures::Stop { crashes: 1, filter: false }, ..MODEL },
            asks: None,
            dropped: None,
            loses: &REPEATABLE_READ,
            search: Search::Breadth,
            steps_max: 17,
            planted: false,
        },
    ],
};
