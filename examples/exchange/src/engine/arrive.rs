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
use crate::book::{BookPart, Books, Instrument, OrderSlot};
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
            let slot = self.state.register(order);
            if self.state.books.instruments[instrument as usize].has_reached(&order) {
                self.triggered.push_back(slot);
            } else {
                self.state.put(slot);
            }
        } else if self.state.books.phase(instrument) == TradingPhase::Continuous {
            self.take(order, None, is_shown, now_ns, out);
        } else {
            self.state.rest(order, None, is_shown, out);
        }
        self.run_triggers(instrument, now_ns, out);
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
        if order.time_in_force == TimeInForce::Fok && !self.state.books.is_fillable(&order) {
            return self.state.cancel_arriving(&order, slot, CancelReason::FillOrKill, out);
        }
        let end = self.sweep(&mut order, out);
        if end == SweepEnd::Interrupted {
            let (phase, ends) =
                (TradingPhase::VolatilityInterruption, PhaseEnd::After(self.state.rules.volatility_ns));
            self.begin_phase(order.instrument, phase, ends, now_ns, out);
        }
        let rests = order.time_in_force == TimeInForce::Day;
        match end {
            SweepEnd::Filled => {
                if let Some(slot) = slot {
                    self.state.unregister(slot);
                }
            }
            SweepEnd::SelfMatched => self.state.cancel_arriving(&order, slot, CancelReason::SelfMatch, out),
            SweepEnd::Interrupted if rests => self.state.rest(order, slot, is_shown, out),
            SweepEnd::Exhausted if rests && order.kind == OrderKind::Limit => {
                self.state.rest(order, slot, is_shown, out);
            }
            SweepEnd::Exhausted | SweepEnd::Interrupted => {
                let is_market = order.kind == OrderKind::Market && rests;
                let reason =
                    if is_market { CancelReason::NoLiquidity } else { CancelReason::ImmediateOrCancel };
                self.state.cancel_arriving(&order, slot, reason, out);
            }
        }
    }

    // ------------------------------------------------------------------------ matching

    /// Trades with the other side, the best price first and the first in its queue first.
    fn sweep(&mut self, order: &mut OrderSlot, out: &mut impl Sink) -> SweepEnd {
        let (lowest, highest) = self.state.books.instruments[order.instrument as usize].corridor();
        let other = order.side.opposite();
        while order.remaining > 0 {
            let Some((price, level)) = self.state.books.best(order.instrument, other) else {
                return SweepEnd::Exhausted;
            };
            if order.kind == OrderKind::Limit && !reaches(order.side, order.price, price) {
                return SweepEnd::Exhausted;
            }
            if !(lowest..=highest).contains(&u64::from(price)) {
                return SweepEnd::Interrupted;
            }
            let resting = self.state.books.levels[level].head;
            let is_own = self.state.books.orders[resting].position == order.position;
            if is_own && order.self_match != SelfMatch::Allow {
                if self.state.self_match(order, resting, out) {
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
        self.state.uncount(resting);
        let other = &mut self.state.books.orders[resting];
        let quantity = other.displayed.min(order.remaining);
        other.displayed -= quantity;
        other.executed += quantity;
        order.remaining -= quantity;
        order.executed += quantity;
        self.state.books.reduce(resting, quantity);
        let other = self.state.books.orders[resting];
        let match_number = match order.side {
            Side::Buy => self.record(order, &other, quantity, price),
            Side::Sell => self.record(&other, order, quantity, price),
        };
        for (party, liquidity) in [(&other, Liquidity::Added), (&*order, Liquidity::Removed)] {
            self.state.report_executed(party, quantity, price, liquidity, match_number, out);
        }
        let (locate, number) = (other.instrument + 1, other.number);
        out.market(MarketEvent::Executed { locate, number, quantity, match_number });
        self.state.after_reduction(resting, out);
    }

    /// Writes a trade down: its number, both positions, the last price.
    pub(super) fn record(&mut self, buy: &OrderSlot, sell: &OrderSlot, quantity: u32, price: u32) -> u64 {
        let match_number = self.state.next_match();
        self.state.store_trade(Trade {
            match_number,
            instrument: buy.instrument,
            quantity,
            accounts: [self.state.account_of(buy), self.state.account_of(sell)],
            tokens: [buy.token, sell.token],
            is_busted: false,
        });
        for order in [buy, sell] {
            let (slot, account) = (order.position, self.state.account_id(order));
            let before = self.state.positions.slots[slot].net;
            let after = self.state.positions.fill(slot, order.side, quantity);
            self.state.sums.move_position(account, order.instrument, before, after);
        }
        self.state.books.instruments[buy.instrument as usize].last = price;
        let (lowest, highest) = self.traded.unwrap_or((price, price));
        self.traded = Some((lowest.min(price), highest.max(price)));
        match_number
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
                self.state.books.instruments[instrument as usize].stops[side as usize].best()
            {
                if !reaches(side.opposite(), stop, price) {
                    break;
                }
                let slot = self.state.books.levels[level].head;
                debug_assert_eq!(self.state.books.orders[slot].part(), BookPart::Stop);
                self.state.pull(slot);
                self.batch.push(slot);
            }
        }
        let orders = &self.state.books.orders;
        self.batch.sort_unstable_by_key(|&slot| orders[slot].number);
        self.triggered.extend(self.batch.drain(..));
    }

    /// A stop order becomes a limit or market order, with a new number.
    fn activate(&mut self, slot: u32, now_ns: u64, out: &mut impl Sink) {
        let number = self.state.next_number();
        let mut order = self.state.books.orders[slot];
        (order.number, order.kind, order.stop_or_display) = (number, order.kind.triggered(), 0);
        let (account, token) = (self.state.account_id(&order), order.token);
        out.report(OrderReport::Triggered { account, token, number });
        if self.state.books.phase(order.instrument) == TradingPhase::Continuous {
            self.take(order, Some(slot), false, now_ns, out);
        } else {
            self.state.rest(order, Some(slot), false, out);
        }
    }
}

impl Instrument {
    /// Whether the last price has reached a stop order that arrives in continuous trading.
    fn has_reached(&self, order: &OrderSlot) -> bool {
        let has_traded = self.phase == TradingPhase::Continuous && self.last != 0;
        has_traded && reaches(order.side.opposite(), order.stop(), self.last)
    }

    /// Lowest and highest price of the dynamic band.
    fn corridor(&self) -> (u64, u64) {
        let around = self.dynamic_reference();
        match self.dynamic_bps {
            0 => (0, u64::MAX),
            bps => {
                let width = band(around, bps);
                (u64::from(around).saturating_sub(width), u64::from(around) + width)
            }
        }
    }
}

impl Books {
    /// Whether a fill-or-kill order would be filled whole, within its limit and the dynamic band. An order of
    /// its own account ends the count where it would end the sweep, and is passed where it would be canceled.
    fn is_fillable(&self, order: &OrderSlot) -> bool {
        let (lowest, highest) = self.instruments[order.instrument as usize].corridor();
        let ladder = &self.instruments[order.instrument as usize].displayed[order.side.opposite() as usize];
        let mut missing = u64::from(order.remaining);
        for (price, level) in ladder.iter() {
            let is_beyond = order.kind == OrderKind::Limit && !reaches(order.side, order.price, price);
            if is_beyond || !(lowest..=highest).contains(&u64::from(price)) {
                return false;
            }
            let (mut displayed, mut open) = (0_u64, 0_u64);
            for slot in self.queue(level) {
                let other = &self.orders[slot];
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
}
