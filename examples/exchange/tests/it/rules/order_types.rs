//! Market, IOC, FOK, post-only and iceberg orders.

use crate::rules::floor::{Floor, cents};
use lockstep_exchange::*;

fn with_asks() -> Floor {
    let mut floor = Floor::new();
    floor.sell(1, 100, cents(1001));
    floor.sell(1, 100, cents(1002));
    floor.forget();
    floor
}

fn timed(floor: &mut Floor, quantity: u32, price: u64, time_in_force: TimeInForce) {
    floor.enter(2, Side::Buy, quantity, price, |order| order.time_in_force = time_in_force);
}

#[test]
fn a_market_order_takes_any_price_and_its_rest_is_canceled() {
    let mut floor = with_asks();
    floor.market(2, Side::Buy, 250);
    let reports = floor.reports();
    assert_eq!(reports[4], "2/1 executed 100 at 10.02, Removed");
    assert_eq!(reports[5], "2/1 canceled 50: NoLiquidity");
    assert_eq!(floor.engine.open_orders(), 0);
}

#[test]
fn an_ioc_order_takes_what_its_price_allows_and_its_rest_is_canceled() {
    let mut floor = with_asks();
    timed(&mut floor, 150, cents(1001), TimeInForce::Ioc);
    let reports = floor.reports();
    assert_eq!(reports[2..], ["2/1 executed 100 at 10.01, Removed", "2/1 canceled 50: ImmediateOrCancel"]);
    assert!(floor.book(Side::Buy).is_empty());
}

#[test]
fn a_fok_order_is_filled_whole_or_not_at_all() {
    let mut floor = with_asks();
    timed(&mut floor, 201, cents(1002), TimeInForce::Fok);
    assert_eq!(floor.reports(), ["2/1 accepted", "2/1 canceled 201: FillOrKill"]);
    timed(&mut floor, 101, cents(1001), TimeInForce::Fok);
    assert_eq!(floor.last(), "2/2 canceled 101: FillOrKill");
    timed(&mut floor, 200, cents(1002), TimeInForce::Fok);
    assert_eq!(floor.last(), "2/3 executed 100 at 10.02, Removed");
}

#[test]
fn a_fok_order_counts_the_hidden_part_of_an_iceberg() {
    let mut floor = Floor::new();
    floor.iceberg(1, Side::Sell, 100, cents(1001), 10);
    timed(&mut floor, 100, cents(1001), TimeInForce::Fok);
    assert_eq!(floor.last(), "2/1 executed 10 at 10.01, Removed");
    assert_eq!(floor.engine.open_orders(), 0);
}

#[test]
fn a_post_only_order_rests_or_is_rejected() {
    let mut floor = with_asks();
    let post = |order: &mut NewOrder| order.is_post_only = true;
    floor.enter(2, Side::Buy, 10, cents(1001), post);
    assert_eq!(floor.last(), "2/1 rejected: WouldExecute");
    floor.enter(2, Side::Buy, 10, cents(1000), post);
    assert_eq!(floor.last(), "2/2 accepted");
    floor.replace(2, 2, 10, cents(1001));
    assert_eq!(floor.last(), "2/3 rejected: WouldExecute");
    assert_eq!(floor.book(Side::Buy), ["2/2 10 at 10.00"]);
}

#[test]
fn an_iceberg_displays_a_part_and_its_refill_goes_behind_the_others() {
    let mut floor = Floor::new();
    floor.iceberg(1, Side::Sell, 250, cents(1001), 100);
    floor.sell(2, 100, cents(1001));
    assert_eq!(floor.book(Side::Sell), ["1/1 100 at 10.01", "2/1 100 at 10.01"]);
    floor.forget();
    floor.buy(3, 120, cents(1001));
    assert_eq!(
        floor.reports(),
        [
            "3/1 accepted",
            "1/1 executed 100 at 10.01, Added",
            "3/1 executed 100 at 10.01, Removed",
            "1/1 displays 100",
            "2/1 executed 20 at 10.01, Added",
            "3/1 executed 20 at 10.01, Removed",
        ]
    );
    assert_eq!(floor.events(), ["E 1 100", "A 4 Sell 100 at 10.01", "E 2 20"]);
    assert_eq!(floor.book(Side::Sell), ["2/1 80 at 10.01", "1/1 100 at 10.01"]);
}

#[test]
fn the_last_part_of_an_iceberg_is_what_is_left_of_it() {
    let mut floor = Floor::new();
    floor.iceberg(1, Side::Sell, 130, cents(1001), 100);
    floor.buy(2, 100, cents(1001));
    assert_eq!(floor.book(Side::Sell), ["1/1 30 at 10.01"]);
}

#[test]
fn a_reduced_iceberg_loses_its_hidden_part_first_and_keeps_its_place() {
    let mut floor = Floor::new();
    floor.iceberg(1, Side::Sell, 250, cents(1001), 100);
    floor.sell(2, 100, cents(1001));
    floor.forget();
    floor.cancel(1, 1, 120);
    assert!(floor.events().is_empty(), "nobody sees hidden quantity go");
    floor.cancel(1, 1, 70);
    assert_eq!(floor.events(), ["X 1 30"]);
    assert_eq!(floor.book(Side::Sell), ["1/1 70 at 10.01", "2/1 100 at 10.01"]);
}

#[test]
fn attributes_that_exclude_each_other_are_rejected() {
    let mut floor = Floor::new();
    let mut try_order = |change: fn(&mut NewOrder)| {
        floor.enter(1, Side::Buy, 100, cents(1000), change);
        floor.last().split(": ").nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(try_order(|o| (o.display, o.time_in_force) = (10, TimeInForce::Ioc)), "InvalidCombination");
    assert_eq!(
        try_order(|o| (o.is_post_only, o.time_in_force) = (true, TimeInForce::Fok)),
        "InvalidCombination"
    );
    assert_eq!(try_order(|o| o.kind = OrderKind::Market), "InvalidPrice", "a market order has no price");
    assert_eq!(try_order(|o| (o.kind, o.price) = (OrderKind::Limit, 0)), "InvalidPrice");
    assert_eq!(try_order(|o| o.kind = OrderKind::StopLimit), "InvalidStopPrice", "a stop order has one");
    assert_eq!(try_order(|o| o.stop_price = cents(1001)), "InvalidStopPrice", "a limit order has none");
    assert_eq!(try_order(|o| o.display = 101), "InvalidDisplay");
    assert_eq!(try_order(|o| o.quantity = 0), "InvalidQuantity");
    assert_eq!(try_order(|o| o.quantity = QUANTITY_MAX + 1), "InvalidQuantity");
    assert_eq!(try_order(|o| o.price = PRICE_MAX + 100), "InvalidPrice");
    assert_eq!(try_order(|o| o.price = u64::MAX), "InvalidPrice");
}
