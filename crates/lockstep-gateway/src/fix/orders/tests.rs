//! Reports of orders, entry by entry.

use super::*;
use ouch50::codes::{BrokenTradeReason, Capacity, CrossType, Display};
use ouch50::{BrokenTrade, CancelReject, ClOrdId, Modified, Options, RejectReason};
use proptest::prelude::*;

const OPTIONS: Options = Options::NONE;

#[derive(Default)]
struct Desk {
    orders: FixOrders,
    seq: u64,
    sent: Vec<String>,
}

fn name(text: &str) -> ClOrdId {
    ClOrdId::new(text.as_bytes()).expect("short and printable")
}

fn symbol() -> Symbol {
    Symbol::new(b"ABC").expect("ASCII")
}

impl Desk {
    fn place(&mut self) -> ReportPlace {
        self.seq += 1;
        ReportPlace { seq: self.seq, timestamp: 0 }
    }

    fn own(&mut self, message: impl Into<Inbound>, named: Option<&str>) -> &mut Self {
        let (place, mut payload) = (self.place(), Vec::new());
        message.into().append(&mut payload).expect("it can be written");
        let named = named.map(|text| text.as_bytes().to_vec());
        let sent = &mut self.sent;
        self.orders.on_own(place, &payload, named, &mut |fields| {
            sent.push(String::from_utf8_lossy(&fields).replace('\x01', "|"));
        });
        self
    }

    fn application(&mut self, message: impl Into<Outbound>) -> &mut Self {
        let (place, mut payload) = (self.place(), Vec::new());
        message.into().append(&mut payload).expect("it can be written");
        let sent = &mut self.sent;
        let is_ouch = self.orders.on_application(place, &payload, &mut |fields| {
            sent.push(String::from_utf8_lossy(&fields).replace('\x01', "|"));
        });
        assert!(is_ouch);
        self
    }

    fn enter(&mut self, user_ref_num: u32, text: &str, quantity: u32) -> &mut Self {
        let order = EnterOrder {
            user_ref_num,
            side: Side::Sell,
            quantity,
            symbol: symbol(),
            price: Price(105_000),
            time_in_force: TimeInForce::Day,
            display: Display::Visible,
            capacity: Capacity::Agency,
            is_sweep: false,
            cross_type: CrossType::Continuous,
            cl_ord_id: name(text),
            options: OPTIONS,
        };
        self.own(Inbound::EnterOrder(order), None)
    }

    fn accept(&mut self, user_ref_num: u32, quantity: u32) -> &mut Self {
        self.application(Accepted {
            time_ns: 0,
            user_ref_num,
            side: Side::Sell,
            quantity,
            symbol: symbol(),
            price: Price(105_000),
            time_in_force: TimeInForce::Day,
            display: Display::Visible,
            reference: 77,
            capacity: Capacity::Agency,
            is_sweep: false,
            cross_type: CrossType::Continuous,
            state: OrderState::Live,
            cl_ord_id: ClOrdId::BLANK,
            options: OPTIONS,
        })
    }

    fn replace(&mut self, original: u32, user_ref_num: u32, text: &str, quantity: u32) -> &mut Self {
        let order = ReplaceOrder {
            original,
            user_ref_num,
            quantity,
            price: Price(110_000),
            time_in_force: TimeInForce::Day,
            display: Display::Visible,
            is_sweep: false,
            cl_ord_id: name(text),
            options: OPTIONS,
        };
        self.own(Inbound::ReplaceOrder(order), None)
    }

    fn replaced(&mut self, original: u32, user_ref_num: u32, quantity: u32) -> &mut Self {
        self.application(Replaced {
            time_ns: 0,
            original,
            user_ref_num,
            side: Side::Sell,
            quantity,
            symbol: symbol(),
            price: Price(110_000),
            time_in_force: TimeInForce::Day,
            display: Display::Visible,
            reference: 78,
            capacity: Capacity::Agency,
            is_sweep: false,
            cross_type: CrossType::Continuous,
            state: OrderState::Live,
            cl_ord_id: ClOrdId::BLANK,
            options: OPTIONS,
        })
    }

    fn cancel(&mut self, user_ref_num: u32, text: &str) -> &mut Self {
        let cancel = CancelOrder { user_ref_num, quantity: 0, options: OPTIONS };
        self.own(Inbound::CancelOrder(cancel), Some(text))
    }

    fn canceled(&mut self, user_ref_num: u32, quantity: u32, reason: CancelReason) -> &mut Self {
        self.application(Canceled { time_ns: 0, user_ref_num, quantity, reason, options: OPTIONS })
    }

    fn execute(&mut self, user_ref_num: u32, quantity: u32, price: u64, match_number: u64) -> &mut Self {
        let (price, liquidity) = (Price(price), LiquidityFlag::Added);
        let time_ns = 0;
        self.application(Executed {
            time_ns,
            user_ref_num,
            quantity,
            price,
            liquidity,
            match_number,
            options: OPTIONS,
        })
    }

