//! Fast Paxos (Lamport 2006; the Paxos family, "Fast Paxos"), with coordinated recovery of collisions.

mod card;

use super::acceptor::{Acceptor, Ballot, Campaign, next_ballot};
use crate::{Card, Decide, Detection, Out, Pid, Pids, Process, Propose, Protocol, Subject, Value};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum FastMessage {
    /// Phase 1a.
    Prepare(Ballot),
    /// Phase 1b, with what the acceptor accepted last.
    Promise(Ballot, Option<(Ballot, Value)>),
    /// Phase 2a of a classic round; the coordinator itself has accepted it.
    Accept(Ballot, Value),
    /// Phase 2b, to all: each process is a learner. In the fast round it is a proposal too: a process that
    /// proposes is the first to accept.
    Accepted(Ballot, Value),
    /// The acceptor has promised this higher round.
    Refuse(Ballot),
}

/// What acceptors have accepted last, as one process knows it.
type Accepted = BTreeMap<Pid, (Ballot, Value)>;

/// Round 0 is fast: an acceptor accepts the first value of which it hears. All others are classic rounds.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FastPaxos {
    process: Process,
    suspected: Pids,
    /// Its own proposal, or another one, for a round in which any may be chosen.
    proposal: Option<Value>,
    acceptor: Acceptor<Option<(Ballot, Value)>>,
    /// Of the classic round that this process leads.
    own: Campaign<Option<(Ballot, Value)>>,
    accepted: Accepted,
    has_decided: bool,
}

impl FastPaxos {
    /// A fast quorum: any two of them and a majority share an acceptor.
    fn fast_quorum(&self) -> usize {
        match self.process.lacks("fast quorums") {
            true => self.process.majority(),
            false => usize::from(self.process.n - self.process.n / 4),
        }
    }

    /// The value that may be chosen already where a majority `reports` what it accepted: that of the highest
    /// round; of the fast round one that a whole fast quorum may have accepted.
    fn choosable(&self, reports: &BTreeMap<Pid, Option<(Ballot, Value)>>) -> Option<Value> {
        let (ballot, value) = reports.values().flatten().copied().max()?;
        if ballot > 0 {
            return Some(value);
        }
        let others = |value| reports.values().filter(|report| **report != Some((0, value))).count();
        let is_choosable = |value: &Value| others(*value) + self.fast_quorum() <= usize::from(self.process.n);
        let any = reports.values().flatten().map(|(_, value)| *value);
        any.filter(|_| !self.process.lacks("choosable values")).find(is_choosable)
    }

    /// Whether no value can be chosen any more in the fast round, as far as this process knows.
    fn has_collided(&self) -> bool {
        let votes = || self.accepted.values().filter(|(ballot, _)| *ballot == 0).map(|(_, value)| *value);
        let voters: Pids = self.accepted.keys().copied().collect();
        let open = self.process.all().without(voters).len();
        let most = votes().map(|value| votes().filter(|other| *other == value).count()).max();
        votes().count() >= self.process.majority() && most.unwrap_or(0) + open < self.fast_quorum()
    }

    /// The lowest process that is not suspected is the coordinator. It begins a classic round where the
    /// fast one has collided or may lack an acceptor, and where there is another coordinator's round.
    fn coordinate(&mut self, out: &mut Out<Self>) {
        let me = self.process.me;
        let coordinator = self.process.all().without(self.suspected).lowest();
        if coordinator != Some(me) || self.proposal.is_none() {
            return;
        }
        let is_first = me == 0 && self.own.ballot == 0 && self.acceptor.promised == 0;
        if is_first && self.has_collided() {
            self.recover(out);
        } else if !is_first && (self.own.ballot == 0 || self.own.ballot < self.acceptor.promised)
            || is_first && !self.suspected.is_empty()
        {
            out.all(FastMessage::Prepare(self.own.begin(&self.process, self.acceptor.promised)));
        }
    }

