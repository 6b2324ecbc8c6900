//! Fast Byzantine Paxos (Martin and Alvisi 2006; the Paxos family, "Fast Byzantine Paxos"), of one value.
//! Round b is that of process b, which begins it when it is asked; round 0 needs no phase 1. The leader of a
//! round learns for all, and shows the signatures that it has.

mod card;

use super::acceptor::Ballot;
use crate::{Card, Decide, Out, Pid, Pids, Process, Propose, Protocol, Signed, Subject, Value};
use serde::Serialize;
use std::collections::BTreeMap;

/// A value in a round.
type Vote = (Ballot, Value);
/// Of phase 1b: the round that is promised, and the value that was accepted last.
type Report = (Ballot, Option<Value>);

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum FastByzantineMessage {
    /// Phase 1a.
    Prepare(Ballot),
    /// Phase 1b.
    Promise(Signed<Report>),
    /// Phase 2a, with the reports that vouch for the value.
    Accept(Vote, Vec<Signed<Report>>),
    /// Phase 2b, to the leader of the round.
    Accepted(Signed<Vote>),
    /// A quorum has accepted.
    Learned(Vec<Signed<Vote>>),
}

/// Each process is proposer, acceptor and learner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FastByzantine {
    process: Process,
    proposal: Option<Value>,
    /// As the leader of its round: the reports of phase 1, and the votes of phase 2.
    reports: BTreeMap<Pid, Signed<Report>>,
    has_proposed: bool,
    votes: BTreeMap<Pid, Signed<Vote>>,
    /// The round that this acceptor is in, and what it accepted last.
    ballot: Ballot,
    accepted: Option<Vote>,
    has_decided: bool,
}

impl FastByzantine {
    /// Those that are there without the liars.
    fn reporters(&self) -> usize {
        usize::from(self.process.n - self.process.f)
    }

    /// So many learn: (n + 3f + 1) / 2, rounded up, which is n - f where n is 5f + 1.
    fn quorum(&self) -> usize {
        let (n, f) = (usize::from(self.process.n), usize::from(self.process.f));
        if self.process.lacks("quorum of (n + 3f + 1) / 2") { n - f } else { (n + 3 * f + 1).div_ceil(2) }
    }

    /// A value with so many equal reports may be decided: at most one value has them.
    fn vouched(&self) -> usize {
        (self.reporters() + 1).div_ceil(2)
    }

    fn leader(&self, ballot: Ballot) -> Pid {
        (ballot % u64::from(self.process.n)) as Pid
    }

    /// What enough reports for `ballot` leave to be proposed: `None` if they are too few, `Some(None)` if any
    /// value may be.
    fn choice(&self, ballot: Ballot, reports: &[Signed<Report>]) -> Option<Option<Value>> {
        let of: BTreeMap<Pid, Option<Value>> = reports
            .iter()
            .filter(|report| report.what().0 == ballot)
            .map(|report| (report.by(), report.what().1))
            .collect();
        let count = |value: Value| of.values().filter(|other| **other == Some(value)).count();
        let must = of.values().flatten().copied().find(|value| count(*value) >= self.vouched());
        let must = must.filter(|_| !self.process.lacks("reports"));
        (of.len() >= self.reporters()).then_some(must)
    }

    /// Phase 2a.
    fn propose(&mut self, out: &mut Out<Self>) {
        let ballot = Ballot::from(self.process.me);
        let Some(own) = self.proposal else { return };
        if self.has_proposed || ballot < self.ballot {
            return;
        }
        let reports: Vec<_> = self.reports.values().cloned().collect();
        let choice = if ballot == 0 { Some(None) } else { self.choice(ballot, &reports) };
        if let Some(value) = choice {
            self.has_proposed = true;
            self.reports.clear();
            out.all(FastByzantineMessage::Accept((ballot, value.unwrap_or(own)), reports));
        }
    }

