//! What no client should send: each is answered by its reason or by silence, and by the same at each copy.

use super::flow::{Dice, Flow};
use super::venue::{Venue, encoded, lines, machine, order, replace};
use lockstep_machine::Twice;
use ouch50::codes::{AiqStrategy, CrossType, Display, PriceType, RejectReason, TimeInForce};
use ouch50::{CancelOrder, EnterOrder, Options, Price, Side, Symbol};
use proptest::prelude::*;

/// The answer to a message after an order 5 of another client and an order 1 of this one, which is open.
fn answer(bytes: &[u8]) -> Vec<String> {
    let mut venue = Venue::new(Twice::new(machine).every(1), 2);
    venue.ouch(2, order(5, Side::Buy, 10, 99_000));
    venue.ouch(1, order(1, Side::Buy, 100, 99_000));
    let answer = lines(&venue.bytes(1, bytes));
    assert_eq!(venue.machine.difference(), None);
    venue.machine.machine().check().expect("a sound exchange");
    answer
}

fn entered(change: impl FnOnce(&mut EnterOrder)) -> Vec<u8> {
    let mut entered = order(2, Side::Buy, 100, 99_000);
    change(&mut entered);
    encoded(entered)
}

fn option(change: impl FnOnce(&mut Options)) -> Vec<u8> {
    entered(|order| change(&mut order.options))
}

/// An order with one byte changed.
fn patched(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = encoded(order(2, Side::Buy, 100, 99_000));
    bytes[at] = byte;
    bytes
}

#[test]
fn an_order_that_is_not_possible_is_rejected_with_its_reason() {
    use RejectReason as Reason;
    let rows = [
        ("an unlisted side", patched(5, b'Z'), Reason::InvalidSide),
        ("a symbol that is not printable", patched(10, 7), Reason::InvalidSymbol),
        ("an unlisted time in force", patched(26, b'Z'), Reason::Other),
        ("an unlisted display", patched(27, b'!'), Reason::InvalidDisplay),
        ("an unlisted capacity", patched(28, 0), Reason::Other),
        ("an unlisted cross", patched(30, 0xFF), Reason::InvalidCrossOrder),
        ("an appendage that does not end", patched(46, 9), Reason::Other),
        ("no quantity", entered(|order| order.quantity = 0), Reason::InvalidQuantity),
        ("a million", entered(|order| order.quantity = 1_000_000), Reason::InvalidQuantity),
        ("the most", entered(|order| order.quantity = u32::MAX), Reason::InvalidQuantity),
        ("beyond the limit", entered(|order| order.quantity = 50_001), Reason::RiskMaxQuantity),
        ("no price", entered(|order| order.price = Price(0)), Reason::InvalidPrice),
        ("between ticks", entered(|order| order.price = Price(99_050)), Reason::InvalidPrice),
        ("too high", entered(|order| order.price = Price(1_999_999_901)), Reason::InvalidPrice),
        ("the highest", entered(|order| order.price = Price(u64::MAX)), Reason::InvalidPrice),
        ("outside of the band", entered(|order| order.price = Price(40_000)), Reason::FatFinger),
        ("no symbol", entered(|order| order.symbol = Symbol::BLANK), Reason::InvalidSymbol),
        ("hidden", entered(|order| order.display = Display::Hidden), Reason::InvalidDisplay),
        ("a sweep", entered(|order| order.is_sweep = true), Reason::IsoNotAllowed),
        ("for a cross", entered(|order| order.cross_type = CrossType::Opening), Reason::InvalidCrossOrder),
        ("for long", entered(|order| order.time_in_force = TimeInForce::ExtendedHours), Reason::Other),
        ("a least quantity", option(|options| options.min_quantity = Some(50)), Reason::InvalidMinQuantity),
        (
            "a peg",
            option(|options| options.price_type = Some(PriceType::MidpointPeg)),
            Reason::PeggingNotAllowed,
        ),
        ("a floor above it", option(|options| options.max_floor = Some(101)), Reason::InvalidMaxFloor),
        ("random reserves", option(|options| options.random_reserves = Some(1)), Reason::InvalidMaxFloor),
        (
            "a strategy",
            option(|options| options.aiq_strategy = Some(AiqStrategy::FirmDecrement)),
            Reason::InvalidAiq,
        ),
        ("a group", option(|options| options.group_id = Some(1)), Reason::Other),
        ("a channel", option(|options| options.user_ref_idx = Some(1)), Reason::Other),
        ("replaces nothing", encoded(replace(9, 2, 10, 99_000)), Reason::ReplaceNotAllowed),
        ("replaces another's", encoded(replace(5, 2, 10, 99_000)), Reason::ReplaceNotAllowed),
        ("replaces to nothing", encoded(replace(1, 2, 0, 99_000)), Reason::InvalidQuantity),
        ("replaces by the market", encoded(replace(1, 2, 10, Price::MARKET.0)), Reason::InvalidPrice),
    ];
    for (what, bytes, reason) in rows {
        assert_eq!(answer(&bytes), [format!("1: J 2 {reason:?}")], "{what}");
    }
}

