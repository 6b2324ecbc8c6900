//! Edge cases of sessions: gaps that are not filled, resets, requests before an answer, requests without end,
//! and gateways that cannot decide yet.

use super::place::{FixPlace, STEP};
use super::trader::Trader;
use super::{MS, S, logged_in};
use crate::fix::codec::seal;
use crate::gateway::core::tests::refusals::{ANSWERED, good};

/// Alice, whose Logon has number 10 where 2 is expected: the gateway has requested the numbers in between.
fn with_gap() -> (FixPlace, Trader) {
    let (mut place, mut alice) = logged_in();
    alice.close(&mut place);
    let mut alice = alice.reconnect(&mut place, 0);
    alice.next = 10;
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["2 A 98=0|108=30", "3 2 7=2|16=0"]);
    (place, alice)
}

#[test]
fn a_gap_fill_is_taken_with_or_without_its_flag_and_its_time() {
    for head in
        ["43=Y|", "43=Y|122=20261121-10:00:00|", "43=Y|122=soon|", "43=Y|122=20261121-23:00:00|", "43=N|", ""]
    {
        let (mut place, mut alice) = with_gap();
        alice.send_as(&mut place, 2, &format!("35=4|{head}123=Y|36=11|"));
        alice.order(&mut place, "first", 11);
        let received = alice.received(&mut place);
        assert!(received.len() == 1 && received[0].starts_with("4 8 "), "{head}: {received:?}");
        assert_eq!(place.orders(), ["first"]);
    }
}

#[test]
fn a_gap_that_is_not_filled_is_asked_for_again_and_ends_in_a_logout_that_names_the_number() {
    let (mut place, mut alice) = with_gap();
    let mut received = Vec::new();
    for second in 1..70 {
        if second % 10 == 0 {
            alice.send(&mut place, "35=0|");
        }
        place.advance(S);
        received.extend(alice.received(&mut place).into_iter().map(|line| (second, line)));
    }
    let kinds: Vec<_> = received.iter().map(|(_, line)| line.split_once(' ').expect("a number").1).collect();
    let logout = "5 58=MsgSeqNum 2 was asked for and did not come, in 4 Resend Requests";
    let expected = ["2 7=2|16=0", "0 ", "2 7=2|16=0", "2 7=2|16=0", logout];
    let kinds: Vec<_> = kinds.into_iter().filter(|kind| *kind != "0 ").collect();
    assert_eq!(kinds, expected.into_iter().filter(|kind| *kind != "0 ").collect::<Vec<_>>());
    assert!(received.last().is_some_and(|(second, _)| *second < 60), "{received:?}");
    assert!(alice.is_closed(&mut place));
    let counts = place.counts(0);
    assert_eq!((counts.fix_asked, counts.fix_gaps_abandoned), (4, 1));
}

#[test]
fn what_a_resend_loses_on_the_way_is_asked_for_at_once() {
    let (mut place, mut alice) = with_gap();
    let again = "43=Y|122=20261121-10:00:00|";
    let order = |name: &str| format!("35=D|{again}11={name}|55=ABC|54=1|38=11|40=2|44=10|");
    for (number, name) in [(2, "a"), (3, "b"), (5, "d"), (6, "e")] {
        alice.send_as(&mut place, number, &order(name));
    }
    let received = alice.received(&mut place);
    assert!(received.iter().filter(|line| line.ends_with(" 2 7=4|16=0")).count() == 1, "{received:?}");
    for (number, name) in [(4, "c"), (5, "d"), (6, "e")] {
        alice.send_as(&mut place, number, &order(name));
    }
    alice.send_as(&mut place, 7, &format!("35=4|{again}123=Y|36=11|"));
    alice.order(&mut place, "f", 11);
    assert_eq!(place.orders(), ["a", "b", "c", "d", "e", "f"]);
    assert!(!alice.is_closed(&mut place));
}

#[test]
fn a_sequence_reset_that_says_nothing_right_is_rejected_and_takes_no_number() {
    for (fields, tag, reason) in [
        ("123=Y|36=2|", 36, 5),
        ("123=Y|36=1|", 36, 5),
        ("123=Y|36=soon|", 36, 6),
        ("123=Y|", 36, 1),
        ("123=Y|36=5|36=5|", 36, 13),
        ("36=1|", 36, 5),
        ("36=-1|", 36, 6),
        ("", 36, 1),
    ] {
        let (mut place, mut alice) = logged_in();
        alice.send_as(&mut place, 2, &format!("35=4|{fields}"));
        let received = alice.received(&mut place);
        let expected = format!("2 3 45=2|371={tag}|372=4|373={reason}|58=");
        assert!(received.len() == 1 && received[0].starts_with(&expected), "{fields}: {received:?}");
        alice.next = 2;
        alice.order(&mut place, "first", 11);
        assert_eq!(place.orders(), ["first"], "{fields}");
    }
}

