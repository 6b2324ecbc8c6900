//! # arrive: what an accepted order does
//!
//! ```text
//!   launch ──stop not reached──▶ rests on its stop price ──a trade reaches it──▶ activate ─┐
//!     │                                                                                    │
//!     ├──call phase──▶ rests                                    ┌──────────────────────────┘
//!     └──continuous──▶ take: sweep the other side ◀─────────────┘
//!                        ├─ filled
//!                        ├─ nothing more at its price ──▶ a limit of the day rests, the others are canceled
//!                        ├─ met its own account ────────▶ by its self-match choice
//!                        └─ next price beyond the band ─▶ volatility interruption; orders of the day rest
//! ```
//!
//! The dynamic band is fixed when the sweep begins, around the last price before it: an order's own trades do
//! not move the band that it is measured with. Stop orders are looked for when the sweep is over. Those that
//! triggered together go in the order of their numbers, behind those that triggered before.

use super::{MatchingEngine, band, reaches};
use crate::book::{BookPart, OrderSlot};
use crate::digest::trade_hash;
use crate::output::{CancelReason, Liquidity, MarketEvent, OrderReport, Sink};
use crate::trades::Trade;
use crate::types::{OrderKind, PhaseEnd, SelfMatch, Side, TimeInForce, TradingPhase};

/// Why a sweep is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SweepEnd {
    Filled,
    /// No more orders at a price that the limit allows.
    Exhausted,
    /// The rest is canceled, as it met its own account.
    SelfMatched,
    /// The next price lies beyond the dynamic band.
    Interrupted,
}

impl MatchingEngine {
    /// Sends an accepted order on its way. `is_shown`: its place in the book is published already.
    pub(super) fn launch(&mut self, order: OrderSlot, is_shown: bool, now_ns: u64, out: &mut impl Sink) {
        let instrument = order.instrument;
        if order.kind.is_stop() {
            let slot = self.register(order);
            if self.is_reached(&order) {
                self.triggered.push_back(slot);
            } else {
                self.put(slot);
            }
        } else if self.phase(instrument) == TradingPhase::Continuous {
            self.take(order, None, is_shown, now_ns, out);
        } else {
            self.rest(order, None, is_shown, out);
        }
        self.run_triggers(instrument, now_ns, out);
    }

    /// Whether the last price has reached a stop order that arrives in continuous trading.
    fn is_reached(&self, order: &OrderSlot) -> bool {
        let instrument = &self.books.instruments[order.instrument as usize];
        let has_traded = instrument.phase == TradingPhase::Continuous && instrument.last != 0;
        has_traded && reaches(order.side.opposite(), order.stop(), instrument.last)
    }

    /// Matches an order in continuous trading. `slot` is its slot if it is registered, as a stop order is.
    fn take(
        &mut self,
        mut order: OrderSlot,
        slot: Option<u32>,
        is_shown: bool,
        now_ns: u64,
        out: &mut impl Sink,
    ) {
        if order.time_in_force == TimeInForce::Fok && !self.is_fillable(&order) {
            return self.cancel_arriving(&order, slot, CancelReason::FillOrKill, out);
        }
        let end = self.sweep(&mut order, out);
        if end == SweepEnd::Interrupted {
            let (phase, ends) =
                (TradingPhase::VolatilityInterruption, PhaseEnd::After(self.rules.volatility_ns));
            self.begin_phase(order.instrument, phase, ends, now_ns, out);
        }
        let rests = order.time_in_force == TimeInForce::Day;
        match end {
            SweepEnd::Filled => {
                if let Some(slot) = slot {
                    self.unregister(slot);
                }
            }
            SweepEnd::SelfMatched => self.cancel_arriving(&order, slot, CancelReason::SelfMatch, out),
            SweepEnd::Interrupted if rests => self.rest(order, slot, is_shown, out),
            SweepEnd::Exhausted if rests && order.kind == OrderKind::Limit => {
                self.rest(order, slot, is_shown, out);
            }
            SweepEnd::Exhausted | SweepEnd::Interrupted => {
                let is_market = order.kind == OrderKind::Market && rests;
                let reason =
                    if is_market { CancelReason::NoLiquidity } else { CancelReason::ImmediateOrCancel };
                self.cancel_arriving(&order, slot, reason, out);
            }
        }
    }

    /// Puts an order into the book.
    fn rest(&mut self, mut order: OrderSlot, slot: Option<u32>, is_shown: bool, out: &mut impl Sink) {
        order.displayed = order.fresh_display();
        let slot = match slot {
            None => self.register(order),
            Some(slot) => {
                // The account's list may have changed while the order swept.
                let resting = &mut self.books.orders[slot];
                (order.account_prev, order.account_next) = (resting.account_prev, resting.account_next);
                *resting = order;
                slot
            }
        };
        self.put(slot);
        if order.displayed > 0 && !is_shown {
            out.market(self.added(&order));
        }
    }

