//! The protocol half of every reader, seen through a subscriber: what it uses, asks for, and refuses.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberLimits};
use lockstep_memory::log::Log;
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::*;

/// The guard and its jitter.
const GUARD_NS: Nanos = 30_000;
const RETRY_NS: Nanos = 150_000;

/// A reader of stamped messages from the first seq on that holds birth and epoch start.
fn begun(log: &Log) -> Reader {
    begun_apart(log, 0)
}

/// The same where the leader sends to each alone.
fn begun_apart(log: &Log, apart_ns: Nanos) -> Reader {
    let by_unicast = |limits: &mut SubscriberLimits| limits.receiver.nack.apart_ns = apart_ns;
    let mut reader = Reader::with(Delivery::Stamped, Start::From(1), by_unicast);
    reader.hear(&log.frames[1]);
    reader.repair(log.repair(0, 2, 3));
    assert_eq!(reader.subscriber.core.deliver_next(), 3);
    reader.requests();
    reader.events.clear();
    reader
}

/// S10.
#[test]
fn s10_a_live_reader_asks_for_the_epochs_start_by_its_epoch_and_then_follows() {
    let mut log = Log::begun(3);
    log.push(&["missed"]);
    let mut reader = Reader::new(Delivery::Stamped, Start::Live);
    reader.hear(&log.heartbeat());
    reader.wait(GUARD_NS);
    let requests = reader.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].header.epoch(), requests[0].ranges.len()), (epoch(1, 1), 0));
    let unused = log.push(&["before the start is held"]);
    reader.hear(&unused);
    assert_eq!(reader.count(Counter::FramesUnowned), 1);
    reader.repair(log.repair(1, 2, 3));
    assert_eq!(reader.messages(), Vec::<&str>::new());
    reader.hear(&log.heartbeat());
    let (first, second) = (log.push(&["a", "b"]), log.push(&["c"]));
    reader.hear(&first);
    reader.hear(&second);
    assert_eq!(reader.messages(), ["a", "b", "c"]);
    reader.wait(RETRY_NS);
    assert!(reader.requests().is_empty(), "nothing before it began is missed");
}

#[test]
fn a_live_reader_that_has_heard_an_ack_only_has_not_begun_and_says_so() {
    let mut log = Log::begun(3);
    log.push(&["before"]);
    let mut reader = Reader::new(Delivery::Stamped, Start::Live);
    reader.hear(&log.at(2));
    reader.hear(&log.ack(2, 4));
    let core = &reader.subscriber.core;
    assert_eq!((core.stamped_next(), core.has_begun(), core.deliver_next()), (4, false, 0));
    let unseen = log.push(&["stamped before it has begun"]);
    reader.hear(&unseen);
    assert_eq!(reader.messages(), Vec::<&str>::new());
    reader.hear(&log.heartbeat());
    assert!(reader.subscriber.core.has_begun());
    let seen = log.push(&["the first one"]);
    reader.hear(&seen);
    assert_eq!(reader.messages(), ["the first one"]);
}

#[test]
fn a_reader_that_begins_in_the_middle_of_a_frame_gets_its_rest() {
    let mut log = Log::begun(3);
    let frame = log.push(&["a", "b", "c"]);
    let mut reader = Reader::new(Delivery::Stamped, Start::From(5));
    reader.hear(&log.frames[1].clone());
    reader.hear(&frame);
    assert_eq!(reader.events.last(), Some(&News::Message(5, "c".into())));
    assert_eq!(reader.messages(), ["c"]);
}

#[test]
fn a_reader_that_begins_in_the_past_asks_for_it() {
    let mut log = Log::begun(3);
    for text in ["a", "b", "c"] {
        log.push(&[text]);
    }
    let mut reader = Reader::new(Delivery::Stamped, Start::From(4));
    reader.hear(&log.frames[1].clone());
    reader.hear(&log.heartbeat());
    reader.wait(GUARD_NS);
    reader.wait(GUARD_NS);
    let requests = reader.requests();
    assert_eq!(requests.last().map(|request| request.ranges.clone()), Some(vec![(4, 6)]));
    reader.repair(log.repair(3, 2, 1));
    reader.repair(log.repair(4, 2, 1));
    assert_eq!(reader.messages(), ["b", "c"]);
}

