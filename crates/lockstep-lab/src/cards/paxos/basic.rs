//! Basic Paxos (Lamport 1998; "Paxos", basic Paxos with proposers that retry).

mod card;

use super::acceptor::{Acceptor, Ballot, Votes, highest, next_ballot};
use crate::{Card, Decide, Detection, Out, Pid, Process, Propose, Protocol, Stored, Subject, Value};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum PaxosMessage {
    /// Phase 1a.
    Prepare(Ballot),
    /// Phase 1b, with what the acceptor accepted last.
    Promise(Ballot, Option<(Ballot, Value)>),
    /// Phase 2a.
    Accept(Ballot, Value),
    /// Phase 2b, to all: each process is a learner.
    Accepted(Ballot, Value),
    /// The acceptor has promised this higher one.
    Refuse(Ballot),
}

/// Each process is proposer, acceptor and learner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Paxos {
    process: Process,
    leads: bool,
    proposal: Option<Value>,
    acceptor: Acceptor<Option<(Ballot, Value)>>,
    /// The round that this process proposes in, and its promises; none once it has its quorum.
    own: Ballot,
    promises: BTreeMap<Pid, Option<(Ballot, Value)>>,
    /// The highest round that is known to count.
    learned: Votes,
    has_decided: bool,
}

impl Paxos {
    /// Begins a round above all that this process knows of. One that has decided does so too: of the dead
    /// leader's acceptance others may never hear.
    fn campaign(&mut self, out: &mut Out<Self>) {
        let rests = self.has_decided && self.process.lacks("rounds of those that have decided");
        if !self.leads || self.proposal.is_none() || rests {
            return;
        }
        let above = self.acceptor.promised.max(self.own).max(self.learned.ballot);
        self.own = next_ballot(&self.process, above);
        self.promises.clear();
        out.all(PaxosMessage::Prepare(self.own));
    }

    fn on_promise(
        &mut self,
        from: Pid,
        ballot: Ballot,
        accepted: Option<(Ballot, Value)>,
        out: &mut Out<Self>,
    ) {
        if ballot != self.own || self.promises.len() >= self.process.majority() {
            return;
        }
        self.promises.insert(from, accepted);
        if self.promises.len() < self.process.majority() {
            return;
        }
        let adopted = highest(self.promises.values().flatten()).copied();
        let adopted = adopted.filter(|_| !self.process.lacks("value of promises"));
        if let Some(value) = adopted.or(self.proposal) {
            out.all(PaxosMessage::Accept(ballot, value));
        }
    }

    fn on_accepted(&mut self, from: Pid, ballot: Ballot, value: Value, out: &mut Out<Self>) {
        if !self.has_decided && self.learned.add(from, ballot) >= self.process.majority() {
            self.has_decided = true;
            out.indicate(Decide(value));
        }
    }
}

impl Protocol for Paxos {
    type Request = Propose<Value>;
    type Indication = Decide<Value>;
    type Message = PaxosMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            leads: process.me == 0 || process.lacks("one leader"),
            proposal: None,
            acceptor: Acceptor::default(),
            own: 0,
            promises: BTreeMap::new(),
            learned: Votes::default(),
            has_decided: false,
        }
    }

    fn request(&mut self, Propose(value): Propose<Value>, out: &mut Out<Self>) {
        self.proposal = Some(value);
        self.campaign(out);
    }

    fn receive(&mut self, from: Pid, message: PaxosMessage, out: &mut Out<Self>) {
        match message {
            PaxosMessage::Prepare(ballot) => match self.acceptor.prepare(ballot) {
                Ok(accepted) => {
                    out.store("promised", ballot);
                    out.send(from, PaxosMessage::Promise(ballot, accepted));
                }
                Err(higher) => out.send(from, PaxosMessage::Refuse(higher)),
            },
            PaxosMessage::Accept(ballot, value) => match self.acceptor.enter(ballot) {
                Ok(accepted) => {
                    *accepted = Some((ballot, value));
                    out.store("promised", ballot);
                    out.store("accepted", ballot);
                    out.store("value", value.0.into());
                    out.all(PaxosMessage::Accepted(ballot, value));
                }
                Err(higher) => out.send(from, PaxosMessage::Refuse(higher)),
            },
            PaxosMessage::Promise(ballot, accepted) => self.on_promise(from, ballot, accepted, out),
            PaxosMessage::Accepted(ballot, value) => self.on_accepted(from, ballot, value, out),
            PaxosMessage::Refuse(higher) => {
                if higher > self.own {
                    self.acceptor.promised = self.acceptor.promised.max(higher);
                    self.campaign(out);
                }
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Leader(leader) = detection {
            self.leads = leader == self.process.me;
            self.campaign(out);
        }
    }

    fn recover(&mut self, stored: &Stored, _out: &mut Out<Self>) {
        let read = |record| stored.get(record).copied();
        self.acceptor.promised = read("promised").unwrap_or(0);
        self.acceptor.accepted =
            read("accepted").zip(read("value")).map(|(ballot, value)| (ballot, Value(value as u8)));
    }

    fn lowest_round(&self) -> Option<u64> {
        let accepted = self.acceptor.accepted.map_or(0, |(ballot, _)| ballot);
        let known = [self.acceptor.promised, self.own, self.learned.ballot, accepted];
        known.into_iter().filter(|ballot| *ballot > 0).min()
    }

    fn renumber(&mut self, by: u64) {
        let lower = |ballot: &mut Ballot| *ballot = ballot.saturating_sub(by);
        lower(&mut self.acceptor.promised);
        lower(&mut self.own);
        lower(&mut self.learned.ballot);
        self.acceptor.accepted.iter_mut().for_each(|(ballot, _)| lower(ballot));
        self.promises.values_mut().flatten().for_each(|(ballot, _)| lower(ballot));
    }

    fn message_round(message: &PaxosMessage) -> Option<u64> {
        match message {
            PaxosMessage::Prepare(ballot)
            | PaxosMessage::Promise(ballot, None)
            | PaxosMessage::Accept(ballot, _)
            | PaxosMessage::Accepted(ballot, _)
            | PaxosMessage::Refuse(ballot) => Some(*ballot),
            PaxosMessage::Promise(_, Some((accepted, _))) => Some(*accepted),
        }
    }

    fn renumber_message(message: &mut PaxosMessage, by: u64) {
        match message {
            PaxosMessage::Prepare(ballot)
            | PaxosMessage::Accept(ballot, _)
            | PaxosMessage::Accepted(ballot, _)
            | PaxosMessage::Refuse(ballot) => *ballot -= by,
            PaxosMessage::Promise(ballot, accepted) => {
                *ballot -= by;
                accepted.iter_mut().for_each(|(ballot, _)| *ballot -= by);
            }
        }
    }
}

impl Subject for Paxos {
    const CARD: &'static Card = &card::CARD;
}
