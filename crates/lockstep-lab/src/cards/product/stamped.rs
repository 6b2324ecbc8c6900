//! lockstep, as a reader of what is stamped sees it: the fixed sequencer alone.

use super::{ENGINES, LONE, TWO, engines, numbered_anew};
use crate::check::Entry;
use crate::property::{AGREEMENT, FIFO_ORDER, NO_CREATION, NO_DUPLICATION, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{Break, Card, Detector, Family, Model, Price, Prices, Search};
use lockstep_sim::explore::Delivery;

/// Its entry.
pub(super) const STAMPED: Entry = Entry::made_of(
    &CARD,
    || engines::explore(&CARD, Delivery::Stamped),
    |broken| engines::find(&CARD, broken, Delivery::Stamped),
    |timing| engines::timed(&CARD, timing, Delivery::Stamped),
    Some(engines::REMARK),
);

/// The first replica leads for ever.
const MODEL: Model = ENGINES;

static CARD: Card = Card {
    name: "lockstep-stamped",
    family: Family::Product,
    source: "the design of lockstep: delivery modes",
    says: "The production engines with a reader that delivers at the leader's stamp. One delay less than what is \
           committed, and as good as that while the leader stays; after a takeover the reader is told to take back what \
           did not survive.",
    buys: &[
        (
            "the leader does not change",
            "total order: what only the old leader and the reader had is stamped elsewhere",
        ),
        ("a publisher's numbers", "no duplication: what is resent is known"),
    ],
    uses: &["fixed-sequencer"],
    model: MODEL,
    asks: TWO,
    properties: &[&NO_CREATION, &NO_DUPLICATION, &FIFO_ORDER, &UNIFORM_TOTAL_ORDER, &AGREEMENT, &VALIDITY],
    states_max: 30_000,
    whole: false,
    prices: Prices::Of(&[Price {
        asks: LONE,
        delays: [|_| 1, |_| 2, |_| 2],
        multicast: |n| 2 + (n - 1),
        unicast: |n| (n + 1) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "the-leader-changes",
            says: "A reader has what the old leader stamped, and the new leader stamps another message there: the reader \
                   is told to take it back, and an application that cannot is wrong for ever.",
            model: Model { detector: Detector::Leader { mistakes: 1 }, ..MODEL },
            asks: None,
            dropped: None,
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        numbered_anew(MODEL),
    ],
};
