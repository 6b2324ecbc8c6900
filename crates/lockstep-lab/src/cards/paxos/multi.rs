//! Multi-Paxos (Lamport 1998; the Paxos family, "Multi-Paxos", its collapsed form).

use super::acceptor::{Acceptor, Ballot, Campaign};
use super::log::{AcceptedLog, LOG_PRICE, LogLearner, Slot, adopt, fill_gaps};
use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Family, Model, Out, Pid, Prices, Process,
    Protocol, Search, Subject, Value, Word,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// A command, and the process that broadcast it.
type Command<V> = (Pid, V);

/// A proposal, or an accepted one: the round, the slot, and the command or a no-op.
type Entry<V> = (Ballot, Slot, Option<Command<V>>);

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum LogMessage<V> {
    /// A command, for the leader.
    Forward(Command<V>),
    /// Phase 1a, of all slots.
    Prepare(Ballot),
    /// Phase 1b, with all that the acceptor accepted.
    Promise(Ballot, AcceptedLog<Command<V>>),
    /// Phase 2a of one slot; the leader itself has accepted it.
    Accept(Ballot, Slot, Option<Command<V>>),
    /// Phase 2b of one slot, to all: each process is a learner.
    Accepted(Ballot, Slot, Option<Command<V>>),
    /// The acceptor has promised this higher round.
    Refuse(Ballot),
}

/// Each process is client, leader, acceptor and learner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MultiPaxos<V: Word> {
    process: Process,
    /// The process that is trusted to lead.
    leader: Pid,
    acceptor: Acceptor<AcceptedLog<Command<V>>>,
    own: Campaign<AcceptedLog<Command<V>>>,
    learner: LogLearner<Command<V>>,
    /// Commands that are not delivered yet.
    pending: BTreeSet<Command<V>>,
    delivered: BTreeSet<Command<V>>,
}

impl<V: Word> MultiPaxos<V> {
    /// Phase 1a, of a round above `above` and above all that this process promised.
    fn campaign(&mut self, above: Ballot, out: &mut Out<Self>) {
        let above = above.max(self.acceptor.promised);
        out.all(LogMessage::Prepare(self.own.begin(&self.process, above)));
    }

    /// Another round is above this process's own: if it is still trusted to lead, it begins a higher one.
    fn on_higher(&mut self, higher: Ballot, out: &mut Out<Self>) {
        if self.leader == self.process.me && higher > self.own.ballot {
            self.campaign(higher, out);
        }
    }

    /// Phase 2a: each command that is not in the log goes to the next free slot.
    fn propose(&mut self, out: &mut Out<Self>) {
        let is_overtaken = self.own.ballot < self.acceptor.promised;
        if self.leader != self.process.me || !self.own.is_prepared || is_overtaken {
            return;
        }
        let log = &self.acceptor.accepted;
        let has = |command: &Command<V>| log.values().any(|(_, other)| other.as_ref() == Some(command));
        let fresh: Vec<_> = self.pending.iter().filter(|command| !has(command)).cloned().collect();
        let free = log.keys().next_back().map_or(0, |last| last + 1);
        (free..).zip(fresh).for_each(|(slot, command)| self.accept(slot, Some(command), out));
    }

    /// Phase 2a, of one slot. The leader accepts what it proposes itself.
    fn accept(&mut self, slot: Slot, command: Option<Command<V>>, out: &mut Out<Self>) {
        self.acceptor.accepted.insert(slot, (self.own.ballot, command.clone()));
        out.all(LogMessage::Accept(self.own.ballot, slot, command));
    }

    /// The end of phase 1: what may be chosen is proposed again, in the slots of before.
    fn on_promise(&mut self, from: Pid, ballot: Ballot, log: AcceptedLog<Command<V>>, out: &mut Out<Self>) {
        if self.acceptor.promised > ballot {
            return;
        }
        let Some(mut promises) = self.own.add(from, ballot, log, self.process.majority()) else { return };
        if self.process.lacks("promises of others") {
            promises.retain(|pid, _| *pid == self.process.me);
        }
        let mut log = adopt(promises.values());
        if !self.process.lacks("no-ops") {
            fill_gaps(&mut log);
        }
        log.into_iter().for_each(|(slot, command)| self.accept(slot, command, out));
        self.propose(out);
    }