#[test]
fn a_possible_duplicate_that_was_there_already_is_ignored_if_it_is_one() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 11);
    assert_eq!(alice.received(&mut place).len(), 1);
    let again = |more: &str| format!("35=D|43=Y|{more}11=first|55=ABC|54=1|38=11|40=2|44=10|");
    alice.send_as(&mut place, 2, &again("122=20261121-10:00:00|"));
    assert_eq!(alice.received(&mut place), Vec::<String>::new());
    alice.send_as(&mut place, 2, &again(""));
    assert!(alice.received(&mut place)[0].starts_with("3 3 45=2|371=122|372=D|373=1|58="));
    alice.send_as(&mut place, 2, &again("122=20261121-23:00:00|"));
    let received = alice.received(&mut place);
    assert!(
        received[0].starts_with("4 3 45=2|372=D|373=10|58=") && received[1].starts_with("5 5 58="),
        "{received:?}"
    );
    assert!(alice.is_closed(&mut place));
    assert_eq!(place.orders(), ["first"]);
}

#[test]
fn a_logon_within_a_session_begins_both_numbers_anew_and_any_gateway_goes_on_from_there() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    assert_eq!(alice.received(&mut place).len(), 2);
    // She lacks messages, and so does the gateway: neither requests the former numbers any more.
    alice.send_as(&mut place, 9, "35=2|7=1|16=0|");
    assert_eq!(alice.received(&mut place).len(), 4);
    alice.send_as(&mut place, 1, "35=A|98=0|108=20|141=Y|");
    assert_eq!(alice.received(&mut place), ["1 A 98=0|108=20|141=Y"]);
    alice.next = 2;
    alice.order(&mut place, "second", 10);
    let reports = alice.received(&mut place);
    assert!(reports.len() == 2 && reports[0].starts_with("2 8 "), "{reports:?}");
    place.advance(20 * S);
    assert_eq!(alice.received(&mut place), ["4 0 "], "its HeartBtInt is the new one");
    alice.send(&mut place, "35=2|7=1|16=0|");
    let again = alice.received(&mut place);
    let numbers: Vec<_> = again.iter().map(|line| line.split(" 43=Y").next().unwrap_or("")).collect();
    assert_eq!(numbers, ["1 4", "2 8", "3 8", "4 4"], "{again:?}");
    place.kill(0);
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    assert_eq!(alice.received(&mut place), ["5 A 98=0|108=30"]);
    assert_eq!(place.orders(), ["first", "second"]);
}

#[test]
fn a_logon_within_a_session_that_cannot_be_is_refused_in_words() {
    for (number, fields, text) in [
        (3, "98=0|108=30|141=Y|", "ResetSeqNumFlag=Y needs MsgSeqNum 1"),
        (1, "98=0|108=0|141=Y|", "HeartBtInt(108) is missing, or not 1 to 3600 seconds"),
        (1, "98=1|108=30|141=Y|", "EncryptMethod(98) is missing, or not 0 (none)"),
        (1, "98=0|108=30|141=Y|553=carol|", "its SenderCompID and Username differ"),
    ] {
        let (mut place, mut alice) = logged_in();
        alice.send_as(&mut place, number, &format!("35=A|{fields}"));
        assert_eq!(alice.received(&mut place), [format!("2 5 58={text}")], "{fields}");
        assert!(alice.is_closed(&mut place));
    }
    let (mut place, mut alice) = logged_in();
    alice.send(&mut place, "35=A|98=0|108=30|");
    assert!(alice.received(&mut place)[0].starts_with("2 3 45=2|371=35|372=A|373=99|58="));
    assert!(!alice.is_closed(&mut place));
}

