//! Zab (Junqueira, Reed, Serafini 2011): discovery, synchronization, broadcast. A run begins in the
//! broadcast phase of epoch 0, whose primary is p1.

use crate::cards::paxos::acceptor::next_ballot;
use crate::property::{
    NO_CREATION, NO_DUPLICATION, PRIMARY_INTEGRITY, PRIMARY_ORDER, PRIMARY_PROGRESS, UNIFORM_AGREEMENT,
    UNIFORM_TOTAL_ORDER,
};
use crate::{
    Ask, Break, Broadcast, Card, Detection, Detector, Fact, Family, Indicated, Links, Model, Out, Pid, Pids,
    Price, Process, Protocol, Search, Subject, Value,
};
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
    fn to_followers(&self, message: ZabMessage, out: &mut Out<Self>) {
        if self.followers == self.process.all() {
            out.all(message);
        } else {
            out.each(self.followers, &message);
        }
    }

    /// Discovery: a quorum has named its epochs, and the leader proposes one above all of them. One that
    /// comes later follows the epoch that is there, unless it has promised a higher one.
    fn on_greeting(&mut self, from: Pid, promised: Epoch, out: &mut Out<Self>) {
        self.greetings.insert(from, promised);
        if self.leader != self.process.me {
            return;
        }
        if let Some(epoch) = self.epoch.filter(|epoch| *epoch >= promised) {
            out.send(from, ZabMessage::NewEpoch(epoch));
            return;
        }
        self.greetings.insert(self.process.me, self.promised);
        if self.greetings.len() < self.process.majority() {
            return;
        }
        let above = self.greetings.values().copied().max().unwrap_or(0);
        let epoch = next_ballot(&self.process, above);
        self.epoch = Some(epoch);
        self.phase = Phase::Discovery;
        self.reports.clear();
        self.followers = Pids::default();
        self.acked.clear();
        self.committed = 0;
        out.each(self.greetings.keys().copied().collect(), &ZabMessage::NewEpoch(epoch));
    }

    /// Synchronization: of a quorum of histories the one of the highest epoch, and of those the longest,
    /// begins the epoch.
    fn on_report(&mut self, from: Pid, current: Epoch, history: Transactions, out: &mut Out<Self>) {
        let Some(epoch) = self.epoch else { return };
        if self.phase != Phase::Discovery {
            self.followers.add(from);
            out.send(from, ZabMessage::NewLeader(epoch, self.history.clone()));
            return;
        }
        self.reports.insert(from, (current, history));
        if self.reports.len() < self.process.majority() {
            return;
        }
        let by_epoch = !self.process.lacks("epoch of the history");
        let rank = |report: &&(Epoch, Transactions)| (if by_epoch { report.0 } else { 0 }, report.1.len());
        let Some(initial) = self.reports.values().max_by_key(rank).map(|(_, history)| history.clone()) else {
            return;
        };
        self.phase = Phase::Synchronization;
        self.followers = self.reports.keys().copied().collect();
        self.reports.clear();
        self.to_followers(ZabMessage::NewLeader(epoch, initial), out);
        if self.process.lacks("synchronization") {
            self.be_ready(out);
        }
    }

    /// What a quorum has is committed.
    fn on_ack(&mut self, from: Pid, accepted: usize, out: &mut Out<Self>) {
        let Some(epoch) = self.epoch else { return };
        self.acked.insert(from, accepted);
        let mut lengths: Vec<usize> = self.acked.values().copied().collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        let Some(committed) = lengths.get(self.process.majority() - 1) else { return };
        if *committed > self.committed || self.phase == Phase::Synchronization {
            self.committed = *committed;
            self.to_followers(ZabMessage::Commit(epoch, self.committed), out);
        }
    }

    /// Broadcast: the leader is the primary of its epoch.
    fn be_ready(&mut self, out: &mut Out<Self>) {
        let Some(epoch) = self.epoch else { return };
        self.phase = Phase::Broadcast;
        out.indicate(ZabIndication(Fact::Primary { epoch }));
        for value in std::mem::take(&mut self.pending) {
            self.broadcast(value, out);
        }
    }

    fn broadcast(&mut self, value: Value, out: &mut Out<Self>) {
        let ready = self.epoch.filter(|_| self.leader == self.process.me && self.phase == Phase::Broadcast);
        let Some(epoch) = ready else { return self.pending.push(value) };
        out.indicate(ZabIndication(Fact::Sent { epoch, value }));
        self.to_followers(ZabMessage::Propose(epoch, value), out);
    }

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
    const CARD: &'static Card = &CARD;
}

