//! Where the engine's outputs go: reports to clients in OUCH 5.0, market events to the feed in ITCH 5.0,
//! timers to the stream.

use super::entry::{cancel_reason, liquidity_flag};
use super::market;
use super::orders::{OpenOrders, OrderMemo};
use crate::output::{
    CancelReason, MarketEvent, OperatorRefusal, OrderReport, OrderTerms, RejectionReason, Sink,
};
use crate::types::OrderKind;
use lockstep_machine::{Destination, Output};
use ouch50::codes::{
    BrokenTradeReason, CrossType, Display, OrderState, RestateReason, TimeInForce as OuchTimeInForce,
};
use ouch50::{
    Accepted, BrokenTrade, Canceled, ClOrdId, EnterOrder, Executed, Modified, Options, OuchError, Price,
    ReplaceOrder, Replaced, Restated, Side, Symbol,
};

/// Room for every message of OUCH 5.0 with all of its options.
const OUCH_LEN_MAX: usize = 256;

/// The message whose effects are published: what its answers repeat of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum OuchRequest<'a> {
    /// None of an order.
    Other,
    /// An order.
    Enter(&'a EnterOrder),
    /// A replacement.
    Replace(&'a ReplaceOrder),
    /// A modification of this order, to this side.
    Modify(u32, Side),
}

/// Publishes the outputs of one command.
pub(super) struct ExchangeEdge<'a> {
    pub(super) output: &'a mut Output,
    pub(super) orders: &'a mut OpenOrders,
    /// Messages of the feed, in this day.
    pub(super) published: &'a mut u64,
    pub(super) feed: Destination,
    pub(super) now_ns: u64,
    pub(super) request: OuchRequest<'a>,
    /// Why an order or a cancel was rejected: the caller answers.
    pub(super) rejection: Option<RejectionReason>,
    /// Why an operator's command was refused: the caller answers.
    pub(super) refusal: Option<OperatorRefusal>,
}

/// Publishes one message of OUCH 5.0 to an account.
pub(super) fn send(
    output: &mut Output,
    account: u32,
    write: impl FnOnce(&mut [u8]) -> Result<usize, OuchError>,
) {
    let mut bytes = [0; OUCH_LEN_MAX];
    let written = write(&mut bytes);
    debug_assert!(written.is_ok(), "a message that cannot be written: {written:?}");
    if let Some(bytes) = written.ok().and_then(|len| bytes.get(..len)) {
        output.publish(account, bytes);
    }
}

/// The price of an order, as OUCH 5.0 has it.
fn price_of(terms: &OrderTerms) -> Price {
    match terms.kind {
        OrderKind::Market | OrderKind::StopMarket => Price::MARKET,
        OrderKind::Limit | OrderKind::StopLimit => Price(terms.price),
    }
}

/// The symbols of the engine are printable.
fn symbol_of(terms: &OrderTerms) -> Symbol {
    Symbol::new(&terms.symbol.0).unwrap_or(Symbol::BLANK)
}

