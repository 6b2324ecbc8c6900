//! The server's machine of SoupBinTCP.

use crate::{SECOND, field, hex, session};
use lockstep_testkit::lane::amount;
use proptest::collection::vec;
use proptest::prelude::*;
use soupbintcp::server::{begin_at, *};
use soupbintcp::{LoginRequest, Packet, RejectReason, SoupError, Timeout};

const T0: u64 = 1_000 * SECOND;

fn bytes_of(packet: Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.append(&mut out).expect("a packet that can be written");
    out
}

fn request(timeout: Timeout) -> LoginRequest {
    let (username, password) = (field(b"joe"), field(b"pass"));
    LoginRequest { username, password, session: session("S1"), seq: 1, timeout }
}

fn login(timeout: Timeout) -> Vec<u8> {
    bytes_of(Packet::LoginRequest(request(timeout)))
}

/// What a server makes of all of these bytes.
fn events<'a>(server: &mut Server, now: u64, mut bytes: &'a [u8]) -> Vec<Event<'a>> {
    let mut events = Vec::new();
    loop {
        let taken = server.on_bytes(now, bytes);
        bytes = &bytes[taken.len..];
        match taken.event {
            Some(event) => events.push(event),
            None => return events,
        }
    }
}

fn pending(timeout: Timeout) -> Server {
    let mut server = Server::new(T0, ServerLimits::default());
    assert_eq!(events(&mut server, T0, &login(timeout)), [Event::Login(request(timeout))]);
    assert_eq!(server.state(), State::LoginPending);
    server
}

fn open(timeout: Timeout) -> Server {
    let mut server = pending(timeout);
    server.accept(T0, session("S1"), 1, &mut Vec::new()).expect("a pending login");
    server
}

#[test]
fn a_session_from_login_to_its_end() {
    let (mut server, mut out) = (pending(Timeout::Absent), Vec::new());
    server.accept(T0, session("S1"), 5, &mut out).unwrap();
    assert_eq!((server.state(), server.next_seq()), (State::Open, 5));
    assert_eq!(server.sequenced(T0, b"X", &mut out), Ok(5));
    assert_eq!(server.unsequenced(T0, b"Y", &mut out), Ok(()));
    assert_eq!(server.debug(T0, "hi", &mut out), Ok(()));
    assert_eq!(server.sequenced_header(T0, 1), Ok([0, 2, b'S']));
    assert_eq!(server.next_seq(), 7, "debug and unsequenced are not counted, an announced message is");
    assert_eq!(server.end_session(T0, &mut out), Ok(()));
    assert_eq!(server.ended(), Some(End::EndOfSession));
    let accepted = Packet::LoginAccepted { session: session("S1"), next_seq: 5 };
    assert_eq!(out, [bytes_of(accepted), hex("0002 53 58 0002 55 59 0003 2B 6869 0001 5A")].concat());
    assert_eq!(server.sequenced(T0, b"X", &mut out), Err(Refused::State(State::Ended(End::EndOfSession))));
}

#[test]
fn messages_come_one_at_a_time_and_heartbeats_are_taken_along() {
    let mut server = open(Timeout::Absent);
    let bytes = hex("0001 52 0002 55 41 0001 52 0001 55 0002 2B 42 0002");
    let seen = events(&mut server, T0, &bytes);
    assert_eq!(seen, [Event::Message(b"A"), Event::Message(b""), Event::Debug(b"B")]);
    let taken = server.on_bytes(T0, &bytes);
    assert_eq!(taken, Taken { len: 7, event: Some(Event::Message(b"A")) });
}

/// soup 2 and 3: the timeout of 4.1, its absence, and a minimum that it cannot undercut.
#[test]
fn a_client_is_silent_for_as_long_as_it_said() {
    for (timeout, silence_ns) in [
        (Timeout::Absent, 15 * SECOND),
        (Timeout::Blank, 15 * SECOND),
        (Timeout::Ms(3_000), 3 * SECOND),
        (Timeout::Ms(99_999), 99_999_000_000),
        (Timeout::Ms(0), 1_500_000_000),
    ] {
        let (mut server, mut out) = (open(timeout), Vec::new());
        assert_eq!(server.silence_ns(), silence_ns, "{timeout:?}");
        assert_eq!(server.on_timer(T0 + silence_ns - 1, &mut out), None);
        assert_eq!(server.on_timer(T0 + silence_ns, &mut out), Some(End::Silent));
    }
}