#[test]
fn what_has_no_number_or_no_order_is_answered_by_silence() {
    let whole = encoded(order(2, Side::Buy, 100, 99_000));
    for len in 0..45 {
        assert_eq!(answer(&whole[..len]), [] as [&str; 0], "{len} bytes");
    }
    for len in 45..whole.len() {
        assert_eq!(answer(&whole[..len]), ["1: J 2 Other"], "{len} bytes");
    }
    let cancel =
        |user_ref_num, quantity| encoded(CancelOrder { user_ref_num, quantity, options: Options::NONE });
    let silent = [
        ("no type", b"!".to_vec()),
        ("an answer", b"J".to_vec()),
        ("a number that is used", encoded(order(1, Side::Buy, 100, 99_000))),
        ("a malformed one whose number is used", {
            let mut bytes = encoded(order(1, Side::Buy, 100, 99_000));
            bytes[5] = b'Z';
            bytes
        }),
        ("a replacement whose number is used", encoded(replace(1, 1, 10, 99_000))),
        ("number 0", encoded(order(0, Side::Buy, 100, 99_000))),
        ("a cancel of nothing", cancel(9, 0)),
        ("a cancel of another's order", cancel(5, 0)),
        ("a cancel to more", cancel(1, 101)),
    ];
    for (what, bytes) in silent {
        assert_eq!(answer(&bytes), [] as [&str; 0], "{what}");
    }
}

#[test]
fn a_client_that_never_logged_in_has_no_account() {
    let mut venue = Venue::new(machine(), 1);
    assert_eq!(venue.ouch(7, order(1, Side::Buy, 100, 99_000)), ["7: J 1 FirmNotAuthorized"]);
}

#[test]
fn a_rejected_order_has_used_its_number() {
    let mut venue = Venue::new(machine(), 1);
    let hidden = EnterOrder { display: Display::Hidden, ..order(4, Side::Buy, 100, 99_000) };
    assert_eq!(venue.ouch(1, hidden), ["1: J 4 InvalidDisplay"]);
    assert_eq!(venue.ouch(1, order(4, Side::Buy, 100, 99_000)), [] as [&str; 0]);
    assert_eq!(venue.machine.ignored(), 1);
}

/// Applies messages of the flow, each with some bytes changed, cut or added.
fn mutated(seed: u64, cuts: &[(usize, u8, bool)]) -> Result<(), TestCaseError> {
    let mut venue = Venue::new(Twice::new(machine).every(8), 3);
    let (mut flow, mut dice) = (Flow::new(3), Dice(seed));
    for (at, byte, is_cut) in cuts {
        let (account, mut bytes) = flow.message(&mut dice);
        let at = at % bytes.len();
        bytes[at] = *byte;
        if *is_cut {
            bytes.truncate(at);
        }
        let published = venue.bytes(account, &bytes);
        lines(&published);
        prop_assert_eq!(venue.machine.difference(), None);
    }
    venue.machine.machine().check().map_err(TestCaseError::fail)
}

proptest! {
    #[test]
    fn any_bytes_are_answered_alike_and_nothing_panics(
        messages in prop::collection::vec((1..4u32, prop::collection::vec(any::<u8>(), 0..90)), 1..40),
    ) {
        let mut venue = Venue::new(Twice::new(machine).every(4), 3);
        for (account, bytes) in messages {
            lines(&venue.bytes(account, &bytes));
            prop_assert_eq!(venue.machine.difference(), None);
        }
    }

    #[test]
    fn changed_messages_are_answered_alike_and_nothing_panics(
        seed in any::<u64>(),
        cuts in prop::collection::vec((any::<usize>(), any::<u8>(), any::<bool>()), 1..80),
    ) {
        mutated(seed, &cuts)?;
    }

    #[test]
    fn any_line_of_an_operator_is_answered(line in "(instrument|phase|limits|kill|bust|event|reference)?( [a-zA-Z0-9*]{0,9}){0,9}") {
        let mut venue = Venue::new(Twice::new(machine).every(1), 1);
        let answer = lines(&venue.operator(&line));
        prop_assert!(answer.iter().any(|line| line.starts_with("99: ")));
        prop_assert_eq!(venue.machine.difference(), None);
    }
}