#[test]
fn frames_out_of_order_ask_for_nothing_if_they_come_within_the_guard() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    let (first, second) = (log.push(&["a"]), log.push(&["b"]));
    reader.hear(&second);
    reader.wait(GUARD_NS / 2);
    reader.hear(&first);
    reader.hear(&first);
    reader.wait(RETRY_NS);
    assert_eq!(reader.messages(), ["a", "b"]);
    assert!(reader.requests().is_empty());
    // The epoch start came before the birth, as it always does for a newcomer.
    assert_eq!((reader.count(Counter::FramesReordered), reader.count(Counter::FramesDuplicate)), (2, 1));
}

#[test]
fn a_gap_is_told_once_and_asked_for_with_all_its_ranges() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    let frames: Vec<_> = ["a", "b", "c", "d", "e"].map(|text| log.push(&[text])).into();
    reader.hear(&frames[1]);
    reader.hear(&frames[3]);
    reader.wait(GUARD_NS);
    let first = reader.requests();
    assert_eq!(first[0].ranges, [(3, 4), (5, 6)]);
    // Nobody answers, somebody refuses: the gap is the same one.
    reader.wait(RETRY_NS);
    let again = reader.requests();
    assert_ne!(again[0].to, first[0].to, "silence is followed by the next repairer");
    reader.repair(log.answer(3, again[0].token, RepairReject::Ahead, 1));
    reader.wait(5 * GUARD_NS);
    assert_ne!(reader.requests()[0].to, again[0].to);
    assert_eq!(reader.events.iter().filter(|event| matches!(event, News::Gap(3, 7))).count(), 1);
    assert_eq!(reader.count(Counter::Gaps), 1);
    for index in [2, 4] {
        reader.repair(log.repair(index, 2, 1));
    }
    reader.wait(RETRY_NS);
    assert_eq!(reader.messages(), ["a", "b", "c", "d"]);
    assert!(reader.requests().is_empty());
}

#[test]
fn a_lost_tail_shows_at_the_next_heartbeat() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    log.push(&["lost"]);
    reader.wait(RETRY_NS);
    assert!(reader.requests().is_empty());
    reader.hear(&log.heartbeat());
    reader.wait(GUARD_NS);
    assert_eq!(reader.requests()[0].ranges, [(3, 4)]);
    reader.repair(log.repair(2, 2, 1));
    assert_eq!(reader.messages(), ["lost"]);
}

/// An ack may come sooner than the leader's copy; but what comes behind that, or says that it has left, does
/// not.
#[test]
fn by_unicast_what_only_an_ack_tells_of_may_be_late_until_the_leader_says_that_it_has_left() {
    const APART_NS: Nanos = 10 * GUARD_NS;
    type Telling = fn(&mut Log, &mut Reader);
    let acked: Telling = |_, _| {};
    let stamped: Telling = |log, reader| reader.hear(&log.push(&["b"]));
    let beaten: Telling = |log, reader| reader.hear(&log.heartbeat());
    for (telling, waits_apart) in [(acked, true), (stamped, false), (beaten, false)] {
        let mut log = Log::begun(3);
        let mut reader = begun_apart(&log, APART_NS);
        let frame = log.push(&["a"]);
        reader.hear(&log.ack(2, 4));
        telling(&mut log, &mut reader);
        reader.wait(2 * GUARD_NS);
        let is_asked = !reader.requests().is_empty();
        assert_eq!(is_asked, !waits_apart);
        reader.wait(APART_NS);
        assert!(is_asked || !reader.requests().is_empty(), "it is asked for all the same");
        reader.hear(&frame);
        assert!(reader.messages().contains(&"a"));
    }
}

