//! Read-only views: for queries, for snapshots of the book to late joiners, and for tests.

use super::state::TradingState;
use super::{Equilibrium, MatchingEngine};
use crate::book::{BookPart, OrderSlot};
use crate::digest::{Sums, order_hash};
use crate::output::{MarketEvent, PendingTimer, Sink};
use crate::types::{OrderKind, Side, Symbol, TradingPhase};

/// An order that rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookOrder {
    /// Its number on the market.
    pub number: u64,
    /// Its account.
    pub account: u32,
    /// The account's own number of it.
    pub token: u32,
    /// Its side.
    pub side: Side,
    /// Its price condition.
    pub kind: OrderKind,
    /// Limit price, or 0.
    pub price: u64,
    /// Stop price, or 0.
    pub stop_price: u64,
    /// Open quantity.
    pub remaining: u32,
    /// The part of it that is displayed.
    pub displayed: u32,
    /// Executed quantity, through all replacements.
    pub executed: u32,
}

/// A position that is not flat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OpenPosition {
    /// The account.
    pub account: u32,
    /// The instrument's number, from 1.
    pub locate: u16,
    /// Bought less sold.
    pub net: i64,
}

impl MatchingEngine {
    fn orders_of(&self, symbol: Symbol, side: Side, part: BookPart) -> impl Iterator<Item = BookOrder> {
        let slots = self.state.instrument_of(symbol).ok().into_iter();
        let slots = slots.flat_map(move |instrument| self.state.books.part(instrument, side, part));
        slots.map(|slot| self.state.book_order(&self.state.books.orders[slot]))
    }

    /// The displayed orders of one side, by priority; none of an unknown instrument.
    pub fn displayed_orders(&self, symbol: Symbol, side: Side) -> impl Iterator<Item = BookOrder> {
        self.orders_of(symbol, side, BookPart::Displayed)
    }

    /// The stop orders of one side that have not triggered, the next to trigger first.
    pub fn stop_orders(&self, symbol: Symbol, side: Side) -> impl Iterator<Item = BookOrder> {
        self.orders_of(symbol, side, BookPart::Stop)
    }

    /// The market orders of one side that wait for an auction.
    pub fn market_orders(&self, symbol: Symbol, side: Side) -> impl Iterator<Item = BookOrder> {
        self.orders_of(symbol, side, BookPart::Market)
    }

    /// The best displayed price of a side, with four decimals.
    pub fn best_price(&self, symbol: Symbol, side: Side) -> Option<u64> {
        let instrument = self.state.instrument_of(symbol).ok()?;
        self.state.books.best(instrument, side).map(|(price, _)| u64::from(price))
    }

    /// The phase of an instrument.
    pub fn phase_of(&self, symbol: Symbol) -> Option<TradingPhase> {
        self.state.instrument_of(symbol).ok().map(|instrument| self.state.books.phase(instrument))
    }

    /// The price of an instrument's last trade, with four decimals; none before the first.
    pub fn last_price(&self, symbol: Symbol) -> Option<u64> {
        let instrument = self.state.instrument_of(symbol).ok()?;
        let last = self.state.books.instruments[instrument as usize].last;
        (last != 0).then_some(u64::from(last))
    }

    /// The auction of an instrument as it would be now; none if nothing would trade.
    pub fn indicative(&self, symbol: Symbol) -> Option<Equilibrium> {
        self.state.books.equilibrium(self.state.instrument_of(symbol).ok()?)
    }

