//! # engine: commands in, reports and market events out
//!
//! [`MatchingEngine::apply`] is the only way to change it. Its parts, by question: [`enter`] decides whether
//! an order is accepted, [`arrive`] what an accepted order does, [`amend`] replaces and cancels, [`auction`]
//! finds a price for all, [`phases`] begins and ends phases, [`operate`] serves operators.

mod amend;
mod arrive;
mod auction;
mod enter;
pub(crate) mod operate;
pub(crate) mod phases;
mod view;

pub use auction::Equilibrium;
pub use view::{BookOrder, OpenPosition};

use crate::accounts::{Account, Positions};
use crate::book::{Books, OrderSlot};
use crate::command::{ExchangeCommand, NewOrder};
use crate::digest::{Sums, order_hash};
use crate::index::Index;
use crate::output::{CancelReason, MarketEvent, OperatorRefusal, OrderReport, OrderTerms, Sink};
use crate::rules::{Rules, RulesError};
use crate::slab::NIL;
use crate::trades::Trades;
use crate::types::{Side, Symbol, TradingPhase};
use std::collections::VecDeque;

/// All instruments, accounts and orders of an exchange: a function of the commands that it was given, in
/// their order, and of nothing else.
#[derive(Clone, Debug)]
pub struct MatchingEngine {
    pub(crate) rules: Rules,
    pub(crate) books: Books,
    pub(crate) accounts: Vec<Account>,
    pub(crate) account_index: Index,
    pub(crate) positions: Positions,
    /// Resting orders by account slot and token.
    pub(crate) tokens: Index,
    pub(crate) symbols: Index,
    pub(crate) trades: Trades,
    pub(crate) number_next: u64,
    pub(crate) match_next: u64,
    pub(crate) timer_next: u64,
    /// What the digest has of orders, positions and trades.
    pub(crate) sums: Sums,
    /// Stop orders that have triggered and wait for their turn within this command.
    triggered: VecDeque<u32>,
    /// Those that triggered together, while they are sorted.
    batch: Vec<u32>,
    /// Lowest and highest price that traded since stop orders were looked for.
    traded: Option<(u32, u32)>,
}

/// Triggered stop orders of one command for which memory is allocated in advance.
const TRIGGERED: usize = 1024;

pub(crate) fn token_key(account: u32, token: u32) -> u64 {
    u64::from(account) << 32 | u64::from(token)
}

/// A price's distance from another, in basis points, rounded down.
fn band(price: u32, bps: u32) -> u64 {
    u64::from(price) * u64::from(bps) / 10_000
}

/// Whether `price` lies no further from `around` than `bps`; 0 is no band.
fn is_within(price: u32, around: u32, bps: u32) -> bool {
    bps == 0 || u64::from(price.abs_diff(around)) <= band(around, bps)
}

impl MatchingEngine {
    /// An exchange without instruments and accounts. Allocates what the rules ask for.
    ///
    /// # Errors
    ///
    /// A capacity of the rules is out of range.
    pub fn new(rules: Rules) -> Result<Self, RulesError> {
        rules.check()?;
        let (orders, instruments) = (rules.orders_max as usize, usize::from(rules.instruments_max));
        Ok(Self {
            rules,
            books: Books::new(orders, instruments),
            accounts: Vec::with_capacity(rules.accounts_max as usize),
            account_index: Index::with_capacity(rules.accounts_max as usize, rules.hash_seed),
            positions: Positions::with_capacity(rules.positions_max as usize, rules.hash_seed),
            tokens: Index::with_capacity(orders, rules.hash_seed),
            symbols: Index::with_capacity(instruments, rules.hash_seed),
            trades: Trades::with_capacity(rules.trades_max as usize),
            number_next: 1,
            match_next: 1,
            timer_next: 1,
            sums: Sums::default(),
            triggered: VecDeque::with_capacity(TRIGGERED),
            batch: Vec::with_capacity(TRIGGERED),
            traded: None,
        })
    }

