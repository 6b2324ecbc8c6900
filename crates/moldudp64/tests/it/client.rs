//! The receiver of MoldUDP64.

use crate::session;
use lockstep_testkit::lane::amount;
use moldudp64::client::*;
use moldudp64::packer::{Packer, Push};
use moldudp64::packet::{Header, Request};
use moldudp64::server::{RequestServer, ServerLimits, SessionBounds};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::net::SocketAddr;

const LIMITS: ClientLimits = ClientLimits {
    guard_ns: 10,
    retry_ns: 100,
    tries_max: 3,
    servers: 2,
    count_max: 50,
    ahead_max: 64,
    ahead_bytes_max: 10_000,
};

/// The message of this number: tells itself, and some are empty.
fn message(seq: u64) -> Vec<u8> {
    vec![seq as u8; (seq % 4) as usize]
}

fn datagram(seq: u64, count: u64) -> Vec<u8> {
    datagram_of("S1", seq, count)
}

fn datagram_of(name: &str, seq: u64, count: u64) -> Vec<u8> {
    let mut packer = Packer::new(session(name), 9_000).expect("a packer");
    for seq in seq..seq + count {
        assert_eq!(packer.push(seq, &message(seq)), Ok(Push::Taken));
    }
    packer.flush().expect("at least one").to_vec()
}

fn heartbeat(next_seq: u64) -> Vec<u8> {
    Header::heartbeat(session("S1"), next_seq).encode().to_vec()
}

fn end(next_seq: u64) -> Vec<u8> {
    Header::end_of_session(session("S1"), next_seq).encode().to_vec()
}

#[derive(Clone, PartialEq, Debug)]
enum Seen {
    Message(u64),
    Lost(u64, u64),
    Changed(u64),
    Ended(u64),
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Message { seq, bytes } => {
            assert_eq!(bytes, message(seq), "the bytes of message {seq}");
            Seen::Message(seq)
        }
        Event::Lost { from, to } => Seen::Lost(from, to),
        Event::SessionChanged { seq, .. } => Seen::Changed(seq),
        Event::Ended { next_seq } => Seen::Ended(next_seq),
    }
}

fn hears(client: &mut Client, now: u64, bytes: &[u8]) -> Vec<Seen> {
    let mut intake = client.on_datagram(now, bytes).expect("a good datagram");
    let mut all = Vec::new();
    while let Some(event) = intake.next_event() {
        all.push(seen(event));
    }
    all
}

fn says(client: &mut Client, now: u64) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(event) = client.next_event(now) {
        all.push(seen(event));
    }
    all
}

/// The asked server: from where, and for how many.
fn asks(client: &mut Client, now: u64) -> Option<(u32, u64, u16)> {
    client.on_timer(now).map(|(server, bytes)| {
        let request = Request::decode(&bytes).expect("a good request");
        assert_eq!(Some(request.session), client.session());
        (server, request.seq, request.count)
    })
}

fn messages(range: std::ops::Range<u64>) -> Vec<Seen> {
    range.map(Seen::Message).collect()
}

fn from_one() -> Client {
    Client::new(Some(session("S1")), Start::At(1), LIMITS)
}

/// mold 5: heartbeat and end of session advance by nothing.
#[test]
fn messages_come_in_order_and_the_end_is_said_once() {
    let mut client = from_one();
    assert_eq!(hears(&mut client, 0, &datagram(1, 3)), messages(1..4));
    assert_eq!(hears(&mut client, 0, &heartbeat(4)), []);
    assert_eq!(hears(&mut client, 0, &datagram(4, 1)), messages(4..5));
    assert_eq!((client.next_seq(), client.next_deadline()), (5, u64::MAX));
    assert_eq!(hears(&mut client, 0, &end(5)), [Seen::Ended(5)]);
    assert_eq!(hears(&mut client, 0, &end(5)), []);
    assert_eq!(hears(&mut client, 0, &datagram(5, 2)), [], "nothing behind the end");
    assert_eq!(client.next_seq(), 5);
}