/// soup 14: silence ends the connection, and is not told again and again.
#[test]
fn silence_is_measured_from_the_last_whole_packet_and_ends_once() {
    let (mut server, mut out) = (open(Timeout::Absent), Vec::new());
    assert_eq!(server.on_bytes(T0 + SECOND, &hex("0001 52")), Taken { len: 3, event: None });
    // The length is too long: heartbeats behind it belong to the message.
    let mut half = hex("9999 55 41");
    for second in 2..16 {
        half.extend(hex("0001 52"));
        assert_eq!(server.on_bytes(T0 + second * SECOND, &half), Taken { len: 0, event: None });
    }
    assert_eq!(server.on_timer(T0 + 15 * SECOND, &mut out), None);
    assert_eq!(server.on_timer(T0 + 16 * SECOND, &mut out), Some(End::Silent));
    assert_eq!(server.next_deadline(), u64::MAX);
    out.clear();
    assert_eq!(server.on_timer(T0 + 99 * SECOND, &mut out), Some(End::Silent));
    assert_eq!((out.len(), events(&mut server, T0, &hex("0002 55 41"))), (0, vec![]));
}

#[test]
fn a_heartbeat_follows_when_more_than_a_second_has_passed() {
    let (mut server, mut out) = (open(Timeout::Absent), Vec::new());
    assert_eq!(server.next_deadline(), T0 + SECOND + 1);
    server.on_timer(T0 + SECOND, &mut out);
    assert!(out.is_empty());
    server.on_timer(T0 + SECOND + 1, &mut out);
    assert_eq!(out, hex("0001 48"));
    server.sequenced(T0 + 2 * SECOND, b"X", &mut out).unwrap();
    assert_eq!(server.next_deadline(), T0 + 3 * SECOND + 1, "whatever is sent puts it off");
    assert_eq!(server.next_seq(), 2, "and it is not counted");
}

#[test]
fn before_the_login_is_accepted_no_heartbeat_and_while_it_waits_a_word_three_times_in_the_silence_it_bears() {
    let mut out = Vec::new();
    let mut server = Server::new(T0, ServerLimits::default());
    server.on_timer(T0 + 20 * SECOND, &mut out);
    assert!(out.is_empty());
    let mut decides = pending(Timeout::Absent);
    assert_eq!(decides.next_deadline(), T0 + 5 * SECOND + 1, "some clients take it for a refusal");
    for second in 1..=20 {
        let ended = decides.on_timer(T0 + second * SECOND + second, &mut out);
        assert_eq!(ended, None, "the owner takes its time");
    }
    let (mut rest, mut words) = (&out[..], 0);
    while let Some((packet, len)) = Packet::decode(rest).unwrap() {
        assert!(
            matches!(packet, Packet::Debug(_)),
            "the one packet that may stand before the answer: {packet:?}"
        );
        (rest, words) = (&rest[len..], words + 1);
    }
    assert_eq!(words, 4);
    decides.accept(T0 + 20 * SECOND, session("S1"), 1, &mut out).unwrap();
    assert_eq!(decides.on_timer(T0 + 20 * SECOND, &mut out), None, "the client was not silent meanwhile");
}

#[test]
fn a_login_that_trickles_in_ends_by_the_limit() {
    let (mut server, mut out) = (Server::new(T0, ServerLimits::default()), Vec::new());
    let bytes = [hex("0002 2B 41 0001 52"), login(Timeout::Absent)].concat();
    let mut from = 0;
    for came in 1..28 {
        let now = T0 + came as u64 * SECOND;
        let taken = server.on_bytes(now, &bytes[from..came]);
        from += taken.len;
        assert_eq!(server.on_timer(now, &mut out), None);
        assert_eq!(server.next_deadline(), T0 + 30 * SECOND);
    }
    assert_eq!(server.on_timer(T0 + 30 * SECOND, &mut out), Some(End::LoginLate));
    assert_eq!(events(&mut server, T0, &bytes[from..]), [], "too late");
    assert_eq!(
        server.accept(T0, session("S1"), 1, &mut out),
        Err(Refused::State(State::Ended(End::LoginLate)))
    );
}

