//! Byzantine Paxos (Castro and Liskov 1999; Lamport 2011; the Paxos family, "Byzantine Paxos"), of one
//! value. Round b is led by process b modulo n; round 0 needs no phase 1.

mod card;

use super::acceptor::Ballot;
use crate::{Card, Decide, Out, Pid, Pids, Process, Propose, Protocol, Signed, Subject, Timer, Value};
use serde::Serialize;
use std::collections::BTreeMap;

/// A value in a round.
type Vote = (Ballot, Value);
/// A value in a round, and a quorum of signatures which verify that its leader proposed nothing else there.
type Certified = (Vote, Vec<Signed<Vote>>);
/// Of phase 1b: the round that is promised, and the certified value of the highest round before.
type Report = (Ballot, Option<Certified>);

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ByzantineMessage {
    /// Phase 1b, to the leader of the round: there is no phase 1a, the acceptor's timer is over.
    Promise(Signed<Report>),
    /// Phase 2a, with a quorum of reports as the proof that the leader may propose the value.
    Accept(Vote, Vec<Signed<Report>>),
    /// Of each acceptor to all: the leader has proposed this value to it.
    Verify(Signed<Vote>),
    /// Phase 2b, to all.
    Accepted(Vote),
}

/// Each process is proposer, acceptor and learner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ByzantinePaxos {
    process: Process,
    proposal: Option<Value>,
    /// Reports for a round that this process leads.
    reports: BTreeMap<Pid, Signed<Report>>,
    has_proposed: bool,
    /// The round that this acceptor is in, and whether it has verified and accepted a value there.
    ballot: Ballot,
    has_verified: bool,
    has_accepted: bool,
    verifies: BTreeMap<(Ballot, Pid), Signed<Vote>>,
    certified: Option<Certified>,
    accepted: BTreeMap<(Ballot, Pid), Value>,
    has_decided: bool,
}

/// The only timer.
const TIMER: Timer = 0;

impl ByzantinePaxos {
    /// Two quorums of this size have a correct process in common.
    fn quorum(&self) -> usize {
        let (n, f) = (usize::from(self.process.n), usize::from(self.process.f));
        if self.process.lacks("quorum of (n + f) / 2") { n - f } else { self.process.byzantine_quorum() }
    }

    fn leader(&self, ballot: Ballot) -> Pid {
        (ballot % u64::from(self.process.n)) as Pid
    }

    /// The leader of one of the first f + 1 rounds is correct: no timer ends the last of them.
    fn enter(&mut self, ballot: Ballot, out: &mut Out<Self>) {
        if ballot > self.ballot {
            self.ballot = ballot;
            if ballot >= u64::from(self.process.f) {
                out.cancel(TIMER);
            }
            (self.has_verified, self.has_accepted) = (false, false);
            self.verifies.retain(|(other, _), _| *other >= ballot);
            self.accepted.retain(|(other, _), _| *other >= ballot);
        }
    }

    /// Whether a quorum has signed `vote`.
    fn is_certified(&self, (vote, signatures): &Certified) -> bool {
        let signers: Pids = signatures.iter().filter(|one| one.what() == vote).map(Signed::by).collect();
        signers.len() >= self.quorum() || self.process.lacks("verification")
    }

    /// What a quorum of valid reports for `ballot` leaves to be proposed: `None` if they are no quorum,
    /// `Some(None)` if any value may be.
    fn choice(&self, ballot: Ballot, reports: &[Signed<Report>]) -> Option<Option<Value>> {
        let is_valid = |report: &&Signed<Report>| {
            let (of, certified) = report.what();
            *of == ballot && certified.iter().all(|one| one.0.0 < ballot && self.is_certified(one))
        };
        let valid: Vec<&Signed<Report>> = reports.iter().filter(is_valid).collect();
        let signers: Pids = valid.iter().map(|report| report.by()).collect();
        let certified = valid.iter().filter_map(|report| report.what().1.as_ref());
        let highest = certified.max_by_key(|one| one.0.0).map(|one| one.0.1);
        (signers.len() >= self.quorum()).then_some(highest)
    }

    /// Phase 2a.
    fn propose(&mut self, ballot: Ballot, out: &mut Out<Self>) {
        let Some(own) = self.proposal else { return };
        if self.has_proposed || ballot < self.ballot || self.leader(ballot) != self.process.me {
            return;
        }
        let reports: Vec<_> = self.reports.values().cloned().collect();
        let choice = if ballot == 0 { Some(None) } else { self.choice(ballot, &reports) };
        if let Some(value) = choice {
            self.has_proposed = true;
            self.reports.clear();
            out.all(ByzantineMessage::Accept((ballot, value.unwrap_or(own)), reports));
        }
    }