    /// Phase 2b. That the leader proposes a command says that it has accepted it.
    fn on_accept(&mut self, from: Pid, (ballot, slot, command): Entry<V>, out: &mut Out<Self>) {
        self.learner.add(from, ballot, slot, command.clone(), self.process.majority());
        match self.acceptor.enter(ballot) {
            Ok(log) => {
                log.insert(slot, (ballot, command.clone()));
                if from != self.process.me {
                    out.all(LogMessage::Accepted(ballot, slot, command));
                    self.on_higher(ballot, out);
                }
            }
            Err(higher) => out.send(from, LogMessage::Refuse(higher)),
        }
    }

    /// Delivers in the order of slots; a command that stands in two of them is delivered once.
    fn deliver(&mut self, out: &mut Out<Self>) {
        while let Some(command) = self.learner.take_next() {
            let Some((from, message)) = command else { continue };
            self.pending.remove(&(from, message.clone()));
            if self.delivered.insert((from, message.clone())) {
                out.indicate(Deliver { from, message });
            }
        }
    }
}

impl<V: Word> Protocol for MultiPaxos<V> {
    type Request = Broadcast<V>;
    type Indication = Deliver<V>;
    type Message = LogMessage<V>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            leader: 0,
            acceptor: Acceptor::default(),
            // Round 0 is that of the first process, and nothing is accepted below it.
            own: Campaign::new(process.me == 0),
            learner: LogLearner::default(),
            pending: BTreeSet::new(),
            delivered: BTreeSet::new(),
        }
    }

    fn request(&mut self, Broadcast(value): Broadcast<V>, out: &mut Out<Self>) {
        let command = (self.process.me, value);
        self.pending.insert(command.clone());
        if self.leader == self.process.me {
            self.propose(out);
        } else {
            out.send(self.leader, LogMessage::Forward(command));
        }
    }

    fn receive(&mut self, from: Pid, message: LogMessage<V>, out: &mut Out<Self>) {
        match message {
            LogMessage::Forward(command) => {
                if !self.delivered.contains(&command) {
                    self.pending.insert(command);
                    self.propose(out);
                }
            }
            LogMessage::Prepare(ballot) => match self.acceptor.prepare(ballot) {
                Ok(log) => {
                    out.send(from, LogMessage::Promise(ballot, log));
                    self.on_higher(ballot, out);
                }
                Err(higher) => out.send(from, LogMessage::Refuse(higher)),
            },
            LogMessage::Promise(ballot, log) => self.on_promise(from, ballot, log, out),
            LogMessage::Accept(ballot, slot, command) => self.on_accept(from, (ballot, slot, command), out),
            LogMessage::Accepted(ballot, slot, command) => {
                self.learner.add(from, ballot, slot, command, self.process.majority());
                self.on_higher(ballot, out);
            }
            LogMessage::Refuse(higher) => self.on_higher(higher, out),
        }
        self.deliver(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Leader(leader) = detection else { return };
        self.leader = leader;
        if leader != self.process.me {
            let own = self.pending.iter().filter(|(from, _)| *from == self.process.me);
            own.for_each(|command| out.send(leader, LogMessage::Forward(command.clone())));
        } else {
            self.campaign(0, out);
        }
    }
}

impl Subject for MultiPaxos<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Leader { mistakes: 0 }).stop(1);

static CARD: Card = Card {
    name: "multi-paxos",
    family: Family::Paxos,
    source: "Lamport 1998; the Paxos family, Multi-Paxos",
    says: "One instance of Paxos for each slot of a log. The promises of phase 1 are for all slots at once, so that a \
           leader that stays has each command chosen in one round trip; the first leader's round needs no promises. A new \
           leader proposes again what may be chosen, and puts no-ops into the gaps below it.",
    buys: &[
        ("any two majorities share an acceptor", "order: a new leader may miss what is chosen already"),
        ("one leader in the end", "termination: two that retry interrupt each other for ever"),
        ("no-ops", "termination: what stands above a gap is never delivered"),
    ],
    uses: &["paxos"],
    model: MODEL,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT, &UNIFORM_TOTAL_ORDER],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[LOG_PRICE]),
    breaks: &[
        Break {
            name: "gaps-left-open",
            says: "A leader dies of whose two commands only the second one has come to another process. Its successor \
                   leaves the first slot as it is.",
            model: MODEL,
            asks: None,
            dropped: Some("no-ops"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "own-log-only",
            says: "A new leader waits for its promises and takes no more than its own log.",
            model: MODEL,
            asks: None,
            dropped: Some("promises of others"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 9,
            planted: true,
        },
    ],
};