fn fault_of(server: &mut Server, bytes: &[u8]) -> Fault {
    let seen = events(server, T0, bytes);
    let Some(Event::Fault(fault)) = seen.last() else { panic!("no fault: {seen:?}") };
    assert_eq!(server.ended(), Some(End::Fault(*fault)));
    assert!(fault.to_string().contains(": "), "what is wrong, and what to do: {fault}");
    *fault
}

#[test]
fn messages_before_the_answer_are_a_fault() {
    let mut server = Server::new(T0, ServerLimits::default());
    assert_eq!(fault_of(&mut server, &hex("0002 55 58")), Fault::MessageBeforeLogin);
    assert_eq!(fault_of(&mut pending(Timeout::Absent), &hex("0002 55 58")), Fault::MessageBeforeLogin);
}

#[test]
fn debug_heartbeat_and_logout_are_legal_before_the_answer() {
    let mut server = pending(Timeout::Absent);
    let bytes = hex("0001 52 0001 2B 0001 4F");
    let seen = events(&mut server, T0, &bytes);
    assert_eq!((seen, server.ended()), (vec![Event::Debug(b""), Event::Logout], Some(End::Logout)));
}

#[test]
fn a_second_login_is_a_fault() {
    assert_eq!(fault_of(&mut pending(Timeout::Absent), &login(Timeout::Absent)), Fault::SecondLogin);
    assert_eq!(fault_of(&mut open(Timeout::Absent), &login(Timeout::Blank)), Fault::SecondLogin);
}

/// soup 13: no version has sequenced data from a client.
#[test]
fn packets_of_the_servers_direction_are_a_fault() {
    let accepted = bytes_of(Packet::LoginAccepted { session: session("S1"), next_seq: 1 });
    for bytes in [hex("0002 53 58"), hex("0001 48"), hex("0001 5A"), hex("0002 4A 53"), accepted] {
        for mut server in
            [Server::new(T0, ServerLimits::default()), pending(Timeout::Blank), open(Timeout::Blank)]
        {
            assert_eq!(fault_of(&mut server, &bytes), Fault::Direction { kind: bytes[2] });
        }
    }
}

#[test]
fn what_follows_a_logout_is_told_once_and_changes_nothing() {
    let mut server = open(Timeout::Absent);
    let bytes = hex("0001 4F 0002 55 58");
    let seen = events(&mut server, T0, &bytes);
    assert_eq!(seen, [Event::Logout, Event::Fault(Fault::AfterLogout)]);
    assert_eq!(server.ended(), Some(End::Logout));
    assert_eq!(events(&mut server, T0, &hex("0002 55 58")), []);
}

/// soup 1, 6, 12, 14: what the codec refuses ends the connection by name.
#[test]
fn bytes_that_are_no_packet_are_a_fault() {
    for (bytes, error) in [
        (hex("0000"), SoupError::LengthZero),
        (hex("0001 41"), SoupError::Length { kind: b'A', length: 1 }),
        (hex("0001 51"), SoupError::Kind { kind: b'Q' }),
    ] {
        assert_eq!(fault_of(&mut open(Timeout::Absent), &bytes), Fault::Packet(error));
    }
    let mut nines = login(Timeout::Absent);
    nines[29..49].fill(b'9');
    let mut server = Server::new(T0, ServerLimits::default());
    let error = SoupError::Number { field: "requested sequence number" };
    assert_eq!(fault_of(&mut server, &nines), Fault::Packet(error));
}