const MODEL: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Leader { mistakes: 1 }).stop(1) };
const MISTAKES: Model =
    Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Leader { mistakes: 2 }) };
const THREE: &[(Pid, Ask)] =
    &[(0, Ask::Broadcast(Value(0))), (0, Ask::Broadcast(Value(1))), (1, Ask::Broadcast(Value(2)))];
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(2)))];

static CARD: Card = Card {
    name: "zab",
    family: Family::Zab,
    source: "Junqueira, Reed, Serafini 2011",
    says: "A leader broadcasts transactions in the order of its epoch, and commits what a quorum has accepted. A new leader \
           first has a quorum promise its epoch, takes the longest history of the highest epoch among theirs, has a quorum \
           accept it as the beginning of the new epoch, and only then broadcasts. So a transaction is delivered with all \
           that its primary broadcast before it, and nothing of an earlier epoch appears later.",
    buys: &[
        (
            "a promise of the new epoch",
            "total order: the old leader commits behind the histories that were reported",
        ),
        (
            "a quorum accepts the history before the epoch begins",
            "primary integrity: a primary broadcasts and has not delivered what was committed before it",
        ),
        (
            "the epoch of a history before its length",
            "total order: a long history that was never committed replaces a committed one",
        ),
        ("links are first in first out", "primary order: a transaction overtakes the one that it depends on"),
        ("a majority lives", "progress"),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO,
    properties: &[
        &NO_CREATION,
        &NO_DUPLICATION,
        &UNIFORM_TOTAL_ORDER,
        &UNIFORM_AGREEMENT,
        &PRIMARY_ORDER,
        &PRIMARY_INTEGRITY,
        &PRIMARY_PROGRESS,
    ],
    states_max: 400_000,
    whole: true,
    price: Some(Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 2, |_| 3, |_| 3],
        multicast: |n| n + 1,
        unicast: |n| 3 * (n - 1),
    }),
    breaks: &[
        Break {
            name: "links-without-order",
            says: "The second transaction of the primary overtakes the first.",
            model: Model::PLAIN,
            asks: Some(THREE),
            dropped: None,
            loses: &PRIMARY_ORDER,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "a-majority-dies",
            says: "Two of three processes crash: the third one has no quorum for its epoch.",
            model: Model {
                links: Links::Fifo,
                ..Model::PLAIN.detector(Detector::Leader { mistakes: 0 }).stop(2)
            },
            asks: None,
            dropped: None,
            loses: &PRIMARY_PROGRESS,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-synchronization",
            says: "The new primary broadcasts as soon as it knows the history, before a quorum has accepted it.",
            model: MODEL,
            asks: None,
            dropped: Some("synchronization"),
            loses: &PRIMARY_INTEGRITY,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "no-promise",
            says: "A follower that has promised a new epoch still accepts what the old leader broadcasts.",
            model: MISTAKES,
            asks: None,
            dropped: Some("promise"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 15,
            planted: true,
        },
        Break {
            name: "longest-history",
            says: "A leader takes the longest history, whatever its epoch: one that was never committed.",
            model: MISTAKES,
            asks: Some(THREE),
            dropped: Some("epoch of the history"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Walks(3_000_000),
            steps_max: 24,
            planted: true,
        },
    ],
};