#[test]
fn a_resend_request_right_behind_the_logon_is_answered_behind_its_answer() {
    let (mut place, mut alice) = logged_in();
    alice.order(&mut place, "first", 10);
    assert_eq!(alice.received(&mut place).len(), 2);
    alice.close(&mut place);
    let mut alice = alice.reconnect(&mut place, 1);
    // Its answer is not stamped yet.
    place.hold(true);
    alice.log_on(&mut place, "");
    alice.send(&mut place, "35=2|7=1|16=0|");
    alice.send(&mut place, "35=2|7=9|16=0|");
    assert_eq!(alice.received(&mut place), Vec::<String>::new());
    place.hold(false);
    let received = alice.received(&mut place);
    let numbers: Vec<_> = received.iter().map(|line| line.split(" 43=Y").next().unwrap_or("")).collect();
    assert_eq!(numbers[..5], ["4 A 98=0|108=30", "1 4", "2 8", "3 8", "4 4"], "{received:?}");
    assert!(numbers[5].starts_with("5 3 45=5|371=7|372=2|373=5|58="), "{received:?}");
}

/// Messages as a client sends them: all of these in one write.
fn pieces(place: &FixPlace, from: u64, messages: impl Iterator<Item = String>) -> (Vec<u8>, u64) {
    let (time, mut number, mut bytes) = (place.time_text(), from, Vec::new());
    for message in messages {
        let (kind, rest) = message.split_once('|').expect("a type");
        let text = format!("{kind}|34={number}|49=alice|56=LOCKSTEP|52={time}|{rest}");
        seal("FIX.4.4", text.replace('|', "\x01").as_bytes(), &mut bytes);
        number += 1;
    }
    (bytes, number)
}

#[test]
fn test_requests_without_end_are_answered_each_and_leave_ten_entries_a_second() {
    let (mut place, mut alice) = logged_in();
    let (bytes, next) = pieces(&place, alice.next, (0..120).map(|id| format!("35=1|112=t{id}|")));
    let before = place.entries();
    alice.send_bytes(&mut place, &bytes);
    alice.next = next;
    place.advance(5 * S);
    let made = place.entries() - before;
    assert!((40..=65).contains(&made), "{made} in five seconds");
    place.advance(8 * S);
    let answers: Vec<_> = alice
        .received(&mut place)
        .into_iter()
        .filter_map(|line| Some(line.split_once("112=")?.1.to_owned()))
        .collect();
    assert_eq!(answers, (0..120).map(|id| format!("t{id}")).collect::<Vec<_>>());
    // Heartbeats without a Test Request have no answer, and make at most ten entries a second.
    let (bytes, next) = pieces(&place, alice.next, (0..2_000).map(|_| "35=0|".to_owned()));
    let before = place.entries();
    alice.send_bytes(&mut place, &bytes);
    alice.next = next;
    place.advance(2 * S);
    let made = place.entries() - before;
    assert!((1..=25).contains(&made), "{made} in two seconds");
    // Each of them is counted all the same.
    alice.order(&mut place, "first", 11);
    assert_eq!(place.orders(), ["first"]);
    place.advance(S);
    place.kill(0);
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    let received = alice.received(&mut place);
    assert!(received.len() == 1 && received[0].contains(" A 98=0"), "{received:?}");
}

/// Messages of the session make no output when they are sent again: the work is in reading them.
#[test]
fn a_resend_of_a_whole_day_is_done_in_small_turns_and_others_are_served_between() {
    let (mut place, mut alice) = logged_in();
    let mut carol = Trader::of(&mut place, 0, "carol");
    carol.log_on(&mut place, "");
    assert_eq!(carol.received(&mut place), ["1 A 98=0|108=30"]);
    let (bytes, next) = pieces(&place, alice.next, (0..3_000).map(|_| "35=D|".to_owned()));
    alice.send_bytes(&mut place, &bytes);
    alice.next = next;
    let mut rejects = 0;
    while rejects < 3_000 {
        let received = alice.received(&mut place).len();
        assert!(received > 0, "{rejects} of 3,000 are rejected");
        rejects += received;
    }
    let (bytes, next) = pieces(&place, alice.next, (0..8).map(|_| "35=2|7=1|16=0|".to_owned()));
    alice.send_bytes(&mut place, &bytes);
    alice.next = next;
    // Its invariants check the bound after each turn.
    carol.order(&mut place, "quick", 11);
    let reports = carol.received(&mut place);
    assert!(reports.len() == 1 && reports[0].starts_with("2 8 "), "{reports:?}");
    let fills = alice.received(&mut place);
    assert!(fills.len() < 8, "24,000 messages in {} turns", 4 * 10);
    place.advance(100 * STEP);
    let fills: Vec<_> = fills.into_iter().chain(alice.received(&mut place)).collect();
    assert!(
        fills.len() == 8
            && fills.iter().all(|line| line.starts_with("1 4 43=Y") && line.ends_with("36=3002")),
        "{fills:?}"
    );
}

