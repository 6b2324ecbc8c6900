//! Situations that cannot be produced with a process at will.

use super::opens::OpenFor;
use super::*;
use crate::gateway::locks::LockoutTimes;
use crate::gateway::users::{Recipient, User};
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::{CHANNELS, DayMark};
use soupbintcp::ServerLimits;

mod fix;
mod leaderless;
mod names;
mod peers;
mod refusals;

const MS: Nanos = 1_000_000;
const S: Nanos = 1_000 * MS;

/// A stream whose answers the test determines.
#[derive(Default)]
pub(super) struct Recorder {
    opens: Vec<(String, [u64; 2])>,
    closes: Vec<PublisherId>,
    /// Whether it can open no more names.
    takes_no_name: bool,
}

impl GatewayStream for Recorder {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        if self.takes_no_name {
            return None;
        }
        self.opens.push((name.to_owned(), nonce));
        Some(self.opens.len() - 1)
    }

    fn publish(
        &mut self,
        _: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        match (destination, payload.len()) {
            (SHORT, len @ 4..) => Err(PublishError::TooLongFor { destination, len, max: 3 }),
            _ => Ok(1),
        }
    }

    fn close(&mut self, publisher: PublisherId, _: &[u8]) -> Result<(), PublishError> {
        self.closes.push(publisher);
        Ok(())
    }

    fn draw(&mut self) -> [u64; 2] {
        [(7 + self.opens.len() as u64) << 8, 7]
    }
}

/// A channel with messages of at most three bytes.
const SHORT: Destination = CHANNELS + 7;
const OWN: PublisherId = 1;
const ALICE: PublisherId = 2;

fn handle_opened(gateway: &mut Gateway<MemoryBacklog>, stream: &mut Recorder, publisher: PublisherId) {
    let ticket = stream.opens.len() - 1;
    gateway.on_publisher(0, stream, &PublisherEvent::Opened { ticket, publisher, publisher_seq: 1, last: 0 });
}

fn entry_delivered(gateway: &mut Gateway<MemoryBacklog>, stream: &mut Recorder, publisher: PublisherId) {
    let (name, nonce) = stream.opens.last().cloned().unwrap();
    let name = name.as_str();
    let opened =
        SubscriberEvent::Opened { seq: 1, timestamp: 0, publisher, incarnation: 1, nonce, last: 0, name };
    gateway.on_stream(0, stream, &opened);
}

/// A gateway, and alice's connection to it, whose open is under way.
pub(super) fn opening() -> (Gateway<MemoryBacklog>, Recorder, usize) {
    opening_of(Delivery::Committed)
}

fn opening_of(delivery: Delivery) -> (Gateway<MemoryBacklog>, Recorder, usize) {
    let limits = GatewayLimits {
        delivery,
        clients_max: 8,
        clients_per_address: 8,
        allow: None,
        accepts: 500,
        soup: ServerLimits::default(),
        fix: crate::fix::session::FixSessionLimits::default(),
        stall_ns: 1_000_000_000,
        checks_max: 8,
        checks_per_address: 4,
        lockout: LockoutTimes::default(),
        scan_ns: 10 * MS,
        heartbeat_ns: 500_000_000,
        lost_heartbeats: 6,
    };
    let mut users = Users::default();
    let mut alice = User::new("alice".into(), "hash".into());
    alice.destination = Recipient::Channel(7);
    users.insert(alice);
    let ledger = Ledger::new(MemoryBacklog::new(1 << 20), true, false);
    let (mut gateway, mut stream) = (Gateway::new("1", limits, users, ledger), Recorder::default());
    gateway.on_stream(0, &mut stream, &SubscriberEvent::CaughtUp { next: 1 });
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Committed { next: 1 });
    gateway.turn(0, &mut stream, &mut Vec::new());
    entry_delivered(&mut gateway, &mut stream, OWN);
    handle_opened(&mut gateway, &mut stream, OWN);
    let index = log_in(&mut gateway, &mut stream, b"");
    (gateway, stream, index)
}

/// Another connection of alice, whose password is not checked yet.
fn begin_login(gateway: &mut Gateway<MemoryBacklog>, stream: &mut Recorder, session: &[u8]) -> usize {
    let (index, _) = gateway.accept(0, "127.0.0.1:1".parse().unwrap()).unwrap();
    let blanks = vec![b' '; 29 - session.len()];
    let login = [b"\0\x2fLalice secret    ", session, &blanks, b"0"].concat();
    gateway.on_bytes(0, stream, index, &login);
    index
}

