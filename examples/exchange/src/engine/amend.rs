//! # amend: replace and cancel
//!
//! A replacement keeps its place in the queue if price, stop price and display stay and its open quantity
//! does not rise. Every other one is a new order in the place of the old one, with a new number. Less
//! quantity comes off the hidden part of an iceberg first.

use super::MatchingEngine;
use super::enter::Terms;
use super::state::TradingState;
use crate::accounts::Exposure;
use crate::book::OrderSlot;
use crate::command::OrderReplacement;
use crate::output::{CancelReason, MarketEvent, OperatorRefusal, OrderReport, RejectionReason, Sink};
use crate::slab::NIL;
use crate::types::{Side, Symbol, TradingPhase};

/// What a replacement comes to.
enum Amendment {
    /// The order is canceled: it has executed as much as the new quantity.
    Nothing,
    /// It stays in its place, less by this quantity.
    Reduce(u32),
    /// It leaves its place; the new state.
    Requeue(OrderSlot),
}

impl MatchingEngine {
    pub(super) fn replace(&mut self, new: &OrderReplacement, now_ns: u64, out: &mut impl Sink) {
        let OrderReplacement { account, token, .. } = *new;
        let Some(account_slot) = self.state.account_slot(account) else {
            let reason = RejectionReason::UnknownAccount;
            return out.report(OrderReport::Rejected { account, token, reason });
        };
        let admitted = self.state.admit(account_slot, token, now_ns);
        let amendment = admitted.and_then(|()| {
            let slot = self.state.order_slot(account_slot, new.original);
            let slot = slot.ok_or(RejectionReason::UnknownOrder)?;
            Ok((slot, self.state.check_replacement(slot, new)?))
        });
        match amendment {
            Err(reason) => out.report(OrderReport::Rejected { account, token, reason }),
            Ok((slot, Amendment::Nothing)) => {
                self.state.cancel_resting(slot, CancelReason::ReplacedToNothing, out);
            }
            Ok((slot, Amendment::Reduce(less))) => self.replace_in_place(slot, token, less, out),
            Ok((slot, Amendment::Requeue(order))) => self.requeue_as(slot, order, now_ns, out),
        }
    }

    fn replace_in_place(&mut self, slot: u32, token: u32, less: u32, out: &mut impl Sink) {
        let original = self.state.books.orders[slot].token;
        self.state.rename(slot, token);
        let gone = self.state.reduce_open(slot, less);
        let order = self.state.books.orders[slot];
        out.report(OrderReport::Replaced {
            account: self.state.account_id(&order),
            token,
            original,
            terms: self.state.terms(&order),
            keeps_priority: true,
        });
        publish_reduction(&order, gone, out);
    }

    /// Takes an order out and sends its new state on its way.
    fn requeue_as(&mut self, slot: u32, mut order: OrderSlot, now_ns: u64, out: &mut impl Sink) {
        let old = self.state.books.orders[slot];
        order.number = self.state.next_number();
        out.report(OrderReport::Replaced {
            account: self.state.account_id(&old),
            token: order.token,
            original: old.token,
            terms: self.state.terms(&order),
            keeps_priority: false,
        });
        let (locate, original) = (old.instrument + 1, old.number);
        let is_displayed = old.displayed > 0;
        let is_continuous = self.state.books.phase(old.instrument) == TradingPhase::Continuous;
        let executes = is_continuous && self.state.books.crosses(old.instrument, order.side, order.price);
        let is_shown = is_displayed && !executes;
        if is_shown {
            let (number, price) = (order.number, u64::from(order.price));
            let quantity = order.fresh_display();
            out.market(MarketEvent::Replaced { locate, original, number, quantity, price });
        } else if is_displayed {
            out.market(MarketEvent::Deleted { locate, number: original });
        }
        self.state.pull(slot);
        self.state.unregister(slot);
        self.state.positions.open(order.position, order.side, order.remaining);
        self.state.positions.cancel(order.position, order.side, old.remaining);
        order.displayed = 0;
        self.launch(order, is_shown, now_ns, out);
    }

    // ------------------------------------------------------------------------ cancel

    pub(super) fn cancel(&mut self, account: u32, token: u32, quantity: u32, out: &mut impl Sink) {
        let found = self.state.account_slot(account).ok_or(RejectionReason::UnknownAccount);
        let found = found.and_then(|slot| {
            let order = self.state.order_slot(slot, token).ok_or(RejectionReason::UnknownOrder)?;
            Ok((order, self.state.check_cancel(order, quantity)?))
        });
        match found {
            Err(reason) => out.report(OrderReport::CancelRejected { account, token, reason }),
            Ok((slot, less)) if less == self.state.books.orders[slot].remaining => {
                self.state.cancel_resting(slot, CancelReason::Requested, out);
            }
            Ok((slot, less)) => {
                let gone = self.state.reduce_open(slot, less);
                let order = self.state.books.orders[slot];
                self.state.report_canceled(&order, less, CancelReason::Requested, out);
                publish_reduction(&order, gone, out);
            }
        }
    }

