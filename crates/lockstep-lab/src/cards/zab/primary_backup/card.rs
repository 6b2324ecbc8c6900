//! The card.

use crate::cards::paxos::log::LOG_PRICE;
use crate::cards::zab::ASKED_FOR_VALIDITY;
use crate::property::{
    NO_CREATION, NO_DUPLICATION, PRIMARY_INTEGRITY, PRIMARY_ORDER, PRIMARY_PROGRESS, UNIFORM_AGREEMENT,
    UNIFORM_TOTAL_ORDER,
};
use crate::{Ask, Break, Card, Detector, Family, Links, Model, Pid, Prices, Search, Value};

const MODEL: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Leader { mistakes: 0 }).stop(1) };
const MISTAKE: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Leader { mistakes: 1 }) };
const THREE: &[(Pid, Ask)] =
    &[(0, Ask::Broadcast(Value(0))), (0, Ask::Broadcast(Value(1))), (1, Ask::Broadcast(Value(2)))];

pub(super) static CARD: Card = Card {
    name: "primary-backup-paxos",
    family: Family::Zab,
    source: "Junqueira, Reed, Serafini 2011, on Paxos and primary order",
    says: "The primary leads Multi-Paxos, and each of its updates depends on those before. With one update outstanding \
           the log is in the order of primaries. With two, a later leader may choose the second one behind an update of \
           another primary and never the first: each slot is decided for itself. Even with one, an update that a primary \
           did not see may be chosen after it has broadcast: primary integrity needs Zab's synchronization.",
    buys: &[
        ("one outstanding update", "primary order: slots are chosen one without the other"),
        ("the primary applies all that it found first", "what it broadcasts depends on all before it"),
        ("any two majorities share an acceptor", "total order"),
    ],
    uses: &["multi-paxos"],
    model: MODEL,
    asks: THREE,
    properties: &[
        &NO_CREATION,
        &NO_DUPLICATION,
        &UNIFORM_TOTAL_ORDER,
        &UNIFORM_AGREEMENT,
        &PRIMARY_ORDER,
        &PRIMARY_PROGRESS,
    ],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[LOG_PRICE]),
    breaks: &[
        ASKED_FOR_VALIDITY,
        Break {
            name: "two-outstanding-updates",
            says: "p1 broadcasts a and b, and p2 puts c where a was. p1 leads again, finds c and, behind it, b.",
            model: MISTAKE,
            asks: None,
            dropped: Some("one outstanding update"),
            loses: &PRIMARY_ORDER,
            search: Search::Breadth,
            steps_max: 18,
            planted: false,
        },
        Break {
            name: "asked-for-primary-integrity",
            says: "p2 broadcasts c, and has not seen a, which is then chosen in the place of c.",
            model: MISTAKE,
            asks: None,
            dropped: None,
            loses: &PRIMARY_INTEGRITY,
            search: Search::Breadth,
            steps_max: 11,
            planted: false,
        },
        Break {
            name: "own-log-only",
            says: "A new leader waits for its promises and takes no more than its own log.",
            model: MODEL,
            asks: None,
            dropped: Some("promises of others"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 11,
            planted: true,
        },
    ],
};
