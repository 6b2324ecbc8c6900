//! An account that meets itself.

use crate::rules::floor::{Floor, cents};
use lockstep_exchange::*;

/// Account 1 sells 100, account 2 sells 50 behind it; account 1 buys 120 with this choice.
fn meet(choice: SelfMatch) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut floor = Floor::new();
    floor.sell(1, 100, cents(1001));
    floor.sell(2, 50, cents(1001));
    floor.forget();
    floor.enter(1, Side::Buy, 120, cents(1001), |order| order.self_match = choice);
    (floor.reports(), floor.book(Side::Buy), floor.book(Side::Sell))
}

#[test]
fn allowed_it_trades_with_itself_and_its_position_stays() {
    let (reports, ..) = meet(SelfMatch::Allow);
    assert_eq!(reports[1..3], ["1/1 executed 100 at 10.01, Added", "1/2 executed 100 at 10.01, Removed"]);
}

#[test]
fn cancel_newest_cancels_the_rest_of_the_arriving_order() {
    let (reports, buys, sells) = meet(SelfMatch::CancelNewest);
    assert_eq!(reports, ["1/2 accepted", "1/2 canceled 120: SelfMatch"]);
    assert!(buys.is_empty());
    assert_eq!(sells, ["1/1 100 at 10.01", "2/1 50 at 10.01"]);
}

#[test]
fn cancel_oldest_cancels_the_resting_order_and_goes_on() {
    let (reports, buys, _) = meet(SelfMatch::CancelOldest);
    assert_eq!(reports[1], "1/1 canceled 100: SelfMatch");
    assert_eq!(reports[3], "1/2 executed 50 at 10.01, Removed");
    assert_eq!(buys, ["1/2 70 at 10.01"]);
}

#[test]
fn cancel_both_leaves_neither() {
    let (reports, buys, sells) = meet(SelfMatch::CancelBoth);
    assert_eq!(reports[1..], ["1/1 canceled 100: SelfMatch", "1/2 canceled 120: SelfMatch"]);
    assert_eq!((buys.len(), sells), (0, vec!["2/1 50 at 10.01".to_owned()]));
}

#[test]
fn decrement_takes_the_smaller_quantity_from_both_and_goes_on() {
    let (reports, ..) = meet(SelfMatch::Decrement);
    assert_eq!(reports[1..3], ["1/1 canceled 100: SelfMatch", "1/2 canceled 100: SelfMatch"]);
    assert_eq!(reports[4], "1/2 executed 20 at 10.01, Removed");
}

#[test]
fn a_fok_order_does_not_count_orders_of_its_own() {
    let fok = |choice: SelfMatch, quantity: u32| {
        let mut floor = Floor::new();
        floor.sell(2, 10, cents(1000));
        floor.sell(1, 100, cents(1001));
        floor.sell(2, 50, cents(1001));
        floor.enter(1, Side::Buy, quantity, cents(1001), |order| {
            (order.self_match, order.time_in_force) = (choice, TimeInForce::Fok);
        });
        floor.last()
    };
    assert_eq!(fok(SelfMatch::CancelOldest, 60), "1/2 executed 50 at 10.01, Removed");
    assert_eq!(fok(SelfMatch::CancelOldest, 61), "1/2 canceled 61: FillOrKill");
    assert_eq!(fok(SelfMatch::CancelNewest, 10), "1/2 executed 10 at 10.00, Removed");
    assert_eq!(fok(SelfMatch::CancelNewest, 11), "1/2 canceled 11: FillOrKill");
}

#[test]
fn an_auction_may_pair_two_orders_of_one_account() {
    let mut floor = Floor::in_phase(TradingPhase::OpeningAuction);
    floor.sell(1, 10, cents(1000));
    floor.enter(1, Side::Buy, 10, cents(1000), |order| order.self_match = SelfMatch::CancelBoth);
    floor.phase(TradingPhase::Continuous);
    assert_eq!(floor.last(), "1/1 executed 10 at 10.00, Cross(79)");
    assert_eq!(floor.engine.position(1, crate::rules::floor::abc()), 0);
}
