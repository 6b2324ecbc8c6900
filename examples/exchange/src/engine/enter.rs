//! Whether an order is accepted. The checks run from the cheapest and most general one down, and the first
//! that fails is the reason: account, token, kill switch, rate, instrument, phase, terms, band, the account's
//! limits, room, post-only.

use super::state::TradingState;
use super::{MatchingEngine, is_within};
use crate::accounts::Exposure;
use crate::book::{Instrument, OrderSlot};
use crate::command::NewOrder;
use crate::output::{OrderReport, RejectionReason, Sink};
use crate::slab::NIL;
use crate::types::{OrderKind, PRICE_MAX, QUANTITY_MAX, TimeInForce, TradingPhase};

/// The terms of an order that a replacement can change too.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) kind: OrderKind,
    pub(super) quantity: u32,
    pub(super) price: u64,
    pub(super) stop_price: u64,
    pub(super) display: u32,
}

/// A price that the book can hold: no more than [`PRICE_MAX`], a multiple of the tick; 0 exactly if the order
/// has none.
fn checked_price(price: u64, is_wanted: bool, tick: u32) -> Option<u32> {
    let fits = price <= PRICE_MAX && price.is_multiple_of(u64::from(tick)) && (price > 0) == is_wanted;
    if fits { u32::try_from(price).ok() } else { None }
}

impl Instrument {
    /// Limit and stop price of well-formed terms.
    pub(super) fn check_terms(&self, terms: &Terms) -> Result<(u32, u32), RejectionReason> {
        let Terms { kind, quantity, display, .. } = *terms;
        if quantity == 0 || quantity > QUANTITY_MAX || quantity % self.lot != 0 {
            return Err(RejectionReason::InvalidQuantity);
        }
        let price = checked_price(terms.price, kind.is_limit(), self.tick);
        let price = price.ok_or(RejectionReason::InvalidPrice)?;
        let stop = checked_price(terms.stop_price, kind.is_stop(), self.tick);
        let stop = stop.ok_or(RejectionReason::InvalidStopPrice)?;
        if display > quantity || display % self.lot != 0 {
            return Err(RejectionReason::InvalidDisplay);
        }
        if display > 0 && kind != OrderKind::Limit {
            return Err(RejectionReason::InvalidCombination);
        }
        Ok((price, stop))
    }

    /// Whether limit and stop price lie in the static band.
    pub(super) fn check_band(&self, price: u32, stop: u32) -> Result<(), RejectionReason> {
        let fits = |price: u32| price == 0 || is_within(price, self.reference, self.static_bps);
        if fits(price) && fits(stop) { Ok(()) } else { Err(RejectionReason::OutsideBand) }
    }

    /// The price that the notional of an order is computed with.
    pub(super) fn notional_price(&self, price: u32, stop: u32) -> u32 {
        match (price, stop) {
            (0, 0) => self.dynamic_reference(),
            (0, stop) => stop,
            (price, _) => price,
        }
    }
}

impl MatchingEngine {
    pub(super) fn enter(&mut self, new: &NewOrder, now_ns: u64, out: &mut impl Sink) {
        let NewOrder { account, token, .. } = *new;
        let Some(slot) = self.state.account_slot(account) else {
            let reason = RejectionReason::UnknownAccount;
            return out.report(OrderReport::Rejected { account, token, reason });
        };
        match self.state.admit(slot, token, now_ns).and_then(|()| self.state.check_new(slot, new)) {
            Err(reason) => out.report(OrderReport::Rejected { account, token, reason }),
            Ok(mut order) => {
                order.number = self.state.next_number();
                if order.position == NIL {
                    order.position = self.state.positions.acquire(slot, order.instrument);
                }
                self.state.positions.open(order.position, order.side, order.remaining);
                out.report(OrderReport::Accepted { account, token, terms: self.state.terms(&order) });
                self.launch(order, false, now_ns, out);
            }
        }
    }
}

impl TradingState {
    /// Uses a token and counts the order: what every order and replacement passes first.
    pub(super) fn admit(&mut self, account: u32, token: u32, now_ns: u64) -> Result<(), RejectionReason> {
        let account = &mut self.accounts[account as usize];
        if token <= account.token_last {
            return Err(RejectionReason::DuplicateToken);
        }
        account.token_last = token;
        if account.is_killed {
            return Err(RejectionReason::KillSwitch);
        }
        account.admit(now_ns)
    }

    /// The order, still without number, and without position if there is none yet.
    fn check_new(&self, account: u32, new: &NewOrder) -> Result<OrderSlot, RejectionReason> {
        let index = self.instrument_of(new.symbol).map_err(|_| RejectionReason::UnknownInstrument)?;
        let instrument = &self.books.instruments[index as usize];
        if !instrument.phase.is_open() {
            return Err(RejectionReason::NotOpen);
        }
        let NewOrder { kind, quantity, price, stop_price, display, .. } = *new;
        let terms = Terms { kind, quantity, price, stop_price, display };
        let (price, stop) = instrument.check_terms(&terms)?;
        let rests = new.time_in_force == TimeInForce::Day;
        if kind.is_stop() && !rests
            || new.is_post_only && (kind != OrderKind::Limit || !rests)
            || display > 0 && !rests
        {
            return Err(RejectionReason::InvalidCombination);
        }
        if instrument.phase != TradingPhase::Continuous && (!rests || new.is_post_only) {
            return Err(RejectionReason::NotInCallPhase);
        }
        instrument.check_band(price, stop)?;
        let position = self.positions.find(account, index);
        let exposure = Exposure {
            side: new.side,
            quantity,
            price: instrument.notional_price(price, stop),
            freed: 0,
            is_new: true,
        };
        let existing = position.map(|slot| &self.positions.slots[slot]);
        self.accounts[account as usize].check(&exposure, existing)?;
        let has_room = self.books.orders.len() < self.rules.orders_max as usize
            && (position.is_some() || self.positions.slots.len() < self.rules.positions_max as usize);
        if !has_room {
            return Err(RejectionReason::Capacity);
        }
        if new.is_post_only && self.books.crosses(index, new.side, price) {
            return Err(RejectionReason::WouldExecute);
        }
        Ok(new_slot(new, position.unwrap_or(NIL), index, price, stop))
    }
}

pub(super) fn new_slot(new: &NewOrder, position: u32, instrument: u16, price: u32, stop: u32) -> OrderSlot {
    OrderSlot {
        number: 0,
        position,
        token: new.token,
        price,
        remaining: new.quantity,
        displayed: 0,
        stop_or_display: if new.kind.is_stop() { stop } else { new.display },
        executed: 0,
        level: NIL,
        next: NIL,
        prev: NIL,
        account_next: NIL,
        account_prev: NIL,
        instrument,
        side: new.side,
        kind: new.kind,
        time_in_force: new.time_in_force,
        self_match: new.self_match,
        is_post_only: new.is_post_only,
    }
}