#[test]
fn a_lost_tail_shows_at_the_next_ack_too() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    log.push(&["lost"]);
    reader.hear(&log.ack(2, 4));
    reader.wait(GUARD_NS);
    assert_eq!(reader.requests()[0].ranges, [(3, 4)]);
}

#[test]
fn a_store_full_of_later_frames_still_takes_what_is_missed_before_them() {
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        let mut log = Log::begun(3);
        let mut reader = Reader::with(delivery, Start::From(1), |limits| limits.receiver.store_bytes = 0);
        reader.hear(&log.frames[1].clone());
        reader.repair(log.repair(0, 2, 3));
        let frames: Vec<_> = (0..40).map(|number| log.push(&[&number.to_string()])).collect();
        for frame in &frames[1..] {
            reader.hear(frame);
        }
        reader.hear(&log.ack(2, log.end.next));
        // Everything is answered, one frame at a time; nothing else happens any more.
        for _ in 0..400 {
            reader.wait(RETRY_NS);
            for request in reader.requests() {
                for (from, to) in request.ranges {
                    for seq in from..to {
                        reader.repair(log.repair(seq as usize - 1, 2, 1));
                    }
                }
            }
        }
        assert_eq!(reader.messages().len(), 40, "{delivery:?}");
    }
}

#[test]
fn a_reader_gives_up_when_each_repairer_has_said_that_it_is_too_old() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    log.push(&["gone"]);
    reader.hear(&log.heartbeat());
    reader.wait(GUARD_NS);
    for (from, oldest) in [(1, 100), (2, 101), (3, 102)] {
        assert!(!reader.subscriber.core.is_ended(), "before replica {from} has said so");
        let token = reader.last_token();
        // Twice: the network may repeat it, and each refused range has an answer of its own.
        reader.repair(log.answer(from, token, RepairReject::TooOld, oldest));
        reader.repair(log.answer(from, token, RepairReject::TooOld, oldest));
        reader.wait(RETRY_NS);
    }
    assert_eq!(reader.events.last(), Some(&News::Abandoned(3, 102)));
    assert!(reader.subscriber.core.is_ended());
    reader.hear(&log.push(&["too late"]));
    assert_eq!(reader.messages(), Vec::<&str>::new());
}

/// The refused range began earlier: what has come of it meanwhile was too old, and what is missing still is
/// not.
#[test]
fn a_reader_goes_on_while_what_it_misses_is_not_below_what_a_repairer_holds() {
    for oldest in [4, 3] {
        let mut log = Log::begun(3);
        let mut reader = begun(&log);
        log.push(&["held by all"]);
        reader.hear(&log.heartbeat());
        reader.wait(GUARD_NS);
        for from in 1..=3 {
            let token = reader.last_token();
            reader.repair(log.answer(from, token, RepairReject::TooOld, oldest));
            reader.wait(RETRY_NS);
        }
        assert_eq!(reader.subscriber.core.is_ended(), oldest > 3, "{oldest}");
    }
}

#[test]
fn one_repairer_that_repeats_itself_is_not_all_of_them() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    log.push(&["kept by the one that restarts"]);
    reader.hear(&log.heartbeat());
    for _ in 0..20 {
        reader.wait(5_000_000);
        for request in reader.requests() {
            if request.to == address(2) {
                reader.repair(log.answer(2, request.token, RepairReject::TooOld, 50));
            }
        }
    }
    assert!(!reader.subscriber.core.is_ended());
    reader.repair(log.repair(2, 1, 1));
    assert_eq!(reader.messages(), ["kept by the one that restarts"]);
}

#[test]
fn another_history_is_refused_and_counted() {
    let (mut log, mut other) = (Log::begun(3), Log::of_history(3, 0xbad));
    let mut reader = begun(&log);
    let (ours, foreign) = (log.push(&["ours"]), other.push(&["foreign"]));
    reader.hear(&foreign);
    reader.hear(&other.heartbeat());
    reader.hear(&other.ack(2, 4));
    assert_eq!(reader.count(Counter::RejectedHistory), 3);
    reader.hear(&ours);
    assert_eq!(reader.messages(), ["ours"]);
}

