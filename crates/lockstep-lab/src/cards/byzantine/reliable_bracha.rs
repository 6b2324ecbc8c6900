//! Byzantine reliable broadcast (Bracha 1987; Guerraoui's course, "Byzantine Reliable Broadcast").

use crate::property::{AGREEMENT, BYZANTINE_CONSISTENCY, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Failures, Family, Model, Out, Pid, Price, Process, Protocol,
    Search, Subject, Value,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum BrachaMessage {
    /// Of the sender, which is p1.
    Send(Value),
    /// Of each process that has it.
    Echo(Value),
    /// Of each process that knows that no other value can have a quorum of echoes.
    Ready(Value),
}

/// The sender of the one broadcast.
const SENDER: Pid = 0;

/// More than (n + f) / 2 echoes, or more than f others that are ready, make a process ready; more than 2f
/// that are ready deliver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReliableBracha {
    process: Process,
    has_echoed: bool,
    is_ready: bool,
    has_delivered: bool,
    echoes: BTreeMap<Pid, Value>,
    readies: BTreeMap<Pid, Value>,
}

/// How many have this value.
fn count(values: &BTreeMap<Pid, Value>, value: Value) -> usize {
    values.values().filter(|other| **other == value).count()
}

impl ReliableBracha {
    fn go_on(&mut self, value: Value, out: &mut Out<Self>) {
        let f = usize::from(self.process.f);
        let quorum = self.process.byzantine_quorum();
        let amplifies = !self.process.lacks("amplification");
        let is_safe = count(&self.echoes, value) >= quorum || (amplifies && count(&self.readies, value) > f);
        if is_safe && !self.is_ready {
            self.is_ready = true;
            out.all(BrachaMessage::Ready(value));
        }
        if count(&self.readies, value) > 2 * f && !self.has_delivered {
            self.has_delivered = true;
            out.indicate(Deliver { from: SENDER, message: value });
        }
    }
}

impl Protocol for ReliableBracha {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = BrachaMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            has_echoed: false,
            is_ready: false,
            has_delivered: false,
            echoes: BTreeMap::new(),
            readies: BTreeMap::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<Value>, out: &mut Out<Self>) {
        out.all(BrachaMessage::Send(message));
    }

    fn receive(&mut self, from: Pid, message: BrachaMessage, out: &mut Out<Self>) {
        match message {
            BrachaMessage::Send(value) => {
                if from == SENDER && !self.has_echoed {
                    self.has_echoed = true;
                    out.all(BrachaMessage::Echo(value));
                }
            }
            BrachaMessage::Echo(value) => {
                self.echoes.entry(from).or_insert(value);
                self.go_on(value, out);
            }
            BrachaMessage::Ready(value) => {
                self.readies.entry(from).or_insert(value);
                self.go_on(value, out);
            }
        }
    }

    fn forgeries(_process: &Process) -> Vec<BrachaMessage> {
        let kinds = [BrachaMessage::Send, BrachaMessage::Echo, BrachaMessage::Ready];
        kinds.iter().flat_map(|kind| [kind(Value(0)), kind(Value(1))]).collect()
    }
}

impl Subject for ReliableBracha {
    const CARD: &'static Card = &CARD;
}

const fn liar(pid: &'static [Pid], n: u8, lies: u8) -> Model {
    Model { failures: Failures::Byzantine { liars: pid, lies }, ..Model::PLAIN.of(n, 1) }
}

const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "reliable-bracha",
    family: Family::Byzantine,
    source: "Bracha 1987; Guerraoui's course, Byzantine Reliable Broadcast",
    says: "As consistent-echo, and a process that has a quorum of echoes says so to all. A process that hears \
           that of more than f others says so too: if one correct process delivers, all do. It is explored whole up to \
           four lies.",
    buys: &[
        ("n > 3f", "a quorum of echoes without the liars, of which two share a correct process"),
        ("the step from f + 1 to 2f + 1 that are ready", "totality: a liar makes one process deliver alone"),
    ],
    uses: &[],
    model: liar(&[0], 4, 4),
    asks: &[],
    properties: &[&BYZANTINE_CONSISTENCY, &NO_DUPLICATION, &AGREEMENT],
    states_max: 200_000,
    whole: true,
    price: Some(Price {
        asks: ONE,
        // Three processes have no liar to fear: f is 0, and the first echo is enough.
        delays: [
            |n| if n == 3 { 1 } else { 3 },
            |n| if n == 3 { 1 } else { 3 },
            |n| if n == 3 { 2 } else { 3 },
        ],
        multicast: |n| 2 * n + 1,
        unicast: |n| (2 * n + 1) * (n - 1),
    }),
    breaks: &[
        Break {
            name: "n-is-3f",
            says: "With three processes and one that is silent, more than two echoes never come.",
            model: liar(&[2], 3, 0),
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-amplification",
            says: "The liar makes two processes ready and lets one of them deliver; the others wait for ever.",
            model: liar(&[0], 4, 5),
            asks: None,
            dropped: Some("amplification"),
            loses: &AGREEMENT,
            search: Search::Walks(4_000_000),
            steps_max: 13,
            planted: true,
        },
    ],
};
