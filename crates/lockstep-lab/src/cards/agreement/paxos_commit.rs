//! Paxos Commit (Gray and Lamport 2006).

use super::{ALL_YES, VOTES};
use crate::cards::paxos::acceptor::{Acceptor, Ballot, Votes, highest, next_ballot};
use crate::property::{COMMIT_AGREEMENT, COMMIT_INTEGRITY, COMMIT_TERMINATION, COMMIT_VALIDITY};
use crate::{
    Ask, Break, Card, Detection, Detector, Fact, Family, Model, Out, Pid, Pids, Price, Prices, Process,
    Protocol, Search, Subject,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The acceptances of an acceptor, by instance: that of process i is about the vote of i.
type Accepted = Vec<Option<(Ballot, bool)>>;

/// A message. An acceptor speaks of all instances in one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum PaxosCommitMessage {
    /// Phase 2a of round 0, in the instance of its sender.
    Vote(bool),
    /// Phase 1a of a leader, in all instances.
    Prepare(Ballot),
    /// Phase 1b, in all instances.
    Promise(Ballot, Accepted),
    /// Phase 2a of a leader, in all instances.
    Accept(Ballot, Vec<bool>),
    /// Phase 2b, to all: whether the votes of all instances are yes.
    Accepted(Ballot, bool),
}

/// Each vote is decided by Paxos. Each process is resource manager, acceptor and learner; the lowest that is
/// not suspected leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PaxosCommit {
    process: Process,
    acceptor: Acceptor<Accepted>,
    suspected: Pids,
    /// The round that this process leads, and the promises for it.
    own: Ballot,
    promises: BTreeMap<Pid, Accepted>,
    votes: Votes,
    has_decided: bool,
}

impl PaxosCommit {
    /// Round 0: its leaders are the resource managers, each in its own instance.
    fn on_vote(&mut self, from: Pid, vote: bool, out: &mut Out<Self>) {
        let Ok(accepted) = self.acceptor.enter(0) else { return };
        accepted[usize::from(from)] = Some((0, vote));
        let votes: Option<Vec<bool>> = accepted.iter().map(|vote| vote.map(|(_, vote)| vote)).collect();
        if let Some(votes) = votes {
            out.all(PaxosCommitMessage::Accepted(0, votes.into_iter().all(|vote| vote)));
        }
    }

    /// The leader proposes what may be chosen, and a no where a vote did not reach the majority that
    /// promised.
    fn on_promise(&mut self, from: Pid, ballot: Ballot, accepted: Accepted, out: &mut Out<Self>) {
        if ballot != self.own || self.promises.len() >= self.process.majority() {
            return;
        }
        self.promises.insert(from, accepted);
        if self.promises.len() < self.process.majority() {
            return;
        }
        let may_be_chosen = |instance: usize| {
            let of_instance = self.promises.values().filter_map(|accepted| accepted[instance].as_ref());
            highest(of_instance).copied().filter(|_| !self.process.lacks("votes of promises"))
        };
        let instances = 0..usize::from(self.process.n);
        let votes = instances.map(|instance| may_be_chosen(instance).unwrap_or(false)).collect();
        out.all(PaxosCommitMessage::Accept(ballot, votes));
    }

    fn on_accept(&mut self, ballot: Ballot, votes: &[bool], out: &mut Out<Self>) {
        if let Ok(accepted) = self.acceptor.enter(ballot) {
            *accepted = votes.iter().map(|vote| Some((ballot, *vote))).collect();
            out.all(PaxosCommitMessage::Accepted(ballot, votes.iter().all(|vote| *vote)));
        }
    }

    fn on_accepted(&mut self, from: Pid, ballot: Ballot, commits: bool, out: &mut Out<Self>) {
        let quorum = if self.process.lacks("quorum") { 1 } else { self.process.majority() };
        if self.votes.add(from, ballot) >= quorum && !self.has_decided {
            self.has_decided = true;
            out.indicate(Fact::Outcome(commits));
        }
    }
}