/// mold 6: the beginning is the application's choice.
#[test]
fn a_late_joiner_begins_where_it_wants() {
    let mut any = Client::new(None, Start::FirstSeen, LIMITS);
    assert_eq!(asks(&mut any, 1_000), None);
    assert_eq!(hears(&mut any, 0, &datagram(100, 2)), messages(100..102));
    assert_eq!((any.session(), any.next_seq()), (Some(session("S1")), 102));
    let mut at_a_heartbeat = Client::new(None, Start::FirstSeen, LIMITS);
    assert_eq!(hears(&mut at_a_heartbeat, 0, &heartbeat(100)), []);
    assert_eq!(hears(&mut at_a_heartbeat, 0, &datagram(99, 2)), messages(100..101));
    let mut all = from_one();
    assert_eq!(hears(&mut all, 0, &datagram(100, 2)), []);
    assert_eq!(asks(&mut all, 10), Some((0, 1, 50)), "from the start");
    let mut later = Client::new(None, Start::At(101), LIMITS);
    assert_eq!(hears(&mut later, 0, &datagram(100, 2)), messages(101..102));
}

/// mold 7: what is ahead of a gap is kept, so that a loss costs only what was lost.
#[test]
fn a_gap_is_filled_and_what_was_kept_follows() {
    let mut client = from_one();
    hears(&mut client, 0, &datagram(1, 2));
    assert_eq!(hears(&mut client, 0, &datagram(5, 4)), []);
    assert_eq!(hears(&mut client, 5, &datagram(9, 2)), []);
    assert_eq!((client.buffered().0, client.known_next(), client.next_deadline()), (6, 11, 10));
    assert_eq!(asks(&mut client, 9), None);
    assert_eq!(asks(&mut client, 10), Some((0, 3, 2)));
    assert_eq!(hears(&mut client, 50, &datagram(3, 2)), messages(3..11));
    assert_eq!((client.buffered(), client.next_deadline()), ((0, 0), u64::MAX));
    assert_eq!(client.counters().requests, 1);
}

/// mold 7: a request or an answer may be lost too; other servers are asked, and not for ever.
#[test]
fn silence_is_followed_by_the_next_server_and_at_last_by_giving_up() {
    let mut client = from_one();
    hears(&mut client, 0, &datagram(3, 2));
    assert_eq!(asks(&mut client, 10), Some((0, 1, 2)));
    assert_eq!(asks(&mut client, 109), None);
    assert_eq!(asks(&mut client, 110), Some((1, 1, 2)));
    assert_eq!(asks(&mut client, 210), Some((0, 1, 2)));
    assert_eq!((says(&mut client, 210), client.next_deadline()), (vec![], 310));
    assert_eq!(asks(&mut client, 310), None);
    let lost = [vec![Seen::Lost(1, 3)], messages(3..5)].concat();
    assert_eq!((says(&mut client, 310), client.next_deadline()), (lost, u64::MAX));
    assert_eq!((client.counters().lost, client.next_seq()), (2, 5));
    assert_eq!(hears(&mut client, 320, &datagram(1, 3)), [], "too late: never backwards");
}

#[test]
fn what_was_given_up_is_said_before_what_follows_it() {
    let mut client = Client::new(None, Start::At(1), ClientLimits { servers: 0, ..LIMITS });
    hears(&mut client, 0, &datagram(3, 1));
    assert_eq!(asks(&mut client, 10), None, "nobody to ask");
    let all = [vec![Seen::Lost(1, 3)], messages(3..6)].concat();
    assert_eq!(hears(&mut client, 10, &datagram(4, 2)), all);
}

/// A server answers with fewer than asked for: the rest at once, of the same one.
#[test]
fn a_part_of_an_answer_brings_the_request_for_the_rest() {
    let mut client = from_one();
    hears(&mut client, 0, &heartbeat(101));
    assert_eq!(asks(&mut client, 10), Some((0, 1, 50)));
    assert_eq!(asks(&mut client, 110), Some((1, 1, 50)));
    assert_eq!(hears(&mut client, 120, &datagram(1, 20)), messages(1..21));
    assert_eq!(client.next_deadline(), 120);
    assert_eq!(asks(&mut client, 120), Some((1, 21, 50)));
    for now in [220, 320] {
        assert!(asks(&mut client, now).is_some(), "progress begins the count of tries anew");
    }
}

