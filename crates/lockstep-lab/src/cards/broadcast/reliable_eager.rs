//! Regular reliable broadcast, eager: without a failure detector (Cachin, Guerraoui, Rodrigues, algorithm
//! 3.3).

use super::BestEffort;
use crate::property::{AGREEMENT, NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};
use std::collections::BTreeSet;

type Of<M> = (Pid, M);

/// Each process passes each message on, once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReliableEager<M: Word> {
    process: Process,
    below: BestEffort<Of<M>>,
    delivered: BTreeSet<Of<M>>,
}

impl<M: Word> Protocol for ReliableEager<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = Of<M>;

    fn new(process: &Process) -> Self {
        Self { process: *process, below: BestEffort::new(process), delivered: BTreeSet::new() }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.below.broadcast((self.process.me, message), out);
    }

    fn receive(&mut self, from: Pid, message: Of<M>, out: &mut Out<Self>) {
        for Deliver { message, .. } in
            out.through(&mut self.below, |below, out| below.receive(from, message, out))
        {
            if !self.delivered.insert(message.clone()) {
                continue;
            }
            out.indicate(Deliver { from: message.0, message: message.1.clone() });
            // The sender has sent it already.
            if message.0 != self.process.me && !self.process.lacks("relay") {
                self.below.broadcast(message, out);
            }
        }
    }
}

impl Subject for ReliableEager<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.stop(2);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "reliable-eager",
    family: Family::Broadcast,
    source: "Cachin, Guerraoui, Rodrigues, algorithm 3.3; the lazy one of the course without its detector",
    says: "Each process passes a message on when it comes first, whether or not its sender has failed. It needs no detector, \
           and pays with a datagram of every process for every message.",
    buys: &[("every process passes on", "agreement without a detector, for n datagrams instead of one")],
    uses: &["best-effort"],
    model: MODEL,
    asks: ONE,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT],
    states_max: 200_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "asked-for-uniform",
            says: "The sender delivers to itself and fails before anything leaves it.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-relay",
            says: "Nobody passes on.",
            model: MODEL,
            asks: None,
            dropped: Some("relay"),
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 5,
            planted: true,
        },
    ],
};