/// Another connection of alice, whose open is under way.
fn log_in(gateway: &mut Gateway<MemoryBacklog>, stream: &mut Recorder, session: &[u8]) -> usize {
    let index = begin_login(gateway, stream, session);
    let check = gateway.next_check().unwrap();
    gateway.on_checked(0, stream, &check, true);
    index
}

#[test]
fn a_login_is_accepted_once_both_halves_of_its_open_are_there_in_either_order() {
    for entry_first in [true, false] {
        let (mut gateway, mut stream, index) = opening();
        for half in [entry_first, !entry_first] {
            assert_eq!(gateway.out(index), b"");
            let deliver = if half { entry_delivered } else { handle_opened };
            deliver(&mut gateway, &mut stream, ALICE);
        }
        assert_eq!(gateway.out(index), b"\0\x1fA     FIRST                   1");
    }
}

#[test]
fn a_day_that_begins_between_the_halves_of_a_login_refuses_it_as_its_number_was_of_the_day_before() {
    let (mut gateway, mut stream, index) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    let mark = DayMark { is_start: true, name: "20261122" };
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Day { seq: 2, timestamp: 0, mark });
    assert!(gateway.out(index).ends_with(b"\0\x02JS"), "{:?}", gateway.out(index));
    // The stream shows it as connected, and then as left.
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    assert_eq!(stream.closes, [ALICE]);
}

#[test]
fn a_gateway_whose_spool_is_full_cuts_who_is_logged_in_and_refuses_logins() {
    let (mut gateway, mut stream, index) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    let payload = vec![0; 60_000];
    for seq in 2..40 {
        let message = lockstep_core::engine::subscriber::Message {
            seq,
            publisher: 9,
            publisher_seq: seq,
            destination: ALICE,
            timestamp: 0,
            payload: &payload,
        };
        gateway.on_stream(0, &mut stream, &SubscriberEvent::Message(message));
    }
    assert!(gateway.ledger().is_full() && gateway.open_count() == 0);
    assert!(gateway.out(index).ends_with(FULL.as_bytes()));
    let again = begin_login(&mut gateway, &mut stream, b"");
    assert!(gateway.out(again).ends_with(b"\0\x02JS") && gateway.next_check().is_none());
}

#[test]
fn a_message_that_its_channel_does_not_take_is_told_and_counted_and_the_connection_goes_on() {
    let (mut gateway, mut stream, index) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    let accepted = gateway.out(index).len();
    // A millisecond later, because its rate does not allow two messages at once.
    gateway.on_bytes(0, &mut stream, index, b"\0\x05Ulong");
    gateway.on_bytes(1_000_000, &mut stream, index, b"\0\x04Uyes");
    let reply = String::from_utf8_lossy(&gateway.out(index)[accepted..]).into_owned();
    assert!(reply.get(2..).is_some_and(|reply| reply.starts_with('+')), "{reply:?}");
    assert!(reply.contains("(channels.*.message_len_max)"), "{reply:?}");
    assert_eq!((gateway.counts().refused, gateway.counts().submitted, gateway.open_count()), (1, 1, 1));
}

#[test]
fn what_a_client_sent_before_its_socket_broke_is_taken_and_nothing_is_sent_to_it() {
    let (mut gateway, mut stream, index) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.on_output_broken(index);
    assert!(gateway.out(index).is_empty() && gateway.wants(index));
    for number in 0..3 {
        gateway.on_bytes(number * 10 * MS, &mut stream, index, b"\0\x04Uyes");
        gateway.turn(number * 10 * MS, &mut stream, &mut Vec::new());
    }
    assert_eq!(gateway.counts().submitted, 3);
    assert!(gateway.out(index).is_empty() && !gateway.is_done(30 * MS, index));
    gateway.on_closed(30 * MS, index);
    assert!(gateway.is_done(30 * MS, index));
}

