//! Spanner: timestamps of clocks whose uncertainty is known, and commit wait (Corbett et al. 2012; the
//! ordering wall).

use super::versions::{ClockTime, Lock, SpannerMessage, Versions};
use super::{AUDIT, TRANSFER};
use crate::property::{
    ALONE_COMMITS, AUDITS_CONSERVED, EXTERNAL_CONSISTENCY, MONEY_CONSERVED, NO_OVERDRAFT, TRANSACTIONS_END,
};
use crate::{
    Ask, Break, Card, Fact, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search, Subject, Time,
    Timer,
};
use std::collections::{BTreeMap, VecDeque};

/// The timer of the clock.
const TICK: Timer = 0;
/// A clock is off by so many ticks at most. A process counts a tick late by less than one, and the clock of
/// process i is i ticks fast: so it is off by 1 at most.
const UNCERTAINTY_TICKS: ClockTime = 1;

/// Each process stores the account of its number, with a version for each commit. A transfer that finds an
/// account locked is aborted: nobody waits for a lock but readers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Spanner {
    process: Process,
    clock: ClockTime,
    uncertainty: ClockTime,
    account: Versions,
    /// Of the client: it makes its requests one after the other.
    asks: VecDeque<Ask>,
    audit: BTreeMap<Pid, i8>,
}

impl Spanner {
    /// No earlier than the true time.
    fn latest(&self) -> ClockTime {
        self.clock + self.uncertainty
    }

    fn write(&mut self, time: ClockTime, change: i8, out: &mut Out<Self>) {
        let balance = self.account.write(time, change);
        out.indicate(Fact::Balance { account: self.process.me, balance });
    }

    fn unlock(&mut self, out: &mut Out<Self>) {
        self.account.lock = None;
        self.serve(out);
    }

    fn serve(&mut self, out: &mut Out<Self>) {
        for (client, balance) in self.account.ready(self.process.lacks("waiting for locks")) {
            out.send(client, SpannerMessage::Balance(balance));
        }
    }

    fn on_transfer(&mut self, client: Pid, to: Pid, amount: u8, out: &mut Out<Self>) {
        if self.account.lock.is_some() || self.account.newest() < amount as i8 {
            return out.send(client, SpannerMessage::Outcome(false));
        }
        let from_time = self.account.next_time(self.latest());
        self.account.lock = Some(Lock { from_time, coordinates: Some((client, to, amount)), commit: None });
        out.send(to, SpannerMessage::Prepare);
    }

    /// The transaction has a time that both accounts can take, and waits until that time is over for sure.
    fn on_prepared(&mut self, prepared: ClockTime, out: &mut Out<Self>) {
        let commit = self.account.next_time(self.latest().max(prepared));
        self.account.lock = self.account.lock.map(|lock| Lock { commit: Some(commit), ..lock });
        self.finish(out);
    }

    fn finish(&mut self, out: &mut Out<Self>) {
        let Some(Lock { coordinates: Some((client, to, amount)), commit: Some(commit), .. }) =
            self.account.lock
        else {
            return;
        };
        let is_over = self.clock.saturating_sub(self.uncertainty) > commit;
        if is_over || self.process.lacks("commit wait") {
            self.write(commit, -(amount as i8), out);
            out.send(to, SpannerMessage::Commit(commit, amount));
            out.send(client, SpannerMessage::Outcome(true));
            self.unlock(out);
        }
    }

    /// The first request of the client.
    fn ask(&mut self, out: &mut Out<Self>) {
        match self.asks.front() {
            Some(Ask::Transfer { from, to, amount }) => {
                out.send(*from, SpannerMessage::Transfer(*to, *amount))
            }
            Some(Ask::Audit) => out.all(SpannerMessage::Read(self.latest())),
            _ => {}
        }
    }

    fn answer(&mut self, fact: Fact, out: &mut Out<Self>) {
        out.indicate(fact);
        self.asks.pop_front();
        self.ask(out);
    }
}

