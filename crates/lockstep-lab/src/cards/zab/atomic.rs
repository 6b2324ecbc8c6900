//! Zab (Junqueira, Reed, Serafini 2011): discovery, synchronization, broadcast. A run begins in the
//! broadcast phase of epoch 0, whose primary is p1.

mod card;
mod leader;

use crate::{Broadcast, Card, Detection, Fact, Indicated, Out, Pid, Pids, Process, Protocol, Subject, Value};
use serde::Serialize;
use std::collections::BTreeMap;

/// A number of an epoch: `round * n + leader`, so that no two processes lead one epoch.
type Epoch = u64;
/// A transaction and its epoch. Its place in the epoch is its place in the history.
type Transaction = (Epoch, Value);
/// Transactions in the order of their acceptance.
type Transactions = Vec<Transaction>;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ZabMessage {
    /// To the prospective leader: the epoch that its sender has promised.
    CEpoch(Epoch),
    /// The leader leaves its epoch: its links are closed.
    Close,
    /// Discovery: the leader proposes a new epoch.
    NewEpoch(Epoch),
    /// The follower promises it, and reports the epoch of its history, and the history.
    AckEpoch(Epoch, Epoch, Transactions),
    /// Synchronization: the history that the epoch begins with.
    NewLeader(Epoch, Transactions),
    /// The follower has it: its length.
    AckLeader(Epoch, usize),
    /// Broadcast: the next transaction.
    Propose(Epoch, Value),
    /// The follower has accepted so many.
    Ack(Epoch, usize),
    /// So many may be delivered.
    Commit(Epoch, usize),
}

/// How far the epoch of a leader is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Discovery,
    Synchronization,
    Broadcast,
}

/// What a process indicates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct ZabIndication(pub Fact);

/// Each process is a follower, also of itself; one is the leader.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Zab {
    process: Process,
    leader: Pid,
    /// The epoch that this follower promised, and the one of its history (the text's f.p and f.a).
    promised: Epoch,
    current: Epoch,
    history: Transactions,
    delivered: usize,
    /// What the leader has not broadcast yet.
    pending: Vec<Value>,
    /// The epochs of which followers told this process; it may lead them.
    greetings: BTreeMap<Pid, Epoch>,
    /// As the leader: its epoch, and the reports of discovery.
    epoch: Option<Epoch>,
    phase: Phase,
    reports: BTreeMap<Pid, (Epoch, Transactions)>,
    /// Those that were sent the first history of the epoch, and so many transactions each of them has.
    followers: Pids,
    acked: BTreeMap<Pid, usize>,
    committed: usize,
}

impl Zab {
    fn deliver(&mut self, until: usize, out: &mut Out<Self>) {
        while self.delivered < until.min(self.history.len()) {
            let (epoch, value) = self.history[self.delivered];
            self.delivered += 1;
            let from = (epoch % u64::from(self.process.n)) as Pid;
            out.indicate(ZabIndication(Fact::Deliver { from, value }));
        }
        if self.leader == self.process.me && self.phase == Phase::Synchronization {
            self.be_ready(out);
        }
    }

    /// Whether this follower takes part in an epoch.
    fn is_in(&self, epoch: Epoch) -> bool {
        self.current == epoch && (self.promised == epoch || self.process.lacks("promise"))
    }
}

impl Indicated for ZabIndication {
    fn fact(&self) -> Option<Fact> {
        Some(self.0.clone())
    }
}

impl Protocol for Zab {
    type Request = Broadcast<Value>;
    type Indication = ZabIndication;
    type Message = ZabMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            leader: 0,
            promised: 0,
            current: 0,
            history: Vec::new(),
            delivered: 0,
            pending: Vec::new(),
            greetings: BTreeMap::new(),
            epoch: (process.me == 0).then_some(0),
            phase: Phase::Broadcast,
            reports: BTreeMap::new(),
            followers: process.all(),
            acked: BTreeMap::new(),
            committed: 0,
        }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        if let Some(epoch) = self.epoch {
            out.indicate(ZabIndication(Fact::Primary { epoch }));
        }
    }

    fn request(&mut self, Broadcast(value): Broadcast<Value>, out: &mut Out<Self>) {
        self.broadcast(value, out);
    }

    fn receive(&mut self, from: Pid, message: ZabMessage, out: &mut Out<Self>) {
        match message {
            ZabMessage::CEpoch(promised) => self.on_greeting(from, promised, out),
            ZabMessage::Close => {
                if from == self.leader {
                    out.send(from, ZabMessage::CEpoch(self.promised));
                }
            }
            ZabMessage::NewEpoch(epoch) => {
                if from == self.leader && epoch >= self.promised {
                    self.promised = epoch;
                    out.send(from, ZabMessage::AckEpoch(epoch, self.current, self.history.clone()));
                }
            }
            ZabMessage::AckEpoch(epoch, current, history) => {
                if self.epoch == Some(epoch) {
                    self.on_report(from, current, history, out);
                }
            }
            ZabMessage::NewLeader(epoch, history) => {
                if self.promised == epoch {
                    self.current = epoch;
                    self.history = history;
                    out.send(from, ZabMessage::AckLeader(epoch, self.history.len()));
                }
            }
            ZabMessage::AckLeader(epoch, accepted) => {
                if self.epoch == Some(epoch) {
                    // One that comes late learns what is committed already.
                    if self.phase == Phase::Broadcast {
                        out.send(from, ZabMessage::Commit(epoch, self.committed));
                    }
                    self.on_ack(from, accepted, out);
                }
            }
            ZabMessage::Propose(epoch, value) => {
                if self.is_in(epoch) {
                    self.history.push((epoch, value));
                    out.send(from, ZabMessage::Ack(epoch, self.history.len()));
                }
            }
            ZabMessage::Ack(epoch, accepted) => {
                if self.epoch == Some(epoch) {
                    self.on_ack(from, accepted, out);
                }
            }
            ZabMessage::Commit(epoch, until) => {
                if self.is_in(epoch) {
                    self.deliver(until, out);
                }
            }
        }
    }

    /// A process that trusts another leader leaves the epoch that it leads, and greets the leader.
    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Leader(leader) = detection else { return };
        self.leader = leader;
        if self.epoch.take().is_some() {
            out.each(self.process.others(), &ZabMessage::Close);
        }
        out.send(leader, ZabMessage::CEpoch(self.promised));
    }
}

impl Subject for Zab {
    const CARD: &'static Card = &card::CARD;
}
