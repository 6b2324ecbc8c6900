//! The auction's price, step by step of the rule, and what trades at it.

use crate::rules::floor::{Floor, abc, cents};
use lockstep_exchange::*;

/// The price of an opening auction of these orders, in cents, and its volume and surplus. A limit of 0 is a
/// market order.
fn auction(buys: &[(u32, u64)], sells: &[(u32, u64)]) -> Option<(u64, u64, u64)> {
    let mut floor = Floor::in_phase(TradingPhase::OpeningAuction);
    for (side, orders) in [(Side::Buy, buys), (Side::Sell, sells)] {
        for (quantity, price) in orders {
            let account = if side == Side::Buy { 1 } else { 2 };
            match price {
                0 => floor.market(account, side, *quantity),
                price => floor.enter(account, side, *quantity, cents(*price), |_| {}),
            };
        }
    }
    let found = floor.engine.indicative(abc());
    floor.forget();
    floor.phase(TradingPhase::Continuous);
    let cross: Vec<_> = floor.events().into_iter().filter(|line| line.starts_with('Q')).collect();
    assert_eq!(cross.len(), usize::from(found.is_some()), "what is indicated is what trades");
    found.map(|found| (found.price / 100, found.volume, found.surplus))
}

#[test]
fn step_1_the_price_with_the_highest_volume() {
    assert_eq!(auction(&[(100, 1002), (300, 1001)], &[(300, 1001), (100, 1002)]), Some((1001, 300, 100)));
}

#[test]
fn step_2_of_those_the_price_with_the_lowest_surplus() {
    // 200 trade at 10.02 and at 10.04; 100 bid are left at 10.02, 50 offered at 10.04.
    let (buys, sells) = ([(200, 1004), (100, 1002)], [(200, 1002), (50, 1004)]);
    assert_eq!(auction(&buys, &sells), Some((1004, 200, 50)));
    // 50 bid are left at 9.96, 100 offered at 9.98, which is nearer to the reference price.
    let (buys, sells) = ([(200, 998), (50, 996)], [(200, 996), (100, 998)]);
    assert_eq!(auction(&buys, &sells), Some((996, 200, 50)));
}

#[test]
fn step_3_with_a_surplus_on_the_bid_alone_the_highest_price() {
    assert_eq!(auction(&[(400, 1003)], &[(300, 1001)]), Some((1003, 300, 100)));
}

#[test]
fn step_3_with_a_surplus_on_the_ask_alone_the_lowest_price() {
    assert_eq!(auction(&[(300, 1003)], &[(400, 1001)]), Some((1001, 300, 100)));
}

#[test]
fn step_4_else_the_price_nearest_to_the_reference_price() {
    // The same volume and no surplus from 9.98 to 9.99, from 9.99 to 10.02, from 10.03 to 10.04.
    assert_eq!(auction(&[(100, 999)], &[(100, 998)]), Some((999, 100, 0)));
    assert_eq!(auction(&[(100, 1002)], &[(100, 999)]), Some((1000, 100, 0)));
    assert_eq!(auction(&[(100, 1004)], &[(100, 1003)]), Some((1003, 100, 0)));
}

#[test]
fn step_4_between_a_surplus_on_the_bid_and_one_on_the_ask() {
    // At 10.03, 300 are sought and 200 offered; at 10.04, 200 and 300.
    let (buys, sells) = ([(200, 1004), (100, 1003)], [(200, 1003), (100, 1004)]);
    assert_eq!(auction(&buys, &sells), Some((1003, 200, 100)), "the nearest to 10.00");
    let (buys, sells) = ([(200, 997), (100, 996)], [(200, 996), (100, 997)]);
    assert_eq!(auction(&buys, &sells), Some((997, 200, 100)));
}

#[test]
fn market_orders_alone_trade_at_the_reference_price() {
    assert_eq!(auction(&[(100, 0)], &[(70, 0)]), Some((1000, 70, 30)));
}

#[test]
fn nothing_trades_where_no_prices_meet() {
    assert_eq!(auction(&[(100, 999)], &[(100, 1001)]), None);
    assert_eq!(auction(&[(100, 0)], &[]), None);
}

#[test]
fn market_orders_execute_first_then_price_then_time_and_all_at_one_price() {
    let mut floor = Floor::in_phase(TradingPhase::OpeningAuction);
    floor.buy(1, 10, cents(1001));
    floor.buy(2, 10, cents(1002));
    floor.buy(3, 10, cents(1001));
    floor.market(4, Side::Buy, 10);
    floor.sell(4, 25, cents(1001));
    floor.forget();
    floor.phase(TradingPhase::Continuous);
    let buys: Vec<_> = floor.reports().into_iter().filter(|line| !line.starts_with("4/2")).collect();
    assert_eq!(
        buys,
        [
            "4/1 executed 10 at 10.01, Cross(79)",
            "2/1 executed 10 at 10.01, Cross(79)",
            "1/1 executed 5 at 10.01, Cross(79)",
        ]
    );
    assert_eq!(floor.book(Side::Buy), ["1/1 5 at 10.01", "3/1 10 at 10.01"]);
    let events = floor.events();
    assert_eq!(events[events.len() - 2..], ["Q O 25 at 10.01", "H Continuous"]);
}

