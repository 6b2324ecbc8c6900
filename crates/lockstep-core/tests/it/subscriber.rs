//! The subscriber: what an application is told, and when.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent};
use lockstep_core::proto::parts::PARTS_BOUNDS;
use lockstep_memory::log::Log;
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::*;
use std::ops::ControlFlow;

/// A reader that holds birth and epoch start.
fn begun(delivery: Delivery, log: &Log) -> Reader {
    let mut reader = Reader::new(delivery, Start::From(1));
    reader.hear(&log.frames[1]);
    reader.repair(log.repair(0, 2, 3));
    reader
}

#[test]
fn opens_closes_and_trading_days_are_told_at_their_place_in_the_stream() {
    let mut log = Log::begun(3);
    let mut reader = Reader::new(Delivery::Stamped, Start::Live);
    reader.hear(&log.frames[1].clone());
    reader.hear(&log.heartbeat());
    reader.events.clear();
    reader.hear(&log.push_day(7, 1, DayMark { is_start: true, name: "20261121" }));
    reader.hear(&log.push_open("client/alice", (9, [1, 2]), 4, 17));
    reader.hear(&log.push_of(9, &[18]));
    reader.hear(&log.push_close_saying(9, 19, &[2]));
    reader.hear(&log.push_day(7, 2, DayMark { is_start: false, name: "" }));
    let places: Vec<_> = reader.events.iter().filter(|event| !matches!(event, News::CaughtUp(_))).collect();
    let day = |seq, begins| News::Day(seq, begins, if begins { "20261121".into() } else { String::new() });
    let [begins, opened, News::Message(5, _), closed, ends] = places[..] else { panic!("{places:?}") };
    assert_eq!((begins, ends), (&day(3, true), &day(7, false)));
    assert_eq!(opened, &News::Opened(4, 9, "client/alice".into()));
    assert_eq!(closed, &News::Closed(6, 9, vec![2]));
}

#[test]
fn the_stream_tells_of_leadership_and_membership_where_they_begin() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Stamped, &log);
    reader.hear(&log.push(&["a"]));
    let stream: Vec<_> =
        reader.events.iter().filter(|event| !matches!(event, News::CaughtUp(_) | News::Gap(..))).collect();
    assert_eq!(
        stream,
        [
            &News::Epoch(epoch(1, 1), 2),
            &News::Membership(2, 3),
            &News::Committed(3),
            &News::Message(3, "a".into())
        ]
    );
}

#[test]
fn a_committed_reader_is_told_nothing_before_a_quorum_holds_it() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Committed, &log);
    let frames = [log.push(&["a"]), log.push(&["b"])];
    reader.hear(&frames[0]);
    reader.hear(&frames[1]);
    assert!(reader.messages().is_empty(), "stamped by the leader alone");
    reader.hear(&log.ack_with(2, 4, |header, _| header.incarnation += 1));
    assert!(reader.messages().is_empty(), "an ack of nobody who is listed");
    reader.hear(&log.ack(2, 4));
    assert_eq!(reader.messages(), ["a"]);
    reader.hear(&log.ack(3, 5));
    assert_eq!(reader.messages(), ["a", "b"]);
}

#[test]
fn an_ack_that_overtakes_its_frame_lets_the_frame_be_delivered_when_it_arrives() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Committed, &log);
    let frame = log.push(&["a"]);
    reader.hear(&log.ack(2, 4));
    assert!(reader.messages().is_empty());
    reader.hear(&frame);
    assert_eq!(reader.messages(), ["a"]);
}

#[test]
fn a_stamped_reader_is_told_at_once_and_then_what_is_final() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Stamped, &log);
    reader.events.clear();
    reader.hear(&log.push(&["a"]));
    reader.hear(&log.push(&["b"]));
    reader.hear(&log.ack(2, 4));
    reader.hear(&log.ack(2, 5));
    reader.hear(&log.ack(3, 5));
    let (a, b) = (News::Message(3, "a".into()), News::Message(4, "b".into()));
    let events: Vec<_> =
        reader.events.iter().filter(|event| !matches!(event, News::CaughtUp(_))).cloned().collect();
    assert_eq!(events, [a, b, News::Committed(4), News::Committed(5)]);
}

