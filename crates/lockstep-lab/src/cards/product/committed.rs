//! lockstep, as a reader of what is committed sees it.

use super::{ENGINES, LONE, TWO, engines, numbered_anew};
use crate::check::Entry;
use crate::property::{
    AGREEMENT, FIFO_ORDER, NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, VALIDITY,
};
use crate::{Break, Card, Detector, Failures, Family, Model, Price, Prices, Search};
use lockstep_sim::explore::Delivery;

/// Its entry.
pub(super) const COMMITTED: Entry = Entry::made_of(
    &CARD,
    || engines::explore(&CARD, Delivery::Committed),
    |broken| engines::find(&CARD, broken, Delivery::Committed),
    |timing| engines::timed(&CARD, timing, Delivery::Committed),
    Some(engines::REMARK),
);

const MODEL: Model = Model {
    detector: Detector::Leader { mistakes: 2 },
    failures: Failures::Recovery { crashes: 1, stable: true },
    ..ENGINES
};

static CARD: Card = Card {
    name: "lockstep",
    family: Family::Product,
    source: "the design of lockstep; docs/rules.md",
    says: "A fixed sequencer whose standbys are acceptors: the multicast of the stamp is the phase 2a of Paxos, the acks \
           are its phase 2b, and each receiver counts them. These are the production engines, not a model of them, and \
           the properties are those that judge the other cards, not the rules of the simulator.",
    buys: &[
        ("a quorum", "validity: without one nothing is committed any more, and nothing is lost either"),
        (
            "no identity forgets: a machine that lost its data has another one (S9)",
            "uniform order: what a quorum knew is lost",
        ),
        ("nothing of clocks or detectors", "a wrong candidacy costs time, and no message"),
    ],
    uses: &["fixed-sequencer", "uniform-majority", "paxos"],
    model: MODEL,
    asks: TWO,
    properties: &[
        &NO_CREATION,
        &NO_DUPLICATION,
        &FIFO_ORDER,
        &UNIFORM_TOTAL_ORDER,
        &UNIFORM_AGREEMENT,
        &AGREEMENT,
        &VALIDITY,
    ],
    states_max: 30_000,
    whole: false,
    // A submission, a frame, and an ack of each standby. Beside one of two standbys the leader's frame and
    // the own ack are a quorum.
    prices: Prices::Of(&[Price {
        asks: LONE,
        delays: [|n| if n == 3 { 2 } else { 3 }, |n| if n == 3 { 2 } else { 3 }, |_| 3],
        multicast: |n| 2 + (n - 1),
        unicast: |n| (n + 1) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "two-machines-lost",
            says: "Two of three replicas lost their machines: the one that is left has no quorum, and waits.",
            model: Model { failures: Failures::Stop { crashes: 2, filter: false }, ..MODEL },
            asks: None,
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "a-machine-forgets",
            says: "A machine is rolled back to a snapshot of itself: the quorum that elects has forgotten what the quorum \
                   that committed knew. The documents forbid it, as no replica can tell.",
            model: Model { failures: Failures::Recovery { crashes: 1, stable: false }, ..MODEL },
            asks: None,
            dropped: None,
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        numbered_anew(MODEL),
        #[cfg(debug_assertions)]
        mutation("MinorityCommits", "One vote too few commits.", &UNIFORM_TOTAL_ORDER, 9),
        #[cfg(debug_assertions)]
        mutation("AckOfAnyEpochCounts", "Acks of any epoch count.", &UNIFORM_TOTAL_ORDER, 11),
        #[cfg(debug_assertions)]
        mutation("MinorityPromises", "One promise elects.", &UNIFORM_TOTAL_ORDER, 17),
        #[cfg(debug_assertions)]
        mutation("NoAdoption", "A candidate leads with its own log.", &UNIFORM_TOTAL_ORDER, 12),
        #[cfg(debug_assertions)]
        mutation(
            "DeliveredBeforeCommit",
            "A committed reader delivers what is stamped.",
            &UNIFORM_TOTAL_ORDER,
            21,
        ),
        #[cfg(debug_assertions)]
        mutation("NotOnce", "A message that is stamped already is stamped again.", &NO_DUPLICATION, 12),
        #[cfg(debug_assertions)]
        mutation("AdoptedForgotten", "A new leader forgets whose messages it adopted.", &NO_DUPLICATION, 16),
    ],
};

/// A mutation of the production code, which only a build with debug assertions has.
#[cfg(debug_assertions)]
const fn mutation(
    name: &'static str,
    says: &'static str,
    loses: &'static crate::property::Property,
    steps_max: usize,
) -> Break {
    let search = Search::Walks(600_000);
    Break {
        name,
        says,
        model: MODEL,
        asks: None,
        dropped: Some(name),
        loses,
        search,
        steps_max,
        planted: true,
    }
}
