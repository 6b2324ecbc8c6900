//! The execution reports that a client of FIX must get of its entries and the application's answers: the
//! table of `docs/FIX.md`, written once more. No code of the gateway's is used.

use super::fix_wire::{decimal, utc};
use super::venue::SYMBOL;
use lockstep_wire::{Nanos, Seq};
use ouch50::codes::{CancelReason, TimeInForce};
use ouch50::{BrokenTrade, Canceled, Executed, Inbound, Outbound, Price, Rejected, Replaced, Side};
use std::collections::{BTreeMap, VecDeque};

/// Fields of a message, the message type first.
pub(super) type FixFieldList = Vec<(u32, String)>;

/// Where the entry stands that a message is made of, and its time.
pub(super) type FixEntryPlace = (Seq, Nanos);

/// How far an order is: not answered, accepted, or over with this OrdStatus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    Asked,
    Live,
    Over(&'static str),
}

#[derive(Clone, Debug)]
struct ReportedOrder {
    name: String,
    takes_place_of: Option<u32>,
    progress: Progress,
    side: char,
    price: u64,
    lives: char,
    reference: u64,
    /// What its client asked for, less what the venue took off while the rest went on.
    wanted: u32,
    left: u32,
    done: u32,
    paid: u128,
    cancels: VecDeque<String>,
}

impl ReportedOrder {
    fn is_over(&self) -> bool {
        matches!(self.progress, Progress::Over(_))
    }