#[test]
fn a_login_is_answered_exactly_once() {
    let mut out = Vec::new();
    let mut server = pending(Timeout::Absent);
    assert_eq!(server.reject(RejectReason::SessionNotAvailable, &mut out), Ok(()));
    let ended = State::Ended(End::Rejected(RejectReason::SessionNotAvailable));
    assert_eq!((server.state(), &out), (ended, &hex("0002 4A 53")));
    assert_eq!(server.accept(T0, session("S1"), 1, &mut out), Err(Refused::State(ended)));
    assert_eq!(server.reject(RejectReason::NotAuthorized, &mut out), Err(Refused::State(ended)));
    assert_eq!(server.debug(T0, "late", &mut out), Err(Refused::State(ended)));
    let mut server = open(Timeout::Absent);
    assert_eq!(server.reject(RejectReason::NotAuthorized, &mut out), Err(Refused::State(State::Open)));
    let mut server = Server::new(T0, ServerLimits::default());
    assert_eq!(server.accept(T0, session("S1"), 1, &mut out), Err(Refused::State(State::AwaitingLogin)));
    assert_eq!(server.sequenced(T0, b"X", &mut out), Err(Refused::State(State::AwaitingLogin)));
    assert_eq!(out, hex("0002 4A 53"));
}

/// soup 15: numbers are the session's, and end below 2^64.
#[test]
fn numbers_begin_at_one_and_do_not_wrap() {
    let (mut server, mut out) = (pending(Timeout::Absent), Vec::new());
    assert_eq!(server.accept(T0, session("S1"), 0, &mut out), Err(Refused::Number));
    assert_eq!(server.accept(T0, session("S1"), u64::MAX - 1, &mut out), Ok(()));
    assert_eq!(server.sequenced(T0, b"X", &mut out), Ok(u64::MAX - 1));
    let len = out.len();
    assert_eq!(server.sequenced(T0, b"X", &mut out), Err(Refused::Number));
    assert!(matches!(server.sequenced_header(T0, 65_535), Err(Refused::Number)));
    assert_eq!(out.len(), len);
    let long = open(Timeout::Absent).sequenced(T0, &[0; 65_535], &mut out);
    assert_eq!(long, Err(Refused::Packet(SoupError::PayloadLong { len: 65_535 })), "and is not counted");
}

/// soup 8: a number ahead of the stream is refused. soup 9: 0 begins with what comes next.
#[test]
fn a_requested_number_is_there_or_refused() {
    assert_eq!((begin_at(0, 1, 8), begin_at(1, 1, 8), begin_at(8, 1, 8)), (Ok(8), Ok(1), Ok(8)));
    assert_eq!(begin_at(9, 1, 8), Err(RejectReason::SessionNotAvailable));
    assert_eq!(begin_at(4, 5, 8), Err(RejectReason::SessionNotAvailable), "no longer kept");
    assert_eq!(begin_at(u64::MAX, 1, 8), Err(RejectReason::SessionNotAvailable));
}

// ---------------------------------------------------------------------------- properties

/// What may happen to a server.
#[derive(Clone, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Accept(u64),
    Reject,
    Sequenced(Vec<u8>),
    Header,
    Unsequenced,
    Debug,
    EndSession,
    Close,
    Later(u64),
}

fn inputs() -> impl Strategy<Value = Input> {
    let whole = prop_oneof![
        6 => Just(login(Timeout::Absent)),
        2 => Just(login(Timeout::Ms(100))),
        6 => Just(hex("0002 55 58")),
        4 => Just(hex("0001 52 0002 2B 41")),
        1 => Just(hex("0001 4F")),
        1 => Just(hex("0002 53 41")),
        1 => vec(any::<u8>(), 0..20),
        2 => Just(hex("00")),
    ];
    prop_oneof![
        8 => whole.prop_map(Input::Bytes),
        4 => (0..4u64).prop_map(Input::Accept),
        1 => Just(Input::Reject),
        6 => vec(any::<u8>(), 0..5).prop_map(Input::Sequenced),
        1 => Just(Input::Header),
        2 => Just(Input::Unsequenced),
        2 => Just(Input::Debug),
        1 => Just(Input::EndSession),
        1 => Just(Input::Close),
        6 => (0..3 * SECOND).prop_map(Input::Later),
        1 => (0..40 * SECOND).prop_map(Input::Later),
    ]
}

