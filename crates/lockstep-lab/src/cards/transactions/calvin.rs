//! Calvin: the order first, then execution without a commit protocol (Thomson et al. 2012; the ordering
//! wall).

use super::{AUDIT, Accounts, TRANSFER};
use crate::cards::order::{FixedSequencer, SequencerMessage};
use crate::property::{AUDITS_CONSERVED, MONEY_CONSERVED, NO_OVERDRAFT, ONE_STATE_MACHINE, TRANSACTIONS_END};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Fact, Family, Model, Out, Pid, Pids, Price, Prices, Process,
    Protocol, Search, Subject,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A transaction, and its client. A client asks for each transaction once.
type Transaction = (Pid, Ask);

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum CalvinMessage {
    /// Of the order.
    Order(SequencerMessage<Ask>),
    /// The planted way: a transaction without an order.
    Unordered(Ask),
    /// For this transaction: the balance of the sender's account.
    Read(Transaction, i8),
}

/// Each process stores the account of its number, and executes all transactions of it in the order, one
/// after the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Calvin {
    process: Process,
    below: FixedSequencer<Ask>,
    balance: i8,
    /// Delivered by the order and not executed.
    queue: VecDeque<Transaction>,
    reads: BTreeMap<Transaction, BTreeMap<Pid, i8>>,
    /// Transactions for which this process has sent its balance.
    served: BTreeSet<Transaction>,
}

impl Calvin {
    /// The processes whose accounts the transaction reads.
    fn participants(&self, ask: Ask) -> Pids {
        match ask {
            Ask::Transfer { from, to, .. } => [from, to].into_iter().collect(),
            _ => self.process.all(),
        }
    }

    /// Sends this process's balance to all that execute the transaction, once.
    fn serve(&mut self, it: Transaction, out: &mut Out<Self>) {
        let (participants, me) = (self.participants(it.1), self.process.me);
        if participants.has(me) && self.served.insert(it) {
            self.reads.entry(it).or_default().insert(me, self.balance);
            let mut others = participants;
            others.add(it.0);
            others.remove(me);
            out.each(others, &CalvinMessage::Read(it, self.balance));
        }
    }

    /// Executes what is first in the order, as soon as all that it reads is there.
    fn execute(&mut self, out: &mut Out<Self>) {
        while let Some(it) = self.queue.front().copied() {
            self.serve(it, out);
            let participants = self.participants(it.1);
            if participants.has(self.process.me) || it.0 == self.process.me {
                let has = |pid| self.reads.get(&it).is_some_and(|reads| reads.contains_key(&pid));
                if !participants.iter().all(has) {
                    return;
                }
                self.finish(it, out);
            }
            self.queue.pop_front();
            self.reads.remove(&it);
        }
    }

    /// The transaction as a function of what it reads: every process that executes it finds the same outcome.
    fn finish(&mut self, it: Transaction, out: &mut Out<Self>) {
        let mut accounts = Accounts::new(self.process.n);
        self.reads[&it].iter().for_each(|(pid, balance)| accounts.set(*pid, *balance));
        let (client, ask) = it;
        let Ask::Transfer { from, to, amount } = ask else {
            if client == self.process.me {
                out.indicate(Fact::Balances(accounts.all()));
            }
            return;
        };
        let (commits, me) = (accounts.covers(from, amount), self.process.me);
        if commits && [from, to].contains(&me) {
            accounts.transfer(from, to, amount);
            self.balance = accounts.balance(me);
            out.indicate(Fact::Balance { account: me, balance: self.balance });
        }
        if client == me {
            out.indicate(Fact::Transferred(commits));
        }
    }

    fn deliver(&mut self, it: Transaction, out: &mut Out<Self>) {
        self.queue.push_back(it);
        if self.process.lacks("reads in turn") {
            self.serve(it, out);
        }
        self.execute(out);
    }

    fn handle(&mut self, deliveries: Vec<Deliver<Ask>>, out: &mut Out<Self>) {
        deliveries.into_iter().for_each(|Deliver { from, message }| self.deliver((from, message), out));
    }
}

