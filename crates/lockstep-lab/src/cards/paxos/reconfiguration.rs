//! A log that changes its own members (Lamport, Malkhi, Zhou 2010; the Paxos family, its reconfiguration):
//! entry i decides the acceptors of entry i + 1. At first they are all processes but the last.

mod card;

use super::acceptor::{Acceptor, Ballot, highest, next_ballot};
use super::log::{AcceptedLog, Slot};
use crate::{Broadcast, Card, Deliver, Detection, Out, Pid, Pids, Process, Protocol, Subject, Value};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A command, and the process that broadcast it.
type Command = (Pid, Value);

/// The command that replaces the lowest member by the process above the highest.
const CHANGE: Value = Value(25);

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ReconfigurationMessage {
    /// A command, for the leader.
    Forward(Command),
    /// Phase 1a, of all slots, to the members.
    Prepare(Ballot),
    /// Phase 1b, with all that the acceptor accepted.
    Promise(Ballot, AcceptedLog<Command>),
    /// Phase 2a of one slot, to its members.
    Accept(Ballot, Slot, Command),
    /// Phase 2b, to the leader.
    Accepted(Ballot, Slot),
    /// The acceptor has promised this higher round.
    Refuse(Ballot),
    /// The decision of a slot, to all.
    Decided(Slot, Command),
}

/// Each process is client and learner; members are acceptors; the leader need not be a member.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reconfiguration {
    process: Process,
    leader: Pid,
    acceptor: Acceptor<AcceptedLog<Command>>,
    /// The decided entries that are delivered, those that came too early, and the members for the next one.
    log: Vec<Command>,
    decided: BTreeMap<Slot, Command>,
    members: Pids,
    pending: BTreeSet<Command>,
    /// The round that this process leads, the processes that it asked for promises, and these.
    own: Ballot,
    prepared: Pids,
    promises: BTreeMap<Pid, AcceptedLog<Command>>,
    /// The proposal for the next slot, and the processes that have accepted it.
    proposed: Option<Command>,
    voters: Pids,
    /// A refused leader tries again so often, until it is named once more; a lower process insists longer.
    retries_left: u8,
}

/// The members after a change.
fn changed(members: Pids) -> Pids {
    let highest = members.iter().last().unwrap_or(0);
    let mut next: Pids = members.iter().skip(1).collect();
    next.add(highest + 1);
    next
}

impl Reconfiguration {
    fn next_slot(&self) -> Slot {
        self.log.len() as Slot
    }

    /// A majority of the members for the next slot.
    fn is_quorum(&self, processes: Pids) -> bool {
        processes.and(self.members).len() > self.members.len() / 2
    }

    /// Begins a round above all that this process knows of, and tells all what is decided.
    fn campaign(&mut self, out: &mut Out<Self>) {
        self.own = next_ballot(&self.process, self.own.max(self.acceptor.promised));
        self.prepared = Pids::default();
        self.promises.clear();
        self.proposed = None;
        let log = self.log.iter().zip(0..);
        log.for_each(|(command, slot)| {
            out.each(self.process.others(), &ReconfigurationMessage::Decided(slot, *command))
        });
    }

    fn on_higher(&mut self, higher: Ballot, out: &mut Out<Self>) {
        self.acceptor.promised = self.acceptor.promised.max(higher);
        if self.leader == self.process.me && higher > self.own && self.retries_left > 0 {
            self.retries_left -= 1;
            self.campaign(out);
        }
    }

    /// The leader proposes for the next slot alone: for the one behind it the members are not known yet. It
    /// needs the promises of a majority of these members, whoever promised for earlier slots.
    fn propose(&mut self, out: &mut Out<Self>) {
        if self.leader != self.process.me || self.proposed.is_some() || self.own < self.acceptor.promised {
            return;
        }
        let promised: Pids = self.promises.keys().copied().collect();
        let has_promises = self.is_quorum(promised)
            || (self.process.lacks("promises of new members") && promised.len() > self.members.len() / 2);
        // Nothing is accepted below the first round.
        if self.own > 0 && !has_promises {
            let fresh = self.members.without(self.prepared);
            self.prepared = self.prepared.iter().chain(fresh.iter()).collect();
            return out.each(fresh, &ReconfigurationMessage::Prepare(self.own));
        }
        let slot = self.next_slot();
        let reported = self.promises.values().filter_map(|log| log.get(&slot));
        let adopted = highest(reported).copied().flatten();
        let Some(command) = adopted.or(self.pending.first().copied()) else { return };
        self.proposed = Some(command);
        self.voters = Pids::default();
        out.each(self.members, &ReconfigurationMessage::Accept(self.own, slot, command));
    }

