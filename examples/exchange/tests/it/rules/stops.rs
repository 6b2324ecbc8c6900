//! Stop orders.

use crate::rules::floor::{Floor, cents};
use lockstep_exchange::*;

/// A trade of one at this price, between accounts 3 and 4.
fn trade(floor: &mut Floor, price: u64) {
    floor.sell(3, 1, price);
    floor.buy(4, 1, price);
    floor.forget();
}

#[test]
fn a_stop_order_waits_unseen_until_a_trade_reaches_its_price() {
    let mut floor = Floor::new();
    floor.stop(1, Side::Buy, 10, cents(1005), cents(1006));
    assert_eq!((floor.reports().len(), floor.events().len()), (1, 0));
    trade(&mut floor, cents(1004));
    assert!(floor.book(Side::Buy).is_empty());
    floor.sell(3, 1, cents(1005));
    floor.buy(4, 1, cents(1005));
    assert_eq!(floor.last(), "1/1 triggered");
    assert_eq!(floor.book(Side::Buy), ["1/1 10 at 10.06"]);
    assert_eq!(floor.events().last().map(String::as_str), Some("A 6 Buy 10 at 10.06"));
}

#[test]
fn a_stop_market_order_takes_any_price_and_its_rest_is_canceled() {
    let mut floor = Floor::new();
    floor.stop(1, Side::Sell, 10, cents(995), 0);
    floor.buy(2, 4, cents(990));
    floor.buy(2, 1, cents(995));
    floor.forget();
    floor.sell(3, 1, cents(995));
    assert_eq!(
        floor.reports()[3..],
        [
            "1/1 triggered",
            "2/1 executed 4 at 9.90, Added",
            "1/1 executed 4 at 9.90, Removed",
            "1/1 canceled 6: NoLiquidity",
        ]
    );
}

#[test]
fn stop_orders_that_trigger_together_go_by_age_and_behind_those_that_triggered_before() {
    let mut floor = Floor::new();
    floor.stop(1, Side::Buy, 1, cents(1003), 0);
    floor.stop(2, Side::Buy, 1, cents(1002), 0);
    floor.stop(3, Side::Buy, 1, cents(1010), 0);
    for price in [1003, 1010, 1011, 1012] {
        floor.sell(4, 1, cents(price));
    }
    floor.forget();
    floor.buy(4, 1, cents(1003));
    let lines = floor.reports();
    let triggered: Vec<_> = lines.iter().filter(|line| line.contains("triggered")).cloned().collect();
    // The first one's trade at 10.10 triggers the third, which waits for the second.
    assert_eq!(triggered, ["1/1 triggered", "2/1 triggered", "3/1 triggered"]);
    let removed: Vec<_> = lines.iter().filter(|line| line.contains("Removed")).cloned().collect();
    assert_eq!(
        removed[1..],
        [
            "1/1 executed 1 at 10.10, Removed",
            "2/1 executed 1 at 10.11, Removed",
            "3/1 executed 1 at 10.12, Removed",
        ]
    );
}

#[test]
fn a_stop_order_whose_price_was_reached_triggers_as_it_arrives() {
    let mut floor = Floor::new();
    trade(&mut floor, cents(1000));
    floor.stop(1, Side::Sell, 10, cents(1000), cents(999));
    assert_eq!(floor.reports(), ["1/1 accepted", "1/1 triggered"]);
    floor.stop(1, Side::Sell, 10, cents(999), cents(999));
    assert_eq!(floor.reports(), ["1/2 accepted"]);
}

#[test]
fn a_stop_order_of_a_call_phase_is_measured_with_the_auction() {
    let mut floor = Floor::in_phase(TradingPhase::OpeningAuction);
    floor.stop(1, Side::Buy, 10, cents(1000), cents(1001));
    floor.buy(2, 5, cents(1000));
    floor.sell(3, 5, cents(1000));
    floor.forget();
    floor.phase(TradingPhase::Continuous);
    assert_eq!(floor.last(), "1/1 triggered");
    assert_eq!(floor.book(Side::Buy), ["1/1 10 at 10.01"]);
}

#[test]
fn a_stop_order_is_replaced_and_canceled_as_others_are() {
    let mut floor = Floor::new();
    trade(&mut floor, cents(1000));
    floor.stop(1, Side::Buy, 10, cents(1005), cents(1006));
    floor.cancel(1, 1, 4);
    assert_eq!(floor.last(), "1/1 canceled 6: Requested");
    let (account, original, token, quantity) = (1, 1, 2, 4);
    let (price, stop_price, display) = (cents(1006), cents(1000), 0);
    let new = OrderReplacement { account, original, token, quantity, price, stop_price, display };
    floor.apply(ExchangeCommand::Replace(new));
    assert_eq!(floor.reports(), ["1/2 replaces 1: 4 at 10.06 at the end", "1/2 triggered"]);
    assert!(floor.events().len() == 1, "it is added once");
}
