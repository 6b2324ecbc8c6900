//! # machine: the exchange on the stream
//!
//! An [`ExchangeMachine`] is the engine between OUCH 5.0 and ITCH 5.0: clients' orders come as messages of
//! the gateway's users, the answers go to each of them, the market to a channel. All copies of it have the
//! same state.
//!
//! ```text
//!   client ─▶ gateway ─▶ stream ─▶ OUCH 5.0 ─▶ MatchingEngine ─▶ OUCH 5.0 ─▶ stream ─▶ gateway ─▶ client
//!   operator ──────────▶ stream ─▶ a line ───▶      │      └───▶ ITCH 5.0 ─▶ stream ─▶ feed ────▶ everybody
//!                                                   └─ query: a book, or a GLIMPSE 5.0 snapshot
//! ```
//!
//! The account of a client is its publisher id, with the limits of [`ExchangeSettings`] from its first login
//! on.

mod clients;
mod edge;
mod entry;
mod market;
mod operator;
mod orders;
mod query;
mod saved;

use crate::command::{AccountLimits, ExchangeCommand};
use crate::engine::MatchingEngine;
use crate::output::{MarketEvent, OperatorRefusal, RejectionReason};
use crate::rules::{Rules, RulesError};
use crate::types::{PhaseEnd, TradingPhase};
use edge::{ExchangeEdge, OuchRequest, send};
use lockstep_machine::{Destination, Input, InputEvent, Output, StateMachine};
use orders::OpenOrders;
use ouch50::SystemEvent;
use ouch50::codes::EventCode;
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read, Write};

/// What an exchange is founded with. All replicas have the same; a snapshot contains it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeSettings {
    /// The engine's capacities.
    pub rules: Rules,
    /// Operators' commands are messages to this destination, a channel of the cluster.
    pub operators: Destination,
    /// The market is published to this destination, a channel that nobody else publishes to.
    pub feed: Destination,
    /// The limits of an account until an operator gives it others.
    pub limits: AccountLimits,
    /// The phase of all instruments when a trading day begins.
    pub day_phase: TradingPhase,
    /// Operators' commands that are carried out at the first input with a time: instruments, and a phase. One
    /// that is refused is published to the operators' channel.
    pub opening: Vec<String>,
}