impl Protocol for PaxosCommit {
    type Request = Ask;
    type Indication = Fact;
    type Message = PaxosCommitMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            acceptor: Acceptor { promised: 0, accepted: vec![None; usize::from(process.n)] },
            suspected: Pids::default(),
            own: 0,
            promises: BTreeMap::new(),
            votes: Votes::default(),
            has_decided: false,
        }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        if let Ask::Vote(vote) = ask {
            out.all(PaxosCommitMessage::Vote(vote));
        }
    }

    fn receive(&mut self, from: Pid, message: PaxosCommitMessage, out: &mut Out<Self>) {
        match message {
            PaxosCommitMessage::Vote(vote) => self.on_vote(from, vote, out),
            PaxosCommitMessage::Prepare(ballot) => {
                if let Ok(accepted) = self.acceptor.prepare(ballot) {
                    out.send(from, PaxosCommitMessage::Promise(ballot, accepted));
                }
            }
            PaxosCommitMessage::Promise(ballot, accepted) => self.on_promise(from, ballot, accepted, out),
            PaxosCommitMessage::Accept(ballot, votes) => self.on_accept(ballot, &votes, out),
            PaxosCommitMessage::Accepted(ballot, commits) => self.on_accepted(from, ballot, commits, out),
        }
    }

    /// After a failure the leader ends all instances, even if it has decided: others may lack a vote of the
    /// dead.
    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.suspected.add(pid);
        let leader = self.process.all().without(self.suspected).lowest();
        if leader == Some(self.process.me) && self.own == 0 {
            self.own = next_ballot(&self.process, self.acceptor.promised);
            out.all(PaxosCommitMessage::Prepare(self.own));
        }
    }
}

impl Subject for PaxosCommit {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(1);

static CARD: Card = Card {
    name: "paxos-commit",
    family: Family::Agreement,
    source: "Gray and Lamport 2006",
    says: "Two-phase commit with its coordinator replaced by acceptors: the vote of each process is an instance of Paxos, \
           which the process itself leads in round 0. If one fails, a leader ends all instances in a higher round: with \
           a vote that may be chosen, else with a no. No failure of a minority blocks, and nobody decides twice \
           whatever the detector does.",
    buys: &[
        ("a majority of the acceptors", "termination when the leader fails after the votes"),
        ("a quorum for each outcome", "agreement: a later leader finds a vote that counted"),
        (
            "the detector is accurate",
            "abort validity alone, not agreement: a slow process is aborted in vain",
        ),
    ],
    uses: &["paxos"],
    model: MODEL,
    asks: ALL_YES,
    properties: &[&COMMIT_AGREEMENT, &COMMIT_INTEGRITY, &COMMIT_VALIDITY, &COMMIT_TERMINATION],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: VOTES,
        delays: [|_| 2, |_| 2, |_| 2],
        multicast: |n| 2 * n,
        unicast: |n| 2 * n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "half-of-the-acceptors-fail",
            says: "Two of three acceptors fail, and the third waits for ever.",
            model: Model::PLAIN.detector(Detector::Perfect).stop(2),
            asks: None,
            dropped: None,
            loses: &COMMIT_TERMINATION,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "Nobody fails and all vote yes; a leader takes a slow process for dead and aborts.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 1 }),
            asks: None,
            dropped: None,
            loses: &COMMIT_VALIDITY,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "one-acceptor-decides",
            says: "A process counts its own acceptance alone: it commits and fails, and the others find no such votes.",
            model: MODEL,
            asks: None,
            dropped: Some("quorum"),
            loses: &COMMIT_AGREEMENT,
            search: Search::Breadth,
            steps_max: 9,
            planted: true,
        },
        Break {
            name: "aborts-whatever-was-promised",
            says: "A leader proposes a no in all instances, whatever the promises say.",
            model: MODEL,
            asks: None,
            dropped: Some("votes of promises"),
            loses: &COMMIT_AGREEMENT,
            search: Search::Breadth,
            steps_max: 14,
            planted: true,
        },
    ],
};