    /// Cancels what is left of an order that has not come to rest.
    fn cancel_arriving(
        &mut self,
        order: &OrderSlot,
        slot: Option<u32>,
        reason: CancelReason,
        out: &mut impl Sink,
    ) {
        self.report_canceled(order, order.remaining, reason, out);
        self.positions.cancel(order.position, order.side, order.remaining);
        if let Some(slot) = slot {
            self.unregister(slot);
        }
    }

    // ------------------------------------------------------------------------ matching

    /// Lowest and highest price of the dynamic band.
    fn corridor(&self, instrument: u16) -> (u64, u64) {
        let instrument = &self.books.instruments[instrument as usize];
        let around = instrument.dynamic_reference();
        match instrument.dynamic_bps {
            0 => (0, u64::MAX),
            bps => {
                let width = band(around, bps);
                (u64::from(around).saturating_sub(width), u64::from(around) + width)
            }
        }
    }

    /// Trades with the other side, the best price first and the first in its queue first.
    fn sweep(&mut self, order: &mut OrderSlot, out: &mut impl Sink) -> SweepEnd {
        let (lowest, highest) = self.corridor(order.instrument);
        let other = order.side.opposite();
        while order.remaining > 0 {
            let Some((price, level)) = self.books.best(order.instrument, other) else {
                return SweepEnd::Exhausted;
            };
            if order.kind == OrderKind::Limit && !reaches(order.side, order.price, price) {
                return SweepEnd::Exhausted;
            }
            if !(lowest..=highest).contains(&u64::from(price)) {
                return SweepEnd::Interrupted;
            }
            let resting = self.books.levels[level].head;
            let is_own = self.books.orders[resting].position == order.position;
            if is_own && order.self_match != SelfMatch::Allow {
                if self.self_match(order, resting, out) {
                    return SweepEnd::SelfMatched;
                }
            } else {
                self.execute(order, resting, price, out);
            }
        }
        SweepEnd::Filled
    }

    /// One trade between an arriving order and the displayed part of a resting one.
    fn execute(&mut self, order: &mut OrderSlot, resting: u32, price: u32, out: &mut impl Sink) {
        self.uncount(resting);
        let other = &mut self.books.orders[resting];
        let quantity = other.displayed.min(order.remaining);
        other.displayed -= quantity;
        other.executed += quantity;
        order.remaining -= quantity;
        order.executed += quantity;
        self.books.reduce(resting, quantity);
        let other = self.books.orders[resting];
        let match_number = match order.side {
            Side::Buy => self.record(order, &other, quantity, price),
            Side::Sell => self.record(&other, order, quantity, price),
        };
        for (party, liquidity) in [(&other, Liquidity::Added), (&*order, Liquidity::Removed)] {
            self.report_executed(party, quantity, price, liquidity, match_number, out);
        }
        let (locate, number) = (other.instrument + 1, other.number);
        out.market(MarketEvent::Executed { locate, number, quantity, match_number });
        self.after_reduction(resting, out);
    }

    /// Writes a trade down: its number, both positions, the last price.
    pub(super) fn record(&mut self, buy: &OrderSlot, sell: &OrderSlot, quantity: u32, price: u32) -> u64 {
        let match_number = self.next_match();
        self.store_trade(Trade {
            match_number,
            instrument: buy.instrument,
            quantity,
            accounts: [self.account_of(buy), self.account_of(sell)],
            tokens: [buy.token, sell.token],
            is_busted: false,
        });
        for order in [buy, sell] {
            let (slot, account) = (order.position, self.account_id(order));
            let before = self.positions.slots[slot].net;
            let after = self.positions.fill(slot, order.side, quantity);
            self.sums.move_position(account, order.instrument, before, after);
        }
        self.books.instruments[buy.instrument as usize].last = price;
        let (lowest, highest) = self.traded.unwrap_or((price, price));
        self.traded = Some((lowest.min(price), highest.max(price)));
        match_number
    }

    /// Adds a trade to those that can be busted; the oldest makes room.
    pub(crate) fn store_trade(&mut self, trade: Trade) {
        let added = self.trade_hash(&trade);
        let dropped = self.trades.push(trade).map_or(0, |trade| self.trade_hash(&trade));
        self.sums.trades = self.sums.trades.wrapping_sub(dropped).wrapping_add(added);
    }

    pub(super) fn trade_hash(&self, trade: &Trade) -> u64 {
        trade_hash(trade.accounts.map(|slot| self.accounts[slot as usize].id), trade)
    }

    pub(super) fn report_executed(
        &self,
        order: &OrderSlot,
        quantity: u32,
        price: u32,
        liquidity: Liquidity,
        match_number: u64,
        out: &mut impl Sink,
    ) {
        let account = self.account_id(order);
        let (token, price) = (order.token, u64::from(price));
        out.report(OrderReport::Executed { account, token, quantity, price, liquidity, match_number });
    }

