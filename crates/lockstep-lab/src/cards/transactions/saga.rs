//! Sagas: steps, and compensations of the steps before one that fails (Garcia-Molina and Salem 1987; the
//! ordering wall).

use super::{AUDIT, TRANSFER};
use crate::property::{
    ALONE_COMMITS, AUDITS_CONSERVED, BALANCE_AT_START, BALANCE_MAX, MONEY_CONSERVED, NO_OVERDRAFT,
    TRANSACTIONS_END,
};
use crate::{
    Ask, Break, Card, Fact, Failures, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Stored, Subject,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A step of a saga: a local transaction of one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum SagaStep {
    /// Takes the money, if the account covers it.
    Debit,
    /// Adds the money, if the account takes so much.
    Credit,
    /// The compensation of the debit: adds the money again, always.
    Refund,
}

const STEPS: [SagaStep; 3] = [SagaStep::Debit, SagaStep::Credit, SagaStep::Refund];
/// The stage of a saga that has ended.
const ENDED: u8 = 3;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum SagaMessage {
    /// Does a step with this amount.
    Do(SagaStep, u8),
    /// The step is done, or was refused.
    Done(SagaStep, bool),
    /// An audit reads the account.
    Read,
    /// Its balance.
    Balance(i8),
}

/// The log of a saga: its stage, which is the step under way or [`ENDED`], and its transfer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Log {
    stage: u8,
    from: u8,
    to: u8,
    amount: u8,
}

/// Each process stores the account of its number. A process that is asked for a transfer orders its steps,
/// of one saga in its life.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Saga {
    process: Process,
    balance: i8,
    /// For each process and step: 1 if this process has done it, 2 if it has refused; in two bits.
    outcomes: u64,
    log: Option<Log>,
    audit: BTreeMap<Pid, i8>,
}

impl Saga {
    /// Writes the log and sends the step under way.
    fn go_on(&mut self, stage: u8, out: &mut Out<Self>) {
        let Some(mut log) = self.log else { return };
        log.stage = stage;
        self.log = Some(log);
        if !self.process.lacks("log") {
            let record = u32::from_be_bytes([log.amount, log.to, log.from, stage]);
            out.store("saga", record.into());
        }
        if let Some(step) = STEPS.get(usize::from(stage)) {
            let to = if *step == SagaStep::Credit { log.to } else { log.from };
            out.send(to, SagaMessage::Do(*step, log.amount));
        }
    }

    /// A step is over: the next one, the compensation, or the end.
    fn on_done(&mut self, step: SagaStep, is_done: bool, out: &mut Out<Self>) {
        if self.log.is_none_or(|log| log.stage != step as u8) {
            return;
        }
        match (step, is_done) {
            (SagaStep::Debit, true) => self.go_on(SagaStep::Credit as u8, out),
            (SagaStep::Credit, false) => self.go_on(SagaStep::Refund as u8, out),
            _ => {
                self.go_on(ENDED, out);
                out.indicate(Fact::Transferred(step == SagaStep::Credit && is_done));
            }
        }
    }

    /// Does a step once: one that comes again has the outcome of the first time.
    fn on_step(&mut self, from: Pid, step: SagaStep, amount: u8, out: &mut Out<Self>) {
        let shift = (u32::from(from) * 3 + step as u32) * 2;
        let earlier = self.outcomes >> shift & 3;
        if earlier == 0 || self.process.lacks("once") {
            let after = match step {
                SagaStep::Debit => self.balance - amount as i8,
                SagaStep::Credit | SagaStep::Refund => self.balance + amount as i8,
            };
            let is_certain = step == SagaStep::Refund && !self.process.lacks("certain compensations");
            let is_done = is_certain || (0..=BALANCE_MAX).contains(&after);
            self.outcomes |= (if is_done { 1 } else { 2 }) << shift;
            if is_done {
                self.balance = after;
                out.indicate(Fact::Balance { account: self.process.me, balance: after });
            }
            out.store("balance", self.balance as u64);
            out.store("outcomes", self.outcomes);
        }
        out.send(from, SagaMessage::Done(step, self.outcomes >> shift & 1 == 1));
    }
}

impl Protocol for Saga {
    type Request = Ask;
    type Indication = Fact;
    type Message = SagaMessage;

    fn new(process: &Process) -> Self {
        Self { process: *process, balance: BALANCE_AT_START, outcomes: 0, log: None, audit: BTreeMap::new() }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        match ask {
            Ask::Transfer { from, to, amount } => {
                self.log = Some(Log { stage: 0, from, to, amount });
                self.go_on(SagaStep::Debit as u8, out);
            }
            Ask::Audit => out.all(SagaMessage::Read),
            _ => {}
        }
    }

