//! Non-blocking atomic commit out of uniform consensus (Guerraoui's course, "Non-blocking Atomic Commit").

use super::{ALL_YES, VOTES};
use crate::cards::consensus::UniformHierarchical;
use crate::property::{COMMIT_AGREEMENT, COMMIT_INTEGRITY, COMMIT_TERMINATION, COMMIT_VALIDITY};
use crate::{
    Ask, Break, Card, Decide, Detection, Detector, Fact, Family, Model, Out, Pid, Pids, Price, Prices,
    Process, Propose, Protocol, Search, Subject,
};
use serde::Serialize;

/// The consensus below.
type Consensus = UniformHierarchical<bool>;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum NonBlockingMessage {
    /// To all: each process collects the votes for itself.
    Vote(bool),
    /// Of the consensus.
    Consensus(<Consensus as Protocol>::Message),
}

/// Each process votes to all, and proposes to commit if all have voted yes; consensus decides.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NonBlockingCommit {
    process: Process,
    consensus: Consensus,
    correct: Pids,
    delivered: Pids,
    /// Whether all votes so far are yes.
    proposal: bool,
}

impl NonBlockingCommit {
    /// Calls the consensus, and decides what it decides.
    fn consensus(&mut self, call: impl FnOnce(&mut Consensus, &mut Out<Consensus>), out: &mut Out<Self>) {
        for Decide(commits) in out.below(&mut self.consensus, NonBlockingMessage::Consensus, call) {
            out.indicate(Fact::Outcome(commits));
        }
    }

    /// Proposes once there is a vote of each process that is not suspected. A vote that is missing is a no.
    fn propose(&mut self, out: &mut Out<Self>) {
        if !self.correct.is_within(self.delivered) {
            return;
        }
        if self.correct != self.process.all() && !self.process.lacks("no of the suspected") {
            self.proposal = false;
        }
        // A second proposal changes nothing.
        let proposal = self.proposal;
        self.consensus(|consensus, out| consensus.request(Propose(proposal), out), out);
    }
}

impl Protocol for NonBlockingCommit {
    type Request = Ask;
    type Indication = Fact;
    type Message = NonBlockingMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            consensus: Consensus::new(process),
            correct: process.all(),
            delivered: Pids::default(),
            proposal: true,
        }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        if let Ask::Vote(vote) = ask {
            out.all(NonBlockingMessage::Vote(vote));
        }
    }

    fn receive(&mut self, from: Pid, message: NonBlockingMessage, out: &mut Out<Self>) {
        match message {
            NonBlockingMessage::Vote(vote) => {
                self.delivered.add(from);
                self.proposal &= vote;
                self.propose(out);
            }
            NonBlockingMessage::Consensus(message) => {
                self.consensus(|consensus, out| consensus.receive(from, message, out), out);
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.correct.remove(pid);
        }
        self.consensus(|consensus, out| consensus.detect(detection, out), out);
        self.propose(out);
    }
}

impl Subject for NonBlockingCommit {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);

static CARD: Card = Card {
    name: "non-blocking-commit",
    family: Family::Agreement,
    source: "Guerraoui's course, Non-blocking Atomic Commit",
    says: "Each process sends its vote to all. A process that has a yes of everybody proposes to commit; one that has a no, \
           or suspects somebody, proposes to abort; uniform consensus decides. Nobody waits for a coordinator, at the \
           price of a consensus.",
    buys: &[
        ("the detector is complete", "termination: a vote of the dead never comes"),
        (
            "the detector is accurate",
            "abort validity: a slow vote is taken for a failure, and all abort in vain",
        ),
        ("uniform consensus", "agreement with a process that has committed and failed"),
    ],
    uses: &["best-effort", "uniform-hierarchical"],
    model: MODEL,
    asks: ALL_YES,
    properties: &[&COMMIT_AGREEMENT, &COMMIT_INTEGRITY, &COMMIT_VALIDITY, &COMMIT_TERMINATION],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // The votes, and then uniform-hierarchical.
        asks: VOTES,
        delays: [|_| 3, |_| 4, |_| 4],
        multicast: |n| n + n + n * (n - 1),
        unicast: |n| n * (n - 1) + 2 * (n - 1) + n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "wrong-suspicions",
            says: "Nobody fails and all vote yes; a process that suspects the others proposes to abort.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 2 }),
            asks: None,
            dropped: None,
            loses: &COMMIT_VALIDITY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "consensus-that-is-not-uniform",
            says: "The consensus below decides without acks: a process commits and fails, and the others abort.",
            model: MODEL,
            asks: None,
            dropped: Some("acks"),
            loses: &COMMIT_AGREEMENT,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "the-suspected-agree",
            says: "A vote that is missing counts as nothing: all commit without it.",
            model: MODEL,
            asks: None,
            dropped: Some("no of the suspected"),
            loses: &COMMIT_VALIDITY,
            search: Search::Breadth,
            steps_max: 7,
            planted: true,
        },
    ],
};
