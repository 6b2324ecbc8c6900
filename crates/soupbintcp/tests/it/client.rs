//! The client's machine of SoupBinTCP, alone and with the server's.

use crate::{SECOND, field, hex, session};
use lockstep_testkit::lane::amount;
use proptest::collection::vec;
use proptest::prelude::*;
use soupbintcp::Session;
use soupbintcp::client::*;
use soupbintcp::server::{self, Server, ServerLimits, begin_at};
use soupbintcp::{LoginRequest, Packet, RejectReason, SoupError, Timeout};

const T0: u64 = 1_000 * SECOND;

fn request(session: Session, seq: u64) -> LoginRequest {
    let (username, password) = (field(b"joe"), field(b"pass"));
    LoginRequest { username, password, session, seq, timeout: Timeout::Absent }
}

fn sent(request: LoginRequest) -> Client {
    let (mut client, mut out) = (Client::new(T0, request, ClientLimits::default()), Vec::new());
    assert_eq!(client.login(T0, &mut out), Ok(()));
    assert_eq!(Packet::decode(&out), Ok(Some((Packet::LoginRequest(request), 49))));
    client
}

fn accepted(session: Session, next_seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Packet::LoginAccepted { session, next_seq }.append(&mut out).expect("a packet");
    out
}

/// Of events as text, what a client makes of these bytes.
fn events(client: &mut Client, now: u64, mut bytes: &[u8]) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        let taken = client.on_bytes(now, bytes);
        bytes = &bytes[taken.len..];
        match taken.event {
            Some(event) => events.push(format!("{event:?}")),
            None => return events,
        }
    }
}

fn open(session_name: &str, seq: u64) -> Client {
    let mut client = sent(request(session(session_name), seq));
    assert_eq!(events(&mut client, T0, &accepted(session(session_name), seq)).len(), 1);
    assert_eq!(client.state(), ClientState::Open);
    client
}

#[test]
fn a_client_counts_sequenced_messages_alone() {
    let mut client = open("S1", 7);
    let seen = events(&mut client, T0, &hex("0002 53 58 0001 48 0002 55 59 0002 2B 5A 0001 53 0002 53 41"));
    let messages = ["Message { seq: 7, bytes: [88] }", "Unsequenced([89])", "Debug([90])"];
    let more = ["Message { seq: 8, bytes: [] }", "Message { seq: 9, bytes: [65] }"];
    assert_eq!(seen, [&messages[..], &more[..]].concat());
    assert_eq!(client.next_seq(), 10);
}

/// soup 16: nothing in the stream says "now live"; what comes is the same stream.
#[test]
fn the_next_connection_resumes_behind_the_last_message() {
    let mut client = sent(request(Session::BLANK, 1));
    events(&mut client, T0, &[accepted(session("S1"), 1), hex("0001 53 0001 53 0009 53 41")].concat());
    client.close();
    assert_eq!(client.next_login(), Some(request(session("S1"), 3)), "half a message is none");
    assert_eq!(client.ended(), Some(ClientEnd::Closed));
}

/// soup 8: a server's own number, or its blank session, in place of the requested.
#[test]
fn the_servers_number_counts_whatever_was_requested() {
    for (requested, answered, position) in [
        (0, 9, Position::AsRequested),
        (9, 9, Position::AsRequested),
        (9, 4, Position::Below),
        (4, 9, Position::Above),
    ] {
        let mut client = sent(request(session("S1"), requested));
        let bytes = accepted(session("S2"), answered);
        let expected = ClientEvent::Accepted {
            session: session("S2"),
            next_seq: answered,
            position,
            is_other_session: true,
        };
        assert_eq!(client.on_bytes(T0, &bytes).event, Some(expected));
        assert_eq!((client.next_seq(), client.session()), (answered, session("S2")));
    }
    let mut client = sent(request(session("S1"), 1));
    events(&mut client, T0, &accepted(Session::BLANK, 1));
    assert_eq!(client.session(), session("S1"), "an echoed blank says nothing");
}

#[test]
fn a_refused_login_is_not_tried_again_as_it_is() {
    for (bytes, reason) in [
        (hex("0002 4A 41"), RejectReason::NotAuthorized),
        (hex("0002 4A 53"), RejectReason::SessionNotAvailable),
        (hex("0002 4A 51"), RejectReason::Other(b'Q')),
    ] {
        let mut client = sent(request(session("S1"), 1));
        let end = ClientEnd::Rejected(reason);
        assert_eq!(events(&mut client, T0, &bytes), [format!("Ended({end:?})")]);
        assert_eq!((client.ended(), client.next_login()), (Some(end), None));
        assert!(reason.to_string().contains(": "), "{reason}");
        assert!(events(&mut client, T0, &hex("0001 53")).is_empty());
    }
}