/// Each of them waits for its grace once, and not again after each that went before.
#[test]
fn the_clients_of_a_gateway_that_is_gone_wait_out_their_grace_together() {
    let (mut gateway, mut stream, _) = opening();
    let (other, second) = (9, 1_000_000_000);
    let open = |gateway: &mut Gateway<MemoryBacklog>,
                stream: &mut Recorder,
                publisher,
                name: &str,
                incarnation| {
        let nonce = lockstep_core::engine::clients::nonce(other, false, [u64::from(publisher) << 9, 5]);
        let opened =
            SubscriberEvent::Opened { seq: 1, timestamp: 0, publisher, incarnation, nonce, last: 0, name };
        gateway.on_stream(0, stream, &opened);
    };
    open(&mut gateway, &mut stream, other, "gateway/2", 1);
    let names = ["client/a", "client/b", "client/c"];
    for (publisher, name) in (20..).zip(names) {
        open(&mut gateway, &mut stream, publisher, name, 1);
    }
    for name in ["a", "b", "c"] {
        gateway.users.insert(User::new(name.into(), "hash".into()));
    }
    // It was started anew: its clients did not survive it.
    open(&mut gateway, &mut stream, other, "gateway/2", 2);
    let before = stream.opens.len();
    gateway.turn(second, &mut stream, &mut Vec::new());
    assert_eq!(stream.opens.len(), before, "their grace is two seconds");
    for (reaped, publisher) in (1..).zip(20..23) {
        let at = 4 * second + reaped as u64 * second / 10;
        for turn in [at, at + second / 20] {
            gateway.turn(turn, &mut stream, &mut Vec::new());
            assert_eq!(stream.opens.len(), before + reaped, "one at a time: {:?}", stream.opens);
        }
        handle_opened(&mut gateway, &mut stream, publisher);
    }
}

/// Journals retain only the newest day, in which that gateway was not opened: simulator seeds 27, 61, 7906.
#[test]
fn the_clients_of_a_gateway_whose_open_was_never_read_are_disconnected_once_it_is_silent() {
    let (mut gateway, mut stream, _) = opening();
    let (other, second, client) = (9, 1_000_000_000, 20);
    let nonce = lockstep_core::engine::clients::nonce(other, false, [7 << 9, 5]);
    gateway.users.insert(User::new("a".into(), "hash".into()));
    let (timestamp, payload) = (0, &b""[..]);
    let name = "client/a";
    let opened = SubscriberEvent::Opened {
        seq: 1,
        timestamp,
        publisher: client,
        incarnation: 1,
        nonce,
        last: 0,
        name,
    };
    gateway.on_stream(0, &mut stream, &opened);
    let before = stream.opens.len();
    let alive = |gateway: &mut Gateway<MemoryBacklog>, stream: &mut Recorder, publisher, at| {
        let heartbeat = SubscriberEvent::GatewayHeartbeat { seq: 2, timestamp, publisher, payload };
        gateway.on_stream(at, stream, &heartbeat);
        gateway.turn(at, stream, &mut Vec::new());
    };
    for at in 1..20 {
        alive(&mut gateway, &mut stream, OWN, at * second);
        alive(&mut gateway, &mut stream, other, at * second + second / 2);
    }
    assert_eq!(stream.opens.len(), before, "it lives");
    for at in 20..32 {
        alive(&mut gateway, &mut stream, OWN, at * second);
    }
    assert_eq!(stream.opens[before..].len(), 1);
    assert_eq!(stream.opens[before].0, name);
}

/// An entry and the report of its publisher's handle may come in any order, and fenced opens are never
/// reported as open.
#[test]
fn of_two_logins_of_a_user_that_are_under_way_the_first_is_refused_once_the_second_stands_in_the_stream() {
    let (mut gateway, mut stream, first) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    let second = log_in(&mut gateway, &mut stream, b"");
    entry_delivered(&mut gateway, &mut stream, ALICE);
    assert!(gateway.out(first).ends_with(b"\0\x02JS"), "{:?}", gateway.out(first));
    handle_opened(&mut gateway, &mut stream, ALICE);
    assert!(gateway.out(second).starts_with(b"\0\x1fA"), "{:?}", gateway.out(second));
    assert!(gateway.opens.is_empty());
}

