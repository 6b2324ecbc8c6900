//! Byzantine reliable broadcast (Bracha 1987; Guerraoui's course, "Byzantine Reliable Broadcast").

use crate::property::{BYZANTINE_CONSISTENCY, BYZANTINE_TOTALITY, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Failures, Family, Model, Out, Pid, Price, Prices, Process,
    Protocol, Search, Subject, Value,
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
    /// Of each process that knows that no other message can have a quorum of echoes.
    Ready(Value),
}

/// The sender of the one broadcast.
const SENDER: Pid = 0;

/// A quorum of echoes makes a process ready, as do f + 1 that are ready; 2f + 1 that are ready deliver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReliableBracha {
    process: Process,
    has_echoed: bool,
    is_ready: bool,
    has_delivered: bool,
    echoes: BTreeMap<Pid, Value>,
    readies: BTreeMap<Pid, Value>,
}

/// How many of these have `value`.
fn count(all: &BTreeMap<Pid, Value>, value: Value) -> usize {
    all.values().filter(|other| **other == value).count()
}

impl ReliableBracha {
    /// Echoes that make a process ready: two such quorums have a correct process in common.
    fn echo_quorum(&self) -> usize {
        let is_n_minus_f = ["echo quorum", "both quorums"].iter().any(|part| self.process.lacks(part));
        if is_n_minus_f {
            usize::from(self.process.n - self.process.f)
        } else {
            self.process.byzantine_quorum()
        }
    }

    /// Processes that are ready, so that of the correct ones among them f + 1 remain.
    fn ready_quorum(&self) -> usize {
        let (n, f) = (usize::from(self.process.n), usize::from(self.process.f));
        if self.process.lacks("both quorums") {
            n - f
        } else if self.process.lacks("2f + 1") {
            f + 1
        } else {
            2 * f + 1
        }
    }

    fn get_ready(&mut self, value: Value, out: &mut Out<Self>) {
        if !self.is_ready {
            self.is_ready = true;
            // Echoes have done their work.
            self.echoes.clear();
            out.all(BrachaMessage::Ready(value));
        }
    }

    fn on_ready(&mut self, value: Value, out: &mut Out<Self>) {
        let ready = count(&self.readies, value);
        // One of f + 1 is correct.
        if ready > usize::from(self.process.f) && !self.process.lacks("amplification") {
            self.get_ready(value, out);
        }
        if ready >= self.ready_quorum() {
            self.has_delivered = true;
            self.readies.clear();
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
            BrachaMessage::Send(value) if from == SENDER && !self.has_echoed => {
                self.has_echoed = true;
                out.all(BrachaMessage::Echo(value));
            }
            BrachaMessage::Echo(value) if !self.is_ready => {
                self.echoes.entry(from).or_insert(value);
                if count(&self.echoes, value) >= self.echo_quorum() {
                    self.get_ready(value, out);
                }
            }
            BrachaMessage::Ready(value) if !self.has_delivered => {
                self.readies.entry(from).or_insert(value);
                self.on_ready(value, out);
            }
            _ => {}
        }
    }

    fn forgeries(_process: &Process) -> Vec<BrachaMessage> {
        let values = [Value(0), Value(1)];
        let all = [BrachaMessage::Send, BrachaMessage::Echo, BrachaMessage::Ready];
        all.iter().flat_map(|message| values.map(message)).collect()
    }
}

impl Subject for ReliableBracha {
    const CARD: &'static Card = &CARD;
}

/// Enough lies to send to three processes, to echo to one, and to be ready to one.
const LYING_SENDER: Model =
    Model { failures: Failures::Byzantine { liars: &[0], lies: 5 }, ..Model::PLAIN.of(4, 1) };
const SILENT_OF_THREE: Model =
    Model { failures: Failures::Byzantine { liars: &[2], lies: 0 }, ..Model::PLAIN.of(3, 1) };
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "reliable-bracha",
    family: Family::Byzantine,
    source: "Bracha 1987; Guerraoui's course, Byzantine Reliable Broadcast; Cachin, Guerraoui, Rodrigues, algorithm 3.18",
    says: "A quorum of echoes makes a process ready, f + 1 that are ready make every other one ready, and 2f + 1 deliver. \
           So all correct processes deliver the message of a liar, or none does. The lies are bounded, what honest \
           processes and the network do is not.",
    buys: &[
        ("n > 3f", "the quorums are there without the liars, and any two of them share a correct process"),
        (
            "readiness by f + 1",
            "totality: of 2f + 1 that are ready f + 1 are correct, and those make all ready",
        ),
        ("2f + 1 deliver", "totality: with fewer the liars' word may be missing at the next process"),
    ],
    uses: &[],
    model: LYING_SENDER,
    asks: &[],
    properties: &[&BYZANTINE_CONSISTENCY, &NO_DUPLICATION, &BYZANTINE_TOTALITY],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        // Three processes have no liar to fear: two echoes are enough, and then one that is ready.
        delays: [
            |n| if n == 3 { 1 } else { 3 },
            |n| if n == 3 { 1 } else { 3 },
            |n| if n == 3 { 2 } else { 3 },
        ],
        multicast: |n| 1 + 2 * n,
        unicast: |n| (1 + 2 * n) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "n-is-3f",
            says: "With three processes and one that is silent, a quorum of three echoes never comes.",
            model: SILENT_OF_THREE,
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "n-is-3f-echo-quorum-of-n-minus-f",
            says: "Two echoes make both ready, and then the third that would have to be ready never is.",
            model: SILENT_OF_THREE,
            asks: Some(ONE),
            dropped: Some("echo quorum"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "n-is-3f-both-quorums-of-n-minus-f",
            says: "The liar is with one process for one value and with the other for another: each two are a quorum.",
            model: Model { failures: Failures::Byzantine { liars: &[0], lies: 6 }, ..Model::PLAIN.of(3, 1) },
            asks: None,
            dropped: Some("both quorums"),
            loses: &BYZANTINE_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "no-amplification",
            says: "Only echoes make a process ready. The liar's echoes and its readiness go to one process, which delivers.",
            model: LYING_SENDER,
            asks: None,
            dropped: Some("amplification"),
            loses: &BYZANTINE_TOTALITY,
            search: Search::Breadth,
            steps_max: 14,
            planted: true,
        },
        Break {
            name: "f-plus-1-deliver",
            says: "One correct process and the liar are enough to deliver, and the others never have f + 1.",
            model: LYING_SENDER,
            asks: None,
            dropped: Some("2f + 1"),
            loses: &BYZANTINE_TOTALITY,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
