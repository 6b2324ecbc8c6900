//! A feed: its numbers are a function of the stream, whichever feed emits them and whenever it began.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

use lockstep_core::engine::parts::PartsBound;
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_gateway::feed::{Feed, FeedSource};
use lockstep_gateway::gateway::users::Recipient;
use lockstep_io::spool::Spool;
use lockstep_wire::DayMark;
use moldudp64::{Client, ClientLimits, Event, RequestServer, ServerLimits, Session, Start};
use std::collections::VecDeque;
use std::net::SocketAddr;

const SECOND: u64 = 1_000_000_000;
const LEN_MAX: usize = 300;
const DAYS: [&str; 2] = ["20261121", "20261122"];

/// One entry of a stream.
#[derive(Clone)]
enum Entry {
    Message(u32, Vec<u8>),
    Day(Option<&'static str>),
    /// A message ends whose first part lies before the first entry read.
    Lacking,
}

fn session(name: &str) -> Session {
    Session::new(name.as_bytes()).expect("a name that fits")
}

fn feed_of(source: FeedSource) -> Feed<Spool> {
    feed_from(source, true)
}

/// A feed of a stream that is read from its first entry on, or from a later one.
fn feed_from(source: FeedSource, whole: bool) -> Feed<Spool> {
    let spools = [0, 0].map(|_| Spool::open(&std::env::temp_dir(), 1 << 20).expect("a spool"));
    Feed::new(source, LEN_MAX, spools, whole, RequestServer::new(ServerLimits::default())).expect("a feed")
}

/// Passes `entries` of `stream` to the feed in batches; returns the datagrams that it sends.
fn play(
    feed: &mut Feed<Spool>,
    stream: &[Entry],
    entries: std::ops::Range<usize>,
    batch: usize,
) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut send = |datagram: &[u8]| sent.push(datagram.to_vec());
    for (count, index) in entries.enumerate() {
        let seq = index as u64 + 1;
        let event = match &stream[index] {
            Entry::Message(destination, payload) => SubscriberEvent::Message(Message {
                seq,
                publisher: 1,
                publisher_seq: seq,
                destination: *destination,
                timestamp: 0,
                payload,
            }),
            Entry::Day(name) => {
                let mark = DayMark { is_start: name.is_some(), name: name.unwrap_or_default() };
                SubscriberEvent::Day { seq, timestamp: 0, mark }
            }
            Entry::Lacking => {
                SubscriberEvent::PartsDiscarded { publisher: 1, from: seq, bound: PartsBound::Beginning }
            }
        };
        feed.on_stream(seq, &event, &mut send).unwrap();
        if count % batch == batch - 1 {
            feed.turn(seq, &mut send);
        }
    }
    feed.turn(stream.len() as u64, &mut send);
    sent
}

fn catch_up(feed: &mut Feed<Spool>) {
    feed.on_stream(0, &SubscriberEvent::CaughtUp { next: 1 }, &mut |_| {}).unwrap();
}

/// A day of 500 messages, a pause in which some come, and another day.
fn stream() -> Vec<Entry> {
    let message = |number: usize| {
        let payload = format!("{number}").repeat(1 + number % 40).into_bytes();
        Entry::Message(if number.is_multiple_of(3) { 0 } else { 1 << 31 | 7 }, payload)
    };
    let mut all = vec![Entry::Day(Some("20261121"))];
    all.extend((0..500).map(message));
    all.push(Entry::Day(None));
    all.extend((500..510).map(message));
    all.push(Entry::Day(Some("20261122")));
    all.extend((510..700).map(message));
    all
}

/// The messages that a receiver of the session `day` gets from these datagrams; it requests the missing ones
/// from `feed`.
fn received(feed: &mut Feed<Spool>, datagrams: &[Vec<u8>], day: &str) -> Vec<(String, u64, Vec<u8>)> {
    let mut client = Client::new(Some(session(day)), Start::At(1), ClientLimits::default());
    let (mut had, mut now, mut idle) = (Vec::new(), SECOND, 0);
    let source: SocketAddr = "10.0.0.9:5".parse().unwrap();
    let mut note = |event: &Event<'_>| match event {
        Event::Message { seq, bytes } => had.push((day.to_owned(), *seq, bytes.to_vec())),
        Event::Lost { from, to } => panic!("{from} to {to} are lost"),
        Event::SessionChanged { .. } | Event::Ended { .. } => {}
    };
    let mut queue: VecDeque<Vec<u8>> = datagrams.iter().cloned().collect();
    while idle < 500 {
        now += 1_000_000;
        idle += 1;
        if let Some(datagram) = queue.pop_front() {
            idle = 0;
            let mut intake = client.on_datagram(now, &datagram).unwrap();
            while let Some(event) = intake.next_event() {
                note(&event);
            }
        }
        if let Some((_, request)) = client.on_timer(now)
            && let Some(answer) = feed.on_request(now, source, &request).unwrap()
        {
            assert!(answer.len() <= LEN_MAX);
            queue.push_front(answer);
        }
        while let Some(event) = client.next_event(now) {
            note(&event);
        }
    }
    had
}