/// Messages that the first login published then would stand under the second one's open, behind numbers that
/// the client does not know: simulator seeds 20261122001393 and 20261122009622.
#[test]
fn a_login_whose_user_is_open_anew_hands_in_nothing_more_although_the_entry_was_not_delivered_yet() {
    let (mut gateway, mut stream, first) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.on_bytes(0, &mut stream, first, b"\0\x04Uyes");
    let second = log_in(&mut gateway, &mut stream, b"");
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.on_bytes(1_000_000, &mut stream, first, b"\0\x04Uyes");
    assert_eq!(gateway.counts().submitted, 1);
    assert!(gateway.out(first).ends_with(SUPERSEDED.as_bytes()), "{:?}", gateway.out(first));
    entry_delivered(&mut gateway, &mut stream, ALICE);
    assert_eq!(gateway.out(second), b"\0\x1fA     FIRST                   1");
}

/// The handle sends a close under the latest open of a name, which is the later login's before the reader
/// reaches it.
#[test]
fn a_disconnect_that_is_due_does_not_end_a_later_open_whose_entry_was_not_delivered_yet() {
    let (mut gateway, mut stream, first) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.on_bytes(0, &mut stream, first, b"\0\x01O");
    let second = log_in(&mut gateway, &mut stream, b"");
    let opens = stream.opens.len();
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    assert_eq!((stream.closes.len(), stream.opens.len()), (0, opens), "the first one is fenced, not closed");
    entry_delivered(&mut gateway, &mut stream, ALICE);
    gateway.turn(40 * MS, &mut stream, &mut Vec::new());
    assert_eq!(gateway.out(second), b"\0\x1fA     FIRST                   1");
    assert_eq!((stream.closes.len(), stream.opens.len(), gateway.has_left()), (0, opens, true));
    gateway.on_bytes(50 * MS, &mut stream, second, b"\0\x01O");
    gateway.turn(60 * MS, &mut stream, &mut Vec::new());
    assert_eq!(stream.closes, [ALICE], "its own disconnect ends it");
}

/// The reader lies behind both opens: messages of the first connection would stand under the second one's
/// open.
#[test]
fn of_two_logins_that_are_open_the_first_is_refused_before_either_entry_is_delivered() {
    let (mut gateway, mut stream, first) = opening();
    handle_opened(&mut gateway, &mut stream, ALICE);
    let second = log_in(&mut gateway, &mut stream, b"");
    let opens = stream.opens.clone();
    handle_opened(&mut gateway, &mut stream, ALICE);
    assert!(gateway.out(first).ends_with(b"\0\x02JS"), "{:?}", gateway.out(first));
    for (name, nonce) in &opens[opens.len() - 2..] {
        let (nonce, name) = (*nonce, name.as_str());
        let opened = SubscriberEvent::Opened {
            seq: 1,
            timestamp: 0,
            publisher: ALICE,
            incarnation: 1,
            nonce,
            last: 0,
            name,
        };
        gateway.on_stream(0, &mut stream, &opened);
        gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    }
    assert_eq!(gateway.out(second), b"\0\x1fA     FIRST                   1");
    assert_eq!((stream.closes.len(), stream.opens.len()), (0, opens.len()));
}

/// The stream's last entry of the name is the first login's, whose connection is gone.
#[test]
fn a_user_whose_later_login_is_open_and_not_delivered_yet_is_not_taken_for_left_behind() {
    let (mut gateway, mut stream, _) = opening();
    let mut alice = gateway.users.get("alice").cloned().unwrap();
    alice.grace_ms = 0;
    gateway.users.insert(alice);
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    let second = log_in(&mut gateway, &mut stream, b"");
    let opens = stream.opens.len();
    handle_opened(&mut gateway, &mut stream, ALICE);
    for turn in 1..9 {
        gateway.turn(turn * 20 * MS, &mut stream, &mut Vec::new());
    }
    assert_eq!(stream.opens.len(), opens, "{:?}", stream.opens);
    entry_delivered(&mut gateway, &mut stream, ALICE);
    assert_eq!(gateway.out(second), b"\0\x1fA     FIRST                   1");
}

#[test]
fn a_client_that_is_leaving_is_closed_once_and_not_taken_for_left_behind_until_that_is_delivered() {
    let (mut gateway, mut stream, index) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.on_bytes(0, &mut stream, index, b"\0\x01O");
    let opens = stream.opens.len();
    for turn in 1..9 {
        gateway.turn(turn * 1_000_000_000, &mut stream, &mut Vec::new());
    }
    assert_eq!(
        (stream.closes.as_slice(), stream.opens.len(), gateway.has_left()),
        (&[ALICE][..], opens, false)
    );
    gateway.on_stream(
        0,
        &mut stream,
        &SubscriberEvent::Closed { seq: 9, timestamp: 0, publisher: ALICE, reason: b"" },
    );
    gateway.turn(9_000_000_000, &mut stream, &mut Vec::new());
    assert!(gateway.has_left());
}

