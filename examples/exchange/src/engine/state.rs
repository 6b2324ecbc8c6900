//! # state: instruments, accounts and orders, and how they hang together
//!
//! An order rests at three places at once: in the queue of its book, in the list of its account, and in the
//! digest. The functions here change all three; no other one links an order.

use super::token_key;
use crate::accounts::{Account, Positions};
use crate::book::{Books, Instrument, OrderSlot};
use crate::digest::{Sums, order_hash, trade_hash};
use crate::index::Index;
use crate::output::{OperatorRefusal, PendingTimer};
use crate::rules::{Rules, RulesError};
use crate::slab::NIL;
use crate::trades::{Trade, Trades};
use crate::types::{Symbol, TradingPhase};

/// Bits of a timer's key that name the instrument; the others count.
pub(crate) const KEY_SHIFT: u32 = 16;

/// What an exchange has: see the module. All of it is in a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct TradingState {
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
}

impl TradingState {
    /// Without instruments and accounts. Allocates what the rules ask for.
    ///
    /// # Errors
    ///
    /// A capacity of the rules is out of range.
    pub(crate) fn new(rules: Rules) -> Result<Self, RulesError> {
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
        })
    }

    pub(crate) fn account_slot(&self, account: u32) -> Option<u32> {
        self.account_index.get(u64::from(account), |slot| self.accounts[slot as usize].id == account)
    }

    pub(crate) fn instrument_of(&self, symbol: Symbol) -> Result<u16, OperatorRefusal> {
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

    pub(crate) fn next_number(&mut self) -> u64 {
        self.number_next += 1;
        self.number_next - 1
    }

    pub(crate) fn next_match(&mut self) -> u64 {
        self.match_next += 1;
        self.match_next - 1
    }

    pub(crate) fn next_timer(&mut self, instrument: u16) -> u64 {
        self.timer_next += 1;
        (self.timer_next - 1) << KEY_SHIFT | u64::from(instrument)
    }

    /// Adds a closed instrument without a reference price.
    pub(crate) fn push_instrument(&mut self, symbol: Symbol, tick: u32, lot: u32) {
        let (displayed, stops, market) = self.books.ladders();
        self.symbols.insert(symbol.key(), self.books.instruments.len() as u32);
        self.books.instruments.push(Instrument {
            symbol,
            tick,
            lot,
            reference: 0,
            static_bps: 0,
            dynamic_bps: 0,
            extended_bps: 0,
            last: 0,
            phase: TradingPhase::Closed,
            phase_timer: PendingTimer::default(),
            resume_ends_at_ns: 0,
            indicative_timer: PendingTimer::default(),
            displayed,
            stops,
            market,
        });
    }

    pub(crate) fn push_account(&mut self, account: Account) {
        self.account_index.insert(u64::from(account.id), self.accounts.len() as u32);
        self.accounts.push(account);
    }

    /// Puts the order of a slot into its book, and into the digest.
    pub(crate) fn put(&mut self, slot: u32) {
        self.books.push(slot);
        self.count(slot);
    }

    /// Takes the order of a slot out of its book, and out of the digest.
    pub(crate) fn pull(&mut self, slot: u32) {
        self.uncount(slot);
        self.books.remove(slot);
    }

    /// Adds a resting order to the digest: when it has come, and behind each change.
    pub(crate) fn count(&mut self, slot: u32) {
        let order = &self.books.orders[slot];
        self.sums.orders = self.sums.orders.wrapping_add(order_hash(self.account_id(order), order));
    }

    /// Takes a resting order out of the digest: before each change, and when it goes.
    pub(crate) fn uncount(&mut self, slot: u32) {
        let order = &self.books.orders[slot];
        self.sums.orders = self.sums.orders.wrapping_sub(order_hash(self.account_id(order), order));
    }

    /// Gives an order a slot, its token, and the last place in its account's list.
    pub(crate) fn register(&mut self, order: OrderSlot) -> u32 {
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
    pub(crate) fn unregister(&mut self, slot: u32) {
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

    /// Gives an order another token, and with it the last place in its account's list.
    pub(crate) fn rename(&mut self, slot: u32, token: u32) {
        self.uncount(slot);
        let order = self.books.orders[slot];
        let account = self.account_of(&order);
        self.tokens.remove(token_key(account, order.token), slot);
        self.tokens.insert(token_key(account, token), slot);
        self.books.orders[slot].token = token;
        self.count(slot);
        if order.account_next == NIL {
            return;
        }
        let account = &mut self.accounts[account as usize];
        self.books.orders[order.account_next].account_prev = order.account_prev;
        if order.account_prev == NIL {
            account.head = order.account_next;
        } else {
            self.books.orders[order.account_prev].account_next = order.account_next;
        }
        self.books.orders[account.tail].account_next = slot;
        let order = &mut self.books.orders[slot];
        (order.account_prev, order.account_next) = (account.tail, NIL);
        account.tail = slot;
    }

    /// Lowers an order's open quantity in its place; less than all of it. The displayed quantity that is
    /// gone.
    pub(crate) fn reduce_open(&mut self, slot: u32, less: u32) -> u32 {
        if less == 0 {
            return 0;
        }
        self.uncount(slot);
        self.books.reduce(slot, less);
        let order = &mut self.books.orders[slot];
        let displayed = order.displayed;
        order.displayed = displayed.min(order.remaining);
        let gone = displayed - order.displayed;
        let (position, side) = (order.position, order.side);
        self.count(slot);
        self.positions.cancel(position, side, less);
        gone
    }

    /// Adds a trade to those that can be busted; the oldest makes room.
    pub(crate) fn store_trade(&mut self, trade: Trade) {
        let added = self.trade_hash(&trade);
        let dropped = self.trades.push(trade).map_or(0, |trade| self.trade_hash(&trade));
        self.sums.trades = self.sums.trades.wrapping_sub(dropped).wrapping_add(added);
    }

    pub(crate) fn trade_hash(&self, trade: &Trade) -> u64 {
        trade_hash(trade.accounts.map(|slot| self.accounts[slot as usize].id), trade)
    }
}