/// mold 11 and 15: a packet that begins below the next number and reaches beyond it.
#[test]
fn a_straddling_packet_gives_what_is_new_of_it() {
    let mut client = from_one();
    hears(&mut client, 0, &datagram(1, 4));
    assert_eq!(hears(&mut client, 0, &datagram(3, 5)), messages(5..8));
    assert_eq!(client.counters().copies, 2);
}

/// mold 16: late and doubled packets.
#[test]
fn late_packets_never_move_a_receiver_backwards() {
    let mut client = from_one();
    hears(&mut client, 0, &datagram(1, 9));
    for late in [datagram(1, 2), datagram(4, 6), heartbeat(3), heartbeat(10)] {
        assert_eq!(hears(&mut client, 0, &late), []);
        assert_eq!((client.next_seq(), client.known_next(), client.next_deadline()), (10, 10, u64::MAX));
    }
}

/// mold 19: answers are packed anew, and so may be the other feed.
#[test]
fn of_two_feeds_the_first_copy_wins_however_they_are_packed() {
    let mut client = from_one();
    assert_eq!(hears(&mut client, 0, &datagram(1, 3)), messages(1..4));
    assert_eq!(hears(&mut client, 1, &datagram(1, 1)), []);
    assert_eq!(hears(&mut client, 2, &datagram(6, 2)), [], "line A lost 4 and 5");
    assert_eq!(hears(&mut client, 3, &datagram(2, 5)), messages(4..8), "line B has them within the guard");
    assert_eq!(client.buffered(), (0, 0), "the copies that were kept are given back");
    assert_eq!(asks(&mut client, 1_000), None);
    assert_eq!(client.counters().requests, 0);
}

/// mold 4: the session is pinned, and a change is said.
#[test]
fn another_session_is_said_once_and_not_believed() {
    let mut client = from_one();
    hears(&mut client, 0, &datagram(1, 2));
    let other = datagram_of("S2", 1, 5);
    assert_eq!(hears(&mut client, 0, &other), [Seen::Changed(1)]);
    assert_eq!(hears(&mut client, 0, &other), []);
    assert_eq!((client.next_seq(), client.known_next(), client.counters().other_session), (3, 3, 2));
    assert_eq!(hears(&mut client, 0, &datagram(3, 1)), messages(3..4), "ours goes on");
    client.pin(session("S2"), Start::At(1));
    assert_eq!(hears(&mut client, 0, &other), messages(1..6));
    assert_eq!(client.session(), Some(session("S2")));
    assert_eq!(hears(&mut client, 0, &datagram(4, 1)), [Seen::Changed(4)]);
}

/// mold 3: the same session with its blanks on the other side.
#[test]
fn a_session_padded_on_the_other_side_is_the_same() {
    let (mut client, mut bytes) = (from_one(), datagram(1, 1));
    bytes[..10].copy_from_slice(b"        S1");
    assert_eq!(hears(&mut client, 0, &bytes), messages(1..2));
}

#[test]
fn a_lost_tail_is_found_by_a_heartbeat_and_by_the_end() {
    let mut client = from_one();
    hears(&mut client, 0, &datagram(1, 2));
    hears(&mut client, 0, &heartbeat(5));
    assert_eq!(asks(&mut client, 10), Some((0, 3, 2)));
    assert_eq!(hears(&mut client, 20, &end(6)), [], "requests are still answered");
    assert_eq!(hears(&mut client, 30, &datagram(3, 2)), messages(3..5));
    assert_eq!(asks(&mut client, 1_000), Some((0, 5, 1)));
    assert_eq!(hears(&mut client, 1_000, &datagram(5, 1)), [Seen::Message(5), Seen::Ended(6)]);
    let mut gives_up = Client::new(None, Start::At(1), ClientLimits { servers: 0, ..LIMITS });
    hears(&mut gives_up, 0, &end(6));
    assert_eq!(asks(&mut gives_up, 10), None);
    assert_eq!(says(&mut gives_up, 10), [Seen::Lost(1, 6), Seen::Ended(6)]);
    assert_eq!(gives_up.next_deadline(), u64::MAX);
}

