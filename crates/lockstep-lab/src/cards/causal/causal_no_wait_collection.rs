//! Causal broadcast without waiting that forgets the past which everybody has (Guerraoui's course, "Garbage
//! collection").

use super::past::{Data, Of, Past};
use crate::cards::broadcast::ReliableLazy;
use crate::property::{AGREEMENT, CAUSAL_ORDER, NO_CREATION, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Family, Links, Model, Out, Pid, Pids, Price,
    Prices, Process, Protocol, Search, Subject, Value, Word,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum CollectionMessage<M> {
    /// Of the broadcast below: a message with its past.
    Data(Of<Data<M>>),
    /// Its sender has delivered this message.
    Ack(Of<M>),
}

/// Each process acks to all what it delivers. No message carries any more what all that live have delivered.
///
/// An ack needs no reliable broadcast: one of a correct process arrives, and one of a process that fails is
/// not waited for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CausalNoWaitCollection<M: Word> {
    process: Process,
    below: ReliableLazy<Data<M>>,
    past: Past<M>,
    correct: Pids,
    /// Of messages that are not collected yet.
    acks: BTreeMap<Of<M>, Pids>,
}

impl<M: Word> CausalNoWaitCollection<M> {
    fn deliver(&mut self, arrived: Vec<Deliver<Data<M>>>, out: &mut Out<Self>) {
        for message in self.past.deliver(arrived, out) {
            out.all(CollectionMessage::Ack(message));
        }
    }

    /// Forgets what all that live have delivered. The course looks when an ack comes; the last that is
    /// missing may be that of a process which fails, so this looks after a suspicion too.
    fn collect(&mut self) {
        let needed =
            if self.process.lacks("acks of all") { self.process.majority() } else { self.correct.len() };
        let correct = self.correct;
        let is_collected = |acks: &Pids| acks.and(correct).len() >= needed;
        self.past.retain(|message| !self.acks.get(message).is_some_and(is_collected));
        self.acks.retain(|_, acks| !is_collected(acks));
    }
}

impl<M: Word> Protocol for CausalNoWaitCollection<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = CollectionMessage<M>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: ReliableLazy::new(process),
            past: Past::default(),
            correct: process.all(),
            acks: BTreeMap::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        let data = self.past.with_past((self.process.me, message));
        let below = &mut self.below;
        let done =
            out.below(below, CollectionMessage::Data, |below, out| below.request(Broadcast(data), out));
        self.deliver(done, out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        match message {
            CollectionMessage::Data(data) => {
                let below = &mut self.below;
                let done =
                    out.below(below, CollectionMessage::Data, |below, out| below.receive(from, data, out));
                self.deliver(done, out);
            }
            CollectionMessage::Ack(message) => {
                // A late ack of the dead would stay for ever.
                if self.correct.has(from) {
                    self.acks.entry(message).or_default().add(from);
                    self.collect();
                }
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        match detection {
            Detection::Suspect(pid) => self.correct.remove(pid),
            Detection::Restore(pid) => drop(self.correct.add(pid)),
            Detection::Leader(_) => return,
        }
        let below = &mut self.below;
        let done = out.below(below, CollectionMessage::Data, |below, out| below.detect(detection, out));
        self.deliver(done, out);
        self.collect();
    }
}

impl Subject for CausalNoWaitCollection<Value> {
    const CARD: &'static Card = &CARD;
}

// Over links that reorder all holds too, in two million states and more.
const MODEL: Model = Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Perfect).stop(1) };
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
const TWO_OF_ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (0, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "causal-no-wait-collection",
    family: Family::Causal,
    source: "Guerraoui's course, Garbage collection",
    says: "Each process acks what it delivers, and a message that all which live have delivered is left out of the past. \
           Messages do not grow any more, for an ack of every process for every message and a perfect detector.",
    buys: &[
        ("the detector is complete", "collection: a dead process acks nothing"),
        (
            "the detector is accurate",
            "causal order: what a living process has not delivered may not be forgotten",
        ),
    ],
    uses: &["reliable-lazy", "causal-no-wait"],
    model: MODEL,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT, &CAUSAL_ORDER],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |n| 1 + n,
        unicast: |n| (1 + n) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "wrong-suspicions",
            says: "A sender that suspects the others forgets its first message, and the second overtakes it.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 2 }),
            asks: Some(TWO_OF_ONE),
            dropped: None,
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "a-majority-has-it",
            says: "A message is forgotten once more than half have delivered it.",
            model: Model::PLAIN.detector(Detector::Perfect).stop(1),
            asks: Some(TWO_OF_ONE),
            dropped: Some("acks of all"),
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 5,
            planted: true,
        },
    ],
};