    /// Applies one command. `now_ns` is the command's stream time in nanoseconds since the Unix epoch: the
    /// engine reads no clock.
    pub fn apply(&mut self, command: &ExchangeCommand, now_ns: u64, out: &mut impl Sink) {
        let done = match *command {
            ExchangeCommand::Enter(ref order) => {
                self.enter(order, now_ns, out);
                Ok(())
            }
            ExchangeCommand::Replace(ref replacement) => {
                self.replace(replacement, now_ns, out);
                Ok(())
            }
            ExchangeCommand::Cancel { account, token, quantity } => {
                self.cancel(account, token, quantity, out);
                Ok(())
            }
            ExchangeCommand::MassCancel { account, symbol, side } => {
                self.mass_cancel(account, symbol, side, out);
                Ok(())
            }
            ExchangeCommand::Disconnect { account } => self.disconnect(account, out),
            ExchangeCommand::TimerFired { key } => {
                self.on_timer(key, now_ns, out);
                Ok(())
            }
            ExchangeCommand::SystemEvent { code } => Self::system_event(code, out),
            ExchangeCommand::DefineInstrument(ref terms) => self.define(terms, out),
            ExchangeCommand::SetReference { symbol, price } => self.set_reference(symbol, price),
            ExchangeCommand::SetPhase { symbol, phase, ends } => {
                self.set_phase(symbol, phase, ends, now_ns, out)
            }
            ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect } => {
                self.set_account(account, limits, cancel_on_disconnect)
            }
            ExchangeCommand::SetKillSwitch { account, is_on } => self.set_kill_switch(account, is_on, out),
            ExchangeCommand::Bust { match_number } => self.bust(match_number, out),
        };
        if let Err(reason) = done {
            out.refuse(reason);
        }
        debug_assert!(self.triggered.is_empty() && self.traded.is_none());
    }

    /// Writes once to all memory that the rules ask for: an operating system gives memory when it is written
    /// first, page by page, and a command that meets a new page waits some microseconds. To be called before
    /// the first command and after a restoration; it changes nothing that can be seen.
    pub fn prefault(&mut self) {
        let symbol = Symbol::new("");
        let blank = NewOrder::limit(0, 0, symbol, Side::Buy, 0, 0);
        self.books.prefault(enter::new_slot(&blank, NIL, 0, 0, 0));
        self.positions.prefault();
        self.tokens.prefault();
        self.trades.prefault();
    }

    fn account_slot(&self, account: u32) -> Option<u32> {
        self.account_index.get(u64::from(account), |slot| self.accounts[slot as usize].id == account)
    }

    fn instrument_of(&self, symbol: Symbol) -> Result<u16, OperatorRefusal> {
        self.find_instrument(symbol).ok_or(OperatorRefusal::UnknownInstrument(symbol))
    }

    pub(crate) fn find_instrument(&self, symbol: Symbol) -> Option<u16> {
        let is_it = |slot: u32| self.books.instruments[slot as usize].symbol == symbol;
        self.symbols.get(symbol.key(), is_it).map(|slot| slot as u16)
    }

    /// The slot of an order's account.
    pub(crate) fn account_of(&self, order: &OrderSlot) -> u32 {
        self.positions.slots[order.position].account
    }

    /// The number of an order's account.
    pub(crate) fn account_id(&self, order: &OrderSlot) -> u32 {
        self.accounts[self.account_of(order) as usize].id
    }

    /// The slot of an account's resting order.
    pub(crate) fn order_slot(&self, account: u32, token: u32) -> Option<u32> {
        self.tokens.get(token_key(account, token), |slot| {
            let order = &self.books.orders[slot];
            order.token == token && self.account_of(order) == account
        })
    }

    fn phase(&self, instrument: u16) -> TradingPhase {
        self.books.instruments[instrument as usize].phase
    }

    fn next_number(&mut self) -> u64 {
        self.number_next += 1;
        self.number_next - 1
    }

    fn next_match(&mut self) -> u64 {
        self.match_next += 1;
        self.match_next - 1
    }

    // ------------------------------------------------------------------------ an order's place and
    // registration

    /// Puts the order of a slot into its book, and into the digest.
    pub(crate) fn put(&mut self, slot: u32) {
        self.books.push(slot);
        self.count(slot);
    }

    /// Takes the order of a slot out of its book, and out of the digest.
    fn pull(&mut self, slot: u32) {
        self.uncount(slot);
        self.books.remove(slot);
    }

    /// Adds a resting order to the digest: when it has come, and behind each change.
    fn count(&mut self, slot: u32) {
        let order = &self.books.orders[slot];
        self.sums.orders = self.sums.orders.wrapping_add(order_hash(self.account_id(order), order));
    }

    /// Takes a resting order out of the digest: before each change, and when it goes.
    fn uncount(&mut self, slot: u32) {
        let order = &self.books.orders[slot];
        self.sums.orders = self.sums.orders.wrapping_sub(order_hash(self.account_id(order), order));
    }

    /// Gives an order a slot, its token, and the last place in its account's list.
    fn register(&mut self, order: OrderSlot) -> u32 {
        let slot = self.books.orders.insert(order);
        self.list(slot);
        slot
    }

    /// Gives the order of a slot its token, and the last place in its account's list.
    pub(crate) fn list(&mut self, slot: u32) {
        let OrderSlot { position, token, .. } = self.books.orders[slot];
        let account = self.positions.slots[position].account;
        self.tokens.insert(token_key(account, token), slot);
        let account = &mut self.accounts[account as usize];
        let before = account.tail;
        account.tail = slot;
        account.open_orders += 1;
        if before == NIL {
            account.head = slot;
        } else {
            self.books.orders[before].account_next = slot;
        }
        let order = &mut self.books.orders[slot];
        (order.account_prev, order.account_next) = (before, NIL);
    }

    /// Frees the slot of an order that rests no more.
    fn unregister(&mut self, slot: u32) {
        let OrderSlot { position, token, account_prev, account_next, .. } = self.books.orders[slot];
        let account = self.positions.slots[position].account;
        self.tokens.remove(token_key(account, token), slot);
        let account = &mut self.accounts[account as usize];
        account.open_orders -= 1;
        if account_prev == NIL {
            account.head = account_next;
        } else {
            self.books.orders[account_prev].account_next = account_next;
        }
        if account_next == NIL {
            account.tail = account_prev;
        } else {
            self.books.orders[account_next].account_prev = account_prev;
        }
        self.books.orders.release(slot);
    }

    /// Cancels a resting order, whole.
    fn cancel_resting(&mut self, slot: u32, reason: CancelReason, out: &mut impl Sink) {
        let order = self.books.orders[slot];
        self.report_canceled(&order, order.remaining, reason, out);
        if order.displayed > 0 {
            out.market(MarketEvent::Deleted { locate: order.instrument + 1, number: order.number });
        }
        self.pull(slot);
        self.positions.cancel(order.position, order.side, order.remaining);
        self.unregister(slot);
    }

    fn report_canceled(&self, order: &OrderSlot, quantity: u32, reason: CancelReason, out: &mut impl Sink) {
        let account = self.account_id(order);
        out.report(OrderReport::Canceled { account, token: order.token, quantity, reason });
    }

    /// An iceberg whose displayed part is gone displays another one, behind all others at its price. The
    /// caller counts it.
    fn refresh(&mut self, slot: u32, out: &mut impl Sink) {
        let number = self.next_number();
        let order = &mut self.books.orders[slot];
        order.number = number;
        order.displayed = order.fresh_display();
        let order = *order;
        self.books.requeue(slot);
        let account = self.account_id(&order);
        let (token, displayed) = (order.token, order.displayed);
        out.report(OrderReport::Restated { account, token, number, displayed });
        out.market(self.added(&order));
    }

    fn added(&self, order: &OrderSlot) -> MarketEvent {
        MarketEvent::Added {
            locate: order.instrument + 1,
            number: order.number,
            side: order.side,
            quantity: order.displayed,
            symbol: self.books.instruments[order.instrument as usize].symbol,
            price: u64::from(order.price),
        }
    }

    fn terms(&self, order: &OrderSlot) -> OrderTerms {
        OrderTerms {
            number: order.number,
            symbol: self.books.instruments[order.instrument as usize].symbol,
            side: order.side,
            kind: order.kind,
            time_in_force: order.time_in_force,
            quantity: order.remaining,
            price: u64::from(order.price),
            stop_price: u64::from(order.stop()),
            display: order.display(),
        }
    }

    /// Whether a limit order at this price would execute at once.
    fn crosses(&self, instrument: u16, side: Side, price: u32) -> bool {
        self.books.best(instrument, side.opposite()).is_some_and(|(best, _)| reaches(side, price, best))
    }
}

/// Whether an order of this side with this limit may trade at `price`.
fn reaches(side: Side, limit: u32, price: u32) -> bool {
    match side {
        Side::Buy => price <= limit,
        Side::Sell => price >= limit,
    }
}