    /// An acceptor accepts one value in a round, and none that the reports do not vouch for.
    fn on_accept(&mut self, from: Pid, vote: Vote, reports: &[Signed<Report>], out: &mut Out<Self>) {
        let (ballot, value) = vote;
        let is_first = self.accepted.is_none_or(|(last, _)| last < ballot);
        if from != self.leader(ballot) || ballot < self.ballot || !is_first {
            return;
        }
        let choice = if ballot == 0 || self.process.lacks("proof") {
            Some(None)
        } else {
            self.choice(ballot, reports)
        };
        if choice.is_some_and(|must| must.is_none_or(|must| must == value)) {
            self.ballot = ballot;
            self.accepted = Some(vote);
            out.send(from, FastByzantineMessage::Accepted(self.process.sign(vote)));
        }
    }

    /// The leader shows that a quorum has accepted.
    fn on_accepted(&mut self, from: Pid, signed: Signed<Vote>, out: &mut Out<Self>) {
        if self.has_decided || signed.by() != from || signed.what().0 != Ballot::from(self.process.me) {
            return;
        }
        let vote = *signed.what();
        self.votes.entry(from).or_insert(signed);
        let equal: Vec<_> = self.votes.values().filter(|other| *other.what() == vote).cloned().collect();
        if equal.len() >= self.quorum() {
            self.votes.clear();
            out.all(FastByzantineMessage::Learned(equal));
        }
    }

    fn on_learned(&mut self, votes: &[Signed<Vote>], out: &mut Out<Self>) {
        let Some(vote) = votes.first().map(Signed::what) else { return };
        let signers: Pids = votes.iter().filter(|other| other.what() == vote).map(Signed::by).collect();
        if !self.has_decided && signers.len() >= self.quorum() {
            self.has_decided = true;
            out.indicate(Decide(vote.1));
        }
    }
}

impl Protocol for FastByzantine {
    type Request = Propose<Value>;
    type Indication = Decide<Value>;
    type Message = FastByzantineMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            proposal: None,
            reports: BTreeMap::new(),
            has_proposed: false,
            votes: BTreeMap::new(),
            ballot: 0,
            accepted: None,
            has_decided: false,
        }
    }

    fn request(&mut self, Propose(value): Propose<Value>, out: &mut Out<Self>) {
        self.proposal = Some(value);
        if self.process.me == 0 {
            self.propose(out);
        } else {
            out.all(FastByzantineMessage::Prepare(self.process.me.into()));
        }
    }

    fn receive(&mut self, from: Pid, message: FastByzantineMessage, out: &mut Out<Self>) {
        match message {
            FastByzantineMessage::Prepare(ballot) => {
                if from == self.leader(ballot) && ballot > self.ballot {
                    self.ballot = ballot;
                    let report = (ballot, self.accepted.map(|(_, value)| value));
                    out.send(from, FastByzantineMessage::Promise(self.process.sign(report)));
                }
            }
            FastByzantineMessage::Promise(report) => {
                if report.by() == from && !self.has_proposed {
                    self.reports.insert(from, report);
                    self.propose(out);
                }
            }
            FastByzantineMessage::Accept(vote, reports) => self.on_accept(from, vote, &reports, out),
            FastByzantineMessage::Accepted(signed) => self.on_accepted(from, signed, out),
            FastByzantineMessage::Learned(votes) => self.on_learned(&votes, out),
        }
    }

    /// A vote for the value of the first leader, and a report of another one to the next.
    fn forgeries(process: &Process) -> Vec<FastByzantineMessage> {
        let accepted = |vote| FastByzantineMessage::Accepted(process.sign(vote));
        let report = FastByzantineMessage::Promise(process.sign((1, Some(Value(1)))));
        vec![accepted((0, Value(0))), report]
    }

    /// Votes and reports are for the leader of their round.
    fn heeds(to: Pid, forgery: &FastByzantineMessage) -> bool {
        match forgery {
            FastByzantineMessage::Promise(report) => report.what().0 == u64::from(to),
            FastByzantineMessage::Accepted(vote) => vote.what().0 == u64::from(to),
            _ => true,
        }
    }
}

impl Subject for FastByzantine {
    const CARD: &'static Card = &card::CARD;
}
