//! Hierarchical consensus (Guerraoui's course, "Consensus"; Cachin, Guerraoui, Rodrigues, algorithm 5.2).

use super::{PROPOSALS, THREE};
use crate::property::{
    CONSENSUS_AGREEMENT, CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY, UNIFORM_CONSENSUS,
};
use crate::{
    Break, Card, Decide, Detection, Detector, Family, Model, Out, Pid, Pids, Price, Prices, Process, Propose,
    Protocol, Search, Subject, Value, Word,
};

/// In round i process i decides and imposes its decision; the others go on once they have it or suspect i.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Hierarchical<V: Word> {
    process: Process,
    suspected: Pids,
    /// The round, which is the process whose turn it is.
    round: Pid,
    proposal: Option<V>,
    /// The process from which the proposal was adopted.
    proposer: Option<Pid>,
    delivered: Pids,
    has_broadcast: bool,
}

impl<V: Word> Hierarchical<V> {
    fn go_on(&mut self, out: &mut Out<Self>) {
        while self.round < self.process.n {
            if self.round == self.process.me && !self.has_broadcast {
                let Some(value) = self.proposal.clone() else { return };
                self.has_broadcast = true;
                out.indicate(Decide(value.clone()));
                out.all(value);
            }
            if !(self.suspected.has(self.round) || self.delivered.has(self.round)) {
                return;
            }
            self.round += 1;
        }
    }
}

impl<V: Word> Protocol for Hierarchical<V> {
    type Request = Propose<V>;
    type Indication = Decide<V>;
    type Message = V;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            round: 0,
            proposal: None,
            proposer: None,
            delivered: Pids::default(),
            has_broadcast: false,
        }
    }

    fn request(&mut self, Propose(value): Propose<V>, out: &mut Out<Self>) {
        self.proposal.get_or_insert(value);
        self.go_on(out);
    }

    fn receive(&mut self, from: Pid, value: V, out: &mut Out<Self>) {
        let is_higher = self.proposer.is_none_or(|proposer| proposer < from) || self.process.lacks("rank");
        if from < self.process.me && is_higher {
            (self.proposal, self.proposer) = (Some(value), Some(from));
        }
        self.delivered.add(from);
        self.go_on(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.suspected.add(pid);
            self.go_on(out);
        }
    }
}

impl Subject for Hierarchical<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);
static CARD: Card = Card {
    name: "hierarchical",
    family: Family::Consensus,
    source: "Guerraoui's course, Consensus, algorithm 1",
    says: "The processes take turns: in its round a process decides what it has and sends that to all, and those after it \
           adopt it. The first correct process imposes its decision on all that come after it.",
    buys: &[
        ("the detector is complete", "termination: else everybody waits in the round of the dead"),
        ("the detector is accurate", "agreement: who passes over a living process decides something else"),
    ],
    uses: &["best-effort"],
    model: MODEL,
    asks: THREE,
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &CONSENSUS_AGREEMENT, &CONSENSUS_TERMINATION],
    states_max: 1_000_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: PROPOSALS,
        delays: [|_| 0, |n| n / 2, |n| n - 1],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "asked-for-uniform",
            says: "The first process decides and fails before anybody has its decision.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "A process that suspects a living one decides its own proposal.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 1 }),
            asks: None,
            dropped: None,
            loses: &CONSENSUS_AGREEMENT,
            search: Search::Breadth,
            steps_max: 14,
            planted: false,
        },
        Break {
            name: "adopts-any",
            says: "A process adopts what came last, not what came from the highest process below it.",
            model: MODEL,
            asks: None,
            dropped: Some("rank"),
            loses: &CONSENSUS_AGREEMENT,
            search: Search::Breadth,
            steps_max: 14,
            planted: true,
        },
    ],
};
