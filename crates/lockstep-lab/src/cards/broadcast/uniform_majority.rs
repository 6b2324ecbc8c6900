//! Uniform reliable broadcast, majority-ack: without a failure detector (Cachin, Guerraoui, Rodrigues,
//! algorithm 3.5).

use super::acks::{Acks, Of};
use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};

/// A message is delivered once more than half of the processes have passed it on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UniformMajority<M: Word> {
    process: Process,
    acks: Acks<M>,
}

impl<M: Word> UniformMajority<M> {
    fn quorum(&self) -> usize {
        if self.process.lacks("majority") { self.process.majority() - 1 } else { self.process.majority() }
    }
}

impl<M: Word> Protocol for UniformMajority<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = Of<M>;

    fn new(process: &Process) -> Self {
        Self { process: *process, acks: Acks::new(process) }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.acks.broadcast((self.process.me, message), out);
    }

    fn receive(&mut self, from: Pid, message: Of<M>, out: &mut Out<Self>) {
        self.acks.receive(from, message, out);
        let quorum = self.quorum();
        self.acks.deliver(out, |acks| acks.len() >= quorum);
    }
}

impl Subject for UniformMajority<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.stop(1);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "uniform-majority",
    family: Family::Broadcast,
    source: "Cachin, Guerraoui, Rodrigues, algorithm 3.5; the all-ack one of the course with a majority for its detector",
    says: "A process delivers a message once a majority has passed it on. One of the majority is correct, and it passed the \
           message on to all. This is the commit rule of lockstep: acks are counted where a message is delivered.",
    buys: &[("fewer than half of the processes fail", "progress without a detector")],
    uses: &["best-effort"],
    model: MODEL,
    asks: ONE,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT],
    states_max: 500_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        // Of three processes the sender's copy and one's own are a majority.
        delays: [|n| if n == 3 { 1 } else { 2 }, |n| if n == 3 { 1 } else { 2 }, |_| 2],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "half-of-them-fail",
            says: "Two of three fail, and the third waits for ever.",
            model: Model::PLAIN.stop(2),
            asks: None,
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "half-is-enough",
            says: "A quorum of one less than a majority: the sender delivers alone and fails.",
            model: MODEL,
            asks: None,
            dropped: Some("majority"),
            loses: &UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 4,
            planted: true,
        },
    ],
};