fn expected(stream: &[Entry], carries: impl Fn(u32) -> bool) -> Vec<(String, u64, Vec<u8>)> {
    let (mut all, mut day, mut number) = (Vec::new(), None, 0);
    for entry in stream {
        match entry {
            Entry::Day(name) => (day, number) = (*name, 0),
            Entry::Message(to, payload) if carries(*to) => {
                if let Some(day) = day {
                    number += 1;
                    all.push((day.to_owned(), number, payload.clone()));
                }
            }
            Entry::Message(..) | Entry::Lacking => {}
        }
    }
    all
}

#[test]
fn a_receiver_has_every_message_of_each_day_in_order_whatever_was_lost_on_the_way() {
    for lost in [usize::MAX, 7, 2] {
        let stream = stream();
        let mut feed = feed_of(FeedSource::All);
        catch_up(&mut feed);
        let mut sent = play(&mut feed, &stream, 0..stream.len(), 5);
        feed.turn(9 * SECOND, &mut |heartbeat| sent.push(heartbeat.to_vec()));
        assert!(sent.iter().all(|datagram| datagram.len() <= LEN_MAX));
        // Heartbeats and the ends of sessions are repeated, so one of them arrives.
        let passes = |(index, one): &(usize, &Vec<u8>)| index % lost != lost - 1 || one.len() == 20;
        let passed = sent.iter().enumerate().filter(passes);
        let passed: Vec<_> = passed.map(|(_, datagram)| datagram.clone()).collect();
        let had: Vec<_> = DAYS.iter().flat_map(|day| received(&mut feed, &passed, day)).collect();
        assert_eq!(had, expected(&stream, |_| true), "one of {lost} lost");
    }
}

#[test]
fn two_feeds_emit_the_same_numbers_and_one_that_restarts_goes_on_at_the_same() {
    let stream = stream();
    let (mut a, mut b) = (feed_of(FeedSource::All), feed_of(FeedSource::All));
    catch_up(&mut a);
    catch_up(&mut b);
    let whole = stream.len();
    let (of_a, of_b) = (play(&mut a, &stream, 0..whole, 3), play(&mut b, &stream, 0..whole, 11));
    assert_ne!(of_a, of_b, "other datagrams");
    let mixed: Vec<_> = of_a.iter().zip(&of_b).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    assert_eq!(received(&mut a, &mixed, DAYS[0]), expected(&stream[..501], |_| true));
    // A feed that begins late reads the stream from its beginning, sends nothing meanwhile, and continues.
    for killed_at in [1, 250, 500, 505, 600] {
        let mut again = feed_of(FeedSource::All);
        assert!(play(&mut again, &stream, 0..killed_at, 5).is_empty());
        catch_up(&mut again);
        let rest = play(&mut again, &stream, killed_at..whole, 5);
        assert_eq!(received(&mut again, &rest, DAYS[1]), expected(&stream[512..], |_| true));
        assert_eq!(again.next_number(), a.next_number());
    }
}

/// The parts of a message lie on both sides of the oldest retained entry: a feed that was running counts it,
/// and one that begins there cannot know whether it counts.
#[test]
fn a_feed_that_begins_within_a_message_of_its_day_gives_out_no_other_numbers_than_one_that_was_there() {
    let early_stream = stream();
    // Right behind the day's begin, in its middle, as its last entry; between two days, and in the next day.
    for at in [1, 250, 500, 505, 600] {
        let mut late_stream = early_stream.clone();
        late_stream[at] = Entry::Lacking;
        let (mut early, mut late) = (feed_of(FeedSource::All), feed_from(FeedSource::All, false));
        [&mut early, &mut late].into_iter().for_each(catch_up);
        let all = 0..early_stream.len();
        let theirs = play(&mut early, &early_stream, all.clone(), 7);
        let own = play(&mut late, &late_stream, all, 7);
        for (day, entries) in DAYS.iter().zip([1..501, 513..703]) {
            let there = received(&mut early, &theirs, day);
            let had = received(&mut late, &own, day);
            let known = if entries.contains(&at) { at - entries.start } else { there.len() };
            assert_eq!(had, there[..known], "entry {at}, {day}");
        }
    }
}

