//! Causal broadcast that does not wait: each message carries its past (Guerraoui's course, "Non-blocking
//! algorithm using the past").

use super::past::{Data, Of, Past};
use crate::cards::broadcast::ReliableEager;
use crate::property::{AGREEMENT, CAUSAL_ORDER, NO_CREATION, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};

/// A message carries all messages that its sender had broadcast or delivered: nobody waits, and messages
/// grow.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CausalNoWait<M: Word> {
    process: Process,
    below: ReliableEager<Data<M>>,
    past: Past<M>,
}

impl<M: Word> Protocol for CausalNoWait<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = Of<Data<M>>;

    fn new(process: &Process) -> Self {
        Self { process: *process, below: ReliableEager::new(process), past: Past::default() }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        let mut data = self.past.with_past((self.process.me, message));
        if self.process.lacks("past") {
            data.0.clear();
        }
        let done = out.through(&mut self.below, |below, out| below.request(Broadcast(data), out));
        self.past.deliver(done, out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.receive(from, message, out));
        self.past.deliver(done, out);
    }
}

impl Subject for CausalNoWait<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.stop(1);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "causal-no-wait",
    family: Family::Causal,
    source: "Guerraoui's course, Non-blocking algorithm using the past",
    says: "Each message carries all messages that its sender had broadcast or delivered before. A receiver delivers what it \
           lacks of them first, and never waits; but every message carries the whole past.",
    buys: &[(
        "the past in each message",
        "causal order without waiting; without collection a message grows with each one",
    )],
    uses: &["reliable-eager"],
    model: MODEL,
    asks: TWO,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT, &CAUSAL_ORDER],
    states_max: 1_000_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // The broadcast below. A first message has no past, which later ones carry.
        asks: ONE,
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[Break {
        name: "no-past",
        says: "Without its past a reply overtakes what it replies to.",
        model: MODEL,
        asks: None,
        dropped: Some("past"),
        loses: &CAUSAL_ORDER,
        search: Search::Breadth,
        steps_max: 5,
        planted: true,
    }],
};