#[test]
fn a_logon_at_a_gateway_that_still_reads_waits_until_it_can_be_decided() {
    let (mut place, mut alice) = logged_in();
    alice.close(&mut place);
    place.kill(1);
    place.start_reading(1);
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    place.advance(S);
    assert_eq!(alice.received(&mut place), Vec::<String>::new());
    assert!(!alice.is_closed(&mut place));
    place.catch_up(1);
    place.advance(2 * S);
    assert_eq!(alice.received(&mut place), ["2 A 98=0|108=30"]);
    // A gateway that never can decide closes the connection, and logs it.
    place.kill(1);
    place.start_reading(1);
    let mut alice = alice.reconnect(&mut place, 1);
    alice.log_on(&mut place, "");
    place.advance(29 * S);
    assert!(!alice.is_closed(&mut place));
    place.advance(2 * S);
    assert!(alice.is_closed(&mut place));
    assert_eq!(place.counts(1).rejected, 1);
}

#[test]
fn an_order_with_a_tag_twice_is_rejected_and_one_with_data_is_as_its_own_fields_say() {
    let (mut place, mut alice) = logged_in();
    for (number, tag) in (2..).zip([11, 38, 40, 44, 54, 55, 60]) {
        alice.send(&mut place, &format!("35=D|11=a|55=ABC|54=1|38=10|40=2|44=10|{tag}=1|"));
        let received = alice.received(&mut place);
        let expected = format!("{number} 3 45={number}|371={tag}|372=D|373=13|58=");
        assert!(received.len() == 1 && received[0].starts_with(&expected), "{received:?}");
    }
    assert_eq!(place.orders(), Vec::<String>::new());
    for (length, data) in crate::fix::dictionary::DATA_FIELDS {
        let name = format!("d{data}");
        let inside = "Bond\x0144=77.5\x0138=900\x0154=2\x0111=other";
        alice.send(
            &mut place,
            &format!(
                "35=D|11={name}|{length}={}|{data}={inside}|55=ABC|54=1|38=11|40=2|44=10.5|",
                inside.len()
            ),
        );
        let received = alice.received(&mut place);
        let right = format!("|11={name}|");
        let is_right = received.len() == 1
            && received[0].contains(&right)
            && received[0].contains("|54=1|38=11|40=2|44=10.5|");
        assert!(is_right, "{data}: {received:?}");
    }
    place.advance(MS);
}

#[test]
fn a_user_that_has_shown_itself_is_told_by_a_logout_why_its_logon_is_refused() {
    for (words, changes) in ANSWERED {
        let mut place = FixPlace::new();
        let mut alice = Trader::connect(&mut place, 0);
        alice.send_whole(&mut place, &good(changes).replace("49=anna", "49=alice"));
        let received = alice.received(&mut place);
        let is_answered =
            received.len() == 1 && received[0].starts_with("1 5 58=") && received[0].contains(words);
        assert!(is_answered && alice.is_closed(&mut place), "{changes}: {received:?}");
        // Its next valid logon continues with the following number.
        let mut again = alice.reconnect(&mut place, 1);
        again.log_on(&mut place, "");
        assert_eq!(again.received(&mut place), ["2 A 98=0|108=30"], "{changes}");
    }
}

#[test]
fn a_required_field_of_header_or_order_that_is_missing_is_named_and_the_session_continues() {
    let all = [(34, "2"), (49, "alice"), (56, "LOCKSTEP"), (52, "20261121-10:00:00")];
    let order =
        [(11, "a"), (55, "ABC"), (54, "1"), (38, "11"), (40, "2"), (44, "10"), (60, "20261121-10:00:00")];
    for left_out in [49, 56, 52, 11, 55, 54, 38, 40, 44, 60] {
        let (mut place, mut alice) = logged_in();
        let fields = all.into_iter().chain(order).filter(|(tag, _)| *tag != left_out);
        let fields: String = fields.map(|(tag, value)| format!("{tag}={value}|")).collect();
        alice.send_whole(&mut place, &format!("35=D|{fields}"));
        let received = alice.received(&mut place);
        let expected = format!("2 3 45=2|371={left_out}|372=D|373=1|58=");
        assert!(received.len() == 1 && received[0].starts_with(&expected), "{left_out}: {received:?}");
        alice.next = 3;
        alice.order(&mut place, "next", 11);
        assert_eq!(place.orders(), ["next"], "{left_out}");
    }
}
