//! SubmitWindow against a model of lists, and what it must do with a device that takes little.

use lockstep_core::engine::window::{Flight, ResendTimer, SubmitWindow, UnsettledMessages};
use lockstep_wire::Keyring;
use lockstep_wire::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const ENTRIES: u32 = 12;
const DATAGRAMS: u32 = 4;
/// Three messages of 64 bytes and no more.
const LEN: usize = 104 + 3 * 88;

fn window(entries: u32, datagrams: u32) -> SubmitWindow {
    in_flight(entries, datagrams, datagrams)
}

/// Of whose datagrams at most `flight` are under way.
fn in_flight(entries: u32, datagrams: u32, flight: u32) -> SubmitWindow {
    SubmitWindow::new(entries, datagrams, LEN, ResendTimer::new(100, 10_000), Flight::new(flight))
}

fn claim(
    window: &mut SubmitWindow,
    list: &mut UnsettledMessages,
    publisher: u32,
    publisher_seq: u64,
    len: usize,
) {
    let entry = EntryHeader {
        kind: EntryKind::Message as u8,
        flags: 0,
        length: 0,
        publisher,
        publisher_seq,
        destination: 0,
        time_or_incarnation: 1,
    };
    let payload = window.claim(list, entry, len, false).expect("the window has room");
    payload.fill(publisher_seq as u8);
}

/// The oldest message has its fate.
fn pop(window: &mut SubmitWindow, list: &mut UnsettledMessages) -> Option<u64> {
    window.pop(list, 1).next()
}

fn header() -> Header {
    Header { cluster: 7, ..Header::new(Kind::Submission) }
}

/// The (publisher, number) pairs of a prepared datagram, payloads checked.
fn messages(bytes: &[u8]) -> Vec<(u32, u64)> {
    let Ok(Datagram::Submission(_, entries)) = Datagram::decode(bytes, &Keyring::none(7)) else {
        panic!("no submission")
    };
    let read = entries.map(|entry| {
        assert!(entry.payload.iter().all(|byte| *byte == entry.header.publisher_seq as u8));
        (entry.header.publisher, entry.header.publisher_seq)
    });
    read.collect()
}

/// Prepares and sends at most `taken`. Returns the messages in the datagrams that went.
fn send(window: &mut SubmitWindow, now: Nanos, number: &mut u64, taken: usize) -> Vec<Vec<(u32, u64)>> {
    window.end_datagram();
    let count = window.prepare(now, true).min(taken);
    window.seal(&Keyring::none(7), &header(), number);
    let mut out = Vec::new();
    while out.len() < count {
        let burst = window.burst(out.len());
        out.extend(burst.bytes.chunks(burst.stride).map(messages));
    }
    out.truncate(count);
    window.on_sent(now, count);
    out
}

#[test]
fn a_message_is_sent_again_until_it_has_its_fate_and_more_seldom_each_time() {
    let (mut window, mut list, mut number) = (window(4, 4), UnsettledMessages::default(), 0);
    claim(&mut window, &mut list, 1, 1, 64);
    let mut times = Vec::new();
    for now in (1_000..40_000).step_by(100) {
        if !send(&mut window, now, &mut number, 9).is_empty() {
            times.push(now);
        }
    }
    assert_eq!(times, [1_000, 2_000, 4_000, 8_000, 16_000, 26_000, 36_000]);
    assert_eq!(pop(&mut window, &mut list), Some(1));
    assert!(window.is_empty());
    assert!(send(&mut window, 90_000, &mut number, 9).is_empty());
}

#[test]
fn the_wait_follows_the_round_trips_of_what_was_sent_once() {
    let (mut window, mut list, mut number) = (window(4, 4), UnsettledMessages::default(), 0);
    for round in 0..20 {
        let now = 1_000 + round * 1_000;
        claim(&mut window, &mut list, 1, round + 1, 64);
        send(&mut window, now, &mut number, 9);
        window.on_stamped(now + 10, &mut list, round + 1);
        pop(&mut window, &mut list);
    }
    claim(&mut window, &mut list, 1, 21, 64);
    send(&mut window, 50_000, &mut number, 9);
    assert!(send(&mut window, 50_099, &mut number, 9).is_empty(), "never below the least wait");
    assert_eq!(send(&mut window, 50_100, &mut number, 9).len(), 1);
}

