//! Byzantine consistent broadcast by signatures (Guerraoui's course, "Signed Echo Broadcast"; Cachin,
//! Guerraoui, Rodrigues, algorithm 3.17).

use crate::property::{BYZANTINE_CONSISTENCY, BYZANTINE_TOTALITY, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Failures, Family, Model, Out, Pid, Price, Prices, Process,
    Protocol, Search, Signed, Subject, Value,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// An echo that its process signs: this is the message of the sender.
type Echo = Signed<Value>;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum SignedEchoMessage {
    /// Of the sender, which is p1.
    Send(Value),
    /// To the sender.
    Echo(Echo),
    /// Of the sender: a quorum of signatures, each under the name of its process.
    Final(Value, BTreeMap<Pid, Echo>),
}

/// The sender of the one broadcast.
const SENDER: Pid = 0;

/// Each process signs the first message of the sender, which sends a quorum of signatures to all.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConsistentSigned {
    process: Process,
    has_echoed: bool,
    has_sent_final: bool,
    has_delivered: bool,
    /// Of the sender.
    echoes: BTreeMap<Pid, Echo>,
}

impl ConsistentSigned {
    /// Two quorums of this size have a correct process in common.
    fn quorum(process: &Process) -> usize {
        if process.lacks("quorum of (n + f) / 2") {
            usize::from(process.n - process.f)
        } else {
            process.byzantine_quorum()
        }
    }

    /// Whether the signature is that of `pid` under `value`.
    fn is_valid(&self, pid: Pid, value: Value, echo: &Echo) -> bool {
        (echo.by() == pid || self.process.lacks("names")) && *echo.what() == value
            || self.process.lacks("verification")
    }

    fn on_echo(&mut self, from: Pid, echo: Echo, out: &mut Out<Self>) {
        let value = *echo.what();
        if self.has_sent_final || self.echoes.contains_key(&from) || !self.is_valid(from, value, &echo) {
            return;
        }
        self.echoes.insert(from, echo);
        let equal = self.echoes.iter().filter(|(_, echo)| *echo.what() == value);
        let equal: BTreeMap<_, _> = equal.map(|(pid, echo)| (*pid, echo.clone())).collect();
        if equal.len() >= Self::quorum(&self.process) {
            self.has_sent_final = true;
            self.echoes.clear();
            out.all(SignedEchoMessage::Final(value, equal));
        }
    }

    fn on_final(&mut self, value: Value, echoes: &BTreeMap<Pid, Echo>, out: &mut Out<Self>) {
        let valid = echoes.iter().filter(|(pid, echo)| self.is_valid(**pid, value, echo)).count();
        if valid >= Self::quorum(&self.process) && !self.has_delivered {
            self.has_delivered = true;
            out.indicate(Deliver { from: SENDER, message: value });
        }
    }
}

