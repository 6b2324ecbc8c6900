//! Uniform causal broadcast: the one without waiting over a uniform broadcast (Guerraoui's course,
//! "Non-blocking algorithm using the past").

use super::past::{Data, Of, Past};
use crate::cards::broadcast::UniformMajority;
use crate::property::{CAUSAL_ORDER, NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};

/// As the one without waiting; a message and its past are delivered once a majority has both.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UniformCausal<M: Word> {
    process: Process,
    below: UniformMajority<Data<M>>,
    past: Past<M>,
}

impl<M: Word> Protocol for UniformCausal<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = Of<Data<M>>;

    fn new(process: &Process) -> Self {
        Self { process: *process, below: UniformMajority::new(process), past: Past::default() }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        let mut data = self.past.with_past((self.process.me, message));
        if self.process.lacks("own messages") {
            data.0.retain(|earlier| earlier.0 != self.process.me);
        }
        let done = out.through(&mut self.below, |below, out| below.request(Broadcast(data), out));
        self.past.deliver(done, out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.receive(from, message, out));
        self.past.deliver(done, out);
    }
}

impl Subject for UniformCausal<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.stop(1);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
const TWO_OF_ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (0, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "uniform-causal",
    family: Family::Causal,
    source: "Guerraoui's course, Non-blocking algorithm using the past, over a uniform broadcast",
    says: "The broadcast without waiting promises what the broadcast below it promises: over a uniform one it is uniform. \
           A message that is not delivered yet is in the past of the next one of its sender, and comes with it.",
    buys: &[
        ("a majority of the processes", "uniform agreement, and progress without a detector"),
        ("the past in each message", "causal order without waiting"),
    ],
    uses: &["uniform-majority", "causal-no-wait"],
    model: MODEL,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT, &CAUSAL_ORDER],
    states_max: 400_000,
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
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "half-is-enough",
            says: "The broadcast below delivers before a majority has a message: the sender delivers alone and fails.",
            model: MODEL,
            asks: None,
            dropped: Some("majority"),
            loses: &UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "past-without-own-messages",
            says: "The past has only what was delivered from others: two messages of one sender change places.",
            model: MODEL,
            asks: Some(TWO_OF_ONE),
            dropped: Some("own messages"),
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 4,
            planted: true,
        },
    ],
};