#[test]
fn a_round_trip_that_outgrows_the_wait_is_learned_and_things_are_sent_once_again() {
    let (mut window, mut list, mut number) = (window(4, 4), UnsettledMessages::default(), 0);
    let mut resent = Vec::new();
    for (publisher_seq, round_trip) in (1..=40).zip([50; 20].into_iter().chain([3_000; 20])) {
        let began = publisher_seq * 50_000;
        claim(&mut window, &mut list, 1, publisher_seq, 64);
        let mut sendings = 0;
        for now in (began..began + round_trip).step_by(50) {
            sendings += send(&mut window, now, &mut number, 9).len();
        }
        window.on_stamped(began + round_trip, &mut list, publisher_seq);
        assert_eq!(pop(&mut window, &mut list), Some(publisher_seq));
        if sendings > 1 {
            resent.push(publisher_seq);
        }
    }
    // The wait stays doubled until one that was sent once has come back.
    assert_eq!(resent.first(), Some(&21), "{resent:?}");
    assert!(resent.len() <= 3, "{resent:?}");
}

#[test]
fn what_was_seen_stamped_is_not_sent_again_unless_a_takeover_took_its_place() {
    let (mut window, mut list, mut number) = (window(12, 4), UnsettledMessages::default(), 0);
    for publisher_seq in 1..=2 {
        claim(&mut window, &mut list, 1, publisher_seq, 240);
        send(&mut window, 1_000, &mut number, 9);
    }
    window.on_stamped(1_000, &mut list, 1);
    assert_eq!(send(&mut window, 9_000, &mut number, 9), [[(1, 2)]]);
    window.on_stamped(9_000, &mut list, 2);
    assert!(send(&mut window, 90_000, &mut number, 9).is_empty());
    window.on_unstamped(&mut list, 1);
    assert_eq!(send(&mut window, 90_000, &mut number, 9), [[(1, 2)]]);
    window.on_unstamped(&mut list, 0);
    assert_eq!(send(&mut window, 90_001, &mut number, 9), [[(1, 1)]]);
}

#[test]
fn what_the_leader_misses_is_sent_again_at_once_and_nothing_else_is() {
    let (mut window, mut list, mut number) = (window(12, 4), UnsettledMessages::default(), 0);
    claim(&mut window, &mut list, 1, 1, 240);
    send(&mut window, 1_000, &mut number, 9);
    window.on_stamped(1_040, &mut list, 1);
    for publisher_seq in 2..=4 {
        claim(&mut window, &mut list, 1, publisher_seq, 240);
        send(&mut window, 2_000, &mut number, 9);
    }
    window.on_missing(2_019, &list, 1, 4);
    assert!(send(&mut window, 2_019, &mut number, 9).is_empty(), "it may still be under way");
    window.on_missing(2_020, &list, 3, 4);
    assert_eq!(send(&mut window, 2_020, &mut number, 9), [[(1, 3)]]);
    window.on_missing(2_021, &list, 3, 4);
    assert!(send(&mut window, 2_021, &mut number, 9).is_empty(), "it was just sent");
}

/// A leader that is stalled for some milliseconds has everything, and stamps it when it goes on. It was sent
/// all of it again, by each publisher, and was busy with that.
#[test]
fn what_a_stalled_leader_may_have_is_sent_again_a_few_at_a_time_more_where_that_helps_and_less_where_not() {
    let mut window = in_flight(256, 256, 1_024);
    let (mut list, mut number) = (UnsettledMessages::default(), 0);
    for publisher_seq in 1..=128 {
        claim(&mut window, &mut list, 1, publisher_seq, 240);
        send(&mut window, 1_000, &mut number, 999);
    }
    let all = |window: &mut SubmitWindow, number: &mut u64, now: Nanos| -> usize {
        (0..8).map(|turn| send(window, now + turn, number, 999).len()).sum()
    };
    assert_eq!(all(&mut window, &mut number, 10_000), 8, "however many turns there are");
    window.on_stamped(10_100, &mut list, 8);
    assert_eq!(all(&mut window, &mut number, 10_200), 16, "one more for each that helped");
    window.on_stamped(10_300, &mut list, 24);
    assert_eq!(all(&mut window, &mut number, 10_400), 32);
    assert_eq!(all(&mut window, &mut number, 100_000), 32, "the first that is in vain halves what follows");
    window.on_stamped(100_100, &mut list, 40);
    assert_eq!(
        all(&mut window, &mut number, 100_200),
        16,
        "16 and those that helped since, less what is out"
    );
    window.set_throttled(true);
    assert_eq!(send(&mut window, 500_000, &mut number, 999).len(), 1, "the cluster is only asked");
}

