//! A client's orders in the stream: OUCH 5.0 in, execution reports of FIX out.
//!
//! ```text
//!   own entries       O ─▶ an order, pending     U ─▶ its successor, pending     X ─▶ a cancel, pending
//!   the application   A C D E U M P I J B     ─▶ ExecutionReport(8), OrderCancelReject(9)
//! ```
//! OUCH 5.0 identifies orders by UserRefNum and answers some requests by silence, such as the cancel of an
//! executed order. FIX identifies them by ClOrdID and answers each request. So this state remembers pending
//! requests, and answers each at the latest when its order is over. All of it follows from the entries in
//! their order, so every gateway makes the same reports.

use super::report::{ExecutionReport, RefusedRequest, ReportPlace, cancel_reject, execution};
use lockstep_wire::Seq;
use ouch50::codes::{CancelReason, LiquidityFlag, OrderState, TimeInForce};
use ouch50::{
    Accepted, CancelOrder, Canceled, EnterOrder, Executed, Inbound, Outbound, Price, Rejected, ReplaceOrder,
    Replaced, Side, Symbol,
};
use std::collections::{BTreeMap, VecDeque};

/// The most orders that are over and still known by ClOrdID: for late requests, and against a duplicate
/// ClOrdID.
const OVER_MAX: usize = 1_024;
/// The most executions to which a bust can refer.
const TRADES_MAX: usize = 1_024;
/// The most pending cancels of an order; another one is refused.
const CANCELS_MAX: usize = 16;

/// The stage of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum OrderStage {
    /// Stamped, and not answered yet.
    Pending,
    /// Accepted, and not over.
    Open,
    /// Over, with this OrdStatus.
    Over(&'static str),
}

/// One order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixOrder {
    pub(super) cl_ord_id: Vec<u8>,
    /// The order that this one replaces.
    replaces: Option<u32>,
    stage: OrderStage,
    pub(super) symbol: Symbol,
    pub(super) side: Side,
    pub(super) price: Price,
    /// TimeInForce(59).
    pub(super) lives: char,
    /// The venue's number of the order; 0: unknown.
    pub(super) reference: u64,
    /// OrderQty(38): the quantity that the client requested, with the executed shares of the chain, less what
    /// the exchange took off while the rest stays open (FIX 4.4, ExecRestatementReason 5). It stays when the
    /// order is over.
    pub(super) quantity: u32,
    /// LeavesQty.
    pub(super) leaves: u32,
    /// CumQty.
    pub(super) executed: u32,
    /// Price times quantity of all executions, in ten-thousandths.
    pub(super) notional: u128,
    /// ClOrdIDs of cancels without an answer.
    cancels: VecDeque<Vec<u8>>,
}

impl FixOrder {
    /// OrdStatus(39).
    pub(super) fn status(&self) -> &'static str {
        match self.stage {
            OrderStage::Over(status) => status,
            OrderStage::Pending => "A",
            OrderStage::Open if self.executed > 0 => "1",
            OrderStage::Open => "0",
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, OrderStage::Over(_))
    }
}

/// An execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FixTrade {
    match_number: u64,
    order: u32,
    seq: Seq,
    quantity: u32,
    price: u64,
}

/// A client's orders: see the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FixOrders {
    orders: BTreeMap<u32, FixOrder>,
    by_name: BTreeMap<Vec<u8>, u32>,
    /// Orders that are over, oldest first.
    over: VecDeque<u32>,
    trades: VecDeque<FixTrade>,
}

/// TimeInForce(59) of an order of OUCH 5.0: all-or-nothing is IOC with a minimum quantity of all.
fn lives(time: TimeInForce, quantity: u32, min_quantity: Option<u32>) -> char {
    match time {
        TimeInForce::ImmediateOrCancel if min_quantity == Some(quantity) => '4',
        TimeInForce::ImmediateOrCancel => '3',
        _ => '0',
    }
}

/// LastLiquidityInd.
fn liquidity(flag: LiquidityFlag) -> Option<u8> {
    match flag {
        LiquidityFlag::Added => Some(1),
        LiquidityFlag::Removed => Some(2),
        _ => None,
    }
}

