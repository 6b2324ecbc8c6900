//! Uniform reliable broadcast, all-ack (Guerraoui's course, "Uniform Reliable Broadcast").

use super::acks::{Acks, Of};
use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Family, Model, Out, Pid, Pids, Price, Prices,
    Process, Protocol, Search, Subject, Value, Word,
};

/// A message is delivered once every process that is not suspected has passed it on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UniformAllAck<M: Word> {
    process: Process,
    acks: Acks<M>,
    correct: Pids,
}

impl<M: Word> UniformAllAck<M> {
    fn deliver_acked(&mut self, out: &mut Out<Self>) {
        let correct =
            if self.process.lacks("ack of all") { Pids::one(self.process.me) } else { self.correct };
        self.acks.deliver(out, |acks| correct.is_within(acks));
    }
}

impl<M: Word> Protocol for UniformAllAck<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = Of<M>;

    fn new(process: &Process) -> Self {
        Self { process: *process, acks: Acks::new(process), correct: process.all() }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.acks.broadcast((self.process.me, message), out);
    }

    fn receive(&mut self, from: Pid, message: Of<M>, out: &mut Out<Self>) {
        self.acks.receive(from, message, out);
        self.deliver_acked(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.correct.remove(pid);
            self.deliver_acked(out);
        }
    }
}

impl Subject for UniformAllAck<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "uniform-all-ack",
    family: Family::Broadcast,
    source: "Guerraoui's course, Uniform Reliable Broadcast",
    says: "A process delivers a message once all that it does not suspect have passed it on. So whatever any process \
           delivered, every correct process has.",
    buys: &[
        ("the detector is complete", "progress: else everybody waits for the dead"),
        ("the detector is accurate", "uniform agreement: a process that suspects all others delivers alone"),
    ],
    uses: &["best-effort"],
    model: MODEL,
    asks: ONE,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT],
    states_max: 500_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 2, |_| 2, |_| 2],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "wrong-suspicions",
            says: "With an eventually perfect detector the sender suspects the others, delivers alone, and fails.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 2 }).stop(1),
            asks: None,
            dropped: None,
            loses: &UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "own-ack-only",
            says: "A process counts its own copy alone.",
            model: MODEL,
            asks: None,
            dropped: Some("ack of all"),
            loses: &UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 4,
            planted: true,
        },
    ],
};
