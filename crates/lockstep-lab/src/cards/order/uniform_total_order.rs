//! Uniform total order out of uniform consensus (Guerraoui's course, "Total Order Broadcast"; Chandra
//! and Toueg 1996, §7).

use super::total_order_consensus::{Batch, TotalOrderConsensus};
use crate::cards::consensus::UniformHierarchical;
use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{Ask, Break, Card, Detector, Family, Links, Model, Pid, Price, Prices, Search, Subject, Value};

/// As the one that is not uniform, over a consensus that is. The course puts a uniform broadcast below it
/// too, which it does not need: nothing is delivered before a decision has it, and the decision has it whole.
pub type UniformTotalOrder<M> = TotalOrderConsensus<M, UniformHierarchical<Batch<M>>>;

impl Subject for UniformTotalOrder<Value> {
    const CARD: &'static Card = &CARD;
}

// Over links that reorder all holds too, with one crash, in four hundred thousand states.
const MODEL: Model = Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Perfect).stop(2) };
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "uniform-total-order",
    family: Family::Order,
    source: "Guerraoui's course, Total Order Broadcast; Chandra and Toueg 1996",
    says: "Total order over uniform consensus: what a process delivers before it fails, it delivers in the order of all. The \
           broadcast below need not be uniform, as the course has it, since a decision carries its messages.",
    buys: &[
        ("uniform consensus", "the order of a process that delivers and fails"),
        ("the detector is accurate", "uniform consensus: a leader that suspects all others decides alone"),
    ],
    uses: &["reliable-lazy", "uniform-hierarchical", "total-order-consensus"],
    model: MODEL,
    asks: TWO,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT, &UNIFORM_TOTAL_ORDER],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| 2 + (n - 1) + n * (n - 1),
        unicast: |n| 2 * (n - 1) + (n - 1) + n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "consensus-that-is-not-uniform",
            says: "The consensus decides without acks: a process delivers alone and fails.",
            model: MODEL,
            asks: None,
            dropped: Some("acks"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "A leader that suspects all others decides and delivers alone, and fails.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 2 }).stop(1),
            asks: None,
            dropped: None,
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        Break {
            name: "decisions-as-they-come",
            says: "A process delivers what an instance decided before an earlier one has.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("decisions in order"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 12,
            planted: true,
        },
    ],
};