impl FixOrders {
    /// The number of orders that are not over.
    pub fn open_count(&self) -> usize {
        self.orders.len() - self.over.len()
    }

    /// The UserRefNum of the order with this ClOrdID.
    pub fn find(&self, cl_ord_id: &[u8]) -> Option<u32> {
        self.by_name.get(cl_ord_id).copied()
    }

    /// An order, by its UserRefNum.
    pub fn get(&self, user_ref_num: u32) -> Option<&FixOrder> {
        self.orders.get(&user_ref_num)
    }

    /// Handles a stamped entry of the client. `name` is the ClOrdID of a note before it. Messages to the
    /// client are passed to `send`.
    pub(super) fn on_own(
        &mut self,
        place: ReportPlace,
        payload: &[u8],
        name: Option<Vec<u8>>,
        send: &mut impl FnMut(Vec<u8>),
    ) {
        match Inbound::parse(payload) {
            Ok(Inbound::EnterOrder(order)) => self.on_enter(&order, name),
            Ok(Inbound::ReplaceOrder(order)) => self.on_replace(&order, name),
            Ok(Inbound::CancelOrder(cancel)) => self.on_cancel(place, &cancel, name, send),
            _ => {}
        }
    }

    fn insert(&mut self, user_ref_num: u32, order: FixOrder) {
        // The application drops a number that is used twice as well.
        if !self.orders.contains_key(&user_ref_num) {
            self.by_name.insert(order.cl_ord_id.clone(), user_ref_num);
            self.orders.insert(user_ref_num, order);
        }
    }

    fn on_enter(&mut self, order: &EnterOrder, name: Option<Vec<u8>>) {
        let known = FixOrder {
            cl_ord_id: name.unwrap_or_else(|| order.cl_ord_id.text().to_vec()),
            replaces: None,
            stage: OrderStage::Pending,
            symbol: order.symbol,
            side: order.side,
            price: order.price,
            lives: lives(order.time_in_force, order.quantity, order.options.min_quantity),
            reference: 0,
            quantity: order.quantity,
            leaves: order.quantity,
            executed: 0,
            notional: 0,
            cancels: VecDeque::new(),
        };
        self.insert(order.user_ref_num, known);
    }

    fn on_replace(&mut self, order: &ReplaceOrder, name: Option<Vec<u8>>) {
        let Some(original) = self.orders.get(&order.original) else { return };
        let known = FixOrder {
            cl_ord_id: name.unwrap_or_else(|| order.cl_ord_id.text().to_vec()),
            replaces: Some(order.original),
            stage: OrderStage::Pending,
            price: order.price,
            quantity: order.quantity,
            leaves: order.quantity.saturating_sub(original.executed),
            cancels: VecDeque::new(),
            ..original.clone()
        };
        self.insert(order.user_ref_num, known);
    }

    fn on_cancel(
        &mut self,
        place: ReportPlace,
        cancel: &CancelOrder,
        name: Option<Vec<u8>>,
        send: &mut impl FnMut(Vec<u8>),
    ) {
        let Some(request) = name else { return };
        let Some(order) = self.orders.get_mut(&cancel.user_ref_num) else { return };
        let (reason, text) = match order.is_over() {
            true => (0, "too late to cancel: the order is over"),
            false if order.cancels.len() >= CANCELS_MAX => (3, "cancels of this order are pending already"),
            false => return order.cancels.push_back(request),
        };
        let original = &order.cl_ord_id;
        let refused = RefusedRequest { request: &request, original, is_replacement: false, reason, text };
        send(cancel_reject(Some(order), place, &refused));
    }

