//! Uniform terminating reliable broadcast: the same over uniform consensus (Guerraoui's course, "Terminating
//! Reliable Broadcast").

use super::terminating_reliable::{OrFailed, TRB_ASKS, TRB_DOUBT, TRB_MODEL, TerminatingReliable};
use crate::cards::consensus::UniformHierarchical;
use crate::property::{TRB_INTEGRITY, TRB_TERMINATION, TRB_UNIFORM_AGREEMENT, TRB_VALIDITY};
use crate::{Break, Card, Detector, Family, Model, Price, Prices, Search, Subject, Value};

/// Terminating broadcast over uniform consensus.
pub type TerminatingUniform<M> = TerminatingReliable<M, UniformHierarchical<OrFailed<M>>>;

impl Subject for TerminatingUniform<Value> {
    const CARD: &'static Card = &CARD;
}

static CARD: Card = Card {
    name: "terminating-uniform",
    family: Family::Agreement,
    source: "Guerraoui's course, Terminating Reliable Broadcast, its uniform form",
    says: "The same broadcast over uniform consensus: what a process delivers, even one that fails then, all others deliver.",
    buys: &[
        ("uniform consensus", "uniformity: what one that fails has delivered is what all deliver"),
        ("the detector is accurate", "validity, and agreement of the consensus"),
    ],
    uses: &["best-effort", "uniform-hierarchical"],
    model: TRB_MODEL,
    asks: TRB_ASKS,
    properties: &[&TRB_INTEGRITY, &TRB_VALIDITY, &TRB_UNIFORM_AGREEMENT, &TRB_TERMINATION],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: TRB_ASKS,
        // The sender leads: its proposal, the acks, its decision, which each process passes on.
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| 2 + (n - 1) + n * (n - 1),
        unicast: |n| 3 * (n - 1) + n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "a-living-sender-has-failed",
            says: "A living sender is suspected before its message arrives, and all agree that it has failed.",
            model: TRB_DOUBT,
            asks: None,
            dropped: None,
            loses: &TRB_VALIDITY,
            search: Search::Breadth,
            steps_max: 19,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "Nobody crashes: the sender suspects the others and delivers alone, one of them suspects it in turn.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 4 }),
            asks: None,
            dropped: None,
            loses: &TRB_UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "no-acks",
            says: "The leader of the consensus below decides before anybody has its proposal.",
            model: TRB_MODEL,
            asks: None,
            dropped: Some("acks"),
            loses: &TRB_UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 3,
            planted: true,
        },
    ],
};
