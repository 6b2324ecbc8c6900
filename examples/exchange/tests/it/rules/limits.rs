//! Limits of an account before the book, its kill switch, mass cancels and its session's end.

use crate::rules::floor::{Floor, abc, cents};
use lockstep_exchange::*;

fn limited(limits: AccountLimits) -> Floor {
    let mut floor = Floor::new();
    floor.limit(1, limits);
    floor
}

#[test]
fn an_order_above_the_highest_quantity_or_notional_is_rejected() {
    let mut floor = limited(AccountLimits { quantity_max: 100, ..AccountLimits::NONE });
    floor.buy(1, 101, cents(1000));
    assert_eq!(floor.last(), "1/1 rejected: QuantityLimit");
    let mut floor = limited(AccountLimits { notional_max: 100 * cents(1000), ..AccountLimits::NONE });
    floor.buy(1, 100, cents(1000));
    assert_eq!(floor.last(), "1/1 accepted");
    floor.buy(1, 100, cents(1001));
    assert_eq!(floor.last(), "1/2 rejected: NotionalLimit");
    floor.market(1, Side::Sell, 101);
    assert_eq!(floor.last(), "1/3 rejected: NotionalLimit", "a market order counts at the last price");
}

#[test]
fn the_largest_order_there_is_does_not_overflow() {
    let mut floor = limited(AccountLimits { notional_max: 1, ..AccountLimits::NONE });
    floor.buy(1, QUANTITY_MAX, PRICE_MAX);
    assert_eq!(floor.last(), "1/1 rejected: NotionalLimit");
    floor.limit(1, AccountLimits::NONE);
    floor.buy(1, QUANTITY_MAX, PRICE_MAX);
    assert_eq!(floor.last(), "1/2 accepted");
}

#[test]
fn no_more_orders_rest_than_the_account_may_have() {
    let mut floor = limited(AccountLimits { open_orders_max: 2, ..AccountLimits::NONE });
    floor.buy(1, 10, cents(999));
    floor.buy(1, 10, cents(998));
    floor.buy(1, 10, cents(997));
    assert_eq!(floor.last(), "1/3 rejected: OpenOrdersLimit");
    floor.replace(1, 1, 10, cents(996));
    assert!(floor.last().contains("replaces"), "a replacement is no new order");
    floor.cancel(1, 2, 0);
    floor.buy(1, 10, cents(997));
    assert_eq!(floor.last(), "1/5 accepted");
}

#[test]
fn open_orders_count_towards_the_position_as_if_all_of_one_side_executed() {
    let mut floor = limited(AccountLimits { position_max: 100, ..AccountLimits::NONE });
    floor.buy(1, 60, cents(1000));
    floor.buy(1, 41, cents(999));
    assert_eq!(floor.last(), "1/2 rejected: PositionLimit");
    floor.sell(1, 100, cents(1001));
    assert_eq!(floor.last(), "1/3 accepted", "the other side has its own room");
    floor.sell(2, 60, cents(1000));
    floor.sell(1, 60, cents(1002));
    assert_eq!(floor.last(), "1/4 accepted", "long 60, it may sell 160");
    floor.sell(1, 1, cents(1002));
    assert_eq!(floor.last(), "1/5 rejected: PositionLimit");
    floor.replace(1, 3, 101, cents(1001));
    assert_eq!(floor.last(), "1/6 rejected: PositionLimit", "a replacement counts less what it frees");
}

#[test]
fn orders_beyond_the_rate_of_a_second_are_rejected_until_the_next_second() {
    let mut floor = limited(AccountLimits { orders_per_second_max: 2, ..AccountLimits::NONE });
    floor.buy(1, 10, cents(999));
    floor.replace(1, 1, 5, cents(999));
    floor.buy(1, 10, cents(999));
    assert_eq!(floor.last(), "1/3 rejected: OrderRate");
    floor.cancel(1, 2, 0);
    assert_eq!(floor.last(), "1/2 canceled 5: Requested", "cancels are never held up");
    floor.wait(1_000_000_000);
    floor.buy(1, 10, cents(999));
    assert_eq!(floor.last(), "1/4 accepted");
}

#[test]
fn the_kill_switch_cancels_all_and_rejects_until_it_is_off() {
    let mut floor = Floor::new();
    floor.buy(1, 10, cents(999));
    floor.stop(1, Side::Buy, 10, cents(1005), 0);
    floor.buy(2, 10, cents(999));
    floor.forget();
    floor.apply(ExchangeCommand::SetKillSwitch { account: 1, is_on: true });
    assert_eq!(floor.reports(), ["1/1 canceled 10: KillSwitch", "1/2 canceled 10: KillSwitch"]);
    floor.buy(1, 10, cents(999));
    assert_eq!(floor.last(), "1/3 rejected: KillSwitch");
    floor.apply(ExchangeCommand::SetKillSwitch { account: 1, is_on: false });
    floor.buy(1, 10, cents(999));
    assert_eq!(floor.last(), "1/4 accepted");
    assert_eq!(floor.engine.open_orders(), 2);
}

#[test]
fn a_mass_cancel_takes_the_orders_that_match_the_oldest_first() {
    let mut floor = Floor::new();
    floor.buy(1, 10, cents(999));
    floor.sell(1, 10, cents(1001));
    floor.buy(1, 10, cents(998));
    floor.buy(2, 10, cents(998));
    floor.forget();
    floor.apply(ExchangeCommand::MassCancel { account: 1, symbol: Some(abc()), side: Some(Side::Buy) });
    assert_eq!(
        floor.reports(),
        ["1/1 canceled 10: MassCancel", "1/3 canceled 10: MassCancel", "1 canceled 2 orders"]
    );
    floor.apply(ExchangeCommand::MassCancel { account: 1, symbol: Some(Symbol::new("XYZ")), side: None });
    assert_eq!(floor.last(), "1/0 not canceled: UnknownInstrument");
    floor.apply(ExchangeCommand::MassCancel { account: 1, symbol: None, side: None });
    assert_eq!(floor.last(), "1 canceled 1 orders");
}

#[test]
fn a_disconnect_cancels_the_orders_of_an_account_that_wants_it() {
    let mut floor = Floor::new();
    let limits = AccountLimits::NONE;
    floor.apply(ExchangeCommand::SetAccount { account: 2, limits, cancel_on_disconnect: false });
    floor.buy(1, 10, cents(999));
    floor.buy(2, 10, cents(999));
    floor.apply(ExchangeCommand::Disconnect { account: 2 });
    assert_eq!(floor.engine.open_orders(), 2);
    floor.apply(ExchangeCommand::Disconnect { account: 1 });
    assert_eq!(floor.last(), "1/1 canceled 10: Disconnected");
}

#[test]
fn an_unknown_account_is_rejected_by_all_commands() {
    let mut floor = Floor::new();
    floor.buy(9, 10, cents(999));
    assert_eq!(floor.last(), "9/1 rejected: UnknownAccount");
    floor.replace(9, 1, 10, cents(999));
    assert_eq!(floor.last(), "9/2 rejected: UnknownAccount");
    floor.cancel(9, 1, 0);
    assert_eq!(floor.last(), "9/1 not canceled: UnknownAccount");
}
