//! Uniform hierarchical consensus (Guerraoui's course, "Consensus", its uniform algorithm by rounds; Cachin,
//! Guerraoui, Rodrigues, 5.3).

use super::{PROPOSALS, THREE};
use crate::property::{CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY, UNIFORM_CONSENSUS};
use crate::{
    Break, Card, Decide, Detection, Detector, Family, Model, Out, Pid, Pids, Price, Prices, Process, Propose,
    Protocol, Search, Subject, Value, Word,
};
use std::collections::BTreeMap;

/// Each process sends what it has to all in every round, and decides after the last: n rounds of a flood.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UniformHierarchical<V: Word> {
    process: Process,
    suspected: Pids,
    round: Pid,
    proposal: Option<V>,
    /// By round: what its leader sent.
    leaders: BTreeMap<Pid, V>,
    /// The processes that have acknowledged this one's proposal.
    acks: Pids,
    has_sent: bool,
    has_decided: bool,
}

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum RoundMessage<V> {
    /// The leader of the round that is its sender's proposes.
    Proposal(V),
    /// The proposal of the receiver's round has come.
    Ack,
    /// A decision.
    Decided(V),
}

impl<V: Word> UniformHierarchical<V> {
    fn decide(&mut self, value: V, out: &mut Out<Self>) {
        if !self.has_decided {
            self.has_decided = true;
            out.indicate(Decide(value.clone()));
            // A process passes its decision on, before it can fail alone.
            out.each(self.process.others(), &RoundMessage::Decided(value));
        }
    }

    fn go_on(&mut self, out: &mut Out<Self>) {
        while !self.has_decided && self.round < self.process.n {
            let me = self.process.me;
            if self.round == me {
                let Some(value) = self.proposal.clone() else { return };
                if !self.has_sent {
                    self.has_sent = true;
                    out.all(RoundMessage::Proposal(value.clone()));
                }
                let needed = if self.process.lacks("acks") {
                    Pids::one(me)
                } else {
                    self.process.all().without(self.suspected)
                };
                if needed.is_within(self.acks) {
                    self.decide(value, out);
                }
                return;
            }
            if let Some(value) = self.leaders.get(&self.round) {
                self.proposal = Some(value.clone());
            }
            // The leader of a round that is not suspected may still decide: only its death ends the round.
            if !self.suspected.has(self.round) {
                return;
            }
            self.round += 1;
        }
    }
}

impl<V: Word> Protocol for UniformHierarchical<V> {
    type Request = Propose<V>;
    type Indication = Decide<V>;
    type Message = RoundMessage<V>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            round: 0,
            proposal: None,
            leaders: BTreeMap::new(),
            acks: Pids::default(),
            has_sent: false,
            has_decided: false,
        }
    }

    fn request(&mut self, Propose(value): Propose<V>, out: &mut Out<Self>) {
        self.proposal.get_or_insert(value);
        self.go_on(out);
    }

    fn receive(&mut self, from: Pid, message: RoundMessage<V>, out: &mut Out<Self>) {
        match message {
            RoundMessage::Proposal(value) => {
                self.leaders.insert(from, value);
                out.send(from, RoundMessage::Ack);
            }
            RoundMessage::Ack => drop(self.acks.add(from)),
            RoundMessage::Decided(value) => self.decide(value, out),
        }
        self.go_on(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.suspected.add(pid);
            self.go_on(out);
        }
    }
}

impl Subject for UniformHierarchical<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);
static CARD: Card = Card {
    name: "uniform-hierarchical",
    family: Family::Consensus,
    source: "Guerraoui's course, Consensus; Cachin, Guerraoui, Rodrigues, algorithm 5.3",
    says: "The leader of a round decides only once all that it does not suspect have its proposal, and passes its decision \
           on. Whoever leads after it has that proposal too.",
    buys: &[
        ("the acks", "uniformity: a leader that decides and fails has left its value with all that live"),
        ("the detector is accurate", "agreement: who passes over a living leader leads with another value"),
    ],
    uses: &["best-effort"],
    model: MODEL,
    asks: THREE,
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &UNIFORM_CONSENSUS, &CONSENSUS_TERMINATION],
    states_max: 2_000_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // The first leader's proposal, the acks, and the decision, which each process passes on.
        asks: PROPOSALS,
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| 1 + (n - 1) + n * (n - 1),
        unicast: |n| 2 * (n - 1) + n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "wrong-suspicions",
            says: "Nobody crashes: two leaders suspect what is between them, and each decides its own.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 4 }),
            asks: None,
            dropped: None,
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "no-acks",
            says: "A leader decides before anybody has its proposal.",
            model: MODEL,
            asks: None,
            dropped: Some("acks"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 8,
            planted: true,
        },
    ],
};