#[test]
fn s4_nobody_of_another_history_moves_the_commit() {
    let (mut log, mut other) = (Log::begun(3), Log::of_history(3, 0xbad));
    let mut reader = Reader::new(Delivery::Committed, Start::From(1));
    reader.hear(&log.frames[1].clone());
    reader.repair(log.repair(0, 2, 3));
    let frames = [log.push(&["a"]), log.push(&["b"])];
    reader.hear(&frames[1]);
    reader.wait(GUARD_NS);
    let token = reader.last_token();
    reader.hear(&frames[0]);
    other.commit_next = 99;
    reader.repair(other.answer(2, token, RepairReject::OtherHistory, 1));
    assert_eq!(reader.subscriber.core.commit_next(), 3);
    log.commit_next = 5;
    reader.hear(&log.heartbeat());
    assert_eq!(reader.messages(), ["a", "b"]);
}

#[test]
fn another_cluster_is_refused_and_counted() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    reader.hear(&log.heartbeat_with(|header, _| header.cluster = 8));
    assert_eq!(reader.count(Counter::RejectedCluster), 1);
}

#[test]
fn a_flipped_bit_never_reaches_the_state() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    let frame = log.push(&["once"]);
    for bit in (0..frame.len() * 8).step_by(13) {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        reader.hear(&flipped);
    }
    assert_eq!(reader.subscriber.core.stamped_next(), 3);
    reader.hear(&frame);
    assert_eq!(reader.messages(), ["once"]);
}

#[test]
fn a_heartbeat_over_another_chain_ends_the_subscription() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    let frame = log.push(&["a"]);
    reader.hear(&log.heartbeat_with(|header, _| header.chain ^= 1));
    assert!(!reader.subscriber.core.is_ended(), "we are not there yet: it cannot be compared");
    reader.hear(&frame);
    for count in 0..3 {
        assert!(!reader.subscriber.core.is_ended(), "after {count}");
        reader.hear(&log.heartbeat_with(|header, _| header.chain ^= 1));
    }
    assert_eq!(reader.events.last(), Some(&News::Diverged(4)));
    assert!(reader.subscriber.core.is_ended());
}

/// DIVERGE-1: what a stranger, a broken host or a wrong file sends once ends nobody, however often the
/// network repeats it.
#[test]
pub fn diverge_1_a_datagram_over_another_chain_ends_nobody_whom_the_leader_agrees_with() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    for _ in 0..50 {
        reader.hear(&log.push(&["a"]));
        let wrong = log.heartbeat_with(|header, _| header.chain ^= 1);
        (0..5).for_each(|_| reader.hear(&wrong));
        let mut other = log.clone();
        other.end.chain ^= 1;
        let wrong = other.push(&["over another chain"]);
        (0..5).for_each(|_| reader.hear(&wrong));
        reader.hear(&log.heartbeat());
    }
    assert!(!reader.subscriber.core.is_ended());
    assert_eq!(reader.messages().len(), 50);
    assert_eq!(reader.count(Counter::Contradictions), 500);
}

#[test]
fn a_frame_over_another_chain_ends_the_subscription() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    let mut duplicate = Log::begun(3);
    reader.hear(&log.push(&["a"]));
    duplicate.push(&["b"]);
    reader.hear(&duplicate.push(&["c"]));
    for count in 0..2 {
        assert!(!reader.subscriber.core.is_ended(), "after {count}");
        // It asks for what follows its end, and each answer contradicts it.
        reader.wait(RETRY_NS);
        let request = reader.requests().pop().expect("a request");
        reader.repair(duplicate.repair_for(request.token, 3, 2, 1));
    }
    assert_eq!(reader.events.last(), Some(&News::Diverged(4)));
}

