//! A session, message by message: what two clients send, what each of them and the feed receive.

use super::venue::{FEED, NINE, Venue, encoded, lines, machine, order, replace};
use itch50::{Head, OrderExecuted, Timestamp};
use lockstep_machine::{DisconnectReason, InputEvent};
use ouch50::codes::{Capacity, CrossType, Display, LiquidityFlag, OrderState, PostOnly, TimeInForce};
use ouch50::{
    Accepted, AccountQuery, CancelOrder, DisableOrderEntry, EnableOrderEntry, Executed, Firm, MassCancel,
    ModifyOrder, Options, Outbound, Price, Side, Symbol,
};

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn two_clients_trade_and_everybody_sees_it() {
    let mut venue = Venue::new(machine(), 2);
    assert_eq!(
        venue.ouch(1, order(1, Side::Sell, 300, 100_100)),
        ["1: A 1 Sell 300 ABC at 10.0100 is 1", "feed: A 1 Sell 300 ABC at 10.0100"]
    );
    assert_eq!(
        venue.ouch(2, order(1, Side::Buy, 100, 100_200)),
        [
            "2: A 1 Buy 100 ABC at 10.0200 is 2",
            "1: E 1 100 at 10.0100 Added match 1",
            "2: E 1 100 at 10.0100 Removed match 1",
            "feed: E 1 100 match 1",
        ]
    );
    assert_eq!(
        venue.ouch(1, replace(1, 2, 300, 100_300)),
        ["1: U 1 2 Sell 200 ABC at 10.0300 is 3", "feed: U 1 3 200 at 10.0300"]
    );
    assert_eq!(
        venue.ouch(1, CancelOrder { user_ref_num: 2, quantity: 150, options: Options::NONE }),
        ["1: C 2 150 UserRequested", "feed: X 3 150"]
    );
    assert_eq!(
        venue.ouch(1, CancelOrder { user_ref_num: 2, quantity: 0, options: Options::NONE }),
        ["1: C 2 50 UserRequested", "feed: D 3"]
    );
    assert_eq!(venue.ouch(1, AccountQuery::default()), ["1: Q next 3"]);
    venue.machine.check().expect("a sound exchange");
    let mut book = Vec::new();
    lockstep_machine::StateMachine::query(&venue.machine, b"book ABC", &mut book);
    assert_eq!(String::from_utf8(book).expect("text"), "ABC continuous last 10.0100\n");
}

#[test]
fn every_field_of_an_answer_is_as_ouch_has_it() {
    let mut venue = Venue::new(machine(), 2);
    let entered = order(7, Side::SellShort, 300, 100_100);
    let published = venue.bytes(1, &encoded(entered));
    let accepted = Accepted {
        time_ns: 9 * 3_600_000_000_000,
        user_ref_num: 7,
        side: Side::SellShort,
        quantity: 300,
        symbol: Symbol::new(b"ABC").expect("ASCII"),
        price: Price(100_100),
        time_in_force: TimeInForce::Day,
        display: Display::Visible,
        reference: 1,
        capacity: Capacity::Agency,
        is_sweep: false,
        cross_type: CrossType::Continuous,
        state: OrderState::Live,
        cl_ord_id: entered.cl_ord_id,
        options: Options::NONE,
    };
    assert_eq!(Outbound::parse(&published[0].1), Ok(accepted.into()));
    venue.now = NINE + 5;
    let published = venue.bytes(2, &encoded(order(1, Side::Buy, 300, 100_100)));
    let executed = Executed {
        time_ns: 9 * 3_600_000_000_000 + 5,
        user_ref_num: 7,
        quantity: 300,
        price: Price(100_100),
        liquidity: LiquidityFlag::Added,
        match_number: 1,
        options: Options::NONE,
    };
    assert_eq!(Outbound::parse(&published[1].1), Ok(executed.into()));
    let time = Timestamp::new(9 * 3_600_000_000_000 + 5).expect("a time of day");
    let head = Head { locate: 1, tracking: 0, time };
    let executed = OrderExecuted { head, reference: 1, shares: 300, match_number: 1 };
    assert_eq!(published[3], (FEED, executed.encode().to_vec()));
}

