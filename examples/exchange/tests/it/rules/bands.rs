//! Price bands and volatility interruptions.

use crate::rules::floor::{Floor, abc, cents};
use lockstep_exchange::*;

const SECOND: u64 = 1_000_000_000;

/// A static band of 10 %, a dynamic one of 1 %, an extended one of 3 %.
fn floor() -> Floor {
    Floor::with_bands(TradingPhase::Continuous, [1000, 100, 300])
}

fn phase(floor: &Floor) -> TradingPhase {
    floor.engine.phase_of(abc()).expect("it is defined")
}

#[test]
fn a_limit_outside_of_the_static_band_is_rejected_on_both_sides() {
    let mut floor = floor();
    floor.buy(1, 10, cents(1100));
    assert_eq!(floor.last(), "1/1 accepted");
    floor.buy(1, 10, cents(1101));
    assert_eq!(floor.last(), "1/2 rejected: OutsideBand");
    floor.buy(1, 10, cents(899));
    assert_eq!(floor.last(), "1/3 rejected: OutsideBand");
    floor.stop(1, Side::Buy, 10, cents(1101), 0);
    assert_eq!(floor.last(), "1/4 rejected: OutsideBand");
    floor.replace(1, 1, 10, cents(1101));
    assert_eq!(floor.last(), "1/5 rejected: OutsideBand");
}

#[test]
fn the_static_band_moves_with_the_reference_price_alone() {
    let mut floor = floor();
    floor.apply(ExchangeCommand::SetReference { symbol: abc(), price: cents(1050) });
    floor.buy(1, 10, cents(1101));
    assert_eq!(floor.last(), "1/1 accepted");
}

#[test]
fn an_order_executes_up_to_the_dynamic_band_and_then_trading_is_interrupted() {
    let mut floor = floor();
    floor.sell(1, 10, cents(1010));
    floor.sell(1, 10, cents(1011));
    floor.forget();
    floor.buy(2, 25, cents(1012));
    assert_eq!(floor.reports()[2], "2/1 executed 10 at 10.10, Removed");
    assert_eq!(phase(&floor), TradingPhase::VolatilityInterruption);
    assert_eq!(
        floor.events(),
        ["E 1 10", "H VolatilityInterruption", "A 3 Buy 15 at 10.12"],
        "the rest waits for the auction"
    );
}

#[test]
fn an_interruption_ends_by_its_timer_in_an_auction() {
    let mut floor = floor();
    floor.sell(1, 10, cents(1011));
    floor.buy(2, 25, cents(1011));
    assert_eq!(phase(&floor), TradingPhase::VolatilityInterruption);
    floor.wait(119 * SECOND);
    assert_eq!(phase(&floor), TradingPhase::VolatilityInterruption);
    floor.forget();
    floor.wait(SECOND);
    assert_eq!(
        floor.reports(),
        ["2/1 executed 10 at 10.11, Cross(72)", "1/1 executed 10 at 10.11, Cross(72)"]
    );
    assert_eq!(phase(&floor), TradingPhase::Continuous);
    assert_eq!(floor.book(Side::Buy), ["2/1 15 at 10.11"]);
}

#[test]
fn an_interruption_that_would_trade_beyond_the_extended_band_waits_for_an_operator() {
    let mut floor = floor();
    floor.sell(1, 10, cents(1031));
    floor.buy(2, 10, cents(1031));
    floor.wait(300 * SECOND);
    assert_eq!(phase(&floor), TradingPhase::VolatilityInterruption);
    assert!(floor.events().contains(&"H VolatilityInterruption, extended".to_owned()));
    floor.phase(TradingPhase::Continuous);
    assert_eq!(floor.engine.last_price(abc()), Some(cents(1031)));
}

#[test]
fn the_band_of_an_order_does_not_move_with_its_own_trades() {
    let mut floor = floor();
    floor.sell(1, 10, cents(1010));
    floor.sell(1, 10, cents(1015));
    floor.buy(2, 20, cents(1015));
    assert_eq!(
        phase(&floor),
        TradingPhase::VolatilityInterruption,
        "10.15 is near 10.10, but not near 10.00"
    );
}

#[test]
fn orders_that_cannot_wait_are_canceled_by_an_interruption() {
    for (time_in_force, canceled) in [
        (TimeInForce::Ioc, "2/1 canceled 10: ImmediateOrCancel"),
        (TimeInForce::Fok, "2/1 canceled 10: FillOrKill"),
    ] {
        let mut floor = floor();
        floor.sell(1, 10, cents(1011));
        floor.enter(2, Side::Buy, 10, cents(1011), |order| order.time_in_force = time_in_force);
        assert_eq!(floor.last(), canceled);
        let interrupts = time_in_force == TimeInForce::Ioc;
        assert_eq!(phase(&floor) == TradingPhase::VolatilityInterruption, interrupts);
    }
}

#[test]
fn a_market_order_waits_for_the_auction_of_an_interruption() {
    let mut floor = floor();
    floor.sell(1, 10, cents(1011));
    floor.market(2, Side::Buy, 10);
    assert_eq!(floor.engine.market_orders(abc(), Side::Buy).count(), 1);
    floor.wait(120 * SECOND);
    assert_eq!(floor.engine.position(2, abc()), 10);
}

#[test]
fn an_interruption_does_not_move_the_end_of_continuous_trading() {
    for (seconds, next) in [(300, TradingPhase::Continuous), (60, TradingPhase::ClosingAuction)] {
        let mut floor = floor();
        let ends = PhaseEnd::At(floor.now + seconds * SECOND);
        let phase_of_day = TradingPhase::Continuous;
        floor.apply(ExchangeCommand::SetPhase { symbol: None, phase: phase_of_day, ends });
        floor.sell(1, 10, cents(1011));
        floor.buy(2, 10, cents(1011));
        floor.wait(119 * SECOND);
        assert_eq!(phase(&floor), TradingPhase::VolatilityInterruption);
        floor.wait(2 * SECOND);
        assert_eq!(phase(&floor), next, "continuous trading ends {seconds} s after its begin");
        floor.wait(300 * SECOND);
        assert_eq!(phase(&floor), TradingPhase::ClosingAuction);
    }
}

#[test]
fn a_timer_that_fires_late_does_nothing() {
    let mut floor = floor();
    floor.sell(1, 10, cents(1011));
    floor.buy(2, 10, cents(1011));
    let key = (1 << 16) as u64; // the first timer of the first instrument
    floor.phase(TradingPhase::Halted);
    floor.forget();
    floor.apply(ExchangeCommand::TimerFired { key });
    assert_eq!(phase(&floor), TradingPhase::Halted);
    assert!(floor.events().is_empty());
}