    /// An acceptor verifies one value in a round, and no value that the proof of the leader excludes.
    fn on_accept(&mut self, from: Pid, (ballot, value): Vote, proof: &[Signed<Report>], out: &mut Out<Self>) {
        let is_new = ballot > self.ballot || (ballot == self.ballot && !self.has_verified);
        if from != self.leader(ballot) || !is_new {
            return;
        }
        let choice =
            if ballot == 0 || self.process.lacks("proof") { Some(None) } else { self.choice(ballot, proof) };
        if choice.is_some_and(|must| must.is_none_or(|must| must == value)) {
            self.enter(ballot, out);
            self.has_verified = true;
            if self.process.lacks("verification") {
                return self.accept((ballot, value), Vec::new(), out);
            }
            out.all(ByzantineMessage::Verify(self.process.sign((ballot, value))));
        }
    }

    fn accept(&mut self, vote: Vote, signatures: Vec<Signed<Vote>>, out: &mut Out<Self>) {
        self.has_accepted = true;
        self.certified = Some((vote, signatures));
        self.verifies.clear();
        out.all(ByzantineMessage::Accepted(vote));
    }

    /// A quorum has verified: no other value has one in this round.
    fn on_verify(&mut self, from: Pid, signed: Signed<Vote>, out: &mut Out<Self>) {
        let vote = *signed.what();
        let is_over = vote.0 < self.ballot || (vote.0 == self.ballot && self.has_accepted);
        if signed.by() != from || is_over {
            return;
        }
        self.verifies.insert((vote.0, from), signed);
        let equal = self.verifies.values().filter(|other| *other.what() == vote);
        let equal: Vec<_> = equal.cloned().collect();
        if equal.len() >= self.quorum() {
            self.enter(vote.0, out);
            self.accept(vote, equal, out);
        }
    }

    fn on_accepted(&mut self, from: Pid, (ballot, value): Vote, out: &mut Out<Self>) {
        if self.has_decided || ballot < self.ballot {
            return;
        }
        self.accepted.insert((ballot, from), value);
        let equal = self.accepted.iter().filter(|((of, _), other)| *of == ballot && **other == value);
        if equal.count() >= self.quorum() {
            self.has_decided = true;
            self.accepted.clear();
            out.indicate(Decide(value));
        }
    }
}

impl Protocol for ByzantinePaxos {
    type Request = Propose<Value>;
    type Indication = Decide<Value>;
    type Message = ByzantineMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            proposal: None,
            reports: BTreeMap::new(),
            has_proposed: false,
            ballot: 0,
            has_verified: false,
            has_accepted: false,
            verifies: BTreeMap::new(),
            certified: None,
            accepted: BTreeMap::new(),
            has_decided: false,
        }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        if self.process.f > 0 {
            out.after(TIMER, 10);
        }
    }

    fn request(&mut self, Propose(value): Propose<Value>, out: &mut Out<Self>) {
        self.proposal = Some(value);
        let mine = u64::from(self.process.me);
        self.propose(mine, out);
    }

    fn receive(&mut self, from: Pid, message: ByzantineMessage, out: &mut Out<Self>) {
        match message {
            ByzantineMessage::Promise(report) => {
                let ballot = report.what().0;
                if report.by() == from && !self.has_proposed && ballot == u64::from(self.process.me) {
                    self.reports.insert(from, report);
                    self.propose(ballot, out);
                }
            }
            ByzantineMessage::Accept(vote, proof) => self.on_accept(from, vote, &proof, out),
            ByzantineMessage::Verify(signed) => self.on_verify(from, signed, out),
            ByzantineMessage::Accepted(vote) => self.on_accepted(from, vote, out),
        }
    }

    /// The leader of the round may be a liar: on to the next one. Also a process that has decided goes on,
    /// for the others.
    fn timeout(&mut self, _timer: Timer, out: &mut Out<Self>) {
        let next = self.ballot + 1;
        out.after(TIMER, 10);
        self.enter(next, out);
        let report = self.process.sign((next, self.certified.clone()));
        out.send(self.leader(next), ByzantineMessage::Promise(report));
    }

    /// Reports are for the leader of their round.
    fn heeds(to: Pid, forgery: &ByzantineMessage) -> bool {
        !matches!(forgery, ByzantineMessage::Promise(report) if report.what().0 != u64::from(to))
    }

    /// Of the leader of the first round two values, of another process one.
    fn forgeries(process: &Process) -> Vec<ByzantineMessage> {
        let values: &[Value] = if process.me == 0 { &[Value(0), Value(1)] } else { &[Value(1)] };
        let of = |value: &Value| {
            let vote = (Ballot::from(process.me), *value);
            let verify = ByzantineMessage::Verify(process.sign(vote));
            [ByzantineMessage::Accept(vote, Vec::new()), verify, ByzantineMessage::Accepted(vote)]
        };
        let report = ByzantineMessage::Promise(process.sign((1, None)));
        values.iter().flat_map(of).chain([report]).collect()
    }
}

impl Subject for ByzantinePaxos {
    const CARD: &'static Card = &card::CARD;
}