#[test]
fn no_more_is_under_way_than_a_socket_takes_and_a_loss_halves_that_until_all_goes_well_again() {
    let mut window = in_flight(512, 512, 64);
    let (mut list, mut number, mut now, mut stamped) = (UnsettledMessages::default(), 0, 1_000, 0);
    for publisher_seq in 1..=512 {
        claim(&mut window, &mut list, 1, publisher_seq, 240);
    }
    assert_eq!(send(&mut window, now, &mut number, 999).len(), 64);
    assert!(send(&mut window, now, &mut number, 999).is_empty(), "as much as that is under way");
    // The leader has what came first, and misses the rest: it overflowed.
    window.on_stamped(now + 50, &mut list, 32);
    window.on_missing(now + 60, &list, 33, 65);
    window.on_missing(now + 61, &list, 33, 65);
    now += 61;
    let mut again = 0;
    while again < 32 {
        again += send(&mut window, now, &mut number, 999).len();
    }
    assert_eq!(again, 32, "what is sent again flies already, and nothing new goes with it");
    let mut flights = Vec::new();
    stamped += 64;
    while flights.len() < 8 {
        now += 50;
        window.on_stamped(now, &mut list, stamped);
        let sent = send(&mut window, now, &mut number, 999).len();
        flights.push(sent);
        stamped += sent as u64;
    }
    assert_eq!(flights, [36, 40, 45, 50, 56, 63, 64, 64]);
}

#[test]
fn what_the_device_did_not_take_is_offered_again_at_once() {
    let (mut window, mut list, mut number) = (window(12, 4), UnsettledMessages::default(), 0);
    for publisher_seq in 1..=9 {
        claim(&mut window, &mut list, 1, publisher_seq, 64);
    }
    assert_eq!(send(&mut window, 1_000, &mut number, 1), [[(1, 1), (1, 2), (1, 3)]]);
    let rest = send(&mut window, 1_001, &mut number, 9);
    assert_eq!(rest, [[(1, 4), (1, 5), (1, 6)], [(1, 7), (1, 8), (1, 9)]]);
}

#[test]
fn a_full_window_says_so_and_takes_again_when_a_place_is_free() {
    let (mut window, mut list, mut number) = (window(12, 2), UnsettledMessages::default(), 0);
    for publisher_seq in 1..=6 {
        assert!(window.has_room(64));
        claim(&mut window, &mut list, 1, publisher_seq, 64);
    }
    assert!(!window.has_room(64), "both datagrams are full");
    send(&mut window, 1_000, &mut number, 9);
    for publisher_seq in 1..=2 {
        pop(&mut window, &mut list);
        assert!(!window.has_room(64), "message {publisher_seq} had its fate, its datagram has another");
    }
    pop(&mut window, &mut list);
    assert!(window.has_room(64));
}

#[test]
fn a_place_whose_messages_had_their_fate_before_they_were_sent_is_used_again() {
    // A copy of this publisher was faster.
    let (mut window, mut list, mut number) = (window(4, 1), UnsettledMessages::default(), 0);
    claim(&mut window, &mut list, 1, 1, 64);
    assert_eq!(pop(&mut window, &mut list), Some(1));
    send(&mut window, 1_000, &mut number, 9);
    assert!(window.has_room(64));
    claim(&mut window, &mut list, 1, 2, 64);
    assert_eq!(send(&mut window, 1_100, &mut number, 9), [[(1, 2)]]);
}

#[test]
fn what_a_takeover_made_due_is_sent_once_before_its_time_and_nothing_else_is() {
    let (mut window, mut list, mut other, mut number) =
        (window(12, 4), UnsettledMessages::default(), UnsettledMessages::default(), 0);
    for publisher_seq in 1..=3 {
        claim(&mut window, &mut list, 1, publisher_seq, 240);
        send(&mut window, 1_000, &mut number, 9);
    }
    claim(&mut window, &mut other, 2, 1, 64);
    // The first is stamped in the new log, the last was never sent.
    window.hurry(&list, 1);
    window.hurry(&other, 0);
    let out = send(&mut window, 1_001, &mut number, 9);
    assert_eq!(out, [vec![(1, 2)], vec![(1, 3)], vec![(2, 1)]]);
    assert!(send(&mut window, 1_002, &mut number, 9).is_empty());
    // One that has its fate before it went is not sent for it.
    window.hurry(&other, 0);
    assert_eq!(pop(&mut window, &mut other), Some(1));
    assert!(send(&mut window, 1_004, &mut number, 9).is_empty());
    assert_eq!(send(&mut window, 2_000, &mut number, 9), [[(1, 1)]], "and the others wait as before");
}

