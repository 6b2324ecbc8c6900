//! Percolator: snapshot isolation by timestamps and a primary lock (Peng and Dabek 2010; the ordering wall).

use super::AUDIT;
use super::rows::PercolatorMessage::{
    self, Check, Commit, Committed, Ended, Finish, Get, GetStamp, Locked, Prewrite, Prewritten, Stamp, Value,
};
use super::rows::{ROWS, Rows};
use crate::property::{ALONE_COMMITS, SERIALIZABLE, SNAPSHOT_ISOLATION, TRANSACTIONS_END};
use crate::{
    Ask, Break, Card, Fact, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search, Subject,
};
use std::collections::BTreeMap;

/// The process that stores all rows and gives the timestamps.
const STORE: Pid = 0;

/// The transaction of a client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Running {
    ask: Ask,
    start: Option<u8>,
    commit: Option<u8>,
    reads: BTreeMap<u8, i8>,
    locks: u8,
}

impl Running {
    /// The first row that is not read yet: of a transfer, both accounts of the owner, who may overdraw one of
    /// them, and the receiver's.
    fn unread(&self) -> Option<u8> {
        let needed = match self.ask {
            Ask::Transfer { from, to, .. } => vec![from, from ^ 1, to],
            _ => (0..ROWS).collect(),
        };
        needed.into_iter().find(|row| !self.reads.contains_key(row))
    }
}

/// A client reads as of its start, locks what it writes, its primary row first, and commits by its primary
/// row alone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Percolator {
    process: Process,
    rows: Rows,
    running: Option<Running>,
    has_left: bool,
}

impl Percolator {
    /// The next message of the client.
    fn go_on(&mut self, out: &mut Out<Self>) {
        let Some(running) = &self.running else { return };
        let Some(start) = running.start else { return };
        if let Some(row) = running.unread() {
            return out.send(STORE, Get(row, start, None));
        }
        let Ask::Transfer { from, to, amount } = running.ask else {
            out.indicate(Fact::Balances(running.reads.values().copied().collect()));
            self.running = None;
            return;
        };
        let (balances, amount) = (&running.reads, amount as i8);
        match running.locks {
            0 if balances[&from] + balances[&(from ^ 1)] < amount => self.end(false, out),
            0 => out.send(STORE, Prewrite(from, balances[&from] - amount, start, from)),
            1 => out.send(STORE, Prewrite(to, balances[&to] + amount, start, from)),
            _ => out.send(STORE, GetStamp),
        }
    }

    fn end(&mut self, commits: bool, out: &mut Out<Self>) {
        self.running = None;
        out.indicate(Fact::Transferred(commits));
    }

    fn on_stamp(&mut self, stamp: u8, out: &mut Out<Self>) {
        let Some(running) = &mut self.running else { return };
        match (running.ask, running.start) {
            (Ask::Transfer { from, .. }, Some(start)) => {
                running.commit = Some(stamp);
                out.send(STORE, Commit(from, start, stamp));
            }
            _ => {
                running.start = Some(stamp);
                self.go_on(out);
            }
        }
    }

    /// An answer to a transfer that locks and commits.
    fn on_lock(&mut self, answer: &PercolatorMessage, out: &mut Out<Self>) {
        let Some(running) = &mut self.running else { return };
        let (Ask::Transfer { from, to, .. }, Some(start)) = (running.ask, running.start) else { return };
        match answer {
            Prewritten(true) => {
                running.locks += 1;
                self.go_on(out);
            }
            Committed(true) => {
                out.send(STORE, Finish(to, start, running.commit));
                self.end(true, out);
            }
            _ => {
                let locked = [from, to].into_iter().take(running.locks.into());
                locked.for_each(|row| out.send(STORE, Finish(row, start, None)));
                self.end(false, out);
            }
        }
    }
}

impl Protocol for Percolator {
    type Request = Ask;
    type Indication = Fact;
    type Message = PercolatorMessage;

    fn new(process: &Process) -> Self {
        Self { process: *process, rows: Rows::new(), running: None, has_left: false }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        self.has_left |= ask == Ask::Leave;
        if !self.has_left {
            self.running = Some(Running { ask, start: None, commit: None, reads: BTreeMap::new(), locks: 0 });
            out.send(STORE, GetStamp);
        }
    }