    /// All instruments, in the order of their numbers, which begin at 1.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.state.books.instruments.iter().map(|instrument| instrument.symbol)
    }

    /// The timers that the engine waits for: what a program that restores it asks its stream for again.
    pub fn pending_timers(&self) -> impl Iterator<Item = PendingTimer> {
        let timers =
            self.state.books.instruments.iter().flat_map(|book| [book.phase_timer, book.indicative_timer]);
        timers.filter(|timer| !timer.is_none())
    }

    /// Sends the market as it is to somebody who comes late, as GLIMPSE 5.0 does: each instrument with its
    /// phase, then its displayed orders, buyers first, each side by priority. A reader that applies these
    /// events, and then the events that follow this command, has the book.
    pub fn publish_market(&self, out: &mut impl Sink) {
        for (index, book) in self.state.books.instruments.iter().enumerate() {
            let (instrument, symbol) = (index as u16, book.symbol);
            out.market(MarketEvent::Directory { locate: instrument + 1, symbol, lot: book.lot });
            self.state.books.publish_phase(instrument, false, out);
            for side in [Side::Buy, Side::Sell] {
                for slot in self.state.books.part(instrument, side, BookPart::Displayed) {
                    out.market(self.state.books.added(&self.state.books.orders[slot]));
                }
            }
        }
    }

    /// All accounts, in the order of their definition.
    pub fn account_ids(&self) -> impl Iterator<Item = u32> {
        self.state.accounts.iter().map(|account| account.id)
    }

    /// Whether there is such an account.
    pub fn has_account(&self, account: u32) -> bool {
        self.state.account_slot(account).is_some()
    }

    /// The resting order of an account with this token.
    pub fn order_of(&self, account: u32, token: u32) -> Option<BookOrder> {
        let slot = self.state.order_slot(self.state.account_slot(account)?, token)?;
        Some(self.state.book_order(&self.state.books.orders[slot]))
    }

    /// The lowest token that an account may use next (OUCH 5.0's Account Query).
    pub fn next_token(&self, account: u32) -> Option<u32> {
        let slot = self.state.account_slot(account)?;
        self.state.accounts[slot as usize].token_last.checked_add(1)
    }

    /// An account's position in an instrument: bought less sold.
    pub fn position(&self, account: u32, symbol: Symbol) -> i64 {
        let slot = self.state.account_slot(account).zip(self.state.instrument_of(symbol).ok());
        let slot = slot.and_then(|(account, instrument)| self.state.positions.find(account, instrument));
        slot.map_or(0, |slot| self.state.positions.slots[slot].net)
    }

    /// All positions that are not flat, by account and instrument.
    pub fn open_positions(&self) -> Vec<OpenPosition> {
        self.state.open_positions()
    }

    /// How many orders rest.
    pub fn open_orders(&self) -> usize {
        self.state.books.orders.len()
    }

    /// Checks what must hold between two commands: no quantity is lost between orders, levels and positions,
    /// queues are in order, and no book is crossed in continuous trading. For tests and simulations; it reads
    /// the whole state.
    ///
    /// # Panics
    ///
    /// Names the first thing that does not hold.
    pub fn assert_invariants(&self) {
        let mut open = std::collections::BTreeMap::<u32, [u64; 2]>::new();
        let mut orders = 0;
        for (index, instrument) in self.state.books.instruments.iter().enumerate() {
            let index = index as u16;
            for side in [Side::Buy, Side::Sell] {
                for part in [BookPart::Displayed, BookPart::Stop, BookPart::Market] {
                    orders += self.state.assert_part(index, side, part, &mut open);
                }
            }
            let best = [Side::Buy, Side::Sell].map(|side| self.state.books.best(index, side));
            if let [Some((bid, _)), Some((ask, _))] = best {
                let is_crossed = instrument.phase == TradingPhase::Continuous && bid >= ask;
                assert!(!is_crossed, "{:?} is crossed: {bid} bid, {ask} asked", instrument.symbol);
            }
            let is_continuous = instrument.phase == TradingPhase::Continuous;
            let waiting = instrument.market.iter().any(|level| self.state.books.levels[*level].open > 0);
            assert!(!(is_continuous && waiting), "{:?}: market orders rest", instrument.symbol);
        }
        assert_eq!(orders, self.state.books.orders.len(), "orders that rest, and slots in use");
        let listed: u32 = self.state.accounts.iter().map(|account| account.open_orders).sum();
        assert_eq!(listed as usize, orders, "orders that accounts have, and that rest");
        for (slot, open) in open {
            assert_eq!(self.state.positions.slots[slot].open, open, "open quantity of a position");
        }
        assert_eq!(self.state.recomputed_sums(), self.state.sums, "what the digest has, and the state");
    }
}

impl TradingState {
    fn book_order(&self, order: &OrderSlot) -> BookOrder {
        BookOrder {
            number: order.number,
            account: self.account_id(order),
            token: order.token,
            side: order.side,
            kind: order.kind,
            price: u64::from(order.price),
            stop_price: u64::from(order.stop()),
            remaining: order.remaining,
            displayed: order.displayed,
            executed: order.executed,
        }
    }

    /// All positions that are not flat, by account and instrument.
    pub(crate) fn open_positions(&self) -> Vec<OpenPosition> {
        let mut positions = Vec::with_capacity(self.positions.slots.len());
        for position in self.positions.iter().filter(|position| position.net != 0) {
            let account = self.accounts[position.account as usize].id;
            positions.push(OpenPosition { account, locate: position.instrument + 1, net: position.net });
        }
        positions.sort_unstable();
        positions
    }

    fn recomputed_sums(&self) -> Sums {
        let mut sums = Sums::default();
        for index in 0..self.books.instruments.len() as u16 {
            for side in [Side::Buy, Side::Sell] {
                for part in [BookPart::Displayed, BookPart::Stop, BookPart::Market] {
                    for slot in self.books.part(index, side, part) {
                        let order = &self.books.orders[slot];
                        let hash = order_hash(self.account_id(order), order);
                        sums.orders = sums.orders.wrapping_add(hash);
                    }
                }
            }
        }
        for OpenPosition { account, locate, net } in self.open_positions() {
            sums.move_position(account, locate - 1, 0, net);
        }
        for trade in self.trades.iter() {
            sums.trades = sums.trades.wrapping_add(self.trade_hash(trade));
        }
        sums
    }

    fn assert_part(
        &self,
        instrument: u16,
        side: Side,
        part: BookPart,
        open: &mut std::collections::BTreeMap<u32, [u64; 2]>,
    ) -> usize {
        let mut orders = 0;
        let (mut level, mut number, mut sum) = (crate::slab::NIL, 0, 0_u64);
        for slot in self.books.part(instrument, side, part) {
            let order = &self.books.orders[slot];
            orders += 1;
            if order.level != level {
                (level, number, sum) = (order.level, 0, 0);
            }
            assert!(order.number > number, "order {} stands behind {number}", order.number);
            number = order.number;
            sum += u64::from(order.remaining);
            let is_last = self.books.levels[level].tail == slot;
            assert!(!is_last || self.books.levels[level].open == sum, "open quantity of a level");
            assert!(order.remaining > 0 && order.displayed <= order.remaining, "order {number} is empty");
            assert_eq!(order.displayed > 0, part == BookPart::Displayed, "order {number} displays");
            assert_eq!((order.side, order.part()), (side, part), "order {number} on its part");
            open.entry(order.position).or_default()[side as usize] += u64::from(order.remaining);
        }
        orders
    }
}