#[derive(Clone, Debug)]
enum Step {
    Publish { publisher: u32, len: usize },
    Send { taken: usize },
    Outcome { publisher: u32, count: usize },
    Wait { ns: u64 },
    Hurry { publisher: u32, stamped: u64 },
    Stamp { publisher: u32, count: u64 },
    Cut { publisher: u32, stamped: u64 },
    Missing { publisher: u32, from: u64, count: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u32..4, prop_oneof![Just(64usize), Just(0), Just(240)])
            .prop_map(|(publisher, len)| Step::Publish { publisher, len }),
        2 => (0usize..6).prop_map(|taken| Step::Send { taken }),
        2 => (1u32..4, 1usize..5).prop_map(|(publisher, count)| Step::Outcome { publisher, count }),
        1 => (1u64..20_000).prop_map(|ns| Step::Wait { ns }),
        1 => (1u32..4, 0u64..30).prop_map(|(publisher, stamped)| Step::Hurry { publisher, stamped }),
        2 => (1u32..4, 1u64..5).prop_map(|(publisher, count)| Step::Stamp { publisher, count }),
        1 => (1u32..4, 0u64..30).prop_map(|(publisher, stamped)| Step::Cut { publisher, stamped }),
        1 => (1u32..4, 1u64..30, 1u64..5)
            .prop_map(|(publisher, from, count)| Step::Missing { publisher, from, count }),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// Whatever happens in whatever order: a message that has no fate is sent, first in its publisher's
    /// order, again when it is time, and never twice at once; each has exactly one fate; at the end all
    /// places are free.
    #[test]
    fn every_message_is_sent_until_it_has_exactly_one_fate(steps in steps()) {
        let mut window = window(ENTRIES, DATAGRAMS);
        let mut lists: BTreeMap<u32, UnsettledMessages> = BTreeMap::new();
        let mut waiting: BTreeMap<u32, VecDeque<u64>> = BTreeMap::new();
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        let mut sent: BTreeMap<(u32, u64), u32> = BTreeMap::new();
        let mut stamped: BTreeMap<u32, u64> = BTreeMap::new();
        let (mut now, mut number, mut outcomes) = (1_000, 0, 0);
        for step in steps {
            match step {
                Step::Publish { publisher, len } => {
                    if !window.has_room(len) {
                        let unfated: usize = waiting.values().map(VecDeque::len).sum();
                        if unfated == 0 {
                            // What had its fate before it was sent takes its place until then.
                            send(&mut window, now, &mut number, 99);
                            prop_assert!(window.has_room(len), "an empty window has room");
                        }
                        continue;
                    }
                    let publisher_seq = next.entry(publisher).or_insert(1);
                    claim(&mut window, lists.entry(publisher).or_default(), publisher, *publisher_seq, len);
                    waiting.entry(publisher).or_default().push_back(*publisher_seq);
                    *publisher_seq += 1;
                }
                Step::Send { taken } => {
                    let out = send(&mut window, now, &mut number, taken);
                    let all: Vec<_> = out.into_iter().flatten().collect();
                    for message in &all {
                        prop_assert_eq!(all.iter().filter(|other| *other == message).count(), 1);
                        *sent.entry(*message).or_default() += 1;
                    }
                }
                Step::Outcome { publisher, count } => {
                    for _ in 0..count {
                        let list = lists.entry(publisher).or_default();
                        let expected = waiting.entry(publisher).or_default().pop_front();
                        prop_assert_eq!(window.oldest(list), expected);
                        prop_assert_eq!(pop(&mut window, list), expected);
                        outcomes += u64::from(expected.is_some());
                    }
                }
                Step::Wait { ns } => now += ns,
                Step::Hurry { publisher, stamped } => {
                    window.hurry(lists.entry(publisher).or_default(), stamped);
                }
                Step::Stamp { publisher, count } => {
                    let seen = stamped.entry(publisher).or_default();
                    *seen = (*seen + count).min(next.get(&publisher).map_or(0, |next| next - 1));
                    window.on_stamped(now, lists.entry(publisher).or_default(), *seen);
                }
                Step::Cut { publisher, stamped: to } => {
                    let seen = stamped.entry(publisher).or_default();
                    *seen = (*seen).min(to);
                    window.on_unstamped(lists.entry(publisher).or_default(), *seen);
                }
                Step::Missing { publisher, from, count } => {
                    window.on_missing(now, lists.entry(publisher).or_default(), from, from + count);
                }
            }
        }
        // The device takes everything now: whatever has no fate has been sent, and is sent again.
        for _ in 0..20 * ENTRIES {
            for message in send(&mut window, now, &mut number, 99).into_iter().flatten() {
                *sent.entry(message).or_default() += 1;
            }
            now += 1_000;
        }
        for (publisher, numbers) in &waiting {
            for publisher_seq in numbers {
                let times = sent.get(&(*publisher, *publisher_seq)).copied().unwrap_or(0);
                let least = if *publisher_seq <= stamped.get(publisher).copied().unwrap_or(0) { 1 } else { 2 };
                prop_assert!(times >= least, "message {} of {} was sent {} times", publisher_seq, publisher, times);
            }
        }
        for (publisher, list) in &mut lists {
            while let Some(publisher_seq) = pop(&mut window, list) {
                prop_assert_eq!(waiting.entry(*publisher).or_default().pop_front(), Some(publisher_seq));
                outcomes += 1;
            }
        }
        prop_assert_eq!(outcomes, next.values().map(|next| next - 1).sum::<u64>());
        prop_assert!(window.is_empty() && window.has_room(240));
    }
}
