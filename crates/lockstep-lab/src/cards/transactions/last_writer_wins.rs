//! Last writer wins: replicas without an order (the ordering wall; Thomas 1979).

use super::{AUDIT, Accounts, TRANSFER};
use crate::cards::broadcast::ReliableEager;
use crate::property::{
    ALONE_COMMITS, AUDITS_CONSERVED, MONEY_CONSERVED, NO_OVERDRAFT, REPLICAS_AGREE, TRANSACTIONS_END,
    WRITES_FOLLOW_READS,
};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Fact, Family, Model, Out, Pid, Price, Prices, Process, Protocol,
    Search, Subject,
};
use std::collections::BTreeMap;

/// The time of a write by its writer's clock, and the writer: of two equal times the higher process wins.
type Stamp = (u8, Pid);
/// A stamped balance of an account.
type Write = (u8, Stamp, i8);

/// Every process stores all accounts, answers at once, and sends what it wrote; of two writes to an account
/// the one with the higher stamp stays.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LastWriterWins {
    process: Process,
    below: ReliableEager<Write>,
    accounts: Accounts,
    stamps: BTreeMap<u8, Stamp>,
    /// The clock of Lamport: above every time it has seen.
    clock: u8,
}

impl LastWriterWins {
    /// The later of two writes stays, whichever comes first.
    fn merge(&mut self, (account, stamp, balance): Write, out: &mut Out<Self>) {
        if !self.process.lacks("one clock") {
            self.clock = self.clock.max(stamp.0);
        }
        let is_later = self.stamps.get(&account).is_none_or(|last| match self.process {
            process if process.lacks("order of equal times") => stamp.0 >= last.0,
            process => stamp > *last || process.lacks("stamps"),
        });
        if is_later {
            self.stamps.insert(account, stamp);
            self.accounts.set(account, balance);
            out.indicate(Fact::Balance { account, balance });
        }
    }

    fn handle(&mut self, deliveries: Vec<Deliver<Write>>, out: &mut Out<Self>) {
        deliveries.into_iter().for_each(|delivery| self.merge(delivery.message, out));
    }
}

impl Protocol for LastWriterWins {
    type Request = Ask;
    type Indication = Fact;
    type Message = (Pid, Write);

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: ReliableEager::new(process),
            accounts: Accounts::new(process.n),
            stamps: BTreeMap::new(),
            // Clocks that run apart: that of each process is ahead of those before it.
            clock: if process.lacks("one clock") { process.me } else { 0 },
        }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        match ask {
            Ask::Transfer { from, to, amount } => {
                let covers = self.accounts.covers(from, amount);
                if covers {
                    self.clock += 1;
                    let (mut after, stamp) = (self.accounts.clone(), (self.clock, self.process.me));
                    after.transfer(from, to, amount);
                    for account in [from, to] {
                        let write = Broadcast((account, stamp, after.balance(account)));
                        let done = out.through(&mut self.below, |below, out| below.request(write, out));
                        self.handle(done, out);
                    }
                }
                out.indicate(Fact::Transferred(covers));
            }
            Ask::Audit => out.indicate(Fact::Balances(self.accounts.all())),
            _ => {}
        }
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.receive(from, message, out));
        self.handle(done, out);
    }
}

impl Subject for LastWriterWins {
    const CARD: &'static Card = &CARD;
}

const TWO: &[(Pid, Ask)] =
    &[(0, Ask::Transfer { from: 0, to: 1, amount: 1 }), (1, Ask::Transfer { from: 2, to: 0, amount: 1 })];
const SAME_MONEY: &[(Pid, Ask)] =
    &[(0, Ask::Transfer { from: 0, to: 1, amount: 1 }), (1, Ask::Transfer { from: 0, to: 2, amount: 1 })];

static CARD: Card = Card {
    name: "last-writer-wins",
    family: Family::Transactions,
    source: "the ordering wall, what a bypass of the order buys; Thomas 1979",
    says: "Each process answers from its own accounts and sends what it wrote; of two writes to one account the later stamp \
           stays everywhere. Replicas converge without any order, and answer in no time. But the merge looks at one account \
           at a time: the same money is spent twice, and of two transfers one half of each may stay.",
    buys: &[
        ("reliable broadcast", "convergence: every replica merges the same writes"),
        ("the process in the stamp", "one winner of two writes at the same time"),
        (
            "clocks of Lamport",
            "a write stays that follows another one: by clocks that run apart it may have the lower stamp",
        ),
        ("no order", "an answer without any delay, for which overdrafts and lost money are the price"),
    ],
    uses: &["reliable-eager"],
    model: Model::PLAIN.of(2, 1),
    asks: TWO,
    properties: &[&REPLICAS_AGREE, &TRANSACTIONS_END, &ALONE_COMMITS, &WRITES_FOLLOW_READS],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // A broadcast of each of two accounts, which the answer does not wait for.
        Price::of_one(TRANSFER, |_| 0, |n| 2 * n, |n| 2 * n * (n - 1)),
        Price::of_one(AUDIT, |_| 0, |_| 0, |_| 0),
    ]),
    breaks: &[
        Break {
            name: "spends-twice",
            says: "Two processes take the same money, and each has it in its own accounts.",
            model: Model::PLAIN,
            asks: Some(SAME_MONEY),
            dropped: None,
            loses: &NO_OVERDRAFT,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "money-is-made",
            says: "One transfer takes from an account and one adds to it: one of the two writes stays, and both transfers \
                   are committed.",
            model: Model::PLAIN.of(2, 1),
            asks: None,
            dropped: None,
            loses: &MONEY_CONSERVED,
            search: Search::Breadth,
            steps_max: 10,
            planted: false,
        },
        Break {
            name: "audits-see-the-middle",
            says: "The two writes of one transfer arrive apart.",
            model: Model::PLAIN,
            asks: Some(&[(0, Ask::Transfer { from: 0, to: 1, amount: 1 }), (2, Ask::Audit)]),
            dropped: None,
            loses: &AUDITS_CONSERVED,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "clocks-apart",
            says: "The clock of p2 is ahead. p1 stores a write of p2 and writes on, with a lower stamp: its transfer is \
                   committed, and the earlier write stays.",
            model: Model::PLAIN.of(2, 1),
            asks: None,
            dropped: Some("one clock"),
            loses: &WRITES_FOLLOW_READS,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "no-stamps",
            says: "Of two writes the one that arrives last stays: at p3 one that the other write follows.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("stamps"),
            loses: &WRITES_FOLLOW_READS,
            search: Search::Breadth,
            steps_max: 5,
            planted: true,
        },
        Break {
            name: "equal-times",
            says: "Of two writes at the same time the one that arrives last stays, another one at each replica.",
            model: Model::PLAIN.of(2, 1),
            asks: None,
            dropped: Some("order of equal times"),
            loses: &REPLICAS_AGREE,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
