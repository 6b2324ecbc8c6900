//! Transfers in a state machine on a total order (the ordering wall; Schneider 1990).

use super::{AUDIT, Accounts, TRANSFER};
use crate::cards::order::FixedSequencer;
use crate::property::{
    AUDITS_CONSERVED, MONEY_CONSERVED, NO_OVERDRAFT, ONE_STATE_MACHINE, REPLICAS_AGREE, TRANSACTIONS_END,
};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Fact, Family, Model, Out, Pid, Price, Prices, Process, Protocol,
    Search, Subject,
};

/// Every process stores all accounts, and applies each transaction where the order delivers it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OrderedTransfers {
    process: Process,
    below: FixedSequencer<Ask>,
    accounts: Accounts,
}

impl OrderedTransfers {
    /// The transition of the state machine: a function of the accounts and the transaction alone.
    fn apply(&mut self, from: Pid, transaction: Ask, out: &mut Out<Self>) {
        let is_mine = from == self.process.me;
        match transaction {
            Ask::Transfer { from, to, amount } => {
                // The planted mutation: the transition asks where it runs.
                let is_favoured = is_mine && self.process.lacks("determinism");
                let commits = self.accounts.covers(from, amount) || is_favoured;
                if commits {
                    self.accounts.transfer(from, to, amount);
                    for account in [from, to] {
                        out.indicate(Fact::Balance { account, balance: self.accounts.balance(account) });
                    }
                }
                if is_mine {
                    out.indicate(Fact::Transferred(commits));
                }
            }
            Ask::Audit if is_mine => out.indicate(Fact::Balances(self.accounts.all())),
            _ => {}
        }
    }

    fn handle(&mut self, deliveries: Vec<Deliver<Ask>>, out: &mut Out<Self>) {
        deliveries.into_iter().for_each(|Deliver { from, message }| self.apply(from, message, out));
    }
}

impl Protocol for OrderedTransfers {
    type Request = Ask;
    type Indication = Fact;
    type Message = <FixedSequencer<Ask> as Protocol>::Message;

    fn new(process: &Process) -> Self {
        Self { process: *process, below: FixedSequencer::new(process), accounts: Accounts::new(process.n) }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        if ask == Ask::Audit && self.process.lacks("audits in the order") {
            return self.apply(self.process.me, ask, out);
        }
        let done = out.through(&mut self.below, |below, out| below.request(Broadcast(ask), out));
        self.handle(done, out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.receive(from, message, out));
        self.handle(done, out);
    }
}

impl Subject for OrderedTransfers {
    const CARD: &'static Card = &CARD;
}

const ONE: &[(Pid, Ask)] = &[(1, Ask::Transfer { from: 0, to: 1, amount: 1 })];
const TWO: &[(Pid, Ask)] =
    &[(1, Ask::Transfer { from: 0, to: 1, amount: 1 }), (2, Ask::Transfer { from: 0, to: 2, amount: 1 })];
/// Two transfers of the same money, and an audit.
const ALL: &[(Pid, Ask)] = &[
    (0, Ask::Audit),
    (1, Ask::Transfer { from: 0, to: 1, amount: 1 }),
    (2, Ask::Transfer { from: 0, to: 2, amount: 1 }),
];

static CARD: Card = Card {
    name: "ordered-transfers",
    family: Family::Transactions,
    source: "the ordering wall, state machine replication; Schneider 1990",
    says: "Each transaction is broadcast in total order, and each process applies it to all accounts where the order \
           delivers it. The order decides once which of two transfers of the same money is first, so nobody locks, votes \
           or compensates: that is the service which lockstep gives.",
    buys: &[
        (
            "the total order",
            "one answer to which transfer is first: without it two replicas spend the same money",
        ),
        (
            "transitions that are deterministic",
            "equal replicas: one that asks where it runs stores other balances",
        ),
        ("audits in the order", "real time: a local read misses transfers that have ended elsewhere"),
    ],
    uses: &["fixed-sequencer"],
    model: Model::PLAIN,
    asks: ALL,
    properties: &[
        &MONEY_CONSERVED,
        &NO_OVERDRAFT,
        &AUDITS_CONSERVED,
        &ONE_STATE_MACHINE,
        &REPLICAS_AGREE,
        &TRANSACTIONS_END,
    ],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        Price::of_one(TRANSFER, |_| 2, |_| 2, |n| n),
        Price::of_one(AUDIT, |_| 2, |_| 2, |n| n),
    ]),
    breaks: &[
        Break {
            name: "the-sequencer-dies",
            says: "A transfer that was submitted is ordered by nobody: the order costs what its broadcast costs, and \
                   must survive what that survives.",
            model: Model::PLAIN.stop(1),
            asks: Some(ONE),
            dropped: None,
            loses: &TRANSACTIONS_END,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "audits-read-locally",
            says: "An audit reads the accounts of its own process, which a transfer that has ended elsewhere has not \
                   reached.",
            model: Model::PLAIN,
            asks: Some(&[(1, Ask::Transfer { from: 0, to: 1, amount: 1 }), (2, Ask::Audit)]),
            dropped: Some("audits in the order"),
            loses: &ONE_STATE_MACHINE,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-total-order",
            says: "Replicas apply what comes, whatever is before it in the order: each lets another transfer of the same \
                   money win.",
            model: Model::PLAIN,
            asks: Some(TWO),
            dropped: Some("gaps"),
            loses: &REPLICAS_AGREE,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "not-deterministic",
            says: "A process lets its own transfers overdraw an account, so that the transition depends on where it runs.",
            model: Model::PLAIN,
            asks: Some(TWO),
            dropped: Some("determinism"),
            loses: &REPLICAS_AGREE,
            search: Search::Breadth,
            steps_max: 8,
            planted: true,
        },
    ],
};