/// Everything that was sent, as letters; panics if it is not whole packets.
fn letters(mut out: &[u8]) -> String {
    let mut letters = String::new();
    while !out.is_empty() {
        let (packet, len) = Packet::decode(out).expect("own packets").expect("whole packets");
        letters.push(char::from(packet.kind()));
        out = &out[len..];
    }
    letters
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(amount(200, 3000)))]

    #[test]
    fn whatever_happens_a_server_keeps_the_protocol(inputs in vec(inputs(), 0..60)) {
        let (mut now, mut out, mut inbox) = (T0, Vec::new(), Vec::new());
        let mut server = Server::new(now, ServerLimits::default());
        let (mut first_seq, mut ended, mut ends) = (0, None, 0);
        for input in inputs {
            let len_before = out.len();
            match input {
                Input::Bytes(bytes) => {
                    inbox.extend(bytes);
                    loop {
                        let taken = server.on_bytes(now, &inbox);
                        let event = taken.event.map(|event| match event {
                            Event::Logout => 1,
                            Event::Fault(Fault::AfterLogout) => 0,
                            Event::Fault(_) => 1,
                            _ => 0,
                        });
                        prop_assert!(taken.len > 0 || event.is_none(), "an event takes bytes");
                        inbox.drain(..taken.len);
                        let Some(event) = event else { break };
                        ends += event;
                    }
                }
                Input::Accept(next_seq) => {
                    if server.accept(now, session("S1"), next_seq, &mut out).is_ok() {
                        first_seq = next_seq;
                    }
                }
                Input::Reject => drop(server.reject(RejectReason::NotAuthorized, &mut out)),
                Input::Sequenced(message) => drop(server.sequenced(now, &message, &mut out)),
                Input::Header => {
                    if let Ok(header) = server.sequenced_header(now, 0) {
                        out.extend(header);
                    }
                }
                Input::Unsequenced => drop(server.unsequenced(now, b"U", &mut out)),
                Input::Debug => drop(server.debug(now, "x", &mut out)),
                Input::EndSession => drop(server.end_session(now, &mut out)),
                Input::Close => server.close(),
                Input::Later(ns) => {
                    now += ns;
                    let due = server.next_deadline() <= now;
                    server.on_timer(now, &mut out);
                    let did = out.len() > len_before || server.ended() != ended;
                    prop_assert_eq!(did, due, "the deadline tells exactly when there is something to do");
                    prop_assert!(server.next_deadline() > now);
                }
            }
            if ended.is_some() {
                prop_assert_eq!(server.ended(), ended, "it ends once");
                prop_assert_eq!(out.len(), len_before, "and sends nothing behind");
            }
            ended = server.ended();
        }
        let sent = letters(&out);
        let answer = sent.find(['A', 'J']);
        let before = &sent[..answer.unwrap_or(sent.len())];
        prop_assert!(before.chars().all(|letter| letter == '+'), "before the answer: {}", sent);
        prop_assert!(sent.matches(['A', 'J']).count() <= 1, "{}", sent);
        prop_assert!(!sent.contains('J') || sent.ends_with('J'), "{}", sent);
        prop_assert!(!sent.contains('Z') || sent.ends_with('Z'), "{}", sent);
        prop_assert_eq!(server.next_seq(), first_seq + sent.matches('S').count() as u64, "{}", sent);
        prop_assert!(ends <= 1);
    }

    #[test]
    fn a_server_says_the_same_however_the_bytes_come(
        pieces in vec(prop_oneof![
            4 => Just(hex("0002 55 58")),
            3 => Just(hex("0001 52 0003 2B 4142")),
            1 => Just(hex("0001 4F")),
            1 => Just(login(Timeout::Absent)),
            1 => vec(any::<u8>(), 0..9),
        ], 0..20),
        cuts in vec(1..30usize, 1..200),
    ) {
        let bytes = pieces.concat();
        let whole: Vec<_> =
            events(&mut open(Timeout::Absent), T0, &bytes).iter().map(|event| format!("{event:?}")).collect();
        let (mut server, mut from, mut came, mut events) = (open(Timeout::Absent), 0, 0, Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        while came < bytes.len() {
            came = (came + cuts.next().unwrap_or(1)).min(bytes.len());
            loop {
                let taken = server.on_bytes(T0, &bytes[from..came]);
                from += taken.len;
                let Some(event) = taken.event else { break };
                events.push(format!("{event:?}"));
            }
        }
        prop_assert_eq!(events, whole);
    }
}
