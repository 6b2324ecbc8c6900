//! Primary-backup over Multi-Paxos (Junqueira, Reed, Serafini 2011, on the order that Paxos gives primaries):
//! the leader is the primary, and the log has what primaries broadcast. A run begins with p1 as the primary.

mod card;

use super::ZabIndication;
use crate::cards::paxos::acceptor::{Acceptor, Ballot, Campaign};
use crate::cards::paxos::log::{AcceptedLog, LogLearner, Slot, adopt, fill_gaps};
use crate::{Broadcast, Card, Detection, Fact, Out, Pid, Process, Protocol, Subject, Value};
use serde::Serialize;

/// What a primary broadcasts, and its epoch, which is the round in which it leads.
type Update = (Ballot, Value);

/// A message of Multi-Paxos.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum BackupMessage {
    /// Phase 1a, of all slots.
    Prepare(Ballot),
    /// Phase 1b, with all that the acceptor accepted.
    Promise(Ballot, AcceptedLog<Update>),
    /// Phase 2a of one slot; the leader itself has accepted it.
    Accept(Ballot, Slot, Option<Update>),
    /// Phase 2b of one slot, to all.
    Accepted(Ballot, Slot, Option<Update>),
    /// The acceptor has promised this higher round.
    Refuse(Ballot),
}

/// Each process is a backup; the leader is the primary.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PrimaryBackup {
    process: Process,
    leader: Pid,
    acceptor: Acceptor<AcceptedLog<Update>>,
    own: Campaign<AcceptedLog<Update>>,
    /// Whether all that was found in phase 1 is applied.
    is_primary: bool,
    learner: LogLearner<Update>,
    /// Slots that are applied here.
    applied: Slot,
    /// What the primary has not broadcast yet.
    pending: Vec<Value>,
    /// A refused leader tries again so often, until it is named once more; a lower process insists longer.
    retries_left: u8,
}

impl PrimaryBackup {
    /// The first slot that has nothing.
    fn free(&self) -> Slot {
        self.acceptor.accepted.keys().next_back().map_or(0, |last| last + 1)
    }

    fn campaign(&mut self, out: &mut Out<Self>) {
        self.is_primary = false;
        let above = self.own.ballot.max(self.acceptor.promised);
        out.all(BackupMessage::Prepare(self.own.begin(&self.process, above)));
    }

    /// There is a higher round: a process that is trusted to lead begins one above it.
    fn on_higher(&mut self, higher: Ballot, out: &mut Out<Self>) {
        if self.leader == self.process.me && higher > self.own.ballot && self.retries_left > 0 {
            self.retries_left -= 1;
            self.acceptor.promised = self.acceptor.promised.max(higher);
            self.campaign(out);
        }
    }

    /// The end of phase 1: what may be chosen is proposed again, in the slots of before.
    fn on_promise(&mut self, from: Pid, ballot: Ballot, log: AcceptedLog<Update>, out: &mut Out<Self>) {
        if ballot < self.acceptor.promised {
            return;
        }
        let Some(promises) = self.own.add(from, ballot, log, self.process.majority()) else { return };
        let own = promises.iter().filter(|(pid, _)| **pid == self.process.me);
        let mut log = if self.process.lacks("promises of others") {
            adopt(own.map(|(_, log)| log))
        } else {
            adopt(promises.values())
        };
        fill_gaps(&mut log);
        log.into_iter().for_each(|(slot, update)| self.accept(slot, update, out));
    }

    fn accept(&mut self, slot: Slot, update: Option<Update>, out: &mut Out<Self>) {
        self.acceptor.accepted.insert(slot, (self.own.ballot, update));
        out.all(BackupMessage::Accept(self.own.ballot, slot, update));
    }

    fn on_accept(
        &mut self,
        from: Pid,
        (ballot, slot): (Ballot, Slot),
        update: Option<Update>,
        out: &mut Out<Self>,
    ) {
        self.learner.add(from, ballot, slot, update, self.process.majority());
        match self.acceptor.enter(ballot) {
            Ok(log) => {
                log.insert(slot, (ballot, update));
                if from != self.process.me {
                    out.all(BackupMessage::Accepted(ballot, slot, update));
                    self.on_higher(ballot, out);
                }
            }
            Err(higher) => out.send(from, BackupMessage::Refuse(higher)),
        }
    }

    /// Applies the log in order. A leader becomes the primary once it has applied all that it found, and
    /// broadcasts the next update once the one before is applied.
    fn go_on(&mut self, out: &mut Out<Self>) {
        while let Some(update) = self.learner.take_next() {
            self.applied += 1;
            let Some((epoch, value)) = update else { continue };
            let from = (epoch % u64::from(self.process.n)) as Pid;
            out.indicate(ZabIndication(Fact::Deliver { from, value }));
        }
        let leads = self.leader == self.process.me
            && self.own.is_prepared
            && self.own.ballot >= self.acceptor.promised;
        if !leads {
            return;
        }
        if !self.is_primary && self.applied >= self.free() {
            self.is_primary = true;
            out.indicate(ZabIndication(Fact::Primary { epoch: self.own.ballot }));
        }
        let window = if self.process.lacks("one outstanding update") { 2 } else { 1 };
        while self.is_primary && !self.pending.is_empty() && self.free() < self.applied + window {
            let value = self.pending.remove(0);
            out.indicate(ZabIndication(Fact::Sent { epoch: self.own.ballot, value }));
            self.accept(self.free(), Some((self.own.ballot, value)), out);
        }
    }
}

impl Protocol for PrimaryBackup {
    type Request = Broadcast<Value>;
    type Indication = ZabIndication;
    type Message = BackupMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            leader: 0,
            acceptor: Acceptor::default(),
            // Round 0 is that of the first process, and nothing is accepted below it.
            own: Campaign::new(process.me == 0),
            is_primary: false,
            learner: LogLearner::default(),
            applied: 0,
            pending: Vec::new(),
            retries_left: process.n - 1 - process.me,
        }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        self.go_on(out);
    }

    fn request(&mut self, Broadcast(value): Broadcast<Value>, out: &mut Out<Self>) {
        self.pending.push(value);
        self.go_on(out);
    }

    fn receive(&mut self, from: Pid, message: BackupMessage, out: &mut Out<Self>) {
        match message {
            BackupMessage::Prepare(ballot) => match self.acceptor.prepare(ballot) {
                Ok(log) => {
                    out.send(from, BackupMessage::Promise(ballot, log));
                    self.on_higher(ballot, out);
                }
                Err(higher) => out.send(from, BackupMessage::Refuse(higher)),
            },
            BackupMessage::Promise(ballot, log) => self.on_promise(from, ballot, log, out),
            BackupMessage::Accept(ballot, slot, update) => self.on_accept(from, (ballot, slot), update, out),
            BackupMessage::Accepted(ballot, slot, update) => {
                self.learner.add(from, ballot, slot, update, self.process.majority());
            }
            BackupMessage::Refuse(higher) => self.on_higher(higher, out),
        }
        self.go_on(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Leader(leader) = detection else { return };
        self.leader = leader;
        self.retries_left = self.process.n - 1 - self.process.me;
        if leader == self.process.me && !(self.own.is_prepared && self.own.ballot >= self.acceptor.promised) {
            self.campaign(out);
        }
        self.go_on(out);
    }
}

impl Subject for PrimaryBackup {
    const CARD: &'static Card = &card::CARD;
}
