//! Cheap Paxos (Lamport and Massa 2004; the Paxos family, "Cheap Paxos"), of one instance. That a log removes
//! the failed process from the group by a command, so that the auxiliaries rest again, is left out.

mod card;

use super::acceptor::{Acceptor, Ballot, Campaign, Votes, highest};
use crate::{Card, Detection, Fact, Out, Pid, Pids, Process, Propose, Protocol, Subject, Value};
use serde::Serialize;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum CheapMessage {
    /// Phase 1a.
    Prepare(Ballot),
    /// Phase 1b, with what the acceptor accepted last.
    Promise(Ballot, Option<(Ballot, Value)>),
    /// Phase 2a; the leader itself has accepted it.
    Accept(Ballot, Value),
    /// Phase 2b, to the main processes: they are the learners.
    Accepted(Ballot, Value),
    /// The acceptor has promised this higher round.
    Refuse(Ballot),
}

/// The first f + 1 of 2f + 1 processes are main processes, which do all while they live. The others are
/// auxiliary acceptors.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CheapPaxos {
    process: Process,
    suspected: Pids,
    proposal: Option<Value>,
    acceptor: Acceptor<Option<(Ballot, Value)>>,
    own: Campaign<Option<(Ballot, Value)>>,
    /// The value of the promises.
    adopted: Option<Value>,
    /// The acceptors that have the message of this phase from this process.
    asked: Pids,
    votes: Votes,
    has_decided: bool,
}

impl CheapPaxos {
    fn mains(&self) -> Pids {
        Pids::first(self.process.majority() as u8)
    }

    /// The acceptors that the leader uses: as many as a majority, an auxiliary only in the place of a main
    /// process that is suspected.
    fn quorum(&self) -> Pids {
        let living = self.process.all().without(self.suspected);
        if self.process.lacks("rest") {
            return living;
        }
        // Main processes come first.
        living.iter().take(self.process.majority()).collect()
    }

    /// How many acceptors must accept a value.
    fn needed(&self) -> usize {
        if self.process.lacks("auxiliaries in quorums") {
            return self.mains().without(self.suspected).len();
        }
        self.process.majority()
    }

    /// The lowest main process that is not suspected leads: it sends the message of the current phase to
    /// each acceptor of its quorum that does not have it yet, in a new round if its own is over.
    fn lead(&mut self, out: &mut Out<Self>) {
        let leader = self.mains().without(self.suspected).lowest();
        let Some(proposal) = self.proposal.filter(|_| leader == Some(self.process.me)) else { return };
        let has_round = self.own.is_prepared || !self.asked.is_empty();
        if !has_round || self.own.ballot < self.acceptor.promised {
            self.own.begin(&self.process, self.acceptor.promised);
            self.asked = Pids::default();
        }
        let message = match self.own.is_prepared {
            true => CheapMessage::Accept(self.own.ballot, self.adopted.unwrap_or(proposal)),
            false => CheapMessage::Prepare(self.own.ballot),
        };
        let fresh = self.quorum().without(self.asked);
        out.each(fresh, &message);
        self.asked = self.asked.iter().chain(fresh.iter()).collect();
    }

    fn on_promise(&mut self, from: Pid, ballot: Ballot, accepted: Option<(Ballot, Value)>) {
        if let Some(promises) = self.own.add(from, ballot, accepted, self.needed()) {
            self.adopted = highest(promises.values().flatten()).copied();
            self.asked = Pids::default();
        }
    }

    /// Counts an acceptance.
    fn learn(&mut self, from: Pid, ballot: Ballot, value: Value, out: &mut Out<Self>) {
        let is_learner = self.mains().has(self.process.me);
        if is_learner && !self.has_decided && self.votes.add(from, ballot) >= self.needed() {
            self.has_decided = true;
            out.indicate(Fact::Decide(value));
        }
    }

    /// Phase 2b.
    fn on_accept(&mut self, from: Pid, ballot: Ballot, value: Value, out: &mut Out<Self>) {
        self.learn(from, ballot, value, out);
        match self.acceptor.enter(ballot) {
            Ok(accepted) => {
                *accepted = Some((ballot, value));
                if from != self.process.me {
                    out.each(self.mains(), &CheapMessage::Accepted(ballot, value));
                }
            }
            Err(higher) => out.send(from, CheapMessage::Refuse(higher)),
        }
    }
}

impl Protocol for CheapPaxos {
    type Request = Propose<Value>;
    type Indication = Fact;
    type Message = CheapMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            proposal: None,
            acceptor: Acceptor::default(),
            // Round 0 is that of the first process, and nothing is accepted below it.
            own: Campaign::new(process.me == 0),
            adopted: None,
            asked: Pids::default(),
            votes: Votes::default(),
            has_decided: false,
        }
    }

    fn request(&mut self, Propose(value): Propose<Value>, out: &mut Out<Self>) {
        self.proposal = Some(value);
        self.lead(out);
    }

    fn receive(&mut self, from: Pid, message: CheapMessage, out: &mut Out<Self>) {
        let is_auxiliary = !self.mains().has(self.process.me);
        if is_auxiliary {
            out.indicate(Fact::Other(0, 0));
        }
        match message {
            CheapMessage::Prepare(ballot) => match self.acceptor.prepare(ballot) {
                Ok(accepted) => {
                    let accepted =
                        accepted.filter(|_| !(is_auxiliary && self.process.lacks("report of the auxiliary")));
                    out.send(from, CheapMessage::Promise(ballot, accepted));
                }
                Err(higher) => out.send(from, CheapMessage::Refuse(higher)),
            },
            CheapMessage::Promise(ballot, accepted) => self.on_promise(from, ballot, accepted),
            CheapMessage::Accept(ballot, value) => self.on_accept(from, ballot, value, out),
            CheapMessage::Accepted(ballot, value) => {
                self.learn(from, ballot, value, out);
                self.acceptor.promised = self.acceptor.promised.max(ballot);
            }
            CheapMessage::Refuse(higher) => self.acceptor.promised = self.acceptor.promised.max(higher),
        }
        self.lead(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        self.suspected.follow(detection);
        self.lead(out);
    }
}

impl Subject for CheapPaxos {
    const CARD: &'static Card = &card::CARD;
}
