//! Generalized Paxos (Lamport 2005; the Paxos family, "Generalized Paxos"), with classic rounds after the
//! first collision.

mod card;

use super::acceptor::{Acceptor, Ballot, Campaign};
use crate::{Broadcast, Card, Deliver, Detection, Out, Pid, Pids, Process, Protocol, Subject, Value};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A command, and the process that broadcast it.
type Command = (Pid, Value);

/// A history of commands up to the order of those that commute, the c-struct of the paper: a sequence for
/// each register. Commands of one register conflict, and those of two commute.
type Registers = BTreeMap<u8, Vec<Command>>;

/// The commands of a history.
fn length(history: &Registers) -> usize {
    history.values().map(Vec::len).sum()
}

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum GeneralizedMessage {
    /// A command, for the leader: the fast round is over.
    Propose(Command),
    /// Phase 1a.
    Prepare(Ballot),
    /// Phase 1b, with the history that the acceptor accepted last, and its round.
    Promise(Ballot, (Ballot, Registers)),
    /// Phase 2a of a classic round; the leader itself has accepted it.
    Accept(Ballot, Registers),
    /// Phase 2b, to all: each process is a learner. In the fast round it is a proposal too: a process that
    /// broadcasts a command is the first to accept it.
    Accepted(Ballot, Registers),
}

/// Round 0 is fast: acceptors append commands as they come. In all others the leader appends them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GeneralizedPaxos {
    process: Process,
    suspected: Pids,
    /// All commands that this process knows.
    known: BTreeSet<Command>,
    acceptor: Acceptor<(Ballot, Registers)>,
    /// Of the classic round that this process leads.
    own: Campaign<(Ballot, Registers)>,
    /// The last history of each acceptor, as far as this process knows.
    accepted: BTreeMap<Pid, (Ballot, Registers)>,
    delivered: BTreeSet<Command>,
}

impl GeneralizedPaxos {
    fn quorum(&self, ballot: Ballot) -> usize {
        match ballot == 0 && !self.process.lacks("fast quorums") {
            true => usize::from(self.process.n - self.process.n / 4),
            false => self.process.majority(),
        }
    }

    /// Appends a command to the sequence of its register, unless it is there.
    fn append(&self, registers: &mut Registers, command: Command) -> bool {
        let (_, value) = command;
        let register = if self.process.lacks("conflicts") { value.0 } else { value.0 / 2 };
        let sequence = registers.entry(register).or_default();
        let is_new = !sequence.contains(&command);
        sequence.extend(is_new.then_some(command));
        is_new
    }

    /// The longest sequence of each register with which those of `count` of these histories begin.
    fn common(histories: &[&Registers], count: usize) -> Registers {
        let mut common = Registers::new();
        for (register, sequence) in histories.iter().copied().flatten() {
            let begins = |end: usize| {
                let has = |history: &&&Registers| {
                    history.get(register).is_some_and(|other| other.starts_with(&sequence[..end]))
                };
                histories.iter().filter(has).count() >= count
            };
            let end = (1..=sequence.len()).take_while(|end| begins(*end)).last().unwrap_or(0);
            let longest = common.entry(*register).or_default();
            if end > longest.len() {
                *longest = sequence[..end].to_vec();
            }
        }
        common
    }

    /// What may be chosen already where these processes report their histories: that of the highest round;
    /// of the fast round what a whole fast quorum may have.
    fn choosable(&self, reports: &BTreeMap<Pid, (Ballot, Registers)>) -> Registers {
        let highest = reports.values().map(|(ballot, _)| *ballot).max().unwrap_or(0);
        let of_round = reports.values().filter(|(ballot, _)| *ballot == highest).map(|(_, history)| history);
        if highest > 0 {
            return of_round.max_by_key(|history| length(history)).cloned().unwrap_or_default();
        }
        let silent = usize::from(self.process.n) - reports.len();
        Self::common(&of_round.collect::<Vec<_>>(), self.quorum(0).saturating_sub(silent).max(1))
    }

    /// Whether two acceptors of the fast round have conflicting commands in two orders.
    fn has_collided(&self) -> bool {
        let sequences = || self.accepted.values().filter(|(ballot, _)| *ballot == 0).flat_map(|(_, all)| all);
        sequences().any(|(register, one)| {
            let mut others = sequences().filter(|(other, _)| *other == register);
            others.any(|(_, other)| !one.starts_with(other) && !other.starts_with(one))
        })
    }