    /// Handles a message of the application to the client. Messages to the client are passed to `send`.
    /// Returns whether it is a message of OUCH 5.0.
    pub(super) fn on_application(
        &mut self,
        place: ReportPlace,
        payload: &[u8],
        send: &mut impl FnMut(Vec<u8>),
    ) -> bool {
        let Ok(message) = Outbound::parse(payload) else { return false };
        match message {
            Outbound::Accepted(accepted) => self.on_accepted(place, &accepted, send),
            Outbound::Replaced(replaced) => self.on_replaced(place, &replaced, send),
            Outbound::Executed(executed) => self.on_executed(place, &executed, send),
            Outbound::Canceled(Canceled { user_ref_num, quantity, reason, .. }) => {
                self.on_canceled(place, user_ref_num, quantity, reason, send);
            }
            Outbound::AiqCanceled(canceled) => {
                let (quantity, reason) = (canceled.quantity, CancelReason::SelfMatch);
                self.on_canceled(place, canceled.user_ref_num, quantity, reason, send);
            }
            Outbound::Rejected(rejected) => self.on_rejected(place, &rejected, send),
            Outbound::Modified(modified) => {
                if let Some(order) = self.orders.get_mut(&modified.user_ref_num) {
                    (order.leaves, order.side) = (modified.quantity, modified.side);
                    order.quantity = order.executed.saturating_add(modified.quantity);
                    send(restated(order, place, "modified"));
                }
            }
            Outbound::CancelPending(pending) => {
                if let Some(order) = self.orders.get(&pending.user_ref_num) {
                    let request = order.cancels.front().map(Vec::as_slice);
                    let (exec_type, status) = ("6", "6");
                    let report = ExecutionReport { exec_type, status, request, ..ExecutionReport::default() };
                    send(execution(order, place, &report));
                }
            }
            Outbound::CancelReject(reject) => {
                if let Some(order) = self.orders.get_mut(&reject.user_ref_num)
                    && let Some(request) = order.cancels.pop_front()
                {
                    send(refuse_cancel(order, place, &request, 99, "the exchange refuses the cancel"));
                }
            }
            Outbound::BrokenTrade(broken) => self.on_broken(place, broken.match_number, send),
            // Events of the whole day, other reference numbers in the market data, and answers to requests
            // that no FIX client sends.
            Outbound::SystemEvent(_)
            | Outbound::PriorityUpdate(_)
            | Outbound::Restated(_)
            | Outbound::MassCancelResponse(_)
            | Outbound::DisableResponse(_)
            | Outbound::EnableResponse(_)
            | Outbound::AccountResponse(_) => {}
        }
        true
    }

    fn on_accepted(&mut self, place: ReportPlace, accepted: &Accepted, send: &mut impl FnMut(Vec<u8>)) {
        let Accepted { user_ref_num, quantity, price, reference, .. } = *accepted;
        let Some(order) = self.orders.get_mut(&user_ref_num).filter(|order| !order.is_over()) else { return };
        (order.leaves, order.price, order.reference) = (quantity, price, reference);
        order.stage = OrderStage::Open;
        let report = ExecutionReport { exec_type: "0", status: "0", ..ExecutionReport::default() };
        send(execution(order, place, &report));
        if accepted.state == OrderState::Dead {
            self.on_canceled(place, user_ref_num, quantity, CancelReason::ImmediateOrCancel, send);
        }
    }

    fn on_replaced(&mut self, place: ReportPlace, replaced: &Replaced, send: &mut impl FnMut(Vec<u8>)) {
        let Replaced { original, user_ref_num, quantity, price, reference, side, .. } = *replaced;
        let Some(old) = self.orders.get(&original).cloned() else { return };
        let Some(order) = self.orders.get_mut(&user_ref_num).filter(|order| !order.is_over()) else { return };
        (order.executed, order.notional, order.symbol) = (old.executed, old.notional, old.symbol);
        (order.leaves, order.price, order.reference, order.side) = (quantity, price, reference, side);
        (order.stage, order.replaces) = (OrderStage::Open, None);
        let (exec_type, status, replaces) = ("5", order.status(), Some(&old.cl_ord_id[..]));
        let report = ExecutionReport { exec_type, status, replaces, ..ExecutionReport::default() };
        send(execution(order, place, &report));
        self.end(original, place, "5", send);
    }