#[test]
fn an_order_lives_as_its_attributes_say() {
    let mut venue = Venue::new(machine(), 2);
    venue.ouch(1, order(1, Side::Sell, 100, 100_100));
    let mut whole = order(1, Side::Buy, 200, 100_100);
    whole.time_in_force = TimeInForce::ImmediateOrCancel;
    whole.options.min_quantity = Some(200);
    assert_eq!(venue.ouch(2, whole), ["2: A 1 Buy 200 ABC at 10.0100 is 2", "2: C 1 200 ImmediateOrCancel"]);
    let passive = Options { post_only: Some(PostOnly::PostOnly), ..Options::NONE };
    let passive = ouch50::EnterOrder { options: passive, ..order(2, Side::Buy, 100, 100_100) };
    assert_eq!(venue.ouch(2, passive), ["2: J 2 CrossedMarket"]);
    let iceberg = Options { max_floor: Some(100), ..Options::NONE };
    let iceberg = ouch50::EnterOrder { options: iceberg, ..order(3, Side::Buy, 250, 100_000) };
    assert_eq!(
        venue.ouch(2, iceberg),
        ["2: A 3 Buy 250 ABC at 10.0000 is 3", "feed: A 3 Buy 100 ABC at 10.0000"]
    );
    let market = ouch50::EnterOrder { price: Price::MARKET, ..order(2, Side::Sell, 120, 0) };
    assert_eq!(
        venue.ouch(1, market),
        [
            "1: A 2 Sell 120 ABC at 200000.0000 is 4",
            "2: E 3 100 at 10.0000 Added match 1",
            "1: E 2 100 at 10.0000 Removed match 1",
            "feed: E 3 100 match 1",
            "2: R 3 DisplayRefresh is Some(5) shows Some(100)",
            "feed: A 5 Buy 100 ABC at 10.0000",
            "2: E 3 20 at 10.0000 Added match 2",
            "1: E 2 20 at 10.0000 Removed match 2",
            "feed: E 5 20 match 2",
        ]
    );
}

#[test]
fn a_modification_stays_in_its_place() {
    let mut venue = Venue::new(machine(), 1);
    venue.ouch(1, order(1, Side::Sell, 300, 100_100));
    let modify = |side, quantity| ModifyOrder { user_ref_num: 1, side, quantity, options: Options::NONE };
    assert_eq!(venue.ouch(1, modify(Side::SellShort, 300)), ["1: M 1 SellShort 300"]);
    assert_eq!(venue.ouch(1, modify(Side::SellShort, 200)), ["1: M 1 SellShort 200", "feed: X 1 100"]);
    assert_eq!(venue.ouch(1, modify(Side::SellShort, 201)), nothing(), "more than before");
    assert_eq!(venue.ouch(1, modify(Side::Buy, 100)), nothing(), "another side");
    assert_eq!(venue.ouch(1, modify(Side::Sell, 0)), ["1: C 1 200 UserRequested", "feed: D 1"]);
    assert_eq!(venue.machine.ignored(), 2);
}

#[test]
fn a_mass_cancel_is_answered_and_then_each_order() {
    let mut venue = Venue::new(machine(), 2);
    for (number, side, price) in [(1, Side::Buy, 99_000), (2, Side::Sell, 101_000), (3, Side::Buy, 98_000)] {
        venue.ouch(1, order(number, side, 10, price));
    }
    let mut request =
        MassCancel { user_ref_num: 4, firm: Firm::BLANK, symbol: Symbol::BLANK, options: Options::NONE };
    request.options.side = Some(Side::Buy);
    assert_eq!(
        venue.ouch(1, request),
        ["1: X 4", "1: C 1 10 UserRequested", "feed: D 1", "1: C 3 10 UserRequested", "feed: D 3"]
    );
    assert_eq!(venue.ouch(1, request), nothing(), "its number is used");
    request.user_ref_num = 5;
    request.symbol = Symbol::new(b"NONE").expect("ASCII");
    assert_eq!(venue.ouch(1, request), nothing(), "no such instrument");
}

#[test]
fn an_account_may_disable_itself() {
    let mut venue = Venue::new(machine(), 1);
    let disable = DisableOrderEntry { user_ref_num: 1, firm: Firm::BLANK, options: Options::NONE };
    assert_eq!(venue.ouch(1, disable), ["1: G 1"]);
    assert_eq!(venue.ouch(1, order(2, Side::Buy, 1, 100_000)), ["1: J 2 FirmNotAuthorized"]);
    let enable = EnableOrderEntry { user_ref_num: 3, firm: Firm::BLANK, options: Options::NONE };
    assert_eq!(venue.ouch(1, enable), ["1: K 3"]);
    assert_eq!(venue.ouch(1, order(4, Side::Buy, 1, 100_000)).len(), 2);
}

#[test]
fn a_client_that_is_gone_loses_its_orders_if_its_user_wants_that() {
    let mut venue = Venue::new(machine(), 1);
    let gone = |cancels| InputEvent::Disconnected {
        user: "user",
        publisher: 1,
        reason: DisconnectReason::Broken,
        cancels,
    };
    venue.ouch(1, order(1, Side::Buy, 10, 99_000));
    assert_eq!(lines(&venue.input(gone(false))), nothing());
    assert_eq!(lines(&venue.input(gone(true))), ["1: C 1 10 System", "feed: D 1"]);
}
