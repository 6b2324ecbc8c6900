//! The card.

use crate::property::{CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, UNIFORM_CONSENSUS};
use crate::{Ask, Break, Card, Failures, Family, Links, Model, Pid, Price, Prices, Search, Time, Value};

const fn liar(liars: &'static [Pid], n: u8, lies: u8) -> Model {
    Model {
        links: Links::Fifo,
        failures: Failures::Byzantine { liars, lies },
        time: Time::Asynchronous { timeouts: 1 },
        ..Model::PLAIN.of(n, 1)
    }
}

const TWO: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];

pub(super) static CARD: Card = Card {
    name: "byzantine-paxos",
    family: Family::Paxos,
    source: "Castro and Liskov 1999; Lamport 2011; the Paxos family, Byzantine Paxos",
    says: "Before it accepts, an acceptor tells all what the leader proposed to it, and waits until more than (n + f) / 2 \
           say the same: no other value has as many in that round. Their signatures are the certificate with which it \
           reports the value to the next leader, which shows a quorum of reports with its proposal. What a lying leader \
           proposed to all is decided like any other value.",
    buys: &[
        ("n > 3f", "any two quorums share a correct process, and one is there without the liars"),
        (
            "acceptors verify",
            "agreement: a liar proposes two values in a round, and the next leader cannot tell which was decided",
        ),
        (
            "a leader proves its choice",
            "agreement: a lying leader proposes another value than the decided one",
        ),
        ("timers", "termination: a lying leader is silent"),
    ],
    uses: &["paxos"],
    model: liar(&[0], 4, 2),
    asks: TWO,
    properties: &[&CONSENSUS_INTEGRITY, &UNIFORM_CONSENSUS, &CONSENSUS_TERMINATION],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Propose(Value(0)))],
        // Three processes have no liar to fear: two that say the same are enough.
        delays: [
            |n| if n == 3 { 2 } else { 3 },
            |n| if n == 3 { 2 } else { 3 },
            |n| if n == 3 { 2 } else { 3 },
        ],
        multicast: |n| 2 * n + 1,
        unicast: |n| (2 * n + 1) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "n-is-3f-quorum-of-n-minus-f",
            says: "With three processes and one liar, quorums of two: the liar is in both, and leads to two decisions.",
            model: Model { time: Time::Asynchronous { timeouts: 0 }, ..liar(&[0], 3, 6) },
            asks: None,
            dropped: Some("quorum of (n + f) / 2"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "n-is-3f-quorum-of-more",
            says: "With three processes and one that is silent, more than two that say the same never come.",
            model: liar(&[2], 3, 0),
            asks: None,
            dropped: None,
            loses: &CONSENSUS_TERMINATION,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "no-verification",
            says: "Acceptors accept what the leader sends. It sends two values, and the next leader finds both.",
            model: liar(&[0], 4, 5),
            asks: None,
            dropped: Some("verification"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Walks(4_000_000),
            steps_max: 22,
            planted: false,
        },
        Break {
            name: "no-proof",
            says: "The leader of the next round lies, and need not prove that it may propose its value.",
            model: Model { time: Time::Asynchronous { timeouts: 0 }, ..liar(&[1], 4, 5) },
            asks: Some(&[(0, Ask::Propose(Value(0)))]),
            dropped: Some("proof"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 28,
            planted: true,
        },
    ],
};