#[test]
fn a_market_order_that_the_auction_leaves_is_canceled() {
    let mut floor = Floor::in_phase(TradingPhase::OpeningAuction);
    floor.market(1, Side::Buy, 10);
    floor.sell(2, 4, cents(1000));
    floor.phase(TradingPhase::Continuous);
    assert_eq!(floor.last(), "1/1 canceled 6: AuctionRemainder");
}

#[test]
fn an_iceberg_takes_part_whole_and_displays_anew_afterwards() {
    let mut floor = Floor::in_phase(TradingPhase::OpeningAuction);
    floor.iceberg(1, Side::Sell, 100, cents(1000), 10);
    floor.sell(2, 10, cents(1000));
    floor.buy(3, 95, cents(1000));
    floor.forget();
    floor.phase(TradingPhase::Continuous);
    assert_eq!(
        floor.events(),
        ["C 3 95 at 10.00", "C 1 10 at 10.00", "Q O 95 at 10.00", "A 4 Sell 5 at 10.00", "H Continuous"]
    );
    assert_eq!(floor.book(Side::Sell), ["2/1 10 at 10.00", "1/1 5 at 10.00"], "behind the other");
}

#[test]
fn a_call_phase_collects_and_publishes_an_indicative_price_each_second() {
    let mut floor = Floor::in_phase(TradingPhase::OpeningAuction);
    floor.buy(1, 10, cents(1001));
    floor.sell(2, 4, cents(1000));
    assert_eq!(floor.events(), ["A 1 Buy 10 at 10.01", "A 2 Sell 4 at 10.00"], "a call may be crossed");
    floor.wait(2_500_000_000);
    assert_eq!(floor.events(), ["I 4 at 10.01, 6 left Some(Buy)", "I 4 at 10.01, 6 left Some(Buy)"]);
}

#[test]
fn a_call_phase_takes_only_orders_that_can_rest() {
    let mut floor = Floor::in_phase(TradingPhase::PreOpen);
    floor.enter(1, Side::Buy, 10, cents(1000), |order| order.time_in_force = TimeInForce::Ioc);
    assert_eq!(floor.last(), "1/1 rejected: NotInCallPhase");
    floor.enter(1, Side::Buy, 10, cents(1000), |order| order.is_post_only = true);
    assert_eq!(floor.last(), "1/2 rejected: NotInCallPhase");
    floor.market(1, Side::Buy, 10);
    assert_eq!(floor.last(), "1/3 accepted");
}

#[test]
fn a_day_runs_by_its_timers_from_pre_open_to_the_close() {
    const MINUTE: u64 = 60_000_000_000;
    let mut floor = Floor::in_phase(TradingPhase::Closed);
    let ends = PhaseEnd::At(floor.now + MINUTE);
    floor.apply(ExchangeCommand::SetPhase { symbol: None, phase: TradingPhase::PreOpen, ends });
    floor.buy(1, 10, cents(1000));
    floor.wait(MINUTE);
    assert_eq!(floor.engine.phase_of(abc()), Some(TradingPhase::OpeningAuction));
    let phases = [
        (TradingPhase::OpeningAuction, TradingPhase::Continuous),
        (TradingPhase::Continuous, TradingPhase::ClosingAuction),
        (TradingPhase::ClosingAuction, TradingPhase::Closed),
    ];
    for (phase, next) in phases {
        let ends = PhaseEnd::After(MINUTE);
        floor.apply(ExchangeCommand::SetPhase { symbol: None, phase, ends });
        if phase == TradingPhase::ClosingAuction {
            floor.market(2, Side::Sell, 4);
        }
        floor.forget();
        floor.wait(MINUTE);
        assert_eq!(floor.engine.phase_of(abc()), Some(next));
    }
    assert_eq!(
        floor.reports(),
        [
            "1/1 executed 4 at 10.00, Cross(67)",
            "2/1 executed 4 at 10.00, Cross(67)",
            "1/1 canceled 6: Closed"
        ]
    );
    floor.buy(1, 10, cents(1000));
    assert_eq!(floor.last(), "1/2 rejected: NotOpen");
}

#[test]
fn a_halt_keeps_orders_takes_none_and_reopens_with_an_auction() {
    let mut floor = Floor::new();
    floor.buy(1, 10, cents(1000));
    floor.buy(1, 10, cents(999));
    floor.phase(TradingPhase::Halted);
    floor.sell(2, 10, cents(1000));
    assert_eq!(floor.last(), "2/1 rejected: NotOpen");
    floor.replace(1, 1, 5, cents(1000));
    assert_eq!(floor.last(), "1/3 rejected: NotOpen");
    floor.cancel(1, 1, 0);
    assert_eq!(floor.last(), "1/1 canceled 10: Requested");
    floor.phase(TradingPhase::PreOpen);
    floor.sell(2, 10, cents(998));
    floor.phase(TradingPhase::Continuous);
    assert!(floor.last().starts_with("2/2 executed 10 at 9.99"));
}
