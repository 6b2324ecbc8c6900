//! FIX clients at two gateways on one stream, message by message.

mod edges;
mod place;
mod scenes;
mod trader;
mod walk;

use super::MS;
use lockstep_wire::Nanos;
use place::FixPlace;
use proptest::prelude::*;
use trader::Trader;

const S: Nanos = 1_000_000_000;

/// Alice, logged in at the first gateway, and the messages that she received.
fn logged_in() -> (FixPlace, Trader) {
    let mut place = FixPlace::new();
    let mut alice = Trader::connect(&mut place, 0);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["1 A 98=0|108=30"]);
    (place, alice)
}

#[test]
fn a_logon_is_answered_and_an_order_is_reported_with_the_numbers_of_the_stream() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    let reports = alice.received(&mut place);
    assert!(reports[0].starts_with("2 8 37=1|11=first|17="), "{reports:?}");
    assert!(
        reports[0].contains("|150=0|39=0|55=ABC|54=1|38=10|40=2|44=10|59=0|151=10|14=0|6=0|60="),
        "{reports:?}"
    );
    assert!(
        reports[1].contains("|150=F|39=2|") && reports[1].contains("|32=10|31=10|151=0|14=10|6=10|"),
        "{reports:?}"
    );
    assert_eq!(reports.len(), 2);
}

#[test]
fn another_gateway_continues_a_session_whose_gateway_has_died_with_neither_number_off() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    alice.send(&mut place, "35=0|");
    assert_eq!(alice.received(&mut place).len(), 2);
    place.kill(0);
    let mut alice = alice.reconnect(&mut place, 1);
    // Its number is 4: logon, order, heartbeat.
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["4 A 98=0|108=30"]);
    alice.order(&mut place, "second", 10);
    let reports = alice.received(&mut place);
    assert!(reports[0].starts_with("5 8 ") && reports[1].starts_with("6 8 "), "{reports:?}");
    assert_eq!(place.orders(), ["first", "second"]);
}

#[test]
fn an_order_that_died_with_its_gateway_is_asked_for_and_one_that_was_stamped_is_not() {
    for is_stamped in [true, false] {
        let (mut place, mut alice) = logged_in();
        place.hold(!is_stamped);
        alice.order(&mut place, "first", 10);
        place.kill(0);
        place.hold(false);
        let mut alice = alice.reconnect(&mut place, 1);
        alice.log_on(&mut place, "");
        let received = alice.received(&mut place);
        if is_stamped {
            // Logon 1, two reports 2 and 3: the client has received one message, and lacks the reports.
            assert_eq!(received, ["4 A 98=0|108=30"]);
        } else {
            assert_eq!(received, ["2 A 98=0|108=30", "3 2 7=2|16=0"]);
            alice.send_as(
                &mut place,
                2,
                "35=D|43=Y|122=20261121-10:00:00|11=first|55=ABC|54=1|38=10|40=2|44=10|",
            );
            alice.send_as(&mut place, 3, "35=4|43=Y|122=20261121-10:00:00|123=Y|36=4|");
            assert_eq!(alice.received(&mut place).len(), 2);
        }
        assert_eq!(place.orders(), ["first"]);
        // Sent once more, it is known.
        alice.send_as(
            &mut place,
            2,
            "35=D|43=Y|122=20261121-10:00:00|11=first|55=ABC|54=1|38=10|40=2|44=10|",
        );
        assert_eq!((place.orders().len(), alice.received(&mut place)), (1, Vec::<String>::new()));
    }
}

