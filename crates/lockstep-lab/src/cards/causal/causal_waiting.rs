//! Causal broadcast that waits: each message carries a vector of counts (Guerraoui's course, "Waiting Causal
//! Broadcast").

use crate::cards::broadcast::ReliableEager;
use crate::property::{AGREEMENT, CAUSAL_ORDER, FIFO_ORDER, NO_CREATION, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};

type Data<M> = (Vec<u8>, M);

/// A message carries how many messages of each process its sender had delivered; a receiver waits for as
/// many.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CausalWaiting<M: Word> {
    process: Process,
    below: ReliableEager<Data<M>>,
    counts: Vec<u8>,
    /// How many this process broadcast.
    broadcast: u8,
    pending: Vec<(Pid, Data<M>)>,
}

impl<M: Word> CausalWaiting<M> {
    fn handle(&mut self, deliveries: Vec<Deliver<Data<M>>>, out: &mut Out<Self>) {
        self.pending.extend(deliveries.into_iter().map(|delivery| (delivery.from, delivery.message)));
        self.pending.sort();
        let me = self.process.me;
        let fifo_only = self.process.lacks("counts of others");
        let waits = !self.process.lacks("waiting");
        while let Some(at) = self.pending.iter().position(|(from, (needed, _))| {
            let senders = needed.iter().zip(&self.counts).enumerate();
            senders
                .filter(|(pid, _)| !fifo_only || *pid == usize::from(*from))
                .all(|(_, (needed, have))| have >= needed || !waits)
        }) {
            let (from, (_, message)) = self.pending.remove(at);
            self.counts[usize::from(from)] += 1;
            debug_assert!(from != me || self.counts[usize::from(me)] <= self.broadcast);
            out.indicate(Deliver { from, message });
        }
    }
}

impl<M: Word> Protocol for CausalWaiting<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = (Pid, Data<M>);

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: ReliableEager::new(process),
            counts: vec![0; usize::from(process.n)],
            broadcast: 0,
            pending: Vec::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        let mut counts = self.counts.clone();
        counts[usize::from(self.process.me)] = self.broadcast;
        self.broadcast += 1;
        let data = (counts, message);
        let done = out.through(&mut self.below, |below, out| below.request(Broadcast(data), out));
        self.handle(done, out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.receive(from, message, out));
        self.handle(done, out);
    }
}

impl Subject for CausalWaiting<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.stop(1);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "causal-waiting",
    family: Family::Causal,
    source: "Guerraoui's course, Waiting Causal Broadcast",
    says: "Each message carries a vector: how many messages of each process its sender had delivered. A receiver waits until \
           it has delivered as many. A message has the size of the group, not of the past.",
    buys: &[
        ("the count of the sender", "FIFO order"),
        (
            "the counts of the others",
            "causal order: with its own count alone a reply overtakes what it replies to",
        ),
    ],
    uses: &["reliable-eager"],
    model: MODEL,
    asks: TWO,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT, &FIFO_ORDER, &CAUSAL_ORDER],
    states_max: 1_000_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // The broadcast below. The vector is the only overhead, in each message.
        asks: ONE,
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "fifo-is-not-causal",
            says: "With the sender's own count alone the order is FIFO: a reply overtakes what it replies to.",
            model: MODEL,
            asks: None,
            dropped: Some("counts of others"),
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "no-waiting",
            says: "A receiver delivers what comes, whatever its vector says.",
            model: MODEL,
            asks: None,
            dropped: Some("waiting"),
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 5,
            planted: true,
        },
    ],
};
