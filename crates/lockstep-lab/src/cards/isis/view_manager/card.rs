//! The card of the view manager.

use crate::property::{
    CRASHED_LEAVE, LAST_VIEW, UNIFORM_VIEW_AGREEMENT, VIEW_ACCURACY, VIEW_AGREEMENT, VIEW_ORDER,
};
use crate::{Break, Card, Detector, Failures, Family, Links, Model, Price, Prices, Search};

const MODEL: Model = Model {
    links: Links::Fifo,
    failures: Failures::Stop { crashes: 2, filter: true },
    ..Model::PLAIN.of(5, 2).detector(Detector::Perfect)
};

pub(super) static CARD: Card = Card {
    name: "isis-view-manager",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §4.2",
    says: "The oldest site proposes the next views and commits them once all in the last of them have \
           acknowledged. A site that has seen a proposal hears no more of those that it leaves out, and the next \
           oldest takes over with what it has seen. A site that is suspected wrongly is left out all the same; \
           with a majority in each view that never makes two groups.",
    buys: &[
        ("all in the view acknowledge", "agreement: the next view manager knows what may be committed"),
        ("a majority of all sites", "one group, also where sites suspect each other"),
        ("at most half fail", "progress: without a majority the rest blocks"),
        ("the detector is accurate", "accuracy: else a site that lives is left out, and has to begin again"),
    ],
    uses: &[],
    model: MODEL,
    asks: &[],
    properties: &[
        &UNIFORM_VIEW_AGREEMENT,
        &VIEW_ORDER,
        &VIEW_ACCURACY,
        &VIEW_AGREEMENT,
        &CRASHED_LEAVE,
        &LAST_VIEW,
    ],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // A proposal to each member of the next view, the acknowledgements, and the commit.
        asks: &[],
        delays: [|_| 2, |_| 3, |_| Price::NEVER],
        multicast: |n| 3 * (n - 2),
        unicast: |n| 3 * (n - 2),
    }]),
    breaks: &[
        Break {
            name: "two-groups",
            says: "Without a majority a site that suspects all others goes on alone, and the others without it.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 3 }),
            asks: None,
            dropped: Some("majority"),
            loses: &UNIFORM_VIEW_AGREEMENT,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "half-fail",
            says: "Two of three sites fail: the last one blocks.",
            model: Model::PLAIN.detector(Detector::Perfect).stop(2),
            asks: None,
            dropped: None,
            loses: &CRASHED_LEAVE,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "A site that lives is left out.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 1 }),
            asks: None,
            dropped: None,
            loses: &VIEW_ACCURACY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "one-phase",
            says: "The view manager commits at once, and fails: its view is unknown to the next one.",
            model: MODEL,
            asks: None,
            dropped: Some("acknowledgements"),
            loses: &UNIFORM_VIEW_AGREEMENT,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "forgets-the-extension",
            says: "The new view manager begins with what is committed, not with what was proposed.",
            model: MODEL,
            asks: None,
            dropped: Some("pending extension"),
            loses: &UNIFORM_VIEW_AGREEMENT,
            search: Search::Breadth,
            steps_max: 15,
            planted: true,
        },
    ],
};
