//! The card.

use crate::property::{CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY, UNIFORM_CONSENSUS};
use crate::{Ask, Break, Card, Failures, Family, Links, Model, Pid, Price, Prices, Search, Value};

const fn liar(liars: &'static [Pid], n: u8, lies: u8) -> Model {
    Model { links: Links::Fifo, failures: Failures::Byzantine { liars, lies }, ..Model::PLAIN.of(n, 1) }
}

const TWO: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];

pub(super) static CARD: Card = Card {
    name: "fast-byzantine-paxos",
    family: Family::Paxos,
    source: "Martin and Alvisi 2006; the Paxos family, Fast Byzantine Paxos",
    says: "With 5f + 1 acceptors the step of verification is not needed: (n + 3f + 1) / 2 that accept decide, two delays \
           after the proposal. A next leader asks n - f of them for what they accepted; a value that may be decided has more \
           than half of those reports, so that no other one has. Here the leader of the round learns, and shows the \
           signatures to all. It is explored whole up to one lie.",
    buys: &[
        (
            "n > 5f",
            "of a decided value n - f reports have a majority, without liars and without those that are slow",
        ),
        (
            "reports are signed and shown",
            "agreement: a lying leader proposes another value than the decided one",
        ),
        ("another process proposes as well", "termination: a lying leader is silent"),
    ],
    uses: &["byzantine-paxos"],
    model: liar(&[5], 6, 1),
    asks: TWO,
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &UNIFORM_CONSENSUS, &CONSENSUS_TERMINATION],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Propose(Value(0)))],
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| n + 1,
        unicast: |n| 3 * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "n-is-5f-quorum-of-n-minus-f",
            says: "With five acceptors of which four decide, a next leader finds the decided value at two: the liar accepted \
                   it, and reports something else.",
            model: liar(&[4], 5, 3),
            asks: None,
            dropped: Some("quorum of (n + 3f + 1) / 2"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 22,
            planted: false,
        },
        Break {
            name: "n-is-5f-quorum-of-more",
            says: "With five acceptors and one that is silent, the five that would have to accept never do.",
            model: liar(&[4], 5, 0),
            asks: None,
            dropped: None,
            loses: &CONSENSUS_TERMINATION,
            search: Search::Breadth,
            steps_max: 15,
            planted: false,
        },
        Break {
            name: "own-value-always",
            says: "A next leader proposes its own value, whatever the reports say.",
            model: liar(&[5], 6, 2),
            asks: None,
            dropped: Some("reports"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 28,
            planted: true,
        },
    ],
};