    fn on_executed(&mut self, place: ReportPlace, executed: &Executed, send: &mut impl FnMut(Vec<u8>)) {
        let Executed { user_ref_num, quantity, price, match_number, .. } = *executed;
        let Some(order) = self.orders.get_mut(&user_ref_num).filter(|order| !order.is_over()) else { return };
        order.leaves = order.leaves.saturating_sub(quantity);
        order.executed = order.executed.saturating_add(quantity);
        order.notional += u128::from(quantity) * u128::from(price.0);
        let is_filled = order.leaves == 0;
        let report = ExecutionReport {
            exec_type: "F",
            status: if is_filled { "2" } else { "1" },
            last: Some((quantity, price.0)),
            match_number: Some(match_number),
            liquidity: liquidity(executed.liquidity),
            ..ExecutionReport::default()
        };
        send(execution(order, place, &report));
        let (order, seq, price) = (user_ref_num, place.seq, price.0);
        self.trades.push_back(FixTrade { match_number, order, seq, quantity, price });
        if self.trades.len() > TRADES_MAX {
            self.trades.pop_front();
        }
        if is_filled {
            self.end(user_ref_num, place, "2", send);
        }
    }

    /// Shares were taken off an order: all that are left by the client's cancel or by a replacement to no
    /// more than is executed, or some unrequested.
    fn on_canceled(
        &mut self,
        place: ReportPlace,
        user_ref_num: u32,
        quantity: u32,
        reason: CancelReason,
        send: &mut impl FnMut(Vec<u8>),
    ) {
        let successor = self
            .successor_of(user_ref_num)
            .and_then(|of| Some((of, self.orders.get(&of)?.cl_ord_id.clone())));
        let Some(order) = self.orders.get_mut(&user_ref_num).filter(|order| !order.is_over()) else { return };
        order.leaves = order.leaves.saturating_sub(quantity);
        if order.leaves > 0 {
            order.quantity = order.quantity.saturating_sub(quantity);
            return send(restated(order, place, "reduced"));
        }
        let is_asked = reason == CancelReason::UserRequested;
        let cancel = if is_asked { order.cancels.pop_front() } else { None };
        let replacement = successor.filter(|_| is_asked && cancel.is_none());
        let request = cancel.as_deref().or(replacement.as_ref().map(|(_, name)| name.as_slice()));
        let status = match reason {
            CancelReason::Timeout | CancelReason::Closed => "C",
            _ => "4",
        };
        let text = cancel_text(reason);
        let report =
            ExecutionReport { exec_type: status, status, request, text, ..ExecutionReport::default() };
        send(execution(order, place, &report));
        if let Some((successor, _)) = replacement {
            self.close(successor, "4");
        }
        self.end(user_ref_num, place, status, send);
    }

    /// The pending replacement of an order.
    fn successor_of(&self, user_ref_num: u32) -> Option<u32> {
        // A successor has a later number, and mostly the last one.
        let later = self.orders.range(user_ref_num.checked_add(1)?..).rev();
        let is_successor = |order: &FixOrder| order.replaces == Some(user_ref_num) && !order.is_over();
        later.take(OVER_MAX).find(|(_, order)| is_successor(order)).map(|(number, _)| *number)
    }

    fn on_rejected(&mut self, place: ReportPlace, rejected: &Rejected, send: &mut impl FnMut(Vec<u8>)) {
        let number = rejected.user_ref_num;
        let Some(order) = self.orders.get_mut(&number).filter(|order| !order.is_over()) else { return };
        let text = format!("{:?} ({:#06x})", rejected.reason, rejected.reason.code());
        match order.replaces {
            None => {
                order.leaves = 0;
                let rejection = Some(rejection_reason(rejected.reason));
                let (exec_type, status, text) = ("8", "8", Some(text.as_str()));
                let report =
                    ExecutionReport { exec_type, status, rejection, text, ..ExecutionReport::default() };
                send(execution(order, place, &report));
            }
            Some(original) => {
                let request = order.cl_ord_id.clone();
                let original = self.orders.get(&original);
                let reason = if original.is_none_or(FixOrder::is_over) { 0 } else { 2 };
                let refused = RefusedRequest {
                    request: &request,
                    original: original.map_or(b"NONE", |order| &order.cl_ord_id),
                    is_replacement: true,
                    reason,
                    text: &text,
                };
                send(cancel_reject(original, place, &refused));
            }
        }
        self.end(number, place, "8", send);
    }