/// mold 5: an end behind which somebody still sends.
#[test]
fn nothing_is_delivered_from_behind_the_end() {
    let mut client = from_one();
    hears(&mut client, 0, &datagram(1, 2));
    assert_eq!(hears(&mut client, 0, &end(6)), []);
    assert_eq!(hears(&mut client, 0, &datagram(5, 4)), []);
    assert_eq!((client.known_next(), client.buffered().0, client.counters().beyond), (6, 1, 3));
    assert_eq!(hears(&mut client, 0, &datagram(3, 2)), [messages(3..6), vec![Seen::Ended(6)]].concat());
    assert_eq!(client.next_deadline(), u64::MAX);
}

/// mold 13, negative: of what is refused nothing is believed.
#[test]
fn a_malformed_datagram_changes_nothing_but_a_counter() {
    let mut client = from_one();
    let mut bytes = datagram(5, 3);
    bytes.pop();
    assert!(client.on_datagram(0, &bytes).is_err());
    assert_eq!((client.known_next(), client.buffered().0, client.counters().malformed), (1, 0, 1));
}

#[test]
fn what_is_kept_is_bounded_and_the_rest_asked_for_again() {
    let mut client = from_one();
    for seq in 2..200 {
        hears(&mut client, 0, &datagram(seq, 1));
    }
    assert_eq!((client.buffered().0, client.counters().beyond), (63, 135), "a ring of 64 that begins at 1");
    let sent: Vec<_> = hears(&mut client, 5, &datagram(1, 1));
    assert_eq!((sent, client.buffered()), (messages(1..65), (0, 0)));
    assert_eq!(asks(&mut client, 15), Some((0, 65, 50)));
    let mut small = Client::new(None, Start::At(1), ClientLimits { ahead_bytes_max: 5, ..LIMITS });
    hears(&mut small, 0, &datagram(2, 40));
    assert!(small.buffered().1 <= 5);
}

#[test]
fn what_is_not_read_is_not_delivered_and_comes_again() {
    let mut client = from_one();
    let bytes = datagram(1, 3);
    let first = client.on_datagram(0, &bytes).unwrap().next_event().map(seen);
    assert_eq!(first, Some(Seen::Message(1)));
    assert_eq!((client.next_seq(), asks(&mut client, 10)), (2, Some((0, 2, 2))));
    assert_eq!(hears(&mut client, 20, &bytes), messages(2..4));
}

// ---------------------------------------------------------------------------- properties

/// What a network does with the datagrams of a step.
#[derive(Clone, Debug)]
enum Outcome {
    Arrives,
    Lost,
    Twice,
    Late,
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    use Outcome::{Arrives, Late, Lost, Twice};
    prop_oneof![4 => Just(Arrives), 2 => Just(Lost), 1 => Just(Twice), 1 => Just(Late)]
}