impl Protocol for Spanner {
    type Request = Ask;
    type Indication = Fact;
    type Message = SpannerMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            clock: UNCERTAINTY_TICKS + ClockTime::from(process.me),
            uncertainty: if process.lacks("uncertainty") { 0 } else { UNCERTAINTY_TICKS },
            account: Versions::default(),
            asks: VecDeque::new(),
            audit: BTreeMap::new(),
        }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        out.after(TICK, 1);
    }

    fn timeout(&mut self, _timer: Timer, out: &mut Out<Self>) {
        self.clock += 1;
        out.after(TICK, 1);
        self.finish(out);
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        self.asks.push_back(ask);
        if self.asks.len() == 1 {
            self.ask(out);
        }
    }

    fn receive(&mut self, from: Pid, message: SpannerMessage, out: &mut Out<Self>) {
        match message {
            SpannerMessage::Transfer(to, amount) => self.on_transfer(from, to, amount, out),
            SpannerMessage::Prepare if self.account.lock.is_some() => out.send(from, SpannerMessage::Refused),
            SpannerMessage::Prepare => {
                let from_time = self.account.next_time(self.latest());
                self.account.lock = Some(Lock { from_time, coordinates: None, commit: None });
                out.send(from, SpannerMessage::Prepared(from_time));
            }
            SpannerMessage::Prepared(time) => self.on_prepared(time, out),
            SpannerMessage::Refused => {
                let client = self.account.lock.and_then(|lock| lock.coordinates).map(|(client, ..)| client);
                client.iter().for_each(|client| out.send(*client, SpannerMessage::Outcome(false)));
                self.unlock(out);
            }
            SpannerMessage::Commit(time, amount) => {
                self.write(time, amount as i8, out);
                self.unlock(out);
            }
            SpannerMessage::Outcome(commits) => self.answer(Fact::Transferred(commits), out),
            SpannerMessage::Read(time) => {
                self.account.wait(from, time);
                self.serve(out);
            }
            SpannerMessage::Balance(balance) => {
                self.audit.insert(from, balance);
                if self.audit.len() == usize::from(self.process.n) {
                    let saw = std::mem::take(&mut self.audit).into_values().collect();
                    self.answer(Fact::Balances(saw), out);
                }
            }
        }
    }
}

impl Subject for Spanner {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model { time: Time::Synchronous { delay: 1, ticks: 20 }, ..Model::PLAIN.of(2, 0) };
const ALL: &[(Pid, Ask)] = &[
    (0, Ask::Transfer { from: 1, to: 0, amount: 1 }),
    (0, Ask::Audit),
    (1, Ask::Audit),
    (1, Ask::Transfer { from: 0, to: 1, amount: 1 }),
];
const ONE: &[(Pid, Ask)] = &[(0, Ask::Transfer { from: 1, to: 0, amount: 1 }), (0, Ask::Audit)];

static CARD: Card = Card {
    name: "spanner",
    family: Family::Transactions,
    source: "Corbett et al. 2012; the ordering wall",
    says: "Each transaction has a time by the clock of its coordinator, which waits until that time is over on every clock \
           before it commits. So a transaction that begins later has a later time wherever it begins, though nobody \
           asks for a place in an order. An audit reads all accounts as of one time, without locks. (The clock of p2 is a \
           tick fast here, and each process counts its ticks late by less than one.)",
    buys: &[
        (
            "a known uncertainty of the clocks",
            "external consistency: the wait is as long as clocks are apart",
        ),
        ("commit wait", "the order of time is that of the timestamps, for two uncertainties of delay"),
        ("locks that readers wait for", "a snapshot: what is locked may commit before the time that is read"),
    ],
    uses: &[],
    model: MODEL,
    asks: ALL,
    properties: &[
        &EXTERNAL_CONSISTENCY,
        &AUDITS_CONSERVED,
        &NO_OVERDRAFT,
        &MONEY_CONSERVED,
        &TRANSACTIONS_END,
        &ALONE_COMMITS,
    ],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // Four messages one after the other, and between them the commit wait of two uncertainties. A tick is
        // as long as a message here.
        Price::of_one(TRANSFER, |_| 4 + 2 * u64::from(UNCERTAINTY_TICKS), |_| 5, |_| 5),
        Price::of_one(AUDIT, |_| 2, |n| n, |n| 2 * (n - 1)),
    ]),
    breaks: &[
        Break {
            name: "uncertainty-too-small",
            says: "The protocol takes the clocks for exact. A transfer has the time of a fast clock; an audit after it has \
                   that of a slow one, and misses it.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("uncertainty"),
            loses: &EXTERNAL_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 14,
            planted: false,
        },
        Break {
            name: "no-commit-wait",
            says: "A transfer is committed at a time that is not over on the clock of the next client.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("commit wait"),
            loses: &EXTERNAL_CONSISTENCY,
            search: Search::Breadth,
            steps_max: 9,
            planted: true,
        },
        Break {
            name: "reads-past-locks",
            says: "An audit does not wait for a lock: it misses one half of a transfer.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("waiting for locks"),
            loses: &AUDITS_CONSERVED,
            search: Search::Breadth,
            steps_max: 19,
            planted: true,
        },
    ],
};