/// The client has left, at another gateway, before the open arrived that was to take it over.
#[test]
fn an_open_that_takes_away_a_client_that_is_gone_is_closed_all_the_same() {
    let (mut gateway, mut stream, _) = opening();
    entry_delivered(&mut gateway, &mut stream, ALICE);
    gateway.on_closed(0, 0);
    handle_opened(&mut gateway, &mut stream, ALICE);
    gateway.on_stream(
        0,
        &mut stream,
        &SubscriberEvent::Closed { seq: 2, timestamp: 0, publisher: ALICE, reason: b"" },
    );
    let nonce = lockstep_core::engine::clients::nonce(OWN, true, [9 << 8, 9]);
    gateway.opens.add(7, nonce, OpenFor::Reap { cancels: false });
    let reap = SubscriberEvent::Opened {
        seq: 3,
        timestamp: 0,
        publisher: ALICE,
        incarnation: 2,
        nonce,
        last: 0,
        name: "client/alice",
    };
    gateway.on_stream(0, &mut stream, &reap);
    let event = PublisherEvent::Opened { ticket: 7, publisher: ALICE, publisher_seq: 1, last: 0 };
    gateway.on_publisher(0, &mut stream, &event);
    gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    assert_eq!((stream.closes.as_slice(), gateway.has_left()), (&[ALICE][..], false));
    gateway.on_stream(
        0,
        &mut stream,
        &SubscriberEvent::Closed { seq: 4, timestamp: 0, publisher: ALICE, reason: b"" },
    );
    gateway.turn(1_000_000_000, &mut stream, &mut Vec::new());
    assert!(gateway.has_left());
}

#[test]
fn who_asked_for_a_session_is_not_logged_in_to_another_that_begins_meanwhile() {
    for (session, refused) in [(&b""[..], false), (b"FIRST", true)] {
        let (mut gateway, mut stream, _) = opening();
        let index = begin_login(&mut gateway, &mut stream, session);
        let mark = DayMark { is_start: true, name: "20261122" };
        gateway.on_stream(0, &mut stream, &SubscriberEvent::Day { seq: 2, timestamp: 0, mark });
        assert_eq!(gateway.out(index).ends_with(b"\0\x02JS"), refused, "{:?}", gateway.out(index));
    }
}

#[test]
fn a_login_whose_name_finds_no_room_in_the_cluster_is_rejected_and_says_why() {
    let (mut gateway, mut stream, index) = opening();
    let ticket = stream.opens.len() - 1;
    gateway.on_publisher(
        0,
        &mut stream,
        &PublisherEvent::Refused { ticket, reason: OpenRefusal::TableFull { publishers_max: 3 } },
    );
    let reply = gateway.out(index);
    assert!(reply.ends_with(b"\0\x02JS"), "{reply:?}");
    assert!(String::from_utf8_lossy(reply).contains("stream.publishers_max"));
}

/// A message for alice at `seq`.
fn answer(seq: u64, payload: &[u8]) -> SubscriberEvent<'_> {
    SubscriberEvent::Message(lockstep_core::engine::subscriber::Message {
        seq,
        publisher: 9,
        publisher_seq: seq,
        destination: ALICE,
        timestamp: 0,
        payload,
    })
}

