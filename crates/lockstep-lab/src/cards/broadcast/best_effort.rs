//! Best-effort broadcast (Guerraoui's course, "Best-Effort Broadcast").

use crate::property::{AGREEMENT, NO_CREATION, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};
use std::marker::PhantomData;

/// One message to each process; the sender alone makes sure that it arrives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BestEffort<M> {
    delivers_twice: bool,
    carries: PhantomData<M>,
}

impl<M: Word> BestEffort<M> {
    /// Broadcasts for the module above. Nothing is delivered before a message arrives.
    pub(super) fn broadcast<P: Protocol<Message = M>>(&mut self, message: M, out: &mut Out<P>) {
        let done = out.through(self, |below, out| below.request(Broadcast(message), out));
        debug_assert!(done.is_empty());
    }
}

impl<M: Word> Protocol for BestEffort<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = M;

    fn new(process: &Process) -> Self {
        Self { delivers_twice: process.lacks("once"), carries: PhantomData }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        out.all(message);
    }

    fn receive(&mut self, from: Pid, message: M, out: &mut Out<Self>) {
        if self.delivers_twice {
            out.indicate(Deliver { from, message: message.clone() });
        }
        out.indicate(Deliver { from, message });
    }
}

impl Subject for BestEffort<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.stop(1);

static CARD: Card = Card {
    name: "best-effort",
    family: Family::Broadcast,
    source: "Guerraoui's course, Best-Effort Broadcast",
    says: "The sender sends its message to each process over a perfect link, and each delivers it when it arrives. It is \
           the floor of all broadcasts: one message delay, and nothing is promised once the sender fails.",
    buys: &[("perfect links", "validity: between correct processes everything arrives, once")],
    uses: &[],
    model: MODEL,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |_| 1,
        unicast: |n| n - 1,
    }]),
    breaks: &[
        Break {
            name: "asked-for-agreement",
            says: "The sender fails, and its message reaches one process and not the other.",
            model: MODEL,
            asks: Some(&[(0, Ask::Broadcast(Value(0)))]),
            dropped: None,
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "delivers-twice",
            says: "A handler delivers the same message twice.",
            model: MODEL,
            asks: None,
            dropped: Some("once"),
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 2,
            planted: true,
        },
    ],
};