impl ExchangeEdge<'_> {
    fn send(&mut self, account: u32, write: impl FnOnce(&mut [u8]) -> Result<usize, OuchError>) {
        send(self.output, account, write);
    }

    fn time_ns(&self) -> u64 {
        market::time_of_day(self.now_ns)
    }

    fn accepted(&mut self, account: u32, token: u32, terms: &OrderTerms) {
        let OuchRequest::Enter(order) = self.request else { return };
        let message = Accepted {
            time_ns: self.time_ns(),
            user_ref_num: token,
            side: order.side,
            quantity: terms.quantity,
            symbol: symbol_of(terms),
            price: price_of(terms),
            time_in_force: order.time_in_force,
            display: Display::Visible,
            reference: terms.number,
            capacity: order.capacity,
            is_sweep: false,
            cross_type: CrossType::Continuous,
            state: OrderState::Live,
            cl_ord_id: order.cl_ord_id,
            options: Options { locate_broker: None, ..order.options },
        };
        self.orders.insert(OrderMemo {
            account,
            token,
            open: terms.quantity,
            cl_ord_id: order.cl_ord_id,
            side: order.side,
            capacity: order.capacity,
            is_post_only: order.options.post_only == Some(ouch50::codes::PostOnly::PostOnly),
        });
        self.send(account, |out| message.write(out));
    }

    fn replaced(&mut self, account: u32, token: u32, original: u32, terms: &OrderTerms) {
        let (OuchRequest::Replace(order), Some(old)) = (self.request, self.orders.remove(account, original))
        else {
            return;
        };
        let side = order.options.side.unwrap_or(old.side);
        let message = Replaced {
            time_ns: self.time_ns(),
            original,
            user_ref_num: token,
            side,
            quantity: terms.quantity,
            symbol: symbol_of(terms),
            price: price_of(terms),
            time_in_force: OuchTimeInForce::Day,
            display: Display::Visible,
            reference: terms.number,
            capacity: old.capacity,
            is_sweep: false,
            cross_type: CrossType::Continuous,
            state: OrderState::Live,
            cl_ord_id: order.cl_ord_id,
            options: Options {
                max_floor: order.options.max_floor,
                post_only: order.options.post_only,
                ..Options::NONE
            },
        };
        self.orders.insert(OrderMemo {
            token,
            side,
            open: terms.quantity,
            cl_ord_id: order.cl_ord_id,
            ..old
        });
        self.send(account, |out| message.write(out));
    }

    fn canceled(&mut self, account: u32, token: u32, quantity: u32, reason: CancelReason) {
        let left = self.orders.reduce(account, token, quantity);
        let (time_ns, user_ref_num) = (self.time_ns(), token);
        match self.request {
            OuchRequest::Modify(order, side) if order == token && left > 0 => {
                let options = Options::NONE;
                let message = Modified { time_ns, user_ref_num, side, quantity: left, options };
                self.send(account, |out| message.write(out));
            }
            _ => {
                let (reason, options) = (cancel_reason(reason), Options::NONE);
                let message = Canceled { time_ns, user_ref_num, quantity, reason, options };
                self.send(account, |out| message.write(out));
            }
        }
    }
}

impl Sink for ExchangeEdge<'_> {
    fn report(&mut self, report: OrderReport) {
        let (time_ns, options) = (self.time_ns(), Options::NONE);
        match report {
            OrderReport::Accepted { account, token, ref terms } => self.accepted(account, token, terms),
            OrderReport::Replaced { account, token, original, ref terms, .. } => {
                self.replaced(account, token, original, terms);
            }
            OrderReport::Canceled { account, token, quantity, reason } => {
                self.canceled(account, token, quantity, reason);
            }
            OrderReport::Rejected { reason, .. } | OrderReport::CancelRejected { reason, .. } => {
                self.rejection = Some(reason);
            }
            OrderReport::Executed { account, token, quantity, price, liquidity, match_number } => {
                self.orders.reduce(account, token, quantity);
                let (price, liquidity) = (Price(price), liquidity_flag(liquidity));
                let user_ref_num = token;
                let message =
                    Executed { time_ns, user_ref_num, quantity, price, liquidity, match_number, options };
                self.send(account, |out| message.write(out));
            }
            OrderReport::Restated { account, token, number, displayed } => {
                let options = Options {
                    secondary_reference: Some(number),
                    display_quantity: Some(displayed),
                    ..Options::NONE
                };
                let reason = RestateReason::DisplayRefresh;
                let message = Restated { time_ns, user_ref_num: token, reason, options };
                self.send(account, |out| message.write(out));
            }
            OrderReport::Broken { account, token, match_number } => {
                let cl_ord_id = self.orders.get(account, token).map_or(ClOrdId::BLANK, |memo| memo.cl_ord_id);
                let (user_ref_num, reason) = (token, BrokenTradeReason::Supervisory);
                let message = BrokenTrade { time_ns, user_ref_num, match_number, reason, cl_ord_id, options };
                self.send(account, |out| message.write(out));
            }
            // A mass cancel is answered before its cancels. OUCH 5.0 has no stop orders, so none triggers.
            OrderReport::MassCanceled { .. } | OrderReport::Triggered { .. } => {}
        }
    }

    fn market(&mut self, event: MarketEvent) {
        *self.published += 1;
        let (output, feed) = (&mut *self.output, self.feed);
        market::encode(&event, self.now_ns, |bytes| output.publish(feed, bytes));
    }

    fn refuse(&mut self, reason: OperatorRefusal) {
        self.refusal = Some(reason);
    }

    fn timer(&mut self, key: u64, at_ns: u64) {
        self.output.timer_at(key, at_ns, b"");
    }

    fn timer_after(&mut self, key: u64, after_ns: u64, _at_ns: u64) {
        self.output.timer_after(key, after_ns, b"");
    }

    fn cancel_timer(&mut self, key: u64) {
        self.output.cancel(key);
    }
}