#[test]
fn behind_the_end_of_a_session_comes_the_next_one_from_its_start() {
    let mut client = open("S1", 7);
    let seen = events(&mut client, T0, &hex("0001 53 0001 5A 0001 53"));
    assert_eq!((seen.len(), client.ended()), (2, Some(ClientEnd::EndOfSession)));
    assert_eq!(client.next_login(), Some(request(Session::BLANK, 1)));
    assert_eq!(client.next_seq(), 8);
}

#[test]
fn a_heartbeat_follows_when_more_than_a_second_has_passed_since_the_login() {
    let mut out = Vec::new();
    let mut waits = sent(request(session("S1"), 1));
    assert_eq!(waits.on_timer(T0 + 9 * SECOND, &mut out), None);
    assert!(out.is_empty(), "only once logged in");
    let mut client = open("S1", 1);
    client.on_timer(T0 + SECOND, &mut out);
    assert!(out.is_empty());
    client.on_timer(T0 + SECOND + 1, &mut out);
    client.unsequenced(T0 + 2 * SECOND, b"X", &mut out).unwrap();
    assert_eq!((out, client.next_deadline()), (hex("0001 52 0002 55 58"), T0 + 3 * SECOND + 1));
}

#[test]
fn silence_and_a_missing_answer_are_noticed() {
    let (mut client, mut out) = (open("S1", 1), Vec::new());
    assert!(events(&mut client, T0 + 5 * SECOND, &hex("0001 48")).is_empty());
    assert_eq!(client.on_timer(T0 + 20 * SECOND - 1, &mut out), None);
    assert_eq!(client.on_timer(T0 + 20 * SECOND, &mut out), Some(ClientEnd::Silent));
    let mut waits = sent(request(session("S1"), 1));
    waits.debug(T0 + 5 * SECOND, "still there?", &mut out).unwrap();
    assert_eq!(waits.next_deadline(), T0 + 10 * SECOND, "what else is sent does not put it off");
    assert!(events(&mut waits, T0 + 9 * SECOND, &hex("0001 48 0002 2B 41")).len() == 1);
    assert_eq!(waits.on_timer(T0 + 10 * SECOND, &mut out), Some(ClientEnd::AnswerLate));
}

/// soup 7: a server that logs out at its end. soup 12, 14: what is no packet.
#[test]
fn what_servers_do_wrong_is_named() {
    let fault = |mut client: Client, bytes: &[u8]| match client.on_bytes(T0, bytes).event {
        Some(ClientEvent::Ended(ClientEnd::Fault(fault))) => {
            assert!(fault.to_string().contains(": "), "{fault}");
            assert_eq!(client.ended(), Some(ClientEnd::Fault(fault)));
            assert!(client.next_login().is_some());
            fault
        }
        other => panic!("no fault: {other:?}"),
    };
    let waits = || sent(request(session("S1"), 1));
    assert_eq!(fault(open("S1", 1), &hex("0001 4F")), ClientFault::Direction { kind: b'O' });
    assert_eq!(fault(waits(), &hex("0001 52")), ClientFault::Direction { kind: b'R' });
    assert_eq!(fault(waits(), &hex("0001 53")), ClientFault::BeforeAnswer { kind: b'S' });
    assert_eq!(fault(waits(), &hex("0001 5A")), ClientFault::BeforeAnswer { kind: b'Z' });
    let fresh = Client::new(T0, request(session("S1"), 1), ClientLimits::default());
    assert_eq!(fault(fresh, &accepted(session("S1"), 1)), ClientFault::BeforeAnswer { kind: b'A' });
    assert_eq!(fault(open("S1", 1), &accepted(session("S1"), 1)), ClientFault::SecondAnswer);
    assert_eq!(fault(open("S1", 1), &hex("0002 4A 53")), ClientFault::SecondAnswer);
    assert_eq!(fault(waits(), &accepted(session("S1"), 0)), ClientFault::Number);
    assert_eq!(fault(open("S1", u64::MAX), &hex("0001 53")), ClientFault::Number);
    assert_eq!(fault(open("S1", 1), &hex("0000")), ClientFault::Packet(SoupError::LengthZero));
    assert_eq!(fault(open("S1", 1), &hex("0001 51")), ClientFault::Packet(SoupError::Kind { kind: b'Q' }));
}