impl Protocol for Calvin {
    type Request = Ask;
    type Indication = Fact;
    type Message = CalvinMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: FixedSequencer::new(process),
            balance: crate::property::BALANCE_AT_START,
            queue: VecDeque::new(),
            reads: BTreeMap::new(),
            served: BTreeSet::new(),
        }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        if self.process.lacks("the order first") {
            return out.all(CalvinMessage::Unordered(ask));
        }
        let call = |below: &mut FixedSequencer<Ask>, out: &mut Out<_>| below.request(Broadcast(ask), out);
        let done = out.below(&mut self.below, CalvinMessage::Order, call);
        self.handle(done, out);
    }

    fn receive(&mut self, from: Pid, message: CalvinMessage, out: &mut Out<Self>) {
        match message {
            CalvinMessage::Order(message) => {
                let call =
                    |below: &mut FixedSequencer<Ask>, out: &mut Out<_>| below.receive(from, message, out);
                let done = out.below(&mut self.below, CalvinMessage::Order, call);
                self.handle(done, out);
            }
            CalvinMessage::Unordered(ask) => self.deliver((from, ask), out),
            CalvinMessage::Read(it, balance) => {
                self.reads.entry(it).or_default().insert(from, balance);
                self.execute(out);
            }
        }
    }
}

impl Subject for Calvin {
    const CARD: &'static Card = &CARD;
}

const ALL: &[(Pid, Ask)] = &[
    (0, Ask::Audit),
    (1, Ask::Transfer { from: 0, to: 1, amount: 1 }),
    (2, Ask::Transfer { from: 0, to: 2, amount: 1 }),
];
const TWO: &[(Pid, Ask)] =
    &[(1, Ask::Transfer { from: 0, to: 1, amount: 1 }), (2, Ask::Transfer { from: 0, to: 1, amount: 1 })];

static CARD: Card = Card {
    name: "calvin",
    family: Family::Transactions,
    source: "Thomson et al. 2012; the ordering wall",
    says: "Each process stores a part of the accounts. A sequencer orders all transactions before any is executed; each \
           process executes its own in that order, and those of a transaction send each other what it reads. Each of \
           them computes the same outcome, so there is no vote, no lock to wait for in a circle and no commit protocol.",
    buys: &[
        (
            "the order before the execution",
            "no deadlock: two processes never wait for each other's transaction",
        ),
        (
            "reads in turn",
            "serializability: a read before the transactions in front is of a balance that is gone",
        ),
        ("no process fails", "termination: each part of a transaction waits for the reads of the others"),
    ],
    uses: &["fixed-sequencer"],
    model: Model::PLAIN,
    asks: ALL,
    properties: &[&MONEY_CONSERVED, &NO_OVERDRAFT, &AUDITS_CONSERVED, &ONE_STATE_MACHINE, &TRANSACTIONS_END],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // The order, and then the reads of two participants for each other and for the client.
        Price::of_one(TRANSFER, |_| 3, |_| 6, |n| n + 4),
        // All are participants.
        Price::of_one(AUDIT, |_| 3, |n| 2 + n * (n - 1), |n| n * n),
    ]),
    breaks: &[
        Break {
            name: "order-of-arrival",
            says: "Each process executes what arrives first. Two processes begin with different transactions, and each \
                   waits for the other's read for ever.",
            model: Model::PLAIN,
            asks: Some(TWO),
            dropped: Some("the order first"),
            loses: &TRANSACTIONS_END,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        Break {
            name: "a-process-dies",
            says: "The sequencer fails, or a process before it sends what a transaction reads there: the others wait. \
                   Calvin replicates both.",
            model: Model::PLAIN.stop(1),
            asks: Some(&[(1, Ask::Transfer { from: 1, to: 2, amount: 1 })]),
            dropped: None,
            loses: &TRANSACTIONS_END,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "reads-ahead",
            says: "A process sends its balance when the order delivers the transaction, before those in front of it are \
                   executed.",
            model: Model::PLAIN,
            asks: Some(&[
                (1, Ask::Transfer { from: 0, to: 1, amount: 1 }),
                (2, Ask::Transfer { from: 0, to: 2, amount: 1 }),
            ]),
            dropped: Some("reads in turn"),
            loses: &ONE_STATE_MACHINE,
            search: Search::Breadth,
            steps_max: 9,
            planted: true,
        },
    ],
};