    fn receive(&mut self, from: Pid, message: SagaMessage, out: &mut Out<Self>) {
        match message {
            SagaMessage::Do(step, amount) => self.on_step(from, step, amount, out),
            SagaMessage::Done(step, is_done) => self.on_done(step, is_done, out),
            SagaMessage::Read => out.send(from, SagaMessage::Balance(self.balance)),
            SagaMessage::Balance(balance) => {
                self.audit.insert(from, balance);
                if self.audit.len() == usize::from(self.process.n) {
                    out.indicate(Fact::Balances(self.audit.values().copied().collect()));
                }
            }
        }
    }

    /// The steps that were done are stored, and the saga goes on from its log.
    fn recover(&mut self, stored: &Stored, out: &mut Out<Self>) {
        self.balance = stored.get("balance").map_or(BALANCE_AT_START, |balance| *balance as i8);
        self.outcomes = stored.get("outcomes").copied().unwrap_or(0);
        if let Some(record) = stored.get("saga") {
            let [amount, to, from, stage] = (*record as u32).to_be_bytes();
            self.log = Some(Log { stage, from, to, amount });
            self.go_on(stage, out);
        }
    }
}

impl Subject for Saga {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model =
    Model { failures: Failures::Recovery { crashes: 2, stable: true }, ..Model::PLAIN.of(3, 1) };
/// Account 1 has room for one of them.
const TWO: &[(Pid, Ask)] =
    &[(1, Ask::Transfer { from: 0, to: 1, amount: 1 }), (0, Ask::Transfer { from: 2, to: 1, amount: 1 })];

static CARD: Card = Card {
    name: "saga",
    family: Family::Transactions,
    source: "Garcia-Molina and Salem 1987; the ordering wall",
    says: "A transaction is a row of local transactions, a step each at one process; if one is refused, those before it \
           are compensated. With a log and with steps that are done once it ends after every crash, and moves money \
           wholly or not at all. But each step is there for all as soon as it is done: nothing hides the middle.",
    buys: &[
        ("a log on stable storage", "termination: who orders the steps knows after a crash where it was"),
        ("steps that are done once", "the amount: after a crash a step is sent again"),
        ("compensations that are never refused", "all or nothing, in the end"),
        ("no isolation", "no locks over many processes, for which audits see money missing"),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO,
    properties: &[&MONEY_CONSERVED, &NO_OVERDRAFT, &TRANSACTIONS_END, &ALONE_COMMITS],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // Two steps, one after the other.
        Price::of_one(TRANSFER, |_| 4, |_| 4, |_| 4),
        Price::of_one(AUDIT, |_| 2, |n| n, |n| 2 * (n - 1)),
    ]),
    breaks: &[
        Break {
            name: "others-see-the-middle",
            says: "An audit reads both accounts between the debit and the credit.",
            model: Model::PLAIN,
            asks: Some(&[(0, Ask::Transfer { from: 0, to: 1, amount: 1 }), (2, Ask::Audit)]),
            dropped: None,
            loses: &AUDITS_CONSERVED,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "no-log",
            says: "The process that orders the steps crashes after the debit, and knows nothing of it when it returns.",
            model: MODEL,
            asks: Some(TRANSFER),
            dropped: Some("log"),
            loses: &MONEY_CONSERVED,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "a-step-twice",
            says: "After a crash a step is sent again, and its process does it again.",
            model: MODEL,
            asks: Some(&[
                (0, Ask::Transfer { from: 0, to: 1, amount: 1 }),
                (1, Ask::Transfer { from: 1, to: 2, amount: 1 }),
            ]),
            dropped: Some("once"),
            loses: &MONEY_CONSERVED,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
        Break {
            name: "a-compensation-is-refused",
            says: "While a saga waits for its refund others fill the account that it debited, which then has no room.",
            model: Model::PLAIN,
            asks: Some(&[
                (0, Ask::Transfer { from: 0, to: 1, amount: 1 }),
                (1, Ask::Transfer { from: 2, to: 1, amount: 1 }),
                (2, Ask::Transfer { from: 1, to: 0, amount: 2 }),
            ]),
            dropped: Some("certain compensations"),
            loses: &MONEY_CONSERVED,
            search: Search::Breadth,
            steps_max: 11,
            planted: true,
        },
    ],
};