#[test]
fn what_is_only_stamped_has_no_number_and_what_a_takeover_took_back_never_had_one() {
    let (mut gateway, mut stream, index) = opening_of(Delivery::Stamped);
    let mut on = |gateway: &mut Gateway<MemoryBacklog>, event| gateway.on_stream(0, &mut stream, &event);
    on(&mut gateway, answer(2, b"lost"));
    on(&mut gateway, SubscriberEvent::Retract { from: 2 });
    on(&mut gateway, answer(2, b"kept"));
    on(&mut gateway, answer(3, b"late"));
    on(&mut gateway, SubscriberEvent::Committed { next: 3 });
    // Her login's open stands behind both.
    let (name, nonce) = stream.opens.last().cloned().unwrap();
    let opened = SubscriberEvent::Opened {
        seq: 4,
        timestamp: 0,
        publisher: ALICE,
        incarnation: 1,
        nonce,
        last: 0,
        name: &name,
    };
    gateway.on_stream(0, &mut stream, &opened);
    handle_opened(&mut gateway, &mut stream, ALICE);
    assert_eq!(gateway.out(index), b"", "a login's answer rests on what is committed");
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Committed { next: 5 });
    assert_eq!(gateway.out(index), b"\0\x1fA     FIRST                   3");
    let accepted = gateway.out(index).len();
    gateway.on_stream(0, &mut stream, &answer(5, b"new"));
    gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    assert_eq!(gateway.out(index).len(), accepted, "it is not final");
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Committed { next: 6 });
    gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    assert_eq!(&gateway.out(index)[accepted..], b"\0\x04Snew");
}

#[test]
fn who_asks_for_it_is_sent_what_is_stamped_too_under_the_number_that_it_will_have() {
    let (mut gateway, mut stream, _) = opening_of(Delivery::Stamped);
    gateway.users.get_mut("alice").unwrap().early = true;
    let index = log_in(&mut gateway, &mut stream, b"");
    let (name, nonce) = stream.opens.last().cloned().unwrap();
    let opened = SubscriberEvent::Opened {
        seq: 2,
        timestamp: 0,
        publisher: ALICE,
        incarnation: 1,
        nonce,
        last: 0,
        name: &name,
    };
    gateway.on_stream(0, &mut stream, &opened);
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Committed { next: 3 });
    handle_opened(&mut gateway, &mut stream, ALICE);
    let accepted = gateway.out(index).len();
    for (seq, payload) in [(3, b"one"), (4, b"two")] {
        gateway.on_stream(0, &mut stream, &answer(seq, payload));
    }
    let early = b"\0\x0cU\0\0\0\0\0\0\0\x01one\0\x0cU\0\0\0\0\0\0\0\x02two";
    assert_eq!(&gateway.out(index)[accepted..], early);
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Retract { from: 4 });
    gateway.on_stream(0, &mut stream, &answer(4, b"new"));
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Committed { next: 5 });
    gateway.turn(20 * MS, &mut stream, &mut Vec::new());
    let reply = &gateway.out(index)[accepted + early.len()..];
    assert_eq!(
        reply, b"\0\x0cU\0\0\0\0\0\0\0\x02new\0\x04Sone\0\x04Snew",
        "what counts is what is committed"
    );
}

/// Submissions of a connection of the former day are numbered within that day.
#[test]
fn the_numbers_of_a_day_begin_at_one_whatever_is_still_stamped_of_the_day_before() {
    let (mut gateway, mut stream, _) = opening();
    gateway.users.get_mut("alice").unwrap().numbered = true;
    let entry = |seq, number: u64| {
        let payload = number.to_be_bytes();
        (seq, payload)
    };
    let open = |gateway: &mut Gateway<MemoryBacklog>, stream: &mut Recorder, seq| {
        let (name, nonce) = stream.opens.last().cloned().unwrap();
        let opened = SubscriberEvent::Opened {
            seq,
            timestamp: 0,
            publisher: ALICE,
            incarnation: 1,
            nonce,
            last: 0,
            name: &name,
        };
        gateway.on_stream(0, stream, &opened);
        handle_opened(gateway, stream, ALICE);
    };
    open(&mut gateway, &mut stream, 2);
    let mark = DayMark { is_start: true, name: "20261122" };
    gateway.on_stream(0, &mut stream, &SubscriberEvent::Day { seq: 3, timestamp: 0, mark });
    let (seq, payload) = entry(4, 7);
    let late = SubscriberEvent::Message(lockstep_core::engine::subscriber::Message {
        seq,
        publisher: ALICE,
        publisher_seq: 1,
        destination: 0,
        timestamp: 0,
        payload: &payload,
    });
    gateway.on_stream(0, &mut stream, &late);
    let index = log_in(&mut gateway, &mut stream, b"");
    open(&mut gateway, &mut stream, 5);
    assert!(gateway.out(index).ends_with(b"\0\x09U\0\0\0\0\0\0\0\0"), "{:?}", gateway.out(index));
}