/// soup 13: a client has no way to send sequenced data, and nothing goes out before the login or behind the
/// end.
#[test]
fn a_client_sends_messages_only_while_logged_in() {
    let mut out = Vec::new();
    let mut client = Client::new(T0, request(session("S1"), 1), ClientLimits::default());
    assert_eq!(client.unsequenced(T0, b"X", &mut out), Err(ClientRefused::State(ClientState::Fresh)));
    assert_eq!(client.logout(T0, &mut out), Err(ClientRefused::State(ClientState::Fresh)));
    let mut client = open("S1", 1);
    assert_eq!(client.login(T0, &mut out), Err(ClientRefused::State(ClientState::Open)));
    assert!(out.is_empty());
    assert_eq!(client.logout(T0, &mut out), Ok(()));
    let ended = ClientState::Ended(ClientEnd::Logout);
    assert_eq!(client.unsequenced(T0, b"X", &mut out), Err(ClientRefused::State(ended)));
    assert_eq!((out, client.next_deadline()), (hex("0001 4F"), u64::MAX));
}

// ---------------------------------------------------------------------------- both ends

/// One of both ends' buffers: what was sent and has not arrived.
#[derive(Default)]
struct Wire {
    sent: Vec<u8>,
    came: Vec<u8>,
}

impl Wire {
    /// So many bytes more arrive.
    fn arrives(&mut self, len: usize) {
        let len = len.min(self.sent.len());
        self.came.extend(self.sent.drain(..len));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(amount(200, 600)))]

    /// The resume of the protocol: over connections that break anywhere, each message comes once and in
    /// order.
    #[test]
    fn over_broken_connections_each_message_comes_once(
        steps in vec((0..8u8, 0..60usize, 0..60usize), 1..200),
    ) {
        let log: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; usize::from(n % 5)]).collect();
        let (mut next_login, mut received, mut now) = (request(Session::BLANK, 1), Vec::new(), T0);
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            let (mut up, mut down) = (Wire::default(), Wire::default());
            let mut client = Client::new(now, next_login, ClientLimits::default());
            let mut server = Server::new(now, ServerLimits::default());
            client.login(now, &mut up.sent).unwrap();
            for (step, up_len, down_len) in steps.by_ref() {
                now += 100_000_000 * up_len as u64;
                up.arrives(up_len);
                down.arrives(down_len);
                loop {
                    let taken = server.on_bytes(now, &up.came);
                    if let Some(server::Event::Login(login)) = taken.event {
                        let from = begin_at(login.seq, 1, log.len() as u64 + 1).unwrap();
                        server.accept(now, session("S1"), from, &mut down.sent).unwrap();
                    }
                    let is_more = taken.event.is_some();
                    up.came.drain(..taken.len);
                    if !is_more { break }
                }
                loop {
                    let taken = client.on_bytes(now, &down.came);
                    if let Some(ClientEvent::Message { seq, bytes }) = taken.event {
                        prop_assert_eq!(seq as usize, received.len() + 1);
                        received.push(bytes.to_vec());
                    }
                    let is_more = taken.event.is_some();
                    down.came.drain(..taken.len);
                    if !is_more { break }
                }
                let place = server.next_seq() as usize;
                if step > 1 && place > 0 && place <= log.len() {
                    server.sequenced(now, &log[place - 1], &mut down.sent).ok();
                }
                server.on_timer(now, &mut down.sent);
                client.on_timer(now, &mut up.sent);
                if step == 0 || client.ended().is_some() { break }
            }
            prop_assert!(!matches!(client.ended(), Some(ClientEnd::Fault(_) | ClientEnd::Rejected(_))));
            prop_assert!(!matches!(server.ended(), Some(server::End::Fault(_))));
            next_login = client.next_login().unwrap();
        }
        prop_assert_eq!(&received[..], &log[..received.len()]);
    }

    #[test]
    fn whatever_a_server_sends_a_client_ends_once(
        pieces in vec(prop_oneof![
            Just(accepted(session("S1"), 1)),
            Just(hex("0001 53")),
            Just(hex("0002 55 41 0001 48")),
            Just(hex("0001 5A")),
            Just(hex("0002 4A 53")),
            vec(any::<u8>(), 0..9),
        ], 0..30),
        later in vec(0..4 * SECOND, 30),
    ) {
        let mut client = sent(request(session("S1"), 1));
        let (mut now, mut inbox, mut out, mut ended, mut ends) = (T0, Vec::new(), Vec::new(), None, 0);
        for (piece, later) in pieces.into_iter().zip(later) {
            now += later;
            inbox.extend(piece);
            loop {
                let taken = client.on_bytes(now, &inbox);
                let event = taken.event.map(|event| matches!(event, ClientEvent::Ended(_)));
                inbox.drain(..taken.len);
                let Some(is_end) = event else { break };
                ends += usize::from(is_end);
            }
            let len = out.len();
            client.on_timer(now, &mut out);
            if ended.is_some() {
                prop_assert_eq!((client.ended(), out.len()), (ended, len), "it ends once, and is quiet then");
            }
            ended = client.ended();
        }
        prop_assert!(ends <= 1);
    }
}
