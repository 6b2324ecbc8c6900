//! Consensus out of total order (Guerraoui's course, "Total Order Broadcast": the two are equivalent).

use super::TotalOrderConsensus;
use crate::property::{CONSENSUS_AGREEMENT, CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Decide, Deliver, Detection, Detector, Family, Model, Out, Pid, Price,
    Prices, Process, Propose, Protocol, Search, Subject, Value, Word,
};

/// Each process broadcasts its proposal in total order; the first that is delivered is the decision.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConsensusFromOrder<V: Word> {
    process: Process,
    below: TotalOrderConsensus<V>,
    has_decided: bool,
}

impl<V: Word> ConsensusFromOrder<V> {
    fn decide(&mut self, deliveries: Vec<Deliver<V>>, out: &mut Out<Self>) {
        let any = !self.process.lacks("first of the order");
        for Deliver { from, message } in deliveries {
            if !self.has_decided && (any || from == self.process.me) {
                self.has_decided = true;
                out.indicate(Decide(message));
            }
        }
    }
}

impl<V: Word> Protocol for ConsensusFromOrder<V> {
    type Request = Propose<V>;
    type Indication = Decide<V>;
    type Message = <TotalOrderConsensus<V> as Protocol>::Message;

    fn new(process: &Process) -> Self {
        Self { process: *process, below: TotalOrderConsensus::new(process), has_decided: false }
    }

    fn request(&mut self, Propose(value): Propose<V>, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.request(Broadcast(value), out));
        self.decide(done, out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.receive(from, message, out));
        self.decide(done, out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.detect(detection, out));
        self.decide(done, out);
    }
}

impl Subject for ConsensusFromOrder<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(1);
const TWO: &[(Pid, Ask)] = &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1)))];

static CARD: Card = Card {
    name: "consensus-from-order",
    family: Family::Order,
    source: "Guerraoui's course, Total Order Broadcast",
    says: "Each process broadcasts its proposal in total order and decides the first that it delivers. With \
           total-order-consensus it shows that the two problems are equivalent.",
    buys: &[("total order", "agreement: everybody has the same first message")],
    uses: &["total-order-consensus"],
    model: MODEL,
    asks: TWO,
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &CONSENSUS_AGREEMENT, &CONSENSUS_TERMINATION],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Propose(Value(0)))],
        delays: [|_| 0, |n| n / 2, |n| n - 1],
        multicast: |n| n + 1,
        unicast: |n| (n + 1) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "the-only-proposer-fails",
            says: "Consensus ends only where a correct process proposes.",
            model: MODEL,
            asks: Some(&[(0, Ask::Propose(Value(0)))]),
            dropped: None,
            loses: &CONSENSUS_TERMINATION,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "own-proposal",
            says: "A process waits for its own proposal, wherever that is in the order.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("first of the order"),
            loses: &CONSENSUS_AGREEMENT,
            search: Search::Breadth,
            steps_max: 18,
            planted: true,
        },
    ],
};