#[test]
fn an_application_that_stops_in_the_middle_of_a_frame_gets_the_rest_at_the_next_poll() {
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        let mut log = Log::begun(3);
        let mut reader = begun(delivery, &log);
        reader.stop_at = Some("b");
        let frames = [log.push(&["a", "b", "c"]), log.push(&["d"])];
        reader.hear(&log.ack(2, 7));
        reader.hear(&frames[0]);
        assert_eq!(reader.messages(), ["a", "b"], "{delivery:?}");
        assert_eq!(reader.subscriber.core.deliver_next(), 5);
        reader.hear(&frames[1]);
        assert_eq!(reader.messages(), ["a", "b", "c", "d"], "{delivery:?}");
    }
}

#[test]
fn entries_from_a_bound_on_wait_while_the_stream_is_received() {
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        let mut log = Log::begun(3);
        let mut reader = begun(delivery, &log);
        reader.subscriber.core.deliver_below(4);
        let frames = [log.push(&["a", "b", "c"]), log.push(&["d"]), log.push(&["e"])];
        reader.hear(&log.ack(2, 8));
        reader.hear(&frames[0]);
        reader.hear(&frames[1]);
        assert_eq!(reader.messages(), ["a"], "{delivery:?}: in the middle of a frame");
        assert!(!reader.subscriber.core.has_deliverable(), "such a turn is an idle one");
        reader.subscriber.core.deliver_below(7);
        reader.poll();
        assert_eq!(reader.messages(), ["a", "b", "c", "d"], "{delivery:?}: out of memory");
        reader.subscriber.core.deliver_below(Seq::MAX);
        reader.hear(&frames[2]);
        assert_eq!(reader.messages(), ["a", "b", "c", "d", "e"], "{delivery:?}");
    }
}

#[test]
fn what_has_no_room_behind_a_bound_is_repaired_when_its_turn_comes() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Stamped, &log);
    reader.subscriber.core.deliver_below(3);
    let payload = "x".repeat(1_000);
    let frames: Vec<_> = (0..20_000).map(|_| log.push(&[payload.as_str()])).collect();
    for frame in &frames {
        reader.hear(frame);
    }
    assert!(reader.messages().is_empty());
    reader.subscriber.core.deliver_below(Seq::MAX);
    reader.poll();
    let buffered = reader.messages().len();
    assert!(buffered > 0 && buffered < frames.len(), "{buffered} had room");
    reader.hear(&log.heartbeat());
    let missing = buffered as Seq + 3;
    reader.repair(log.repair(buffered + 2, 2, missing + 1));
    assert_eq!(reader.messages().len(), buffered + 1, "it asks for the rest");
}

#[test]
fn a_poll_delivers_no_more_than_its_limit() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Stamped, &log);
    reader.limit = 2;
    reader.hear(&log.push(&["a", "b", "c", "d", "e"]));
    assert_eq!(reader.messages(), ["a", "b"]);
    reader.poll();
    assert_eq!(reader.messages(), ["a", "b", "c", "d"]);
    reader.limit = 0;
    reader.poll();
    assert_eq!(reader.messages().len(), 4);
    reader.limit = 2;
    reader.poll();
    assert_eq!(reader.messages(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_turn_that_delivers_what_an_earlier_one_left_is_no_idle_one() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Stamped, &log);
    reader.limit = 2;
    reader.hear(&log.push(&["a", "b", "c", "d", "e"]));
    // Nothing arrives any more, and a program that waits behind an idle turn would wait for nothing.
    assert_ne!(reader.poll(), 0);
    reader.limit = 0;
    assert_eq!(reader.poll(), 0, "it takes nothing");
    reader.limit = 1;
    assert_ne!(reader.poll(), 0);
    assert_eq!(reader.messages(), ["a", "b", "c", "d", "e"]);
    assert_eq!(reader.poll(), 0);
    reader.stop_at = Some("f");
    reader.limit = 100;
    reader.hear(&log.push(&["f", "g"]));
    reader.stop_at = Some("g");
    assert_ne!(reader.poll(), 0, "it stopped");
    assert_eq!(reader.messages().len(), 7);
    assert_eq!(reader.poll(), 0);
}

#[test]
fn an_application_that_stopped_loses_nothing_and_slows_nobody() {
    let mut log = Log::begun(3);
    let mut reader =
        Reader::with(Delivery::Stamped, Start::From(1), |limits| limits.receiver.store_bytes = 0);
    reader.hear(&log.frames[1].clone());
    reader.repair(log.repair(0, 2, 3));
    reader.limit = 1;
    // A hundred frames for a store of sixteen, one message a poll.
    for number in 0..100 {
        let frame = log.push(&[&number.to_string()]);
        reader.subscriber.net_mut().groups.push_back(frame);
    }
    for _ in 0..3_000 {
        reader.wait(10_000);
        for request in reader.requests() {
            assert!(request.ranges.len() <= NACK_RANGES_MAX);
            for (from, to) in request.ranges {
                for seq in (from..to).take(16) {
                    reader.repair(log.repair(seq as usize - 1, 2, 1));
                }
            }
        }
    }
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(reader.messages(), expected);
}

