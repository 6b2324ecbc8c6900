//! Operators' commands: busts, terms, capacities.

use crate::rules::floor::{Floor, abc, cents, rules};
use lockstep_exchange::*;

#[test]
fn a_busted_trade_turns_positions_back_and_brings_no_order_back() {
    let mut floor = Floor::new();
    floor.sell(1, 10, cents(1000));
    floor.buy(2, 10, cents(1000));
    floor.forget();
    floor.apply(ExchangeCommand::Bust { match_number: 1 });
    assert_eq!(floor.reports(), ["2/1 trade 1 broken", "1/1 trade 1 broken"]);
    assert_eq!(floor.events(), ["B 1"]);
    assert_eq!((floor.engine.position(1, abc()), floor.engine.position(2, abc())), (0, 0));
    assert_eq!(floor.engine.open_orders(), 0);
    floor.apply(ExchangeCommand::Bust { match_number: 1 });
    floor.apply(ExchangeCommand::Bust { match_number: 2 });
    assert_eq!(floor.refusals(), ["AlreadyBusted(1)", "UnknownTrade(2)"]);
}

#[test]
fn a_trade_older_than_the_rules_remember_cannot_be_busted() {
    let mut floor = Floor::new();
    for _ in 0..=rules().trades_max {
        floor.sell(1, 1, cents(1000));
        floor.buy(2, 1, cents(1000));
    }
    floor.apply(ExchangeCommand::Bust { match_number: 1 });
    assert_eq!(floor.refusals(), ["UnknownTrade(1)"]);
    floor.apply(ExchangeCommand::Bust { match_number: 2 });
    assert!(floor.refusals().is_empty());
}

#[test]
fn terms_change_while_an_instrument_is_closed_and_at_no_other_time() {
    let mut floor = Floor::new();
    let terms = InstrumentTerms {
        symbol: abc(),
        tick: 500,
        lot: 10,
        reference: cents(1000),
        static_bps: 0,
        dynamic_bps: 0,
        extended_bps: 0,
    };
    floor.apply(ExchangeCommand::DefineInstrument(terms));
    floor.apply(ExchangeCommand::DefineInstrument(InstrumentTerms { tick: 0, ..terms }));
    assert_eq!(floor.refusals(), ["NotClosed(ABC     )", "InvalidTerms(ABC     )"]);
    floor.phase(TradingPhase::Closed);
    floor.apply(ExchangeCommand::DefineInstrument(terms));
    floor.phase(TradingPhase::Continuous);
    floor.buy(1, 10, cents(1001));
    assert_eq!(floor.last(), "1/1 rejected: InvalidPrice");
    floor.buy(1, 11, cents(1000));
    assert_eq!(floor.last(), "1/2 rejected: InvalidQuantity");
}

#[test]
fn what_has_no_room_is_refused() {
    let mut floor = Floor::new();
    for account in 5..=9 {
        floor.limit(account, AccountLimits::NONE);
    }
    assert_eq!(floor.refusals(), ["Capacity"], "the rules have eight accounts");
    for price in 0..rules().orders_max {
        floor.buy(1, 10, cents(1000 - u64::from(price % 100)));
    }
    floor.forget();
    floor.buy(1, 10, cents(1000));
    assert_eq!(floor.last(), "1/1001 rejected: Capacity");
    floor.cancel(1, 1, 0);
    floor.buy(1, 10, cents(1000));
    assert_eq!(floor.last(), "1/1002 accepted");
}

#[test]
fn rules_out_of_range_name_their_field() {
    let error = MatchingEngine::new(Rules { orders_max: 0, ..rules() }).expect_err("no order fits");
    assert_eq!(error.to_string(), "rules: orders_max is 0: choose 1 to 33554432");
    let error = MatchingEngine::new(Rules { trades_max: u32::MAX, ..rules() }).expect_err("too many");
    assert_eq!(error.field, "trades_max");
}

#[test]
fn a_system_event_is_published_as_it_is() {
    let mut floor = Floor::new();
    floor.apply(ExchangeCommand::SystemEvent { code: b'O' });
    floor.apply(ExchangeCommand::SystemEvent { code: b'Z' });
    assert_eq!(
        (floor.events(), floor.refusals()),
        (vec!["S O".to_owned()], vec!["InvalidEventCode(90)".to_owned()])
    );
}

#[test]
fn symbols_are_printable_and_padded() {
    assert!(Symbol::new("ABC").is_valid() && Symbol::new("ABCDEFGH").is_valid());
    for bad in ["", " AB", "A B", "A\n"] {
        assert!(!Symbol::new(bad).is_valid(), "{bad:?}");
    }
    assert_eq!(Symbol::new("ABCDEFGHI"), Symbol::new("ABCDEFGH"));
}