    /// Delivers decisions in the order of slots. A change is in force behind its own slot.
    fn on_decided(&mut self, slot: Slot, command: Command, out: &mut Out<Self>) {
        if slot >= self.next_slot() {
            self.decided.insert(slot, command);
        }
        while let Some(command) = self.decided.remove(&self.next_slot()) {
            self.log.push(command);
            self.pending.remove(&command);
            self.proposed = None;
            if command.1 == CHANGE && !self.process.lacks("change by the log") {
                self.members = changed(self.members);
            }
            out.indicate(Deliver { from: command.0, message: command.1 });
        }
    }
}

impl Protocol for Reconfiguration {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = ReconfigurationMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            leader: 0,
            acceptor: Acceptor::default(),
            log: Vec::new(),
            decided: BTreeMap::new(),
            members: Pids::first(process.n - 1),
            pending: BTreeSet::new(),
            own: 0,
            prepared: Pids::default(),
            promises: BTreeMap::new(),
            proposed: None,
            voters: Pids::default(),
            retries_left: process.n - 1 - process.me,
        }
    }

    fn request(&mut self, Broadcast(value): Broadcast<Value>, out: &mut Out<Self>) {
        if value == CHANGE && self.process.lacks("change by the log") {
            self.members = changed(self.members);
        }
        self.pending.insert((self.process.me, value));
        if self.leader != self.process.me {
            out.send(self.leader, ReconfigurationMessage::Forward((self.process.me, value)));
        }
        self.propose(out);
    }

    fn receive(&mut self, from: Pid, message: ReconfigurationMessage, out: &mut Out<Self>) {
        match message {
            ReconfigurationMessage::Forward(command) => {
                if !self.log.contains(&command) {
                    self.pending.insert(command);
                }
            }
            ReconfigurationMessage::Prepare(ballot) => match self.acceptor.prepare(ballot) {
                Ok(log) => {
                    out.send(from, ReconfigurationMessage::Promise(ballot, log));
                    self.on_higher(ballot, out);
                }
                Err(higher) => out.send(from, ReconfigurationMessage::Refuse(higher)),
            },
            ReconfigurationMessage::Promise(ballot, log) => {
                if ballot == self.own {
                    self.promises.entry(from).or_insert(log);
                }
            }
            ReconfigurationMessage::Accept(ballot, slot, command) => match self.acceptor.enter(ballot) {
                Ok(log) => {
                    log.insert(slot, (ballot, Some(command)));
                    out.send(from, ReconfigurationMessage::Accepted(ballot, slot));
                    self.on_higher(ballot, out);
                }
                Err(higher) => out.send(from, ReconfigurationMessage::Refuse(higher)),
            },
            ReconfigurationMessage::Accepted(ballot, slot) => {
                if let Some(command) = self.proposed
                    && (ballot, slot) == (self.own, self.next_slot())
                {
                    self.voters.add(from);
                    if self.is_quorum(self.voters) {
                        out.each(self.process.others(), &ReconfigurationMessage::Decided(slot, command));
                        self.on_decided(slot, command, out);
                    }
                }
            }
            ReconfigurationMessage::Refuse(higher) => self.on_higher(higher, out),
            ReconfigurationMessage::Decided(slot, command) => {
                // A leader passes on what an earlier one may have sent to it alone.
                if self.leader == self.process.me && slot >= self.next_slot() {
                    out.each(self.process.others(), &ReconfigurationMessage::Decided(slot, command));
                }
                self.on_decided(slot, command, out);
            }
        }
        self.propose(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Leader(leader) = detection else { return };
        self.leader = leader;
        self.retries_left = self.process.n - 1 - self.process.me;
        if leader == self.process.me {
            self.campaign(out);
            return self.propose(out);
        }
        let me = self.process.me;
        let own = self.pending.iter().filter(|(from, _)| *from == me);
        own.for_each(|command| out.send(leader, ReconfigurationMessage::Forward(*command)));
    }
}

impl Subject for Reconfiguration {
    const CARD: &'static Card = &card::CARD;
}