#[test]
fn a_resend_request_is_answered_from_the_stream_by_any_gateway_and_gaps_stand_for_the_sessions_own() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    alice.send(&mut place, "35=1|112=are you there|");
    alice.order(&mut place, "second", 7);
    let first = alice.received(&mut place);
    assert_eq!(first[2], "4 0 112=are you there");
    place.kill(0);
    place.advance(60 * S);
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["6 A 98=0|108=30"]);
    alice.send(&mut place, "35=2|7=1|16=0|");
    let again = alice.received(&mut place);
    let numbers: Vec<_> =
        again.iter().map(|line| line.split(" 43=Y").next().unwrap_or("").to_owned()).collect();
    assert_eq!(numbers, ["1 4", "2 8", "3 8", "4 4", "5 8", "6 4"], "{again:?}");
    assert!(
        again[0].ends_with("|123=Y|36=2")
            && again[3].ends_with("|123=Y|36=5")
            && again[5].ends_with("|123=Y|36=7")
    );
    for (before, after) in [(&first[0], &again[1]), (&first[1], &again[2]), (&first[3], &again[4])] {
        let (before, after) = (before.split_once("37=").unwrap(), after.split_once("37=").unwrap());
        assert_eq!(before.1, after.1);
        assert!(
            after.0.contains("|122=20261121-10:00:0") && !after.0.contains("52=20261121-10:00:0"),
            "{after:?}"
        );
    }
    // A part of the messages alone, and messages that were never sent.
    alice.send(&mut place, "35=2|7=2|16=2|");
    assert!(alice.received(&mut place)[0].starts_with("2 8 43=Y"));
    alice.send(&mut place, "35=2|7=9|16=0|");
    assert!(alice.received(&mut place)[0].starts_with("7 3 45=8|371=7|372=2|373=5|58="));
}

#[test]
fn reports_of_a_client_that_is_away_have_numbers_before_its_logon() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "rests", 11);
    assert_eq!(alice.received(&mut place).len(), 1);
    alice.close(&mut place);
    place.execute("rests", 4);
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["4 A 98=0|108=30"]);
    alice.send(&mut place, "35=2|7=3|16=3|");
    let again = alice.received(&mut place);
    assert!(again[0].contains("|150=F|39=1|") && again[0].contains("|151=7|14=4|"), "{again:?}");
}

#[test]
fn messages_that_are_skipped_are_asked_for_once_and_taken_in_their_order() {
    let (mut place, mut alice) = logged_in();
    let order = |name: &str| format!("35=D|11={name}|55=ABC|54=1|38=11|40=2|44=10|");
    alice.send_as(&mut place, 4, &order("third"));
    alice.send_as(&mut place, 5, &order("fourth"));
    assert_eq!(alice.received(&mut place), ["2 2 7=2|16=0"]);
    alice.send_as(&mut place, 2, "35=4|43=Y|122=20261121-10:00:00|123=Y|36=3|");
    for (number, name) in [(3, "second"), (4, "third"), (5, "fourth")] {
        alice.send_as(&mut place, number, &format!("{}43=Y|122=20261121-10:00:00|", order(name)));
    }
    assert_eq!(alice.received(&mut place).len(), 3);
    assert_eq!(place.orders(), ["second", "third", "fourth"]);
}

#[test]
fn a_number_that_is_too_low_ends_the_session_unless_it_is_a_possible_duplicate() {
    let (mut place, mut alice) = logged_in();
    alice.send_as(&mut place, 1, "35=0|43=Y|122=20261121-10:00:00|");
    assert_eq!(alice.received(&mut place), Vec::<String>::new());
    alice.send_as(&mut place, 1, "35=0|");
    assert_eq!(alice.received(&mut place), ["2 5 58=MsgSeqNum too low, expecting 2 but received 1"]);
    assert!(alice.is_closed(&mut place));
    // A logon with too low a number receives the same, and nothing else.
    let mut again = alice.reconnect(&mut place, 1);
    again.next = 1;
    again.log_on(&mut place, "");
    assert_eq!(again.received(&mut place), ["3 5 58=MsgSeqNum too low, expecting 2 but received 1"]);
    assert!(again.is_closed(&mut place));
}

