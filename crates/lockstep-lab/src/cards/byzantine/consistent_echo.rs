//! Byzantine consistent broadcast by echoes (Guerraoui's course, "Byzantine"; Cachin, Guerraoui, Rodrigues,
//! algorithm 3.16).

use crate::property::{BYZANTINE_CONSISTENCY, BYZANTINE_TOTALITY, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Failures, Family, Model, Out, Pid, Price, Prices, Process,
    Protocol, Search, Subject, Value,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum EchoMessage {
    /// Of the sender, which is p1.
    Send(Value),
    /// Of each process that has it.
    Echo(Value),
}

/// The sender of the one broadcast.
const SENDER: Pid = 0;

/// Each process echoes the first message of the sender; more than (n + f) / 2 equal echoes deliver it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConsistentEcho {
    process: Process,
    has_echoed: bool,
    has_delivered: bool,
    echoes: BTreeMap<Pid, Value>,
}

impl ConsistentEcho {
    /// Two quorums of this size have a correct process in common.
    fn quorum(&self) -> usize {
        let (n, f) = (usize::from(self.process.n), usize::from(self.process.f));
        if self.process.lacks("quorum of (n + f) / 2") {
            n - f
        } else if self.process.lacks("quorum") {
            f + 1
        } else {
            self.process.byzantine_quorum()
        }
    }
}

impl Protocol for ConsistentEcho {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = EchoMessage;

    fn new(process: &Process) -> Self {
        Self { process: *process, has_echoed: false, has_delivered: false, echoes: BTreeMap::new() }
    }

    fn request(&mut self, Broadcast(message): Broadcast<Value>, out: &mut Out<Self>) {
        out.all(EchoMessage::Send(message));
    }

    fn receive(&mut self, from: Pid, message: EchoMessage, out: &mut Out<Self>) {
        match message {
            EchoMessage::Send(value) => {
                if from == SENDER && !self.has_echoed {
                    self.has_echoed = true;
                    out.all(EchoMessage::Echo(value));
                }
            }
            EchoMessage::Echo(value) => {
                self.echoes.entry(from).or_insert(value);
                let equal = self.echoes.values().filter(|other| **other == value).count();
                if !self.has_delivered && equal >= self.quorum() {
                    self.has_delivered = true;
                    out.indicate(Deliver { from: SENDER, message: value });
                }
            }
        }
    }

    fn forgeries(_process: &Process) -> Vec<EchoMessage> {
        let values = [Value(0), Value(1)];
        values.iter().flat_map(|value| [EchoMessage::Send(*value), EchoMessage::Echo(*value)]).collect()
    }
}

impl Subject for ConsistentEcho {
    const CARD: &'static Card = &CARD;
}

const LYING_SENDER: Model =
    Model { failures: Failures::Byzantine { liars: &[0], lies: 7 }, ..Model::PLAIN.of(4, 1) };
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "consistent-echo",
    family: Family::Byzantine,
    source: "Guerraoui's course, Byzantine consistent broadcast; Cachin, Guerraoui, Rodrigues, algorithm 3.16",
    says: "The sender sends its message to all, each process echoes the first one that it receives, and delivers what more \
           than (n + f) / 2 echo. Two such quorums have a correct process in common, which echoes once.",
    buys: &[
        ("n > 3f", "the quorum of (n + f) / 2 is there without the liars"),
        ("authenticated links", "an echo counts once for each process"),
    ],
    uses: &[],
    model: LYING_SENDER,
    asks: &[],
    properties: &[&BYZANTINE_CONSISTENCY, &NO_DUPLICATION],
    states_max: 3_000_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        // Three processes have no liar to fear: two echoes are enough, and each has its own and the sender's.
        delays: [|n| if n == 3 { 1 } else { 2 }, |n| if n == 3 { 1 } else { 2 }, |_| 2],
        multicast: |n| n + 1,
        unicast: |n| (n + 1) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "asked-for-totality",
            says: "The lying sender gives a quorum to one process and not to the others.",
            model: LYING_SENDER,
            asks: None,
            dropped: None,
            loses: &BYZANTINE_TOTALITY,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "n-is-3f-quorum-of-n-minus-f",
            says: "With three processes and one liar, two echoes: the liar echoes one value here and another there.",
            model: Model { failures: Failures::Byzantine { liars: &[0], lies: 7 }, ..Model::PLAIN.of(3, 1) },
            asks: None,
            dropped: Some("quorum of (n + f) / 2"),
            loses: &BYZANTINE_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "n-is-3f-quorum-of-more",
            says: "With three processes and one that is silent, more than two echoes never come.",
            model: Model { failures: Failures::Byzantine { liars: &[2], lies: 0 }, ..Model::PLAIN.of(3, 1) },
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "two-echoes-deliver",
            says: "A quorum of f + 1: two quorums have nobody in common.",
            model: LYING_SENDER,
            asks: None,
            dropped: Some("quorum"),
            loses: &BYZANTINE_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