    fn on_broken(&mut self, place: ReportPlace, match_number: u64, send: &mut impl FnMut(Vec<u8>)) {
        let Some(at) = self.trades.iter().position(|trade| trade.match_number == match_number) else {
            return;
        };
        let Some(trade) = self.trades.remove(at) else { return };
        let Some(order) = self.orders.get_mut(&trade.order) else { return };
        order.executed = order.executed.saturating_sub(trade.quantity);
        order.notional = order.notional.saturating_sub(u128::from(trade.quantity) * u128::from(trade.price));
        let report = ExecutionReport {
            exec_type: "H",
            status: order.status(),
            last: Some((trade.quantity, trade.price)),
            refers_to: Some(trade.seq),
            match_number: Some(match_number),
            text: Some("the trade does not count"),
            ..ExecutionReport::default()
        };
        send(execution(order, place, &report));
    }

    /// Ends an order: its pending cancels are too late.
    fn end(
        &mut self,
        user_ref_num: u32,
        place: ReportPlace,
        status: &'static str,
        send: &mut impl FnMut(Vec<u8>),
    ) {
        let order = self.orders.get_mut(&user_ref_num).filter(|order| !order.is_over());
        let cancels = order.map(|order| std::mem::take(&mut order.cancels)).unwrap_or_default();
        self.close(user_ref_num, status);
        for request in cancels {
            if let Some(order) = self.orders.get(&user_ref_num) {
                send(refuse_cancel(order, place, &request, 0, "too late to cancel: the order is over"));
            }
        }
    }

    /// Closes an order. If too many are closed, the oldest is forgotten.
    fn close(&mut self, user_ref_num: u32, status: &'static str) {
        let Some(order) = self.orders.get_mut(&user_ref_num).filter(|order| !order.is_over()) else { return };
        (order.stage, order.leaves) = (OrderStage::Over(status), 0);
        self.over.push_back(user_ref_num);
        if self.over.len() > OVER_MAX
            && let Some(forgotten) = self.over.pop_front().and_then(|oldest| self.orders.remove(&oldest))
        {
            let is_its_own = |number: &u32| !self.orders.contains_key(number);
            if self.by_name.get(&forgotten.cl_ord_id).is_some_and(is_its_own) {
                self.by_name.remove(&forgotten.cl_ord_id);
            }
        }
    }
}

/// The report of an order that has fewer shares, and is not over.
fn restated(order: &FixOrder, place: ReportPlace, text: &str) -> Vec<u8> {
    let report = ExecutionReport {
        exec_type: "D",
        status: order.status(),
        // ExecRestatementReason: partial decline of OrderQty.
        restatement: Some(5),
        text: Some(text),
        ..ExecutionReport::default()
    };
    execution(order, place, &report)
}

fn refuse_cancel(order: &FixOrder, place: ReportPlace, request: &[u8], reason: u32, text: &str) -> Vec<u8> {
    let original = &order.cl_ord_id;
    let refused = RefusedRequest { request, original, is_replacement: false, reason, text };
    cancel_reject(Some(order), place, &refused)
}

/// The text for people, if the client did not request the cancel.
fn cancel_text(reason: CancelReason) -> Option<&'static str> {
    Some(match reason {
        CancelReason::UserRequested => return None,
        CancelReason::ImmediateOrCancel => "nothing is left to execute with",
        CancelReason::SelfMatch => "it would execute with an own order",
        CancelReason::Closed => "the market closes",
        CancelReason::Timeout => "its time is over",
        CancelReason::Halted => "the instrument is halted",
        CancelReason::Supervisory => "by the staff of the exchange",
        CancelReason::System => "by the system",
        CancelReason::Regulatory => "a regulation forbids its execution",
        CancelReason::MarketCollar => "its price is beyond the collar",
        _ => "canceled by the exchange",
    })
}

/// OrdRejReason.
fn rejection_reason(reason: ouch50::RejectReason) -> u32 {
    use ouch50::RejectReason as Ouch;
    match reason {
        Ouch::InvalidSymbol => 1,
        Ouch::DestinationClosed | Ouch::Halted => 2,
        Ouch::SharesExceedThreshold
        | Ouch::NotionalExceeded
        | Ouch::RiskAggregateExposure
        | Ouch::RiskOrderNotional
        | Ouch::RiskMaxQuantity => 3,
        _ => 99,
    }
}

#[cfg(test)]
mod tests;