/// Order and completeness of everything that was said; where the next message stands.
fn check(seen: &[Seen]) -> u64 {
    let mut next = 1;
    for (at, one) in seen.iter().enumerate() {
        match *one {
            Seen::Message(seq) => {
                assert_eq!(seq, next, "in order, each once");
                next += 1;
            }
            Seen::Lost(from, to) => {
                assert!(from == next && from < to, "what is lost is said exactly");
                next = to;
            }
            Seen::Ended(end) => assert_eq!((end, at), (next, seen.len() - 1), "the end comes last"),
            Seen::Changed(_) => panic!("one session"),
        }
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(amount(200, 600)))]

    /// Two feeds that lose, double and delay, and a request server behind a network that does the same.
    #[test]
    fn over_a_bad_network_everything_comes_once_and_in_order(
        feed in vec((1..6u64, outcomes(), outcomes()), 1..60),
        answers in vec(outcomes(), 200),
        patience in 3..20u32,
    ) {
        let mut client = Client::new(None, Start::At(1), ClientLimits { tries_max: patience, ..LIMITS });
        let mut server = RequestServer::new(ServerLimits::default());
        let (mut now, mut seq, mut all, mut late) = (0, 1, Vec::new(), VecDeque::new());
        let mut answers = answers.into_iter();
        let mut feed = feed.into_iter();
        let mut rounds = 0;
        while !matches!(all.last(), Some(Seen::Ended(_))) {
            rounds += 1;
            prop_assert!(rounds < 10_000, "it comes to an end");
            now += 7;
            let mut arriving = Vec::new();
            let mut meet = |outcome: Outcome, bytes: Vec<u8>| match outcome {
                Outcome::Arrives => arriving.push(bytes),
                Outcome::Lost => {}
                Outcome::Twice => arriving.extend([bytes.clone(), bytes]),
                Outcome::Late => late.push_back(bytes),
            };
            match feed.next() {
                Some((count, a, b)) => {
                    meet(a, datagram(seq, count));
                    // The second line packs one by one.
                    (seq..seq + count).for_each(|seq| meet(b.clone(), datagram(seq, 1)));
                    seq += count;
                }
                None => meet(Outcome::Arrives, end(seq)),
            }
            server.set_session(SessionBounds { session: session("S1"), first: 1, next: seq }).unwrap();
            if let Some((place, bytes)) = client.on_timer(now) {
                prop_assert!(place < 2);
                let asker = SocketAddr::from(([127, 0, 0, 1], 9));
                let answer = server.on_request(now, asker, &bytes);
                let answer = answer.expect("nobody asks for what is not there");
                let count = (answer.to - answer.from).min(4);
                meet(answers.next().unwrap_or(Outcome::Arrives), datagram(answer.from, count));
            }
            all.extend(says(&mut client, now));
            if rounds % 3 == 0 {
                arriving.extend(late.pop_front());
            }
            for bytes in arriving {
                all.extend(hears(&mut client, now, &bytes));
                prop_assert!(client.buffered().0 <= LIMITS.ahead_max);
            }
        }
        prop_assert_eq!(check(&all), seq);
        let lost_of = |one: &Seen| if let Seen::Lost(from, to) = one { to - from } else { 0 };
        let lost: u64 = all.iter().map(lost_of).sum();
        prop_assert_eq!(lost, client.counters().lost);
    }

    #[test]
    fn whatever_comes_a_receiver_goes_forward_and_is_bounded(
        steps in vec((
            prop_oneof![1..80u64, any::<u64>(), u64::MAX - 40..=u64::MAX],
            prop_oneof![0..6u16, Just(0xFFFF), any::<u16>()],
            vec(0..3u8, 0..12),
            0..60u64,
            0..9u8,
        ), 0..80),
        start in prop_oneof![Just(Start::FirstSeen), any::<u64>().prop_map(Start::At)],
    ) {
        let mut client = Client::new(None, start, LIMITS);
        let (mut now, mut next) = (0, 0);
        for (seq, count, rest, later, read) in steps {
            now += later;
            let name = session(if read == 0 { "S2" } else { "S1" });
            let bytes = [&Header { session: name, seq, count }.encode()[..], &rest].concat();
            if let Ok(mut intake) = client.on_datagram(now, &bytes) {
                let mut left = read;
                while left > 0 && intake.next_event().is_some() {
                    left -= 1;
                }
            }
            let due = client.next_deadline() <= now;
            let asked = client.on_timer(now).is_some();
            prop_assert!(!asked || due, "nothing is asked before its time");
            while read > 6 && client.next_event(now).is_some() {}
            prop_assert!(client.next_seq() >= next && client.known_next() >= client.next_seq());
            prop_assert!(client.next_deadline() > now || read <= 6, "the deadline moves");
            prop_assert!(client.buffered().0 <= LIMITS.ahead_max && client.buffered().1 <= LIMITS.ahead_bytes_max);
            next = client.next_seq();
        }
    }
}