#[test]
fn both_numbers_begin_anew_at_every_gateway_when_a_logon_asks_for_it() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    alice.close(&mut place);
    let mut alice = alice.reconnect(&mut place, 0);
    alice.next = 1;
    alice.log_on(&mut place, "141=Y|");
    assert_eq!(alice.received(&mut place), ["1 A 98=0|108=30|141=Y"]);
    alice.order(&mut place, "second", 10);
    assert!(alice.received(&mut place)[0].starts_with("2 8 "));
    place.kill(0);
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["4 A 98=0|108=30"]);
    // The order of the former session is still known by its ClOrdID.
    alice.order(&mut place, "first", 10);
    assert!(alice.received(&mut place)[0].contains("|150=8|39=8|103=6|"));
}

#[test]
fn heartbeats_are_sent_and_asked_for_and_a_client_that_is_silent_is_cut() {
    let (mut place, mut alice) = logged_in();
    place.advance(30 * S);
    assert_eq!(alice.received(&mut place), ["2 0 "]);
    place.advance(7 * S);
    assert_eq!(alice.received(&mut place), ["3 1 112=LOCKSTEP"]);
    alice.send(&mut place, "35=0|112=LOCKSTEP|");
    place.advance(30 * S);
    assert_eq!(alice.received(&mut place), ["4 0 "]);
    assert!(!alice.is_closed(&mut place));
    place.advance(60 * S);
    assert!(alice.is_closed(&mut place));
}

#[test]
fn a_logout_is_answered_behind_everything_before_it() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    alice.send(&mut place, "35=5|");
    let received = alice.received(&mut place);
    assert_eq!((received.len(), received[2].as_str()), (3, "4 5 "));
    assert!(alice.is_closed(&mut place));
    assert_eq!(place.disconnects(), ["it logged out"]);
}

#[test]
fn a_gateway_that_stops_and_a_user_that_is_disabled_say_so_by_a_logout_with_its_number() {
    let (mut place, mut alice) = logged_in();
    place.stop(0);
    assert_eq!(alice.received(&mut place), ["2 5 58=the gateway stops: log in at another one"]);
    assert!(alice.is_closed(&mut place));
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["3 A 98=0|108=30"]);
    place.disable_alice(1);
    assert_eq!(alice.received(&mut place), ["4 5 58=this user was disabled"]);
    assert_eq!(place.disconnects(), ["its gateway stopped", "its user was disabled"]);
}

/// Orders end with the day: a later answer to them has no number.
#[test]
fn a_gateway_that_has_read_this_day_alone_counts_as_one_that_has_read_the_whole_stream() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "rests", 11);
    assert_eq!(alice.received(&mut place).len(), 1);
    place.kill(1);
    place.day(Some("20261122"));
    place.start_late(1);
    place.execute("rests", 4);
    let mut alice = Trader::connect(&mut place, 0);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["1 A 98=0|108=30"]);
    alice.order(&mut place, "first", 10);
    let reports = alice.received(&mut place);
    assert!(reports[0].starts_with("2 8 ") && reports[1].starts_with("3 8 "), "{reports:?}");
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["4 A 98=0|108=30"]);
    alice.send(&mut place, "35=2|7=1|16=0|");
    let again = alice.received(&mut place);
    for (report, again) in reports.iter().zip(&again[1..3]) {
        let of = |line: &str| line.split_once("37=").map(|(_, fields)| fields.to_owned());
        assert_eq!(of(report), of(again));
    }
    assert!(again[0].starts_with("1 4 ") && again[3].starts_with("4 4 ") && again.len() == 4, "{again:?}");
}

#[test]
fn a_trading_day_is_a_session_and_its_numbers_begin_at_one() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    assert_eq!(alice.received(&mut place).len(), 2);
    place.day(None);
    assert_eq!(alice.received(&mut place), ["4 5 58=the trading day has ended"]);
    assert!(alice.is_closed(&mut place));
    place.day(Some("20261122"));
    let mut alice = alice.reconnect(&mut place, 1);
    alice.next = 1;
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["1 A 98=0|108=30"]);
}