    /// The lowest process that is not suspected leads. It begins a classic round where the fast one has
    /// collided or may lack an acceptor, and where another round is above its own; in its own round it
    /// appends the commands that it knows.
    fn lead(&mut self, out: &mut Out<Self>) {
        if self.process.all().without(self.suspected).lowest() != Some(self.process.me) {
            return;
        }
        let is_fast = self.own.ballot == 0 && self.acceptor.promised == 0;
        if is_fast && self.suspected.is_empty() && !self.has_collided() {
            return;
        }
        if is_fast || self.own.ballot < self.acceptor.promised {
            out.all(GeneralizedMessage::Prepare(self.own.begin(&self.process, self.acceptor.promised)));
        } else if self.own.is_prepared {
            let mut history = self.acceptor.accepted.1.clone();
            self.propose(&mut history, false, out);
        }
    }

    /// Phase 2a of a classic round.
    fn propose(&mut self, history: &mut Registers, is_first: bool, out: &mut Out<Self>) {
        let mut is_new = is_first;
        for command in self.known.clone() {
            is_new |= self.append(history, command);
        }
        if is_new {
            self.acceptor.accepted = (self.own.ballot, history.clone());
            out.all(GeneralizedMessage::Accept(self.own.ballot, history.clone()));
        }
    }

    fn on_promise(&mut self, from: Pid, ballot: Ballot, report: (Ballot, Registers), out: &mut Out<Self>) {
        if self.acceptor.promised > ballot {
            return;
        }
        if let Some(promises) = self.own.add(from, ballot, report, self.process.majority()) {
            self.propose(&mut self.choosable(&promises), true, out);
        }
    }

    /// Learns the longest history that a quorum of one round has.
    fn on_accepted(&mut self, from: Pid, ballot: Ballot, history: Registers, out: &mut Out<Self>) {
        let last = self.accepted.entry(from).or_default();
        if (ballot, length(&history)) >= (last.0, length(&last.1)) {
            *last = (ballot, history);
        }
        let of_round = self.accepted.values().filter(|(other, _)| *other == ballot).map(|(_, all)| all);
        let learned = Self::common(&of_round.collect::<Vec<_>>(), self.quorum(ballot));
        for (from, message) in learned.into_values().flatten() {
            if self.delivered.insert((from, message)) {
                out.indicate(Deliver { from, message });
            }
        }
    }

    /// Phase 2b of the fast round: appends commands as they come.
    fn accept_fast<'a>(&mut self, commands: impl Iterator<Item = &'a Command>, out: &mut Out<Self>) {
        let mut history = self.acceptor.accepted.1.clone();
        let mut is_new = false;
        for command in commands {
            self.known.insert(*command);
            is_new |= self.append(&mut history, *command);
        }
        if is_new && self.acceptor.promised == 0 {
            self.acceptor.accepted.1.clone_from(&history);
            out.all(GeneralizedMessage::Accepted(0, history));
        }
    }

    /// Phase 2b of a classic round.
    fn on_accept(&mut self, from: Pid, ballot: Ballot, history: Registers, out: &mut Out<Self>) {
        self.on_accepted(from, ballot, history.clone(), out);
        let Ok(accepted) = self.acceptor.enter(ballot) else { return };
        if from != self.process.me && (ballot, length(&history)) > (accepted.0, length(&accepted.1)) {
            *accepted = (ballot, history.clone());
            out.all(GeneralizedMessage::Accepted(ballot, history));
        }
    }
}

impl Protocol for GeneralizedPaxos {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = GeneralizedMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            known: BTreeSet::new(),
            acceptor: Acceptor::default(),
            own: Campaign::new(false),
            accepted: BTreeMap::new(),
            delivered: BTreeSet::new(),
        }
    }

    fn request(&mut self, Broadcast(value): Broadcast<Value>, out: &mut Out<Self>) {
        let command = (self.process.me, value);
        if self.acceptor.promised == 0 {
            self.accept_fast([&command].into_iter(), out);
        } else {
            out.all(GeneralizedMessage::Propose(command));
        }
    }

    fn receive(&mut self, from: Pid, message: GeneralizedMessage, out: &mut Out<Self>) {
        match message {
            GeneralizedMessage::Propose(command) => drop(self.known.insert(command)),
            GeneralizedMessage::Prepare(ballot) => {
                if let Ok(report) = self.acceptor.prepare(ballot) {
                    out.send(from, GeneralizedMessage::Promise(ballot, report));
                }
            }
            GeneralizedMessage::Promise(ballot, report) => self.on_promise(from, ballot, report, out),
            GeneralizedMessage::Accept(ballot, history) => self.on_accept(from, ballot, history, out),
            GeneralizedMessage::Accepted(ballot, history) => {
                self.accept_fast(history.values().flatten(), out);
                self.on_accepted(from, ballot, history, out);
            }
        }
        self.lead(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        self.suspected.follow(detection);
        self.lead(out);
    }
}

impl Subject for GeneralizedPaxos {
    const CARD: &'static Card = &card::CARD;
}
