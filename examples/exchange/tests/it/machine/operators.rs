//! Operators' lines, and what they do.

use super::venue::{Venue, lines, machine, order};
use lockstep_exchange::Symbol;
use ouch50::Side;

#[test]
fn an_operator_defines_limits_kills_and_busts() {
    let mut venue = Venue::new(machine(), 2);
    assert_eq!(
        lines(&venue.operator("instrument NEW tick 100 lot 1 reference 50000")),
        ["feed: R NEW is 3", "99: done: instrument NEW tick 100 lot 1 reference 50000"]
    );
    assert_eq!(
        lines(&venue.operator("phase NEW halted")),
        ["feed: H NEW Halted", "99: done: phase NEW halted"]
    );
    assert_eq!(lines(&venue.operator("limits 1 quantity 50")), ["99: done: limits 1 quantity 50"]);
    assert_eq!(venue.ouch(1, order(1, Side::Buy, 51, 100_000)), ["1: J 1 RiskMaxQuantity"]);
    venue.ouch(1, order(2, Side::Buy, 50, 100_000));
    venue.ouch(2, order(1, Side::Sell, 20, 100_000));
    assert_eq!(
        lines(&venue.operator("bust 1")),
        ["1: B 2 match 1", "2: B 1 match 1", "feed: B 1", "99: done: bust 1"]
    );
    assert_eq!(venue.machine.engine().position(1, Symbol::new("ABC")), 0);
    assert_eq!(lines(&venue.operator("bust 1")), ["99: refused: trade 1 is busted already"]);
    assert_eq!(lines(&venue.operator("kill 1")), ["1: C 2 30 Supervisory", "feed: D 1", "99: done: kill 1"]);
    assert_eq!(venue.ouch(1, order(3, Side::Buy, 1, 100_000)), ["1: J 3 FirmNotAuthorized"]);
    assert_eq!(lines(&venue.operator("revive 1")), ["99: done: revive 1"]);
    assert_eq!(lines(&venue.operator("event Q")), ["feed: S StartOfMarketHours", "99: done: event Q"]);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let mut venue = Venue::new(machine(), 1);
    for (line, why) in [
        ("", "write instrument, "),
        ("steal 1", "write instrument, "),
        ("instrument ABCDEFGHI tick 1 reference 1", "'ABCDEFGHI' is no symbol"),
        ("instrument NEW tick", "write a number behind 'tick'"),
        ("instrument NEW tick 1", "write 'reference' and a number"),
        ("instrument NEW tick 1 tick 2 reference 1", "'tick' is there twice"),
        ("instrument NEW colour 1", "'colour' is not one of"),
        ("instrument NEW tick 7 reference 8", "tick, lot, reference price or band"),
        ("instrument ABC tick 1 reference 1", "ABC"),
        ("phase ABC open", "'open' is no phase"),
        ("phase ABC halted until noon", "'noon' is no number"),
        ("phase NONE halted", "no instrument NONE"),
        ("limits 4294967296", "the account is 4294967296"),
        ("kill 7", "no account 7"),
        ("bust 1", "no trade 1"),
        ("event Z", "'Z' is no event"),
        ("reference ABC 1", "tick, lot, reference price"),
    ] {
        let answer = lines(&venue.operator(line));
        let fits = answer.len() == 1 && answer[0].starts_with("99: refused: ") && answer[0].contains(why);
        assert!(fits, "{line:?}: {answer:?}");
    }
}

#[test]
fn an_auction_ends_by_the_streams_time() {
    let mut venue = Venue::new(machine(), 2);
    venue.operator("phase XYZ closed");
    assert_eq!(
        lines(&venue.operator("phase XYZ opening-auction for 1000")),
        ["feed: H XYZ QuotationOnly", "99: done: phase XYZ opening-auction for 1000"]
    );
    let xyz = ouch50::Symbol::new(b"XYZ").expect("ASCII");
    let buy = ouch50::EnterOrder { symbol: xyz, ..order(1, Side::Buy, 100, 101_000) };
    let sell = ouch50::EnterOrder { symbol: xyz, ..order(1, Side::Sell, 60, 99_000) };
    venue.ouch(1, buy);
    venue.ouch(2, sell);
    assert_eq!(lines(&venue.wait(700_000_000)), ["feed: I 60 Buy at 10.1000"]);
    assert_eq!(
        lines(&venue.wait(300_000_000)),
        [
            "1: E 1 60 at 10.1000 OpeningCross match 2",
            "feed: C 1 60 at 10.1000",
            "2: E 1 60 at 10.1000 OpeningCross match 2",
            "feed: C 2 60 at 10.1000",
            "feed: Q XYZ 60 at 10.1000",
            "feed: H XYZ Trading",
        ]
    );
}

/// What waits for a duration waits for what is left of it, and no longer, where an order sets back a stream's
/// time that ran a year ahead: the end of an interruption, the indicative price, the end of a phase `for` so
/// long. What waits for a time of the day waits for it.
#[test]
fn durations_go_on_where_the_streams_time_is_set_back() {
    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
    let interrupted = |venue: &mut Venue<_>| {
        venue.ouch(1, order(1, Side::Sell, 10, 100_000));
        venue.ouch(2, order(1, Side::Buy, 10, 100_000));
        venue.ouch(1, order(2, Side::Sell, 10, 115_000));
        let lines = venue.ouch(2, order(2, Side::Buy, 10, 115_000));
        assert!(lines.iter().any(|line| line.starts_with("feed: H ABC")), "{lines:?}");
    };
    let ends = |phase: &str| {
        let mut venue = Venue::new(machine(), 2);
        venue.now += YEAR;
        match phase {
            "interruption" => interrupted(&mut venue),
            line => drop(venue.operator(line)),
        }
        venue.wait(500_000_000);
        venue.set_back(YEAR);
        let early = lines(&venue.wait(150_000_000));
        let indicative = lines(&venue.wait(100_000_000));
        let ended = lines(&venue.wait(1_300_000_000));
        (early, indicative.len(), ended.iter().any(|line| line.ends_with("Trading")))
    };
    assert_eq!(ends("interruption"), (Vec::new(), 1, true), "two seconds, and a price each 0.7 s");
    assert_eq!(ends("phase ABC opening-auction for 2000"), (Vec::new(), 1, true));
    let until = super::venue::NINE + YEAR + 2_000_000_000;
    assert_eq!(ends(&format!("phase ABC opening-auction until {until}")), (Vec::new(), 1, false));
}