    fn reject(&mut self, user_ref_num: u32, reason: RejectReason) -> &mut Self {
        let cl_ord_id = ClOrdId::BLANK;
        self.application(Rejected { time_ns: 0, user_ref_num, reason, cl_ord_id, options: OPTIONS })
    }

    /// The values of these tags in each message since the last call.
    fn values(&mut self, tags: &[u32]) -> Vec<String> {
        let value = |text: &str, tag: u32| {
            let of = text.split('|').find_map(|field| field.strip_prefix(&format!("{tag}="))).unwrap_or("-");
            of.to_owned()
        };
        let row = |text: &String| tags.iter().map(|tag| value(text, *tag)).collect::<Vec<_>>().join(" ");
        std::mem::take(&mut self.sent).iter().map(row).collect()
    }
}

/// MsgType, ClOrdID, OrigClOrdID, ExecType or the answered request, OrdStatus.
const SHORT: [u32; 5] = [35, 11, 41, 150, 39];

#[test]
fn quantities_and_the_mean_price_add_up_over_executions_and_a_replacement() {
    let mut desk = Desk::default();
    desk.enter(1, "a", 100).accept(1, 100).execute(1, 30, 105_000, 5).execute(1, 10, 106_000, 6);
    desk.replace(1, 2, "b", 90).replaced(1, 2, 50).execute(2, 50, 110_000, 7);
    let rows = desk.values(&[11, 41, 150, 39, 38, 32, 31, 151, 14, 6, 17, 37]);
    assert_eq!(
        rows,
        [
            "a - 0 0 100 - - 100 0 0 2 77",
            "a - F 1 100 30 10.5 70 30 10.5 3 77",
            "a - F 1 100 10 10.6 60 40 10.525 4 77",
            "b a 5 1 90 - - 50 40 10.525 6 78",
            "b - F 2 90 50 11 0 90 10.78888889 7 78",
        ]
    );
    assert_eq!(desk.orders.open_count(), 0);
}

#[test]
fn each_cancel_is_answered_once_whether_it_comes_in_time_or_not() {
    let mut desk = Desk::default();
    desk.enter(1, "a", 100).accept(1, 100).cancel(1, "c1").cancel(1, "c2").execute(1, 40, 105_000, 5);
    desk.canceled(1, 60, CancelReason::UserRequested).cancel(1, "c3");
    let rows = desk.values(&SHORT);
    assert_eq!(rows, ["8 a - 0 0", "8 a - F 1", "8 c1 a 4 4", "9 c2 a - 4", "9 c3 a - 4"]);
    desk.enter(5, "b", 10).accept(5, 10).cancel(5, "c4").execute(5, 10, 105_000, 6);
    assert_eq!(desk.values(&SHORT), ["8 b - 0 0", "8 b - F 2", "9 c4 b - 2"]);
    desk.enter(6, "c", 10).accept(6, 10).cancel(6, "c5");
    desk.application(CancelReject { time_ns: 0, user_ref_num: 6, options: OPTIONS });
    assert_eq!(desk.values(&[35, 11, 41, 39, 102]), ["8 c - 0 -", "9 c5 c 0 99"]);
}

#[test]
fn what_nobody_asked_for_is_reported_under_the_orders_own_name() {
    let mut desk = Desk::default();
    desk.enter(1, "a", 100).accept(1, 100).canceled(1, 40, CancelReason::SelfMatch);
    desk.application(Modified {
        time_ns: 0,
        user_ref_num: 1,
        side: Side::SellShort,
        quantity: 50,
        options: OPTIONS,
    });
    desk.canceled(1, 50, CancelReason::Closed);
    let rows = desk.values(&[11, 41, 150, 39, 38, 151, 54, 378]);
    assert_eq!(rows, ["a - 0 0 100 100 2 -", "a - D 0 60 60 2 5", "a - D 0 50 50 5 5", "a - C C 50 0 5 -"]);
}

#[test]
fn a_rejected_order_and_a_rejected_replacement_are_answered_each_in_its_way() {
    let mut desk = Desk::default();
    desk.enter(1, "a", 100).reject(1, RejectReason::InvalidSymbol);
    desk.enter(2, "b", 100).accept(2, 100).replace(2, 3, "c", 80).reject(3, RejectReason::InvalidPrice);
    desk.execute(2, 100, 105_000, 5).replace(2, 4, "d", 80).reject(4, RejectReason::ReplaceNotAllowed);
    let rows = desk.values(&[35, 11, 41, 150, 39, 103, 434, 102]);
    assert_eq!(
        rows,
        ["8 a - 8 8 1 - -", "8 b - 0 0 - - -", "9 c b - 0 - 2 2", "8 b - F 2 - - -", "9 d b - 2 - 2 0"]
    );
    assert_eq!(desk.orders.open_count(), 0);
}