    /// Behind a change of an order that is not counted: removes it if it has nothing left, refreshes an
    /// iceberg that displays nothing, and counts what rests.
    fn after_reduction(&mut self, slot: u32, out: &mut impl Sink) {
        let order = &self.books.orders[slot];
        if order.remaining == 0 {
            self.books.remove(slot);
            self.unregister(slot);
            return;
        }
        if order.displayed == 0 {
            self.refresh(slot, out);
        }
        self.count(slot);
    }

    /// An arriving order meets one of its own account. Whether its rest is to be canceled.
    fn self_match(&mut self, order: &mut OrderSlot, resting: u32, out: &mut impl Sink) -> bool {
        match order.self_match {
            SelfMatch::Allow => false,
            SelfMatch::CancelNewest => true,
            SelfMatch::CancelOldest => {
                self.cancel_resting(resting, CancelReason::SelfMatch, out);
                false
            }
            SelfMatch::CancelBoth => {
                self.cancel_resting(resting, CancelReason::SelfMatch, out);
                true
            }
            SelfMatch::Decrement => {
                self.decrement(order, resting, out);
                false
            }
        }
    }

    /// Takes the smaller quantity from both, without a trade.
    fn decrement(&mut self, order: &mut OrderSlot, resting: u32, out: &mut impl Sink) {
        self.uncount(resting);
        let other = &mut self.books.orders[resting];
        let quantity = other.displayed.min(order.remaining);
        other.displayed -= quantity;
        order.remaining -= quantity;
        self.books.reduce(resting, quantity);
        let other = self.books.orders[resting];
        for party in [&other, &*order] {
            self.report_canceled(party, quantity, CancelReason::SelfMatch, out);
            self.positions.cancel(party.position, party.side, quantity);
        }
        let (locate, number) = (other.instrument + 1, other.number);
        out.market(match other.displayed {
            0 => MarketEvent::Deleted { locate, number },
            _ => MarketEvent::Reduced { locate, number, quantity },
        });
        self.after_reduction(resting, out);
    }

    /// Whether a fill-or-kill order would be filled whole, within its limit and the dynamic band. An order of
    /// its own account ends the count where it would end the sweep, and is passed where it would be canceled.
    fn is_fillable(&self, order: &OrderSlot) -> bool {
        let (lowest, highest) = self.corridor(order.instrument);
        let ladder =
            &self.books.instruments[order.instrument as usize].displayed[order.side.opposite() as usize];
        let mut missing = u64::from(order.remaining);
        for (price, level) in ladder.iter() {
            let is_beyond = order.kind == OrderKind::Limit && !reaches(order.side, order.price, price);
            if is_beyond || !(lowest..=highest).contains(&u64::from(price)) {
                return false;
            }
            let (mut displayed, mut open) = (0_u64, 0_u64);
            for slot in self.books.queue(level) {
                let other = &self.books.orders[slot];
                let is_own = other.position == order.position && order.self_match != SelfMatch::Allow;
                if is_own && order.self_match == SelfMatch::CancelOldest {
                    continue;
                }
                if is_own {
                    return displayed >= missing;
                }
                displayed += u64::from(other.displayed);
                open += u64::from(other.remaining);
                if displayed >= missing {
                    return true;
                }
            }
            if open >= missing {
                return true;
            }
            missing -= open;
        }
        false
    }

    // ------------------------------------------------------------------------ stop orders

    /// Activates the stop orders that trades have reached, and those that their trades reach in turn.
    pub(super) fn run_triggers(&mut self, instrument: u16, now_ns: u64, out: &mut impl Sink) {
        loop {
            self.gather(instrument);
            let Some(slot) = self.triggered.pop_front() else { break };
            self.activate(slot, now_ns, out);
        }
    }

    /// Takes the stop orders that a traded price has reached off their ladders.
    fn gather(&mut self, instrument: u16) {
        let Some((lowest, highest)) = self.traded.take() else { return };
        for (side, price) in [(Side::Buy, highest), (Side::Sell, lowest)] {
            while let Some((stop, level)) =
                self.books.instruments[instrument as usize].stops[side as usize].best()
            {
                if !reaches(side.opposite(), stop, price) {
                    break;
                }
                let slot = self.books.levels[level].head;
                debug_assert_eq!(self.books.orders[slot].part(), BookPart::Stop);
                self.pull(slot);
                self.batch.push(slot);
            }
        }
        let orders = &self.books.orders;
        self.batch.sort_unstable_by_key(|&slot| orders[slot].number);
        self.triggered.extend(self.batch.drain(..));
    }

    /// A stop order becomes a limit or market order, with a new number.
    fn activate(&mut self, slot: u32, now_ns: u64, out: &mut impl Sink) {
        let number = self.next_number();
        let mut order = self.books.orders[slot];
        (order.number, order.kind, order.stop_or_display) = (number, order.kind.triggered(), 0);
        let (account, token) = (self.account_id(&order), order.token);
        out.report(OrderReport::Triggered { account, token, number });
        if self.phase(order.instrument) == TradingPhase::Continuous {
            self.take(order, Some(slot), false, now_ns, out);
        } else {
            self.rest(order, Some(slot), false, out);
        }
    }
}