#[test]
fn a_feed_of_one_channel_counts_that_alone() {
    let stream = stream();
    let mut feed = feed_of(FeedSource::For(Recipient::Channel(7)));
    catch_up(&mut feed);
    let sent = play(&mut feed, &stream, 0..501, 5);
    assert_eq!(received(&mut feed, &sent, DAYS[0]), expected(&stream[..501], |to| to == 1 << 31 | 7));
}

#[test]
fn what_no_datagram_takes_has_no_number_and_is_counted() {
    let mut feed = feed_of(FeedSource::All);
    catch_up(&mut feed);
    let long = Entry::Message(0, vec![7; LEN_MAX - 21]);
    let most = Entry::Message(0, vec![8; LEN_MAX - 22]);
    let sent = play(&mut feed, &[most.clone(), long, most], 0..3, 1);
    assert_eq!((feed.counts.too_long, feed.counts.messages, feed.next_number().unwrap().1), (1, 2, 3));
    assert_eq!(sent.len(), 2);
}

/// Of every message that does not begin with 7: the bytes behind its first digit, three times.
fn mapped(payload: &[u8]) -> Option<Vec<u8>> {
    let (first, rest) = payload.split_first()?;
    (*first != b'7').then(|| rest.repeat(3))
}

#[test]
fn a_mapping_decides_the_blocks_and_what_it_gives_none_has_no_number_in_any_feed() {
    let feed = || {
        feed_of(FeedSource::All).with_mapping(|message, block| match mapped(message.payload) {
            Some(bytes) => {
                block.extend_from_slice(&bytes);
                true
            }
            None => false,
        })
    };
    let stream = stream();
    let takes = feed().message_len_max();
    let mut blocks: Vec<(String, u64, Vec<u8>)> = Vec::new();
    for (day, _, payload) in expected(&stream, |_| true) {
        if let Some(block) = mapped(&payload).filter(|block| block.len() <= takes) {
            let number = blocks.iter().filter(|(of, ..)| *of == day).count() as u64 + 1;
            blocks.push((day, number, block));
        }
    }
    let (mut a, mut b) = (feed(), feed());
    catch_up(&mut a);
    let whole = stream.len();
    let sent = play(&mut a, &stream, 0..whole, 5);
    // The other feed begins late, and is asked for what the first one sent.
    assert!(play(&mut b, &stream, 0..600, 11).is_empty());
    catch_up(&mut b);
    let rest = play(&mut b, &stream, 600..whole, 11);
    for (feed, datagrams) in [(&mut a, &sent), (&mut b, &rest)] {
        let had: Vec<_> = received(feed, datagrams, DAYS[1]);
        assert_eq!(had, blocks.iter().filter(|(day, ..)| day == DAYS[1]).cloned().collect::<Vec<_>>());
    }
    assert_eq!(a.counts.messages, blocks.len() as u64);
    assert!(a.counts.unmapped > 0 && a.counts.too_long > 0, "{:?}", a.counts);
    assert_eq!(a.next_number(), b.next_number());
}

#[test]
fn a_quiet_feed_beats_once_a_second_and_says_when_the_day_is_over() {
    let mut feed = feed_of(FeedSource::All);
    catch_up(&mut feed);
    let mut sent = Vec::new();
    for tick in 0..50 {
        feed.turn(1 + tick * SECOND / 10, &mut |datagram| sent.push(datagram.to_vec()));
    }
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|datagram| datagram[18..] == [0, 0] && datagram[17] == 1), "next is 1");
    sent.clear();
    let mark = DayMark { is_start: false, name: "" };
    feed.on_stream(6 * SECOND, &SubscriberEvent::Day { seq: 1, timestamp: 0, mark }, &mut |_| {}).unwrap();
    for tick in 0..20 {
        feed.turn(6 * SECOND + tick * SECOND / 10, &mut |datagram| sent.push(datagram.to_vec()));
    }
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|datagram| datagram[18..] == [0xff, 0xff]));
}