#[test]
fn an_application_is_told_when_it_has_everything_and_when_commit_lags() {
    let mut log = Log::begun(3);
    let mut reader = begun(Delivery::Committed, &log);
    assert_eq!(reader.events.last(), Some(&News::CaughtUp(3)));
    reader.events.clear();
    reader.hear(&log.push(&["a"]));
    reader.wait(999_999);
    assert!(reader.events.is_empty());
    reader.wait(1);
    assert_eq!(reader.events, [News::Lag(1)]);
    reader.hear(&log.ack(2, 4));
    reader.wait(5_000_000);
    assert_eq!(reader.events[1..], [News::Message(3, "a".into())]);
}

#[test]
fn times_of_messages_are_those_of_their_stamps() {
    let mut log = Log::begun(3);
    log.end.timestamp = 5_000;
    let frame = log.push(&["a"]);
    let mut reader = begun(Delivery::Stamped, &log);
    let mut times = Vec::new();
    reader.subscriber.net_mut().groups.push_back(frame);
    reader.subscriber.poll(2_000_000, 10, |event| {
        if let SubscriberEvent::Message(message) = event {
            times.push(message.timestamp);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(times, [5_000]);
}

/// Entries of others up to `to`, all committed.
fn far(log: &mut Log, reader: &mut Reader, to: Seq) {
    while log.end.next < to {
        let count = (to - log.end.next).min(40) as usize;
        log.commit_next = log.end.next;
        reader.hear(&log.push(&vec!["x"; count]));
        reader.events.clear();
    }
    log.commit_next = log.end.next;
    reader.hear(&log.ack(2, log.end.next));
    reader.events.clear();
}

/// PARTS-1: hundreds of publishers die within a message, each under a name of its own or all under one.
#[test]
fn what_dead_publishers_leave_ends_no_reader_and_holds_no_position_back() {
    for (delivery, names) in [(Delivery::Stamped, 700), (Delivery::Committed, 700), (Delivery::Committed, 1)]
    {
        let mut log = Log::begun(3);
        let mut reader = begun(delivery, &log);
        let text = "left unfinished ".repeat(70);
        let first = log.end.next;
        for death in 0..700u32 {
            log.commit_next = log.end.next;
            let publisher = 100 + death % names;
            reader.hear(&log.push_part(publisher, 3 * u64::from(death) + 1, PART_MORE, &text));
            reader.hear(&log.push_part(publisher, 3 * u64::from(death) + 2, PART_MORE | PART_NEXT, &text));
        }
        // A publisher that lives is delivered meanwhile, whole.
        reader.hear(&log.push_part(7, 1, PART_MORE, "large, "));
        reader.hear(&log.push_part(7, 2, PART_NEXT, "and whole"));
        reader.hear(&log.ack(2, log.end.next));
        assert_eq!(reader.messages(), ["large, and whole"], "{delivery:?}, {names} names");
        let core = &reader.subscriber.core;
        let oldest = if names == 1 { log.end.next - 4 } else { first };
        assert_eq!(core.resume_next(), oldest, "{delivery:?}: it may still go on");
        let to = log.end.next + PARTS_BOUNDS.span;
        far(&mut log, &mut reader, to);
        let core = &reader.subscriber.core;
        assert!(!core.is_ended());
        assert_eq!((core.resume_next(), core.deliver_next()), (log.end.next, log.end.next), "{delivery:?}");
        assert_eq!(core.cursor().map(|cursor| cursor.seq), Some(log.end.next));
        assert_eq!(
            core.counters.get(Counter::PartsDiscarded),
            u64::from(names),
            "the others were begun anew"
        );
        // One of them continues after all: it is a message for no reader.
        let end = 3 * 699 + 3;
        reader.hear(&log.push_part(100 + 699 % names, end, PART_NEXT, "late"));
        reader.hear(&log.push(&["behind"]));
        reader.hear(&log.ack(2, log.end.next));
        assert_eq!(reader.messages(), ["behind"], "{delivery:?}");
    }
}