    fn status(&self) -> &'static str {
        match self.progress {
            Progress::Over(status) => status,
            Progress::Asked => "A",
            Progress::Live if self.done == 0 => "0",
            Progress::Live => "1",
        }
    }

    fn venue_number(&self) -> String {
        if self.reference == 0 { "NONE".to_owned() } else { self.reference.to_string() }
    }

    /// An execution report; `more` has what not every report has.
    fn report(
        &self,
        (seq, time): FixEntryPlace,
        (exec_type, status): (&str, &str),
        more: &[(u32, String)],
    ) -> FixFieldList {
        let average = match u128::from(self.done) {
            0 => "0".to_owned(),
            done => decimal((2 * self.paid * 10_000 + done) / (2 * done), 8),
        };
        let mut fields = vec![
            (35, "8".to_owned()),
            (37, self.venue_number()),
            (17, seq.to_string()),
            (150, exec_type.to_owned()),
            (39, status.to_owned()),
            (55, SYMBOL.to_owned()),
            (54, self.side.to_string()),
            (38, self.wanted.to_string()),
            (40, "2".to_owned()),
            (44, decimal(self.price.into(), 4)),
            (59, self.lives.to_string()),
            (151, self.left.to_string()),
            (14, self.done.to_string()),
            (6, average),
            (60, utc(time)),
        ];
        fields.extend_from_slice(more);
        if !fields.iter().any(|(tag, _)| *tag == 11) {
            fields.push((11, self.name.clone()));
        }
        fields
    }

    /// An order cancel reject of the request with this name.
    fn refusal(
        &self,
        (_, time): FixEntryPlace,
        (request, original): (&str, &str),
        (response_to, reason): (char, u32),
    ) -> FixFieldList {
        vec![
            (35, "9".to_owned()),
            (37, self.venue_number()),
            (11, request.to_owned()),
            (41, original.to_owned()),
            (39, self.status().to_owned()),
            (434, response_to.to_string()),
            (102, reason.to_string()),
            (60, utc(time)),
        ]
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct FixReports {
    orders: BTreeMap<u32, ReportedOrder>,
    /// Each execution: its number, order, entry, quantity and price.
    trades: Vec<(u64, u32, Seq, u32, u64)>,
}

fn text_of(fields: &[(u32, &dyn ToString)]) -> FixFieldList {
    fields.iter().map(|(tag, value)| (*tag, value.to_string())).collect()
}

impl FixReports {
    /// An entry of the client's own. Returns what the client is sent for it.
    pub(super) fn on_own(&mut self, place: FixEntryPlace, entry: &Inbound, name: &str) -> Vec<FixFieldList> {
        match entry {
            Inbound::EnterOrder(order) => {
                let side = match order.side {
                    Side::Buy => '1',
                    Side::Sell => '2',
                    Side::SellShort => '5',
                    Side::SellShortExempt => '6',
                };
                let lives = if order.time_in_force == TimeInForce::Day { '0' } else { '3' };
                let order_of_client = ReportedOrder {
                    name: name.to_owned(),
                    takes_place_of: None,
                    progress: Progress::Asked,
                    side,
                    price: order.price.0,
                    lives,
                    reference: 0,
                    wanted: order.quantity,
                    left: order.quantity,
                    done: 0,
                    paid: 0,
                    cancels: VecDeque::new(),
                };
                self.orders.insert(order.user_ref_num, order_of_client);
            }
            Inbound::ReplaceOrder(order) => {
                let Some(old) = self.orders.get(&order.original) else { return Vec::new() };
                let next = ReportedOrder {
                    name: name.to_owned(),
                    takes_place_of: Some(order.original),
                    progress: Progress::Asked,
                    price: order.price.0,
                    wanted: order.quantity,
                    left: order.quantity.saturating_sub(old.done),
                    cancels: VecDeque::new(),
                    ..old.clone()
                };
                self.orders.insert(order.user_ref_num, next);
            }
            Inbound::CancelOrder(cancel) => {
                let Some(order) = self.orders.get_mut(&cancel.user_ref_num) else { return Vec::new() };
                if order.is_over() {
                    return vec![order.refusal(place, (name, &order.name), ('1', 0))];
                }
                order.cancels.push_back(name.to_owned());
            }
            _ => {}
        }
        Vec::new()
    }

    /// An answer of the application. Returns what the client is sent for it.
    pub(super) fn on_answer(&mut self, place: FixEntryPlace, answer: &Outbound) -> Vec<FixFieldList> {
        match answer {
            Outbound::Accepted(accepted) => {
                let Some(order) = self.living(accepted.user_ref_num) else { return Vec::new() };
                (order.left, order.price) = (accepted.quantity, accepted.price.0);
                (order.reference, order.progress) = (accepted.reference, Progress::Live);
                vec![order.report(place, ("0", "0"), &[])]
            }
            Outbound::Executed(executed) => self.on_executed(place, executed),
            Outbound::Replaced(replaced) => self.on_replaced(place, replaced),
            Outbound::Canceled(canceled) => self.on_canceled(place, canceled),
            Outbound::AiqCanceled(canceled) => {
                let (time_ns, user_ref_num, quantity) = (0, canceled.user_ref_num, canceled.quantity);
                let (reason, options) = (CancelReason::SelfMatch, canceled.options);
                self.on_canceled(place, &Canceled { time_ns, user_ref_num, quantity, reason, options })
            }
            Outbound::Rejected(rejected) => self.on_rejected(place, rejected),
            Outbound::BrokenTrade(broken) => self.on_broken(place, broken),
            Outbound::Modified(modified) => {
                let Some(order) = self.orders.get_mut(&modified.user_ref_num) else { return Vec::new() };
                (order.left, order.wanted) = (modified.quantity, modified.quantity + order.done);
                vec![order.report(place, ("D", order.status()), &text_of(&[(378, &5)]))]
            }
            Outbound::CancelPending(pending) => {
                let Some(order) = self.orders.get(&pending.user_ref_num) else { return Vec::new() };
                let request = order.cancels.front();
                let more = request.map(|request| text_of(&[(11, request), (41, &order.name)]));
                vec![order.report(place, ("6", "6"), &more.unwrap_or_default())]
            }
            Outbound::CancelReject(refused) => {
                let Some(order) = self.orders.get_mut(&refused.user_ref_num) else { return Vec::new() };
                let Some(request) = order.cancels.pop_front() else { return Vec::new() };
                vec![order.refusal(place, (&request, &order.name), ('1', 99))]
            }
            _ => Vec::new(),
        }
    }

    fn living(&mut self, number: u32) -> Option<&mut ReportedOrder> {
        self.orders.get_mut(&number).filter(|order| !order.is_over())
    }

    fn on_executed(&mut self, place: FixEntryPlace, executed: &Executed) -> Vec<FixFieldList> {
        let (number, quantity, price) = (executed.user_ref_num, executed.quantity, executed.price.0);
        let Some(order) = self.living(number) else { return Vec::new() };
        order.left -= quantity;
        order.done += quantity;
        order.paid += u128::from(quantity) * u128::from(price);
        let status = if order.left == 0 { "2" } else { "1" };
        let last = decimal(price.into(), 4);
        let ind = if quantity == 1 { 1 } else { 2 };
        let more = text_of(&[(32, &quantity), (31, &last), (527, &executed.match_number), (851, &ind)]);
        let mut sent = vec![order.report(place, ("F", status), &more)];
        if order.left == 0 {
            sent.extend(self.end(place, number, "2"));
        }
        self.trades.push((executed.match_number, number, place.0, quantity, price));
        sent
    }

    fn on_replaced(&mut self, place: FixEntryPlace, replaced: &Replaced) -> Vec<FixFieldList> {
        let Some(old) = self.orders.get(&replaced.original).cloned() else { return Vec::new() };
        let Some(order) = self.living(replaced.user_ref_num) else { return Vec::new() };
        (order.done, order.paid, order.takes_place_of) = (old.done, old.paid, None);
        (order.left, order.price, order.reference) =
            (replaced.quantity, replaced.price.0, replaced.reference);
        order.progress = Progress::Live;
        let mut sent = vec![order.report(place, ("5", order.status()), &text_of(&[(41, &old.name)]))];
        sent.extend(self.end(place, replaced.original, "5"));
        sent
    }

    fn on_canceled(&mut self, place: FixEntryPlace, canceled: &Canceled) -> Vec<FixFieldList> {
        let number = canceled.user_ref_num;
        let is_successor = |order: &ReportedOrder| order.takes_place_of == Some(number) && !order.is_over();
        let successor = self.orders.iter().rev().find(|(_, order)| is_successor(order));
        let successor = successor.map(|(number, order)| (*number, order.name.clone()));
        let Some(order) = self.living(number) else { return Vec::new() };
        order.left -= canceled.quantity;
        if order.left > 0 {
            order.wanted -= canceled.quantity;
            return vec![order.report(place, ("D", order.status()), &text_of(&[(378, &5)]))];
        }
        // A cancel of its client is named, or the replacement that came to a cancel.
        let is_asked = canceled.reason == CancelReason::UserRequested;
        let cancel = if is_asked { order.cancels.pop_front() } else { None };
        let replacement = successor.filter(|_| is_asked && cancel.is_none());
        let request = cancel.or(replacement.as_ref().map(|(_, name)| name.clone()));
        let more = request.map(|request| text_of(&[(11, &request), (41, &order.name)]));
        let mut sent = vec![order.report(place, ("4", "4"), &more.unwrap_or_default())];
        if let Some(next) = replacement.and_then(|(number, _)| self.orders.get_mut(&number)) {
            (next.progress, next.left) = (Progress::Over("4"), 0);
        }
        sent.extend(self.end(place, number, "4"));
        sent
    }

    fn on_rejected(&mut self, place: FixEntryPlace, rejected: &Rejected) -> Vec<FixFieldList> {
        let number = rejected.user_ref_num;
        let Some(order) = self.living(number) else { return Vec::new() };
        let first = match order.takes_place_of {
            None => {
                order.left = 0;
                order.report(place, ("8", "8"), &text_of(&[(103, &99)]))
            }
            Some(original) => {
                let request = order.name.clone();
                let Some(original) = self.orders.get(&original) else { return Vec::new() };
                let reason = if original.is_over() { 0 } else { 2 };
                original.refusal(place, (&request, &original.name), ('2', reason))
            }
        };
        let mut sent = vec![first];
        sent.extend(self.end(place, number, "8"));
        sent
    }

    fn on_broken(&mut self, place: FixEntryPlace, broken: &BrokenTrade) -> Vec<FixFieldList> {
        let at = self.trades.iter().position(|(number, ..)| *number == broken.match_number);
        let Some((match_number, number, seq, quantity, price)) = at.map(|at| self.trades.remove(at)) else {
            return Vec::new();
        };
        let Some(order) = self.orders.get_mut(&number) else { return Vec::new() };
        order.done -= quantity;
        order.paid -= u128::from(quantity) * u128::from(price);
        let last = decimal(price.into(), 4);
        let more = text_of(&[(32, &quantity), (31, &last), (19, &seq), (527, &match_number)]);
        vec![order.report(place, ("H", order.status()), &more)]
    }

    /// An order is over: cancels of it that wait come too late.
    fn end(&mut self, place: FixEntryPlace, number: u32, status: &'static str) -> Vec<FixFieldList> {
        let Some(order) = self.living(number) else { return Vec::new() };
        (order.progress, order.left) = (Progress::Over(status), 0);
        let late: Vec<_> = order.cancels.drain(..).collect();
        late.iter().map(|request| order.refusal(place, (request, &order.name), ('1', 0))).collect()
    }
}

/// Whether a price is one of an order that the client sends: limits alone.
pub(super) fn is_limit(price: Price) -> bool {
    !matches!(price, Price::MARKET | Price::MARKET_FOR_CROSS)
}