#[test]
fn a_logon_of_nobody_is_closed_without_a_byte_as_a_logout_would_take_a_number() {
    let mut place = FixPlace::new();
    for logon in [
        "35=0|34=1|49=alice|56=LOCKSTEP|52=20261121-10:00:00|",
        "35=A|34=1|49=alice|56=OTHER|52=20261121-10:00:00|98=0|108=30|554=secret|",
        "35=A|34=1|49=alice|56=LOCKSTEP|52=20261121-10:00:00|98=0|108=30|",
        "35=A|34=1|49=alice|56=LOCKSTEP|52=20261121-10:00:00|98=0|108=30|553=bob|554=secret|",
        "35=A|34=1|49=alice|56=LOCKSTEP|52=20261121-10:00:00|98=0|108=30|554=wrong|",
        // He speaks SoupBinTCP.
        "35=A|34=1|49=bob|56=LOCKSTEP|52=20261121-10:00:00|98=0|108=30|554=secret|",
    ] {
        let mut nobody = Trader::connect(&mut place, 0);
        nobody.send_whole(&mut place, logon);
        assert_eq!(nobody.received(&mut place), Vec::<String>::new(), "{logon}");
        assert!(nobody.is_closed(&mut place), "{logon}");
    }
    let mut nobody = Trader::connect(&mut place, 0);
    nobody.send_bytes(&mut place, b"GET / HTTP/1.1\r\n\r\n");
    assert!(nobody.is_closed(&mut place));
    let mut idle = Trader::connect(&mut place, 0);
    place.advance(31 * S);
    assert!(idle.is_closed(&mut place));
    assert_eq!(place.orders(), Vec::<String>::new());
}

#[test]
fn what_is_malformed_is_rejected_by_its_tag_and_what_is_garbled_is_skipped() {
    let (mut place, mut alice) = logged_in();
    for (message, answer) in [
        ("35=D|55=ABC|54=1|38=10|40=2|44=10|", "3 45=2|371=11|372=D|373=1|58="),
        ("35=D|11=a|55=ABC|54=9|38=10|40=2|44=10|", "3 45=3|371=54|372=D|373=5|58="),
        ("35=D|11=a|55=ABC|54=1|38=1.5|40=2|44=10|", "3 45=4|371=38|372=D|373=6|58="),
        ("35=D|11=a|55=ABC|54=1|38=10|40=2|44=|", "3 45=5|371=44|372=D|373=4|58="),
        ("35=D|11=a|55=ABC|54=1|38=10|40=3|44=10|", "8 37=NONE|11=a|17="),
        ("35=F|11=b|41=a|54=1|55=ABC|", "9 37=NONE|11=b|41=a|39=8|434=1|102=1|58=no such order"),
        ("35=V|", "j 45=8|372=V|380=3|58="),
        ("35=A|98=0|108=30|", "3 45=9|371=35|372=A|373=99|58="),
    ] {
        alice.send(&mut place, message);
        let received = alice.received(&mut place);
        let is_right = received.len() == 1
            && received[0].split_once(' ').is_some_and(|(_, rest)| rest.starts_with(answer));
        assert!(is_right, "{message} {received:?}");
    }
    let before = alice.next;
    alice.send_bytes(&mut place, b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01");
    alice.next = before;
    alice.order(&mut place, "first", 10);
    assert_eq!((alice.received(&mut place).len(), place.orders().len()), (2, 1));
}

#[test]
fn wrong_ends_and_wrong_times_are_rejected_and_end_the_session() {
    for (message, reason) in [
        ("35=0|34=2|49=alice|56=OTHER|52=20261121-10:00:00|", 9),
        ("35=0|34=2|49=alice|56=LOCKSTEP|52=20261121-09:00:00|", 10),
    ] {
        let (mut place, mut alice) = logged_in();
        alice.send_whole(&mut place, message);
        let received = alice.received(&mut place);
        assert!(received[0].starts_with(&format!("2 3 45=2|372=0|373={reason}|58=")), "{received:?}");
        assert!(received[1].starts_with("3 5 58="), "{received:?}");
        assert!(alice.is_closed(&mut place));
    }
}

#[test]
fn cancels_and_replacements_are_answered_each_also_where_the_exchange_is_silent() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "a-name-of-more-than-fourteen-characters", 11);
    assert!(alice.received(&mut place)[0].contains("|11=a-name-of-more-than-fourteen-characters|"));
    alice.send(
        &mut place,
        "35=G|11=b|41=a-name-of-more-than-fourteen-characters|55=ABC|54=1|38=15|40=2|44=10.5|",
    );
    let replaced = alice.received(&mut place);
    assert!(replaced[0].contains("|11=b|41=a-name-of-more-than-fourteen-characters|"), "{replaced:?}");
    assert!(
        replaced[0].contains("|150=5|39=0|") && replaced[0].contains("|38=15|40=2|44=10.5|"),
        "{replaced:?}"
    );
    alice.send(&mut place, "35=F|11=c|41=b|55=ABC|54=1|");
    let canceled = alice.received(&mut place);
    assert!(canceled[0].contains("|11=c|41=b|") && canceled[0].contains("|150=4|39=4|"), "{canceled:?}");
    // The order is over: the exchange answers nothing.
    alice.send(&mut place, "35=F|11=d|41=b|55=ABC|54=1|");
    let refused = alice.received(&mut place);
    assert!(refused[0].contains("|11=d|41=b|39=4|434=1|102=0|"), "{refused:?}");
    // An order and its cancel in one packet: the gateway knows the order before it is delivered.
    place.hold(true);
    alice.order(&mut place, "e", 11);
    alice.send(&mut place, "35=F|11=f|41=e|55=ABC|54=1|");
    place.hold(false);
    let both = alice.received(&mut place);
    assert!(both[0].contains("|11=e|") && both[1].contains("|11=f|41=e|"), "{both:?}");
    let entries = place.orders();
    assert_eq!(entries.len(), 6, "{entries:?}");
}