/// S10.
#[test]
fn s10_what_an_older_epoch_says_is_stale() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    let mut old = Log::begun(3);
    let late = old.push(&["of the deposed leader"]);
    log.begin(epoch(2, 2), &member_list(3));
    reader.hear(&log.frames[2].clone());
    reader.hear(&late);
    reader.hear(&old.heartbeat());
    assert_eq!((reader.count(Counter::FramesUnowned), reader.count(Counter::FramesStale)), (1, 1));
    reader.hear(&log.push(&["of the successor"]));
    assert_eq!(reader.messages(), ["of the successor"]);
    assert_eq!(reader.subscriber.core.epoch(), epoch(2, 2));
}

/// S10.
#[test]
fn s10_nothing_of_a_new_epoch_is_used_before_its_start_is_held() {
    let mut log = Log::begun(3);
    let mut reader = Reader::new(Delivery::Committed, Start::From(1));
    reader.hear(&log.frames[1].clone());
    reader.repair(log.repair(0, 2, 3));
    log.begin(epoch(2, 2), &member_list(3));
    let frame = log.push(&["of epoch 2"]);
    reader.hear(&frame);
    reader.hear(&log.ack(1, 5));
    reader.hear(&log.ack(3, 5));
    reader.hear(&log.heartbeat());
    assert_eq!((reader.subscriber.core.epoch(), reader.subscriber.core.stamped_next()), (epoch(1, 1), 3));
    reader.wait(GUARD_NS);
    let requests = reader.requests();
    assert_eq!(
        (requests[0].header.epoch(), requests[0].ranges.len()),
        (epoch(2, 2), 0),
        "by epoch, not by seq"
    );
    reader.repair(log.repair(2, 2, 1));
    reader.hear(&frame);
    assert_eq!(reader.messages(), Vec::<&str>::new(), "acks from before the start was held are forgotten");
    reader.hear(&log.ack(1, 5));
    assert_eq!(reader.messages(), ["of epoch 2"]);
}

/// Seed 655595288: the only node that had the new epoch's start was gone. Every other node that had heard of
/// it asked for that start alone from then on, also a learner whose own addition lay in what it missed of the
/// epoch before, and whose vote was needed.
#[test]
fn a_start_that_nobody_gives_keeps_a_reader_from_nothing_of_the_epoch_that_it_follows() {
    let mut log = Log::begun(3);
    let mut reader = begun(&log);
    log.push(&["missed"]);
    reader.hear(&log.ack(2, 4));
    // Something of a higher epoch is heard, and nothing more of it ever.
    let mut lost = Log::begun(3);
    lost.push(&["missed"]);
    lost.begin(epoch(2, 2), &member_list(3));
    reader.hear(&lost.heartbeat());
    for _ in 0..40 {
        reader.wait(RETRY_NS);
        for request in reader.requests() {
            for (from, to) in request.ranges {
                (from..to).for_each(|seq| reader.repair(log.repair(seq as usize - 1, 2, 1)));
            }
        }
    }
    assert_eq!(reader.messages(), ["missed"]);
    reader.repair(lost.repair(3, 2, 1));
    assert_eq!(reader.subscriber.core.epoch(), epoch(2, 2), "the start is still asked for, and taken");
}

#[test]
fn s3_an_ack_over_another_chain_counts_for_nothing_and_ends_nothing() {
    let mut log = Log::begun(3);
    let mut reader = Reader::new(Delivery::Committed, Start::From(1));
    reader.hear(&log.frames[1].clone());
    reader.repair(log.repair(0, 2, 3));
    reader.hear(&log.push(&["a"]));
    reader.hear(&log.ack_with(2, 4, |header, _| header.chain = 0xbad));
    assert_eq!(reader.messages(), Vec::<&str>::new());
    assert!(!reader.events.contains(&News::Diverged(4)), "one bad replica ends nobody else");
    reader.hear(&log.ack(2, 4));
    assert_eq!(reader.messages(), ["a"]);
}