impl ExchangeSettings {
    /// An exchange without instruments, whose day begins in pre-open.
    pub fn new(operators: Destination, feed: Destination) -> Self {
        Self {
            rules: Rules::default(),
            operators,
            feed,
            limits: AccountLimits::NONE,
            day_phase: TradingPhase::PreOpen,
            opening: Vec::new(),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ExchangeMachine {
    engine: MatchingEngine,
    operators: Destination,
    feed: Destination,
    limits: AccountLimits,
    day_phase: TradingPhase,
    /// Commands that the first input carries out.
    opening: VecDeque<String>,
    orders: OpenOrders,
    /// Accounts that enter no orders, at their own request.
    disabled: BTreeSet<u32>,
    /// Messages of the feed in this day.
    published: u64,
    /// Messages of clients that were answered by silence.
    ignored: u64,
    /// The stream's time of the last input.
    now_ns: u64,
}

impl ExchangeMachine {
    /// An exchange that is not founded yet: the first input carries out `settings.opening`.
    ///
    /// # Errors
    /// A capacity of the rules is out of range.
    pub fn new(settings: ExchangeSettings) -> Result<Self, RulesError> {
        let ExchangeSettings { rules, operators, feed, limits, day_phase, opening } = settings;
        Ok(Self {
            engine: MatchingEngine::new(rules)?,
            operators,
            feed,
            limits,
            day_phase,
            opening: opening.into(),
            orders: OpenOrders::with_capacity(rules.orders_max as usize + 1, rules.hash_seed),
            disabled: BTreeSet::new(),
            published: 0,
            ignored: 0,
            now_ns: 0,
        })
    }

    /// Writes once to all memory that the rules ask for, as [`MatchingEngine::prefault`] does.
    pub fn prefault(&mut self) {
        self.engine.prefault();
    }

    /// The engine: its books, accounts and positions.
    pub fn engine(&self) -> &MatchingEngine {
        &self.engine
    }

    /// Messages of clients that were answered by silence: no message of OUCH 5.0, a number that was used
    /// before, an order that is not open.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Messages that were published to the feed in this trading day.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Checks what must hold between two inputs: the engine's own invariants; clients were sent the open
    /// quantity that the books have, order by order; the positions of each instrument add to zero.
    ///
    /// # Errors
    /// Names the first thing that does not hold.
    ///
    /// # Panics
    /// As [`MatchingEngine::assert_invariants`].
    pub fn check(&self) -> Result<(), String> {
        self.engine.assert_invariants();
        let (reported, resting) = (self.orders.len(), self.engine.open_orders());
        if reported != resting {
            return Err(format!("{reported} orders are open by their reports, and {resting} rest"));
        }
        for memo in self.orders.sorted() {
            let order = self.engine.order_of(memo.account, memo.token);
            let remaining = order.map(|order| order.remaining);
            if remaining != Some(memo.open) {
                return Err(format!("{memo:?} by its reports, and {remaining:?} rest"));
            }
        }
        let mut sums = std::collections::BTreeMap::<u16, i64>::new();
        for position in self.engine.open_positions() {
            *sums.entry(position.locate).or_default() += position.net;
        }
        match sums.iter().find(|(_, sum)| **sum != 0) {
            Some((locate, sum)) => Err(format!("positions in instrument {locate} add to {sum}")),
            None => Ok(()),
        }
    }

    /// Applies a command. Why an order was rejected, or an operator's command refused.
    fn run(
        &mut self,
        command: &ExchangeCommand,
        request: OuchRequest<'_>,
        output: &mut Output,
    ) -> (Option<RejectionReason>, Option<OperatorRefusal>) {
        let mut edge = ExchangeEdge {
            output,
            orders: &mut self.orders,
            published: &mut self.published,
            feed: self.feed,
            now_ns: self.now_ns,
            request,
            rejection: None,
            refusal: None,
        };
        self.engine.apply(command, self.now_ns, &mut edge);
        (edge.rejection, edge.refusal)
    }

    fn time_ns(&self) -> u64 {
        market::time_of_day(self.now_ns)
    }

    /// A client is known from its first login on; limits that an operator has given it stay.
    fn on_connected(&mut self, account: u32, output: &mut Output) {
        if !self.engine.has_account(account) {
            let limits = self.limits;
            let command = ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect: true };
            self.run(&command, OuchRequest::Other, output);
        }
    }

    fn on_disconnected(&mut self, account: u32, cancels: bool, output: &mut Output) {
        if cancels && self.engine.has_account(account) {
            self.run(&ExchangeCommand::Disconnect { account }, OuchRequest::Other, output);
        }
    }

    fn set_phase(&mut self, phase: TradingPhase, output: &mut Output) {
        let command = ExchangeCommand::SetPhase { symbol: None, phase, ends: PhaseEnd::Never };
        self.run(&command, OuchRequest::Other, output);
    }

    fn publish(&mut self, events: &[MarketEvent], output: &mut Output) {
        for event in events {
            self.published += 1;
            market::encode(event, self.now_ns, |bytes| output.publish(self.feed, bytes));
        }
    }

    fn tell_accounts(&self, event: EventCode, output: &mut Output) {
        let message = SystemEvent { time_ns: self.time_ns(), event };
        for account in self.engine.account_ids() {
            send(output, account, |out| message.write(out));
        }
    }

    /// Everything closes, where it did not with the day before; the feed begins with the directory.
    fn on_day_start(&mut self, output: &mut Output) {
        self.published = 0;
        if self.engine.symbols().any(|symbol| self.engine.phase_of(symbol) != Some(TradingPhase::Closed)) {
            self.set_phase(TradingPhase::Closed, output);
        }
        self.publish(&[MarketEvent::System { code: b'O' }], output);
        let events = query::market_of(&self.engine);
        self.publish(&events, output);
        self.publish(&[MarketEvent::System { code: b'S' }], output);
        self.tell_accounts(EventCode::StartOfDay, output);
        if self.day_phase != TradingPhase::Closed {
            self.set_phase(self.day_phase, output);
        }
    }

    fn on_day_end(&mut self, output: &mut Output) {
        self.set_phase(TradingPhase::Closed, output);
        self.publish(&[b'E', b'C'].map(|code| MarketEvent::System { code }), output);
        self.tell_accounts(EventCode::EndOfDay, output);
    }

    /// Carries out what the exchange was founded with.
    fn open(&mut self, output: &mut Output) {
        while let Some(line) = self.opening.pop_front() {
            if let Err(why) = self.operate(&line, output) {
                output.publish(self.operators, format!("refused: {why}: {line}").as_bytes());
            }
        }
    }

    /// Carries out an operator's line.
    fn operate(&mut self, line: &str, output: &mut Output) -> Result<(), String> {
        let command = operator::command_of(line)?;
        let (_, refusal) = self.run(&command, OuchRequest::Other, output);
        refusal.map_or(Ok(()), |refusal| Err(operator::refusal_text(refusal)))
    }

    fn on_operator(&mut self, publisher: u32, payload: &[u8], output: &mut Output) {
        let line =
            std::str::from_utf8(payload).map(str::trim).map_err(|_| "a command is UTF-8 text".to_owned());
        let done = line.and_then(|line| self.operate(line, output).map(|()| format!("done: {line}")));
        let answer = done.unwrap_or_else(|why| format!("refused: {why}"));
        output.publish(publisher, answer.as_bytes());
    }
}

impl StateMachine for ExchangeMachine {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        self.now_ns = input.time;
        // Before the first entry that was stamped the stream has no time.
        if input.time > 0 {
            self.open(output);
        }
        match input.event {
            InputEvent::Message { publisher, user: Some(_), payload, .. } => {
                self.on_ouch(publisher, payload, output);
            }
            InputEvent::Message { publisher, destination, payload, .. } if destination == self.operators => {
                self.on_operator(publisher, payload, output);
            }
            InputEvent::Connected { publisher, .. } => self.on_connected(publisher, output),
            InputEvent::Disconnected { publisher, cancels, .. } => {
                self.on_disconnected(publisher, cancels, output);
            }
            InputEvent::DayStart { .. } => self.on_day_start(output),
            InputEvent::DayEnd => self.on_day_end(output),
            InputEvent::Timer { key, .. } => {
                self.run(&ExchangeCommand::TimerFired { key }, OuchRequest::Other, output);
            }
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.save(out)
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        Self::load(from)
    }

    fn digest(&self) -> u64 {
        self.state_digest()
    }

    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        self.answer(request, answer);
    }
}
