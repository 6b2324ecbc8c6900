//! Two-phase commit (Gray 1978; Guerraoui's course, "Non-blocking Atomic Commit", as what blocks).

use super::VOTES;
use crate::property::{COMMIT_AGREEMENT, COMMIT_TERMINATION, COMMIT_VALIDITY};
use crate::{
    Ask, Break, Card, Fact, Family, Model, Out, Pid, Pids, Price, Prices, Process, Protocol, Search, Subject,
};
use serde::Serialize;

/// The process that collects the votes.
const COORDINATOR: Pid = 0;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum CommitMessage {
    /// To the coordinator.
    Vote(bool),
    /// Of the coordinator.
    Decision(bool),
}

/// Each process votes; the coordinator commits if all vote yes, and sends its decision.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TwoPhaseCommit {
    process: Process,
    yes: Pids,
    has_decided: bool,
}

impl TwoPhaseCommit {
    fn decide(&mut self, commits: bool, out: &mut Out<Self>) {
        if !self.has_decided {
            self.has_decided = true;
            out.indicate(Fact::Outcome(commits));
            if self.process.me == COORDINATOR {
                out.each(self.process.others(), &CommitMessage::Decision(commits));
            }
        }
    }
}

impl Protocol for TwoPhaseCommit {
    type Request = Ask;
    type Indication = Fact;
    type Message = CommitMessage;

    fn new(process: &Process) -> Self {
        Self { process: *process, yes: Pids::default(), has_decided: false }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        if let Ask::Vote(vote) = ask {
            out.send(COORDINATOR, CommitMessage::Vote(vote));
        }
    }

    fn receive(&mut self, from: Pid, message: CommitMessage, out: &mut Out<Self>) {
        match message {
            CommitMessage::Vote(false) => self.decide(false, out),
            CommitMessage::Vote(true) => {
                self.yes.add(from);
                let all = if self.process.lacks("vote of all") {
                    self.process.majority()
                } else {
                    usize::from(self.process.n)
                };
                if self.yes.len() >= all {
                    self.decide(true, out);
                }
            }
            CommitMessage::Decision(commits) => self.decide(commits, out),
        }
    }
}

impl Subject for TwoPhaseCommit {
    const CARD: &'static Card = &CARD;
}

const ONE_NO: &[(Pid, Ask)] = &[(0, Ask::Vote(true)), (1, Ask::Vote(true)), (2, Ask::Vote(false))];

static CARD: Card = Card {
    name: "two-phase-commit",
    family: Family::Agreement,
    source: "Gray 1978; Guerraoui's course, Non-blocking Atomic Commit",
    says: "Each process sends its vote to a coordinator, which commits if all vote yes and sends the decision. It is \
           always safe; but a process that has voted yes cannot go on alone, so the death of the coordinator blocks \
           all. A log that orders transactions needs no votes at all.",
    buys: &[(
        "the coordinator does not fail",
        "termination: between vote and decision only the coordinator knows",
    )],
    uses: &[],
    model: Model::PLAIN,
    asks: ONE_NO,
    properties: &[&COMMIT_AGREEMENT, &COMMIT_VALIDITY, &COMMIT_TERMINATION],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: VOTES,
        delays: [|_| 1, |_| 2, |_| 2],
        multicast: |n| 2 * (n - 1),
        unicast: |n| 2 * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "the-coordinator-dies",
            says: "The coordinator fails after the votes: the others wait for ever.",
            model: Model::PLAIN.stop(1),
            asks: None,
            dropped: None,
            loses: &COMMIT_TERMINATION,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "a-majority-commits",
            says: "The coordinator commits when more than half have voted yes.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("vote of all"),
            loses: &COMMIT_VALIDITY,
            search: Search::Breadth,
            steps_max: 5,
            planted: true,
        },
    ],
};