    fn receive(&mut self, from: Pid, message: PercolatorMessage, out: &mut Out<Self>) {
        match message {
            _ if self.has_left => {}
            Stamp(stamp) => self.on_stamp(stamp, out),
            Value(row, balance) => {
                if let Some(running) = &mut self.running {
                    running.reads.insert(row, balance);
                }
                self.go_on(out);
            }
            // Its client may have left: the primary row alone says whether it is committed.
            Locked(start, primary) if !self.process.lacks("cleanup") => {
                out.send(STORE, Check(primary, start));
            }
            Locked(..) => {}
            Ended(start, commit) => {
                let next =
                    self.running.as_ref().and_then(|running| Some((running.unread()?, running.start?)));
                next.iter().for_each(|(row, own)| out.send(STORE, Get(*row, *own, Some((start, commit)))));
            }
            Prewritten(_) | Committed(_) => self.on_lock(&message, out),
            _ => {
                if let Some(answer) = self.rows.answer(&message, &self.process) {
                    out.send(from, answer);
                }
            }
        }
    }
}

impl Subject for Percolator {
    const CARD: &'static Card = &CARD;
}

/// A transfer, of which the client may stop in the middle, one of the same accounts, and audits.
const ALL: &[(Pid, Ask)] = &[
    (0, Ask::Transfer { from: 2, to: 0, amount: 1 }),
    (0, Ask::Audit),
    (1, Ask::Transfer { from: 0, to: 2, amount: 1 }),
    (1, Ask::Leave),
    (2, Ask::Audit),
];

static CARD: Card = Card {
    name: "percolator",
    family: Family::Transactions,
    source: "Peng and Dabek 2010; the ordering wall",
    says: "A transaction reads as of the timestamp of its start, locks the rows that it writes, and commits at one place: \
           its primary row. A client that finds a lock asks the primary row, and so ends the transaction of a client that \
           left. One oracle of timestamps orders all commits. It is snapshot isolation: two transactions that read what \
           the other writes both commit. (Here all rows and the oracle are at p1; the client of p1 acts at once.)",
    buys: &[
        (
            "one oracle of timestamps",
            "snapshots: all that ended before a transaction began has a lower timestamp",
        ),
        ("the primary row", "all or nothing, though the client stops between two rows"),
        ("the check for newer commits", "no lost update: of two that write one row the first to commit wins"),
        ("no check of what was only read", "readers that never stop writers; write skew is its price"),
    ],
    uses: &[],
    model: Model::PLAIN,
    asks: ALL,
    properties: &[&SNAPSHOT_ISOLATION, &TRANSACTIONS_END, &ALONE_COMMITS],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // One after the other: a timestamp, three reads, two locks, a timestamp, and the commit of the
        // primary row. The other row is committed after the answer.
        Price::of_one(&[(2, Ask::Transfer { from: 0, to: 2, amount: 1 })], |_| 16, |_| 17, |_| 17),
        // A timestamp, and a read of each of four rows.
        Price::of_one(AUDIT, |_| 10, |_| 10, |_| 10),
    ]),
    breaks: &[
        Break {
            name: "write-skew",
            says: "Accounts 0 and 1 have one owner, who may overdraw one as long as both together cover it. Two transfers \
                   read both, and each takes all of it from another one.",
            model: Model::PLAIN,
            asks: Some(&[
                (0, Ask::Transfer { from: 1, to: 3, amount: 2 }),
                (1, Ask::Transfer { from: 0, to: 2, amount: 2 }),
            ]),
            dropped: None,
            loses: &SERIALIZABLE,
            search: Search::Breadth,
            steps_max: 18,
            planted: false,
        },
        Break {
            name: "a-client-leaves-its-locks",
            says: "A client stops after its first lock, and nobody ends its transaction: a reader waits for ever.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("cleanup"),
            loses: &TRANSACTIONS_END,
            search: Search::Breadth,
            steps_max: 19,
            planted: false,
        },
        Break {
            name: "reads-past-locks",
            says: "A reader does not wait for a lock: it misses a row of a transfer that is committed before its start.",
            model: Model::PLAIN,
            asks: Some(&[(1, Ask::Transfer { from: 0, to: 2, amount: 1 }), (0, Ask::Audit)]),
            dropped: Some("waiting for locks"),
            loses: &SNAPSHOT_ISOLATION,
            search: Search::Breadth,
            steps_max: 17,
            planted: true,
        },
        Break {
            name: "lost-update",
            says: "A row is locked although it has a newer commit than what the transaction has read.",
            model: Model::PLAIN,
            asks: Some(&[
                (0, Ask::Transfer { from: 2, to: 0, amount: 1 }),
                (0, Ask::Audit),
                (1, Ask::Transfer { from: 0, to: 2, amount: 1 }),
            ]),
            dropped: Some("conflicts"),
            loses: &SNAPSHOT_ISOLATION,
            search: Search::Breadth,
            steps_max: 18,
            planted: true,
        },
    ],
};