    pub(super) fn mass_cancel(
        &mut self,
        account: u32,
        symbol: Option<Symbol>,
        side: Option<Side>,
        out: &mut impl Sink,
    ) {
        let token = 0;
        let Some(slot) = self.state.account_slot(account) else {
            let reason = RejectionReason::UnknownAccount;
            return out.report(OrderReport::CancelRejected { account, token, reason });
        };
        let instrument = symbol.map(|symbol| self.state.instrument_of(symbol));
        let orders = match instrument {
            Some(Err(_)) => {
                let reason = RejectionReason::UnknownInstrument;
                return out.report(OrderReport::CancelRejected { account, token, reason });
            }
            Some(Ok(instrument)) => {
                self.cancel_account(slot, Some(instrument), side, CancelReason::MassCancel, out)
            }
            None => self.cancel_account(slot, None, side, CancelReason::MassCancel, out),
        };
        out.report(OrderReport::MassCanceled { account, orders });
    }

    /// Cancels an account's orders that match, the oldest token first. How many there were.
    pub(super) fn cancel_account(
        &mut self,
        account: u32,
        instrument: Option<u16>,
        side: Option<Side>,
        reason: CancelReason,
        out: &mut impl Sink,
    ) -> u32 {
        let mut canceled = 0;
        let mut slot = self.state.accounts[account as usize].head;
        while slot != NIL {
            let order = &self.state.books.orders[slot];
            let next = order.account_next;
            let matches_all = instrument.is_none_or(|instrument| instrument == order.instrument)
                && side.is_none_or(|side| side == order.side);
            if matches_all {
                self.state.cancel_resting(slot, reason, out);
                canceled += 1;
            }
            slot = next;
        }
        canceled
    }

    pub(super) fn disconnect(&mut self, account: u32, out: &mut impl Sink) -> Result<(), OperatorRefusal> {
        let slot = self.state.account_slot(account).ok_or(OperatorRefusal::UnknownAccount(account))?;
        if self.state.accounts[slot as usize].cancel_on_disconnect {
            self.cancel_account(slot, None, None, CancelReason::Disconnected, out);
        }
        Ok(())
    }
}

impl TradingState {
    fn check_replacement(&self, slot: u32, new: &OrderReplacement) -> Result<Amendment, RejectionReason> {
        let old = &self.books.orders[slot];
        let instrument = &self.books.instruments[old.instrument as usize];
        if !instrument.phase.is_open() {
            return Err(RejectionReason::NotOpen);
        }
        let OrderReplacement { quantity, price, stop_price, display, .. } = *new;
        let (price, stop) =
            instrument.check_terms(&Terms { kind: old.kind, quantity, price, stop_price, display })?;
        instrument.check_band(price, stop)?;
        let remaining = quantity.saturating_sub(old.executed);
        if remaining == 0 {
            return Ok(Amendment::Nothing);
        }
        let exposure = Exposure {
            side: old.side,
            quantity: remaining,
            price: instrument.notional_price(price, stop),
            freed: old.remaining,
            is_new: false,
        };
        let position = &self.positions.slots[old.position];
        self.accounts[position.account as usize].check(&exposure, Some(position))?;
        let is_continuous = instrument.phase == TradingPhase::Continuous;
        if old.is_post_only && is_continuous && self.books.crosses(old.instrument, old.side, price) {
            return Err(RejectionReason::WouldExecute);
        }
        let stop_or_display = if old.kind.is_stop() { stop } else { display };
        let stays = (price, stop_or_display) == (old.price, old.stop_or_display);
        Ok(if stays && remaining <= old.remaining {
            Amendment::Reduce(old.remaining - remaining)
        } else {
            Amendment::Requeue(OrderSlot { token: new.token, price, stop_or_display, remaining, ..*old })
        })
    }

    /// By how much a cancel to this size lowers the order.
    fn check_cancel(&self, slot: u32, quantity: u32) -> Result<u32, RejectionReason> {
        let order = &self.books.orders[slot];
        if !quantity.is_multiple_of(self.books.instruments[order.instrument as usize].lot) {
            return Err(RejectionReason::InvalidQuantity);
        }
        let remaining = quantity.saturating_sub(order.executed);
        if remaining >= order.remaining {
            return Err(RejectionReason::NoReduction);
        }
        Ok(order.remaining - remaining)
    }
}

fn publish_reduction(order: &OrderSlot, quantity: u32, out: &mut impl Sink) {
    if quantity > 0 {
        let (locate, number) = (order.instrument + 1, order.number);
        out.market(MarketEvent::Reduced { locate, number, quantity });
    }
}