#[test]
fn order_qty_is_what_the_client_sent_in_each_report_of_an_order() {
    let mut desk = Desk::default();
    // OrderQty, LeavesQty, CumQty: while an order is open the first is the sum of the others.
    let quantities = [11, 150, 38, 151, 14];
    desk.enter(1, "rejected", 40).reject(1, RejectReason::InvalidSymbol);
    desk.enter(2, "canceled", 100).accept(2, 100).execute(2, 40, 105_000, 5).cancel(2, "cancel");
    desk.canceled(2, 60, CancelReason::UserRequested);
    desk.enter(4, "a", 100).accept(4, 100).execute(4, 60, 105_000, 6).replace(4, 5, "b", 50);
    desk.canceled(4, 40, CancelReason::UserRequested);
    desk.enter(6, "c", 100).accept(6, 100).execute(6, 30, 105_000, 7).replace(6, 7, "d", 90);
    desk.execute(6, 10, 105_000, 8).replaced(6, 7, 50).canceled(7, 20, CancelReason::SelfMatch);
    desk.execute(7, 30, 105_000, 9);
    assert_eq!(
        desk.values(&quantities),
        [
            "rejected 8 40 0 0",
            "canceled 0 100 100 0",
            "canceled F 100 60 40",
            "cancel 4 100 0 40",
            "a 0 100 100 0",
            "a F 100 40 60",
            "b 4 100 0 60",
            "c 0 100 100 0",
            "c F 100 70 30",
            "c F 100 60 40",
            "d 5 90 50 40",
            "d D 70 30 40",
            "d F 70 0 70",
        ]
    );
}

#[test]
fn a_replacement_to_no_more_than_is_executed_ends_the_order_by_its_name() {
    let mut desk = Desk::default();
    desk.enter(1, "a", 100).accept(1, 100).execute(1, 60, 105_000, 5).replace(1, 2, "b", 60);
    desk.canceled(1, 40, CancelReason::UserRequested);
    assert_eq!(desk.values(&SHORT).last().map(String::as_str), Some("8 b a 4 4"));
    assert_eq!(desk.orders.open_count(), 0);
}

#[test]
fn a_trade_that_is_broken_is_taken_back_and_names_its_execution() {
    let mut desk = Desk::default();
    desk.enter(1, "a", 100).accept(1, 100).execute(1, 30, 105_000, 5).execute(1, 70, 106_000, 6);
    let (reason, cl_ord_id) = (BrokenTradeReason::Supervisory, ClOrdId::BLANK);
    let broken =
        BrokenTrade { time_ns: 0, user_ref_num: 1, match_number: 5, reason, cl_ord_id, options: OPTIONS };
    desk.application(broken).application(broken);
    let rows = desk.values(&[11, 150, 39, 32, 31, 14, 6, 19, 527]);
    assert_eq!(rows.last().map(String::as_str), Some("a H 2 30 10.5 70 10.6 3 5"));
    assert_eq!(rows.len(), 4, "once");
}

#[test]
fn orders_that_are_over_are_forgotten_in_their_order_and_open_ones_never() {
    let mut desk = Desk::default();
    desk.enter(1, "rests", 100).accept(1, 100);
    for number in 2..3_000 {
        desk.enter(number, &format!("o{number}"), 1).accept(number, 1).execute(
            number,
            1,
            105_000,
            number.into(),
        );
    }
    assert_eq!((desk.orders.open_count(), desk.orders.orders.len()), (1, OVER_MAX + 1));
    assert_eq!((desk.orders.by_name.len(), desk.orders.trades.len()), (OVER_MAX + 1, TRADES_MAX));
    assert_eq!((desk.orders.find(b"rests"), desk.orders.find(b"o2")), (Some(1), None));
}

proptest! {
    /// Any messages of an application, right or wrong: quantities stay within bounds, and nothing panics.
    #[test]
    fn no_entries_make_the_reports_panic(
        steps in prop::collection::vec((0_u8..9, 1_u32..6, 0_u32..50, 0_u64..200_000), 0..80),
    ) {
        let mut desk = Desk::default();
        for (kind, number, quantity, price) in steps {
            match kind {
                0 => desk.enter(number, &format!("o{number}"), quantity),
                1 => desk.accept(number, quantity),
                2 => desk.execute(number, quantity, price, price % 7),
                3 => desk.canceled(number, quantity, CancelReason::UserRequested),
                4 => desk.cancel(number, "c"),
                5 => desk.replace(number, number + 1, &format!("r{number}"), quantity),
                6 => desk.replaced(number, number + 1, quantity),
                7 => desk.reject(number, RejectReason::Other),
                _ => desk.canceled(number, quantity, CancelReason::Timeout),
            };
            prop_assert!(desk.orders.over.len() <= desk.orders.orders.len());
            prop_assert!(desk.orders.over.iter().all(|number| desk.orders.orders[number].is_over()));
        }
    }
}
