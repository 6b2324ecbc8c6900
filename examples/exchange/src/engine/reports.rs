//! What happens to an order in its place, and what its owner and the market learn of it: reports go to one
//! account, market events to all.

use super::state::TradingState;
use crate::book::{Books, OrderSlot};
use crate::output::{CancelReason, Liquidity, MarketEvent, OrderReport, OrderTerms, Sink};
use crate::types::SelfMatch;

impl Books {
    pub(crate) fn added(&self, order: &OrderSlot) -> MarketEvent {
        MarketEvent::Added {
            locate: order.instrument + 1,
            number: order.number,
            side: order.side,
            quantity: order.displayed,
            symbol: self.instruments[order.instrument as usize].symbol,
            price: u64::from(order.price),
        }
    }

    pub(crate) fn publish_phase(&self, instrument: u16, is_extended: bool, out: &mut impl Sink) {
        let book = &self.instruments[instrument as usize];
        let (symbol, phase) = (book.symbol, book.phase);
        out.market(MarketEvent::TradingAction { locate: instrument + 1, symbol, phase, is_extended });
    }
}

impl TradingState {
    pub(crate) fn terms(&self, order: &OrderSlot) -> OrderTerms {
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

    pub(crate) fn report_canceled(
        &self,
        order: &OrderSlot,
        quantity: u32,
        reason: CancelReason,
        out: &mut impl Sink,
    ) {
        let account = self.account_id(order);
        out.report(OrderReport::Canceled { account, token: order.token, quantity, reason });
    }

    /// Cancels a resting order, whole.
    pub(crate) fn cancel_resting(&mut self, slot: u32, reason: CancelReason, out: &mut impl Sink) {
        let order = self.books.orders[slot];
        self.report_canceled(&order, order.remaining, reason, out);
        if order.displayed > 0 {
            out.market(MarketEvent::Deleted { locate: order.instrument + 1, number: order.number });
        }
        self.pull(slot);
        self.positions.cancel(order.position, order.side, order.remaining);
        self.unregister(slot);
    }

    /// An iceberg whose displayed part is gone displays another one, behind all others at its price. The
    /// caller counts it.
    pub(crate) fn refresh(&mut self, slot: u32, out: &mut impl Sink) {
        let number = self.next_number();
        let order = &mut self.books.orders[slot];
        order.number = number;
        order.displayed = order.fresh_display();
        let order = *order;
        self.books.requeue(slot);
        let account = self.account_id(&order);
        let (token, displayed) = (order.token, order.displayed);
        out.report(OrderReport::Restated { account, token, number, displayed });
        out.market(self.books.added(&order));
    }

    pub(crate) fn report_executed(
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

    /// Cancels what is left of an order that has not come to rest.
    pub(crate) fn cancel_arriving(
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

    /// Puts an order into the book.
    pub(crate) fn rest(
        &mut self,
        mut order: OrderSlot,
        slot: Option<u32>,
        is_shown: bool,
        out: &mut impl Sink,
    ) {
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
            out.market(self.books.added(&order));
        }
    }

    /// Behind a change of an order that is not counted: removes it if it has nothing left, refreshes an
    /// iceberg that displays nothing, and counts what rests.
    pub(crate) fn after_reduction(&mut self, slot: u32, out: &mut impl Sink) {
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
    pub(crate) fn self_match(&mut self, order: &mut OrderSlot, resting: u32, out: &mut impl Sink) -> bool {
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
    pub(crate) fn decrement(&mut self, order: &mut OrderSlot, resting: u32, out: &mut impl Sink) {
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
}