#[test]
fn a_window_without_room_delays_messages_and_loses_and_doubles_none() {
    let (mut place, mut alice) = logged_in();
    place.fill_window(true);
    for number in 0..20 {
        alice.order(&mut place, &format!("o{number}"), 11);
    }
    assert_eq!(place.orders(), Vec::<String>::new());
    place.fill_window(false);
    place.advance(50 * MS);
    assert_eq!(alice.received(&mut place).len(), 20);
    assert_eq!(place.orders(), (0..20).map(|number| format!("o{number}")).collect::<Vec<_>>());
}

#[test]
fn a_client_whose_messages_wait_for_the_stream_is_not_cut_as_silent() {
    let (mut place, mut alice) = logged_in();
    place.fill_window(true);
    // The first one is queued, the second one waits unread.
    alice.order(&mut place, "first", 11);
    alice.order(&mut place, "second", 11);
    place.advance(100 * S);
    assert!(!alice.is_closed(&mut place));
    place.fill_window(false);
    place.advance(50 * MS);
    assert_eq!(place.orders(), ["first", "second"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_of_a_client_make_a_gateway_panic(
        chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), 0_usize..12, any::<bool>()), 0..30),
    ) {
        let (mut place, mut alice) = logged_in();
        let messages = [
            "35=0|", "35=1|112=x|", "35=2|7=1|16=0|", "35=2|7=1|16=3|", "35=4|123=Y|36=9|", "35=4|36=20|",
            "35=D|11=a|55=ABC|54=1|38=10|40=2|44=10|", "35=F|11=b|41=a|55=ABC|54=1|", "35=G|11=c|41=a|54=1|38=4|40=2|44=9|",
            "35=5|", "35=3|45=2|", "35=A|98=0|108=30|",
        ];
        for (bytes, message, is_whole) in chunks {
            if is_whole {
                alice.send(&mut place, messages[message]);
            } else {
                alice.send_bytes(&mut place, &bytes);
            }
            place.advance(MS);
            let _ = alice.received(&mut place);
        }
    }
}