impl Protocol for ConsistentSigned {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = SignedEchoMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            has_echoed: false,
            has_sent_final: false,
            has_delivered: false,
            echoes: BTreeMap::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<Value>, out: &mut Out<Self>) {
        out.all(SignedEchoMessage::Send(message));
    }

    fn receive(&mut self, from: Pid, message: SignedEchoMessage, out: &mut Out<Self>) {
        match message {
            SignedEchoMessage::Send(value) => {
                let signs = !self.has_echoed || self.process.lacks("one signature");
                if from == SENDER && signs {
                    self.has_echoed = true;
                    out.send(SENDER, SignedEchoMessage::Echo(self.process.sign(value)));
                }
            }
            SignedEchoMessage::Echo(echo) if self.process.me == SENDER => self.on_echo(from, echo, out),
            SignedEchoMessage::Echo(_) => {}
            SignedEchoMessage::Final(value, echoes) => self.on_final(value, &echoes, out),
        }
    }

    fn is_evidence(message: &SignedEchoMessage) -> bool {
        matches!(message, SignedEchoMessage::Echo(_))
    }

    /// Of a quorum of signatures all that a liar has under a value: its own, and those that it received. Or
    /// its own alone, under the names of all.
    fn forgeries_of(
        process: &Process,
        evidence: &BTreeSet<(Pid, SignedEchoMessage)>,
    ) -> Vec<SignedEchoMessage> {
        let of_value = |value| {
            let received = evidence.iter().filter_map(|(_, message)| match message {
                SignedEchoMessage::Echo(echo) if *echo.what() == value => Some((echo.by(), echo.clone())),
                _ => None,
            });
            let own = process.sign(value);
            let echoes: BTreeMap<_, _> = received.chain([(process.me, own.clone())]).collect();
            let own_only = process.all().iter().map(|pid| (pid, own.clone())).collect();
            let is_quorum = echoes.len() >= Self::quorum(process);
            let quorum = is_quorum.then_some(SignedEchoMessage::Final(value, echoes));
            let first = if process.me == SENDER {
                SignedEchoMessage::Send(value)
            } else {
                SignedEchoMessage::Echo(own)
            };
            [first, SignedEchoMessage::Final(value, own_only)].into_iter().chain(quorum)
        };
        [Value(0), Value(1)].into_iter().flat_map(of_value).collect()
    }
}

impl Subject for ConsistentSigned {
    const CARD: &'static Card = &CARD;
}

const LYING_SENDER: Model =
    Model { failures: Failures::Byzantine { liars: &[0], lies: 8 }, ..Model::PLAIN.of(4, 1) };
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "consistent-signed",
    family: Family::Byzantine,
    source: "Guerraoui's course, Signed Echo Broadcast; Cachin, Guerraoui, Rodrigues, algorithm 3.17",
    says: "Each process signs the first message of the sender and returns its signature; more than (n + f) / 2 of them, \
           sent to all, prove that no other message can have as many. It needs one more delay than echoes to all, and a \
           number of messages that grows with n, not with its square.",
    buys: &[
        ("signatures", "consistency: a liar that invents them proves anything"),
        ("n > 3f", "the quorum of (n + f) / 2 is there without the liars"),
        ("one signature of each process", "consistency: two quorums share a process that signs once"),
    ],
    uses: &[],
    model: LYING_SENDER,
    asks: &[],
    properties: &[&BYZANTINE_CONSISTENCY, &NO_DUPLICATION],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        // The sender's message, the signatures, the proof.
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| 2 + (n - 1),
        unicast: |n| 3 * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "signatures-not-verified",
            says: "The liar sends its own signature under the names of all, for one value here and another there.",
            model: LYING_SENDER,
            asks: None,
            dropped: Some("verification"),
            loses: &BYZANTINE_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "asked-for-totality",
            says: "The lying sender gives its proof to one process and not to the others.",
            model: LYING_SENDER,
            asks: None,
            dropped: None,
            loses: &BYZANTINE_TOTALITY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "n-is-3f-quorum-of-n-minus-f",
            says: "With three processes and one liar, two signatures: the liar signs both values.",
            model: Model { failures: Failures::Byzantine { liars: &[0], lies: 4 }, ..Model::PLAIN.of(3, 1) },
            asks: None,
            dropped: Some("quorum of (n + f) / 2"),
            loses: &BYZANTINE_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "n-is-3f-quorum-of-more",
            says: "With three processes and one that is silent, more than two signatures never come.",
            model: Model { failures: Failures::Byzantine { liars: &[2], lies: 0 }, ..Model::PLAIN.of(3, 1) },
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "names-not-compared",
            says: "A process verifies each signature, but not that it is of the process under whose name it stands.",
            model: LYING_SENDER,
            asks: None,
            dropped: Some("names"),
            loses: &BYZANTINE_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 2,
            planted: true,
        },
        Break {
            name: "signs-twice",
            says: "A process signs each message of the sender, not the first alone: two quorums have it in common.",
            model: LYING_SENDER,
            asks: None,
            dropped: Some("one signature"),
            loses: &BYZANTINE_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 6,
            planted: true,
        },
    ],
};
