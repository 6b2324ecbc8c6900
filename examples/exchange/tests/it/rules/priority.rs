//! Price, then time; and what a replacement does to both.

use crate::rules::floor::{Floor, cents};
use lockstep_exchange::*;

#[test]
fn the_better_price_executes_first_and_at_one_price_the_older_order() {
    let mut floor = Floor::new();
    floor.sell(1, 100, cents(1002));
    floor.sell(2, 100, cents(1001));
    floor.sell(3, 100, cents(1001));
    floor.forget();
    floor.buy(4, 250, cents(1002));
    assert_eq!(
        floor.reports(),
        [
            "4/1 accepted",
            "2/1 executed 100 at 10.01, Added",
            "4/1 executed 100 at 10.01, Removed",
            "3/1 executed 100 at 10.01, Added",
            "4/1 executed 100 at 10.01, Removed",
            "1/1 executed 50 at 10.02, Added",
            "4/1 executed 50 at 10.02, Removed",
        ]
    );
    assert_eq!(floor.events(), ["E 2 100", "E 3 100", "E 1 50"]);
}

#[test]
fn an_order_executes_at_the_price_of_the_resting_order_and_rests_with_what_is_left() {
    let mut floor = Floor::new();
    floor.buy(1, 100, cents(1005));
    floor.forget();
    floor.sell(2, 150, cents(1000));
    assert_eq!(floor.last(), "2/1 executed 100 at 10.05, Removed");
    assert_eq!(floor.events(), ["E 1 100", "A 2 Sell 50 at 10.00"]);
}

#[test]
fn a_replacement_to_less_at_the_same_price_keeps_its_place() {
    let mut floor = Floor::new();
    floor.buy(1, 100, cents(1000));
    floor.buy(2, 100, cents(1000));
    floor.forget();
    floor.replace(1, 1, 60, cents(1000));
    assert_eq!(floor.reports(), ["1/2 replaces 1: 60 at 10.00 in its place"]);
    assert_eq!(floor.events(), ["X 1 40"]);
    assert_eq!(floor.book(Side::Buy), ["1/2 60 at 10.00", "2/1 100 at 10.00"]);
}

#[test]
fn a_replacement_to_more_loses_its_place() {
    let mut floor = Floor::new();
    floor.buy(1, 100, cents(1000));
    floor.buy(2, 100, cents(1000));
    floor.forget();
    floor.replace(1, 1, 101, cents(1000));
    assert_eq!(floor.reports(), ["1/2 replaces 1: 101 at 10.00 at the end"]);
    assert_eq!(floor.events(), ["U 1 to 3 101 at 10.00"]);
    assert_eq!(floor.book(Side::Buy), ["2/1 100 at 10.00", "1/2 101 at 10.00"]);
}

#[test]
fn a_replacement_to_another_price_and_back_loses_its_place() {
    let mut floor = Floor::new();
    floor.buy(1, 100, cents(1000));
    floor.buy(2, 100, cents(1000));
    floor.replace(1, 1, 100, cents(999));
    floor.replace(1, 2, 100, cents(1000));
    assert_eq!(floor.book(Side::Buy), ["2/1 100 at 10.00", "1/3 100 at 10.00"]);
}

#[test]
fn a_replacement_that_crosses_executes_and_the_rest_is_published_anew() {
    let mut floor = Floor::new();
    floor.sell(1, 30, cents(1001));
    floor.buy(2, 100, cents(1000));
    floor.forget();
    floor.replace(2, 1, 100, cents(1001));
    assert_eq!(floor.last(), "2/2 executed 30 at 10.01, Removed");
    assert_eq!(floor.events(), ["D 2", "E 1 30", "A 3 Buy 70 at 10.01"]);
}

#[test]
fn the_size_of_a_replacement_includes_what_is_executed() {
    let mut floor = Floor::new();
    floor.buy(1, 100, cents(1000));
    floor.sell(2, 40, cents(1000));
    floor.replace(1, 1, 90, cents(1000));
    assert_eq!(floor.book(Side::Buy), ["1/2 50 at 10.00"]);
    floor.replace(1, 2, 40, cents(1000));
    assert_eq!(floor.last(), "1/2 canceled 50: ReplacedToNothing");
}

#[test]
fn a_cancel_to_a_size_keeps_the_place_and_counts_what_is_executed() {
    let mut floor = Floor::new();
    floor.buy(1, 100, cents(1000));
    floor.buy(3, 10, cents(1000));
    floor.sell(2, 40, cents(1000));
    floor.forget();
    floor.cancel(1, 1, 70);
    assert_eq!(floor.reports(), ["1/1 canceled 30: Requested"]);
    assert_eq!(floor.book(Side::Buy), ["1/1 30 at 10.00", "3/1 10 at 10.00"]);
    floor.cancel(1, 1, 70);
    assert_eq!(floor.last(), "1/1 not canceled: NoReduction");
    floor.cancel(1, 1, 0);
    assert_eq!(floor.last(), "1/1 canceled 30: Requested");
    floor.cancel(1, 1, 0);
    assert_eq!(floor.last(), "1/1 not canceled: UnknownOrder");
}

#[test]
fn a_token_is_used_once_and_each_is_higher_than_the_last() {
    let mut floor = Floor::new();
    let enter = |floor: &mut Floor, token: u32, price: u64| {
        let order = NewOrder::limit(1, token, crate::rules::floor::abc(), Side::Buy, 10, price);
        floor.apply(ExchangeCommand::Enter(order));
        floor.last()
    };
    assert_eq!(enter(&mut floor, 5, cents(1000)), "1/5 accepted");
    assert_eq!(enter(&mut floor, 5, cents(1000)), "1/5 rejected: DuplicateToken");
    assert_eq!(enter(&mut floor, 4, cents(1000)), "1/4 rejected: DuplicateToken");
    assert_eq!(enter(&mut floor, 6, 1), "1/6 rejected: InvalidPrice");
    assert_eq!(enter(&mut floor, 6, cents(1000)), "1/6 rejected: DuplicateToken", "a rejected order used it");
    assert_eq!(floor.engine.next_token(1), Some(7));
    assert_eq!(enter(&mut floor, u32::MAX, cents(1000)), "1/4294967295 accepted");
    assert_eq!(floor.engine.next_token(1), None);
}

#[test]
fn a_rejected_replacement_leaves_the_order_as_it_was() {
    let mut floor = Floor::new();
    floor.buy(1, 100, cents(1000));
    floor.replace(1, 1, 100, cents(1000) + 1);
    assert_eq!(floor.last(), "1/2 rejected: InvalidPrice");
    assert_eq!(floor.book(Side::Buy), ["1/1 100 at 10.00"]);
    floor.replace(1, 9, 100, cents(1000));
    assert_eq!(floor.last(), "1/3 rejected: UnknownOrder");
}