    /// Coordinated recovery: nothing is between the fast round and the first one of the first process, so
    /// that acceptances of the one are promises for the other.
    fn recover(&mut self, out: &mut Out<Self>) {
        self.own.ballot = next_ballot(&self.process, 0);
        self.own.is_prepared = true;
        let reports = self.accepted.iter().map(|(pid, accepted)| (*pid, Some(*accepted))).collect();
        self.propose(&reports, out);
    }

    /// Phase 2a of a classic round.
    fn propose(&mut self, reports: &BTreeMap<Pid, Option<(Ballot, Value)>>, out: &mut Out<Self>) {
        let is_overtaken = self.acceptor.promised > self.own.ballot;
        if let Some(value) = self.choosable(reports).or(self.proposal).filter(|_| !is_overtaken) {
            out.all(FastMessage::Accept(self.own.ballot, value));
        }
    }

    fn on_promise(
        &mut self,
        from: Pid,
        ballot: Ballot,
        accepted: Option<(Ballot, Value)>,
        out: &mut Out<Self>,
    ) {
        if let Some(promises) = self.own.add(from, ballot, accepted, self.process.majority()) {
            self.propose(&promises, out);
        }
    }

    /// Phase 2b of the fast round.
    fn accept_fast(&mut self, value: Value, out: &mut Out<Self>) {
        if self.acceptor.promised == 0 && self.acceptor.accepted.is_none() {
            self.acceptor.accepted = Some((0, value));
            out.all(FastMessage::Accepted(0, value));
        }
    }

    /// Phase 2b of a classic round.
    fn on_accept(&mut self, from: Pid, ballot: Ballot, value: Value, out: &mut Out<Self>) {
        self.on_accepted(from, ballot, value, out);
        match self.acceptor.enter(ballot) {
            Ok(accepted) => {
                *accepted = Some((ballot, value));
                if from != self.process.me {
                    out.all(FastMessage::Accepted(ballot, value));
                }
            }
            Err(higher) => out.send(from, FastMessage::Refuse(higher)),
        }
    }

    /// Counts an acceptance.
    fn on_accepted(&mut self, from: Pid, ballot: Ballot, value: Value, out: &mut Out<Self>) {
        let last = self.accepted.entry(from).or_insert((ballot, value));
        *last = (*last).max((ballot, value));
        let votes = self.accepted.values().filter(|accepted| **accepted == (ballot, value)).count();
        let quorum = if ballot == 0 { self.fast_quorum() } else { self.process.majority() };
        if votes >= quorum && !self.has_decided {
            self.has_decided = true;
            out.indicate(Decide(value));
        }
    }
}

impl Protocol for FastPaxos {
    type Request = Propose<Value>;
    type Indication = Decide<Value>;
    type Message = FastMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            proposal: None,
            acceptor: Acceptor::default(),
            own: Campaign::new(false),
            accepted: Accepted::new(),
            has_decided: false,
        }
    }

    fn request(&mut self, Propose(value): Propose<Value>, out: &mut Out<Self>) {
        self.proposal = Some(value);
        self.accept_fast(value, out);
        self.coordinate(out);
    }

    fn receive(&mut self, from: Pid, message: FastMessage, out: &mut Out<Self>) {
        match message {
            FastMessage::Prepare(ballot) => match self.acceptor.prepare(ballot) {
                Ok(accepted) => out.send(from, FastMessage::Promise(ballot, accepted)),
                Err(higher) => out.send(from, FastMessage::Refuse(higher)),
            },
            FastMessage::Promise(ballot, accepted) => self.on_promise(from, ballot, accepted, out),
            FastMessage::Accept(ballot, value) => self.on_accept(from, ballot, value, out),
            FastMessage::Accepted(ballot, value) => {
                self.proposal.get_or_insert(value);
                self.on_accepted(from, ballot, value, out);
                self.acceptor.promised = self.acceptor.promised.max(ballot);
                self.accept_fast(value, out);
            }
            FastMessage::Refuse(higher) => self.acceptor.promised = self.acceptor.promised.max(higher),
        }
        self.coordinate(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        self.suspected.follow(detection);
        self.coordinate(out);
    }
}

impl Subject for FastPaxos {
    const CARD: &'static Card = &card::CARD;
}
