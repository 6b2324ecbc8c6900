//! Readers across a takeover (S10), in logs of several epochs that are made by hand: what they forget,
//! take back, ask for, and never use.

use lockstep_core::engine::counters::{Counter, Counters};
use lockstep_core::engine::event::Events;
use lockstep_core::engine::followed::Followed;
use lockstep_core::engine::receiver::{NACK_LEN_MAX, Placement, Receiver, Start};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::log::Log;
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

const GUARD_NS: Nanos = 30_000;
const RETRY_NS: Nanos = 150_000;

/// A log of one message at seq 3, and a reader that holds and has committed all of it.
fn begun(delivery: Delivery) -> (Log, Reader) {
    begun_with(delivery, 64 << 10)
}

fn begun_with(delivery: Delivery, store_bytes: usize) -> (Log, Reader) {
    let mut log = Log::begun(3);
    let mut reader =
        Reader::with(delivery, Start::From(1), |limits| limits.receiver.store_bytes = store_bytes);
    reader.hear(&log.frames[1].clone());
    reader.repair(log.repair(0, 2, 3));
    reader.hear(&log.push(&["a"]));
    reader.hear(&log.ack(2, 4));
    assert_eq!((reader.messages(), reader.subscriber.core.commit_next()), (vec!["a"], 4));
    reader.news();
    reader.requests();
    (log, reader)
}

/// Answers every request from `log`, as replica 2 whose commit is `commit_next`, until none comes.
fn answer_all(reader: &mut Reader, log: &Log, commit_next: Seq) {
    for _ in 0..200 {
        reader.wait(RETRY_NS);
        for request in reader.requests() {
            if request.ranges.is_empty() && request.header.epoch() == log.epoch {
                let base = log.epochs.last().unwrap().base;
                let index = log.frames.iter().position(|bytes| *bytes == log.at(base)).unwrap();
                reader.repair(log.repair(index, 2, commit_next));
            }
            for (index, bytes) in log.frames.iter().enumerate() {
                let header = Header::peek(bytes).unwrap();
                let asked = request.ranges.iter();
                if asked.clone().any(|&(from, to)| header.first_seq < to && from < header.next_seq()) {
                    reader.repair(log.repair(index, 2, commit_next));
                }
            }
        }
    }
    assert!(reader.requests().is_empty(), "it asks for ever: {:?}", reader.events);
}

fn message(seq: Seq, text: &str) -> News {
    News::Message(seq, text.into())
}

/// S10.
#[test]
fn s10_a_stamped_reader_retracts_before_it_hears_anything_of_the_new_epoch() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    for text in ["kept", "lost", "lost too"] {
        reader.hear(&log.push(&[text]));
    }
    let mut next = log.before(5);
    assert_eq!(reader.news(), [message(4, "kept"), message(5, "lost"), message(6, "lost too")]);
    reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
    assert_eq!(reader.news(), [News::Retract(5), News::Epoch(epoch(2, 2), 5)]);
    assert_eq!(reader.subscriber.core.deliver_next(), 6);
    reader.hear(&next.push(&["instead"]));
    reader.hear(&next.ack(3, 7));
    assert_eq!(reader.news(), [message(6, "instead"), News::Committed(7)]);
    reader.wait(RETRY_NS);
    assert!(reader.requests().is_empty());
}

/// S10.
#[test]
fn s10_nothing_is_retracted_where_everything_survives() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    reader.hear(&log.push(&["kept"]));
    let start = log.begin(epoch(2, 2), &member_list(3));
    reader.hear(&start);
    reader.hear(&log.push(&["more"]));
    let events = [message(4, "kept"), News::Epoch(epoch(2, 2), 5), message(6, "more")];
    assert_eq!(reader.news(), events);
}

/// S10.
#[test]
fn s10_a_committed_reader_never_retracts_and_delivers_what_survives() {
    let (mut log, mut reader) = begun(Delivery::Committed);
    reader.hear(&log.push(&["kept"]));
    let mut next = log.clone();
    reader.hear(&log.push(&["lost"]));
    reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
    assert_eq!(reader.news(), [], "nothing of it is committed yet");
    // A late ack of the old epoch counts for nothing.
    reader.hear(&log.ack(2, 6));
    reader.hear(&log.ack(3, 6));
    assert_eq!(reader.news(), []);
    reader.hear(&next.push(&["instead"]));
    reader.hear(&next.ack(3, 7));
    assert_eq!(reader.news(), [message(4, "kept"), News::Epoch(epoch(2, 2), 5), message(6, "instead")]);
}

/// S10: buffered frames not forgotten.
#[test]
fn s10_kept_frames_that_the_new_epoch_does_not_own_are_forgotten() {
    let (mut log, mut reader) = begun(Delivery::Committed);
    let frame = log.push(&["kept, and lost on the way"]);
    let mut next = log.clone();
    let buffered = log.push(&["never came to be"]);
    reader.hear(&buffered);
    let start = next.begin(epoch(2, 2), &member_list(3));
    reader.hear(&start);
    reader.hear(&frame);
    reader.hear(&next.push(&["instead"]));
    reader.hear(&next.ack(3, next.end.next));
    assert_eq!(reader.messages(), ["kept, and lost on the way", "instead"]);
    assert_eq!(reader.count(Counter::FramesReordered), 3, "the first start, the buffered one and the start");
}

/// S10: no proof of the prefix. The reader has never heard of epoch 2, whose entries lie in the middle.
#[test]
fn s10_acks_of_the_new_epoch_commit_no_further_than_what_is_held_and_owned() {
    let (mut log, mut reader) = begun(Delivery::Committed);
    reader.hear(&log.push(&["kept"]));
    let mut next = log.clone();
    for _ in 0..6 {
        reader.hear(&log.push(&["lost"]));
    }
    next.begin(epoch(2, 2), &member_list(3));
    next.push(&["of epoch 2"]);
    reader.hear(&next.begin(epoch(3, 3), &member_list(3)));
    reader.hear(&next.ack(1, next.end.next));
    reader.hear(&next.ack(2, next.end.next));
    next.commit_next = next.end.next;
    reader.hear(&next.heartbeat());
    assert_eq!(reader.subscriber.core.commit_next(), 5, "the rest of the prefix is not held");
    assert_eq!(reader.messages(), ["kept"]);
    answer_all(&mut reader, &next, 1);
    assert_eq!(reader.messages(), ["kept", "of epoch 2"]);
    assert_eq!(reader.subscriber.core.commit_next(), next.end.next);
}

/// S10: data of a lower epoch.
#[test]
fn s10_late_frames_of_a_lower_epoch_are_not_used() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    let mut next = log.clone();
    let late = log.push(&["late"]);
    next.begin(epoch(2, 2), &member_list(3));
    // The start of epoch 3 is held, what lies before it is not: the late frame would fit there.
    reader.hear(&next.begin(epoch(3, 3), &member_list(3)));
    reader.hear(&late);
    assert_eq!(reader.news(), []);
    assert_eq!(reader.count(Counter::FramesUnowned), 1);
    answer_all(&mut reader, &next, 1);
    assert_eq!(reader.news(), [News::Epoch(epoch(2, 2), 4), News::Epoch(epoch(3, 3), 5)]);
}

/// S10: evidence of a higher epoch without its start.
/// Seed 620234808: a blank replica asked one that had lost its commit, and it alone, for the first entry, for
/// ever.
#[test]
fn s10_a_repairer_whose_frames_may_not_be_used_is_followed_by_the_next_one() {
    let mut log = Log::begun(3);
    log.push(&["old"]);
    let start = log.begin_with_rows(epoch(2, 1), &member_list(3), 1);
    let mut reader = Reader::new(Delivery::Stamped, Start::From(1));
    reader.hear(&start);
    reader.wait(1_000_000);
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let request = reader.requests().pop().expect("it asks");
        asked.insert(request.to);
        // It does not know what it gives to be committed.
        let frame = &log.frames[0];
        let (keys, repairer) = (Keyring::none(CLUSTER), (identity(2), HISTORY));
        let trailer = repair_trailer(&keys, repairer, log.epoch, 1, request.token, frame);
        reader.repair([frame.as_slice(), &trailer].concat());
        reader.wait(1_000_000);
    }
    assert!(asked.len() > 1, "{asked:?}");
}

#[test]
fn s10_what_is_called_committed_in_an_epoch_is_used_for_its_log_only() {
    for source in 0..3 {
        let (mut log, mut reader) = begun(Delivery::Committed);
        let mut next = log.clone();
        reader.hear(&log.push(&["lost"]));
        let start = next.begin(epoch(2, 2), &member_list(3));
        next.commit_next = 5;
        match source {
            0 => reader.hear(&next.heartbeat()),
            1 => reader.hear(&next.ack(2, 5)),
            _ => reader.hear(&next.push(&["instead"])),
        }
        assert_eq!(reader.news(), [], "source {source}");
        reader.wait(GUARD_NS);
        reader.wait(GUARD_NS);
        let requests = reader.requests();
        assert_eq!((requests[0].header.epoch(), requests[0].ranges.len()), (epoch(2, 2), 0));
        reader.hear(&start);
        assert_eq!(reader.news(), [News::Epoch(epoch(2, 2), 4)], "it is used for that log: source {source}");
    }
}

/// S10.
#[test]
fn s10_words_of_an_election_are_no_news() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    log.epoch = epoch(9, 3);
    for kind in [Kind::Prepare, Kind::Promise, Kind::Refuse, Kind::PreVote, Kind::Grant] {
        let body = BallotBody { process_nonce: 1, ballot: epoch(9, 3).0, about: 0 };
        let header = log.header(kind, identity(3));
        reader.hear(&lockstep_memory::log::written(|out| {
            write_ballot(out, &Keyring::none(CLUSTER), header, body)
        }));
    }
    reader.wait(RETRY_NS);
    assert!(reader.requests().is_empty(), "an epoch is new when it has won");
    assert_eq!(reader.subscriber.core.epoch(), epoch(1, 1));
}

/// S10: below the table only what a repairer calls committed is taken, or gives from a log that ends in this
/// epoch.
#[test]
pub fn s10_what_lies_below_the_new_table_is_forgotten_and_taken_from_who_has_that_log() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    reader.hear(&log.push(&["perhaps"]));
    let mut next = log.clone();
    next.begin(epoch(2, 2), &member_list(3));
    next.push(&["of epoch 2"]);
    let start = next.begin_with_rows(epoch(3, 3), &member_list(3), 2);
    reader.hear(&start);
    assert_eq!(reader.news(), [message(4, "perhaps"), News::Retract(4)]);
    let mut previous = next.clone();
    previous.epoch = epoch(2, 2);
    reader.repair(previous.repair(3, 2, 4));
    assert_eq!(reader.news(), [], "the repairer has another log, and does not know it to be committed");
    reader.repair(previous.repair(3, 2, 5));
    assert_eq!(reader.news(), [message(4, "perhaps"), News::Committed(5)]);
    let (mut again, mut other) = begun(Delivery::Stamped);
    other.hear(&again.push(&["perhaps"]));
    other.hear(&start);
    other.news();
    other.repair(next.repair(3, 2, 4));
    assert_eq!(other.news(), [message(4, "perhaps")], "of a log that ends in the epoch that is followed");
    answer_all(&mut reader, &next, 7);
    let (second, third) = (News::Epoch(epoch(2, 2), 5), News::Epoch(epoch(3, 3), 7));
    let events = reader.news();
    let events: Vec<_> = events.into_iter().filter(|event| !matches!(event, News::Committed(_))).collect();
    assert_eq!(events, [second, message(6, "of epoch 2"), third]);
}

/// S6.
#[test]
fn s6_a_new_epoch_that_contradicts_what_is_committed_ends_the_subscription() {
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        let (mut log, mut reader) = begun(delivery);
        let mut other = log.before(3);
        reader.hear(&log.push(&["b"]));
        reader.events.clear();
        reader.hear(&other.begin(epoch(2, 2), &member_list(3)));
        assert_eq!(reader.events, [News::Diverged(3)]);
        assert!(reader.subscriber.core.is_ended());
    }
}

/// S10.
#[test]
fn s10_what_only_the_old_epoch_stamped_is_not_asked_for_for_ever() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    let mut next = log.clone();
    for _ in 0..5 {
        log.push(&["lost everywhere"]);
    }
    reader.hear(&log.heartbeat());
    reader.wait(GUARD_NS);
    assert_eq!(reader.requests()[0].ranges, [(4, 9)]);
    reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
    reader.wait(RETRY_NS);
    reader.wait(RETRY_NS);
    assert!(reader.requests().is_empty());
    assert_eq!(reader.subscriber.core.stamped_next(), 5);
    assert_eq!(reader.events.last(), Some(&News::CaughtUp(5)));
}

/// S10.
#[test]
fn s10_a_gap_that_a_takeover_leaves_is_asked_for_without_waiting_out_an_older_request() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    let frame = log.push(&["kept, and missing here"]);
    let mut next = log.clone();
    log.push(&["lost"]);
    reader.hear(&log.heartbeat());
    reader.wait(GUARD_NS);
    reader.wait(RETRY_NS);
    reader.wait(2 * RETRY_NS);
    assert!(reader.requests().len() >= 3);
    reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
    reader.wait(GUARD_NS);
    let requests = reader.requests();
    assert_eq!((requests[0].header.epoch(), requests[0].ranges.clone()), (epoch(2, 2), vec![(4, 5)]));
    reader.repair([frame.as_slice(), &[]].concat());
    assert_eq!(reader.messages(), ["kept, and missing here"]);
}

#[test]
fn an_application_that_stopped_in_the_middle_of_a_frame_hears_what_of_it_is_taken_back() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    let mut next = log.clone();
    reader.stop_at = Some("two");
    let (lost, start) = (log.push(&["one", "two", "three"]), next.begin(epoch(2, 2), &member_list(3)));
    // Both in one batch: the retract does not wait for the next poll, the rest does.
    reader.subscriber.net_mut().groups.extend([lost, start]);
    reader.poll();
    assert_eq!(reader.news(), [message(4, "one"), message(5, "two"), News::Retract(4)]);
    reader.hear(&next.push(&["instead"]));
    assert_eq!(reader.news(), [News::Epoch(epoch(2, 2), 4), message(5, "instead")]);
}

#[test]
fn nothing_is_retracted_of_what_the_application_had_not_been_told_yet() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    reader.stop_at = Some("kept");
    let frame = log.push(&["kept"]);
    let mut next = log.clone();
    let (lost, start) = (log.push(&["lost"]), next.begin(epoch(2, 2), &member_list(3)));
    reader.subscriber.net_mut().groups.extend([frame, lost, start]);
    reader.poll();
    reader.poll();
    assert_eq!(reader.news(), [message(4, "kept"), News::Epoch(epoch(2, 2), 5)]);
}

#[test]
fn what_is_told_as_final_after_a_retract_is_the_new_log() {
    let (mut log, mut reader) = begun(Delivery::Stamped);
    let mut next = log.clone();
    reader.hear(&log.push(&["lost"]));
    reader.hear(&log.ack_with(2, 5, |header, _| header.incarnation += 1));
    reader.news();
    next.begin(epoch(2, 2), &member_list(3));
    let instead = next.push(&["instead"]);
    next.commit_next = 6;
    // Nothing may be told as final between what is lost and its retract.
    reader.hear(&next.heartbeat());
    assert_eq!(reader.news(), []);
    reader.subscriber.net_mut().groups.extend([next.at(4), instead]);
    reader.poll();
    let events = [News::Retract(4), News::Epoch(epoch(2, 2), 4), message(5, "instead"), News::Committed(6)];
    assert_eq!(reader.news(), events);
}

/// A live reader that holds nothing before its anchor, and the log whose end it is.
fn live(delivery: Delivery) -> (Log, Log, Reader) {
    let mut log = Log::begun(3);
    log.push(&["before"]);
    log.commit_next = 4;
    let next = log.clone();
    log.push(&["stamped before", "and lost"]);
    let mut reader = Reader::new(delivery, Start::Live);
    reader.hear(&log.frames[1].clone());
    reader.hear(&log.heartbeat());
    assert_eq!((reader.subscriber.core.deliver_next(), reader.subscriber.core.commit_next()), (6, 4));
    (log, next, reader)
}

/// S10.
#[test]
fn s10_a_live_reader_whose_beginning_did_not_survive_begins_where_the_new_log_does() {
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        let (_, mut next, mut reader) = live(delivery);
        reader.news();
        reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
        let shown = next.push(&["after"]);
        reader.hear(&shown);
        reader.hear(&next.ack(3, 6));
        let events = reader.news();
        let events: Vec<_> =
            events.into_iter().filter(|event| !matches!(event, News::Committed(_))).collect();
        assert_eq!(events, [News::Epoch(epoch(2, 2), 4), message(5, "after")], "{delivery:?}");
        reader.wait(RETRY_NS);
        assert!(reader.requests().is_empty(), "nothing before is missed");
    }
}

/// S10.
#[test]
fn s10_a_live_reader_that_was_told_something_retracts_it_and_begins_where_the_new_log_does() {
    let (mut log, mut next, mut reader) = live(Delivery::Stamped);
    reader.hear(&log.push(&["told, and lost"]));
    reader.news();
    next.begin(epoch(2, 2), &member_list(3));
    next.push(&["of epoch 2"]);
    reader.hear(&next.begin(epoch(3, 3), &member_list(3)));
    answer_all(&mut reader, &next, 1);
    let (second, third) = (News::Epoch(epoch(2, 2), 4), News::Epoch(epoch(3, 3), 6));
    assert_eq!(reader.news(), [News::Retract(4), second, message(5, "of epoch 2"), third]);
}

/// S10.
#[test]
fn s10_a_live_reader_goes_back_further_when_the_epoch_it_went_back_to_is_lost_as_well() {
    let (_, mut next, mut reader) = live(Delivery::Stamped);
    let mut last = next.clone();
    next.begin(epoch(2, 2), &member_list(3));
    // The start of epoch 3 shows that of 2 at seq 4; before that has come, epoch 4 begins there.
    reader.hear(&next.begin(epoch(3, 3), &member_list(3)));
    assert_eq!(reader.subscriber.core.deliver_next(), 4);
    reader.hear(&last.begin(epoch(4, 1), &member_list(3)));
    reader.hear(&last.push(&["of epoch 4"]));
    assert_eq!(reader.news()[1..], [News::Epoch(epoch(4, 1), 4), message(5, "of epoch 4")]);
}

/// S10.
#[test]
fn s10_a_live_reader_of_an_epoch_that_no_table_knows_begins_at_what_is_committed() {
    let (_, next, mut reader) = live(Delivery::Stamped);
    let mut other = next;
    reader.news();
    for (round, leader) in [(3, 3), (4, 1)] {
        other.begin(epoch(round, leader), &member_list(3));
        other.push(&[if round == 3 { "of epoch 3" } else { "of epoch 4" }]);
    }
    // Its table begins with epoch 4: that of epoch 1 is not in it.
    reader.hear(&other.begin_with_rows(epoch(5, 2), &member_list(3), 3));
    answer_all(&mut reader, &other, other.end.next);
    assert_eq!(reader.messages(), ["of epoch 3", "of epoch 4"], "nothing that was stamped since is skipped");
}

#[test]
fn a_reader_from_a_seq_is_never_taken_before_it() {
    let mut log = Log::begun(3);
    let mut next = log.clone();
    log.push(&["x", "y", "z"]);
    let mut reader = Reader::new(Delivery::Stamped, Start::From(4));
    reader.hear(&log.frames[1].clone());
    reader.hear(&log.at(3));
    assert_eq!(reader.news(), [message(4, "y"), message(5, "z")]);
    reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
    reader.hear(&next.push(&["first"]));
    reader.hear(&next.push(&["second"]));
    assert_eq!(reader.news(), [News::Retract(4), message(4, "first"), message(5, "second")]);
}

/// Uncommitted frames beyond the marks that are kept: the way back is coarse, what is told is exact.
#[test]
fn s10_a_reader_far_ahead_of_its_commit_takes_back_exactly_what_did_not_survive() {
    for count in [1, 2, 255, 256, 700, 1_199] {
        let (mut log, mut reader) = begun_with(Delivery::Stamped, 2 << 20);
        let mut next = log.clone();
        for number in 0..1_200 {
            let frame = log.push(&[&number.to_string()]);
            reader.subscriber.net_mut().groups.push_back(frame.clone());
            if number < count {
                next = log.clone();
            }
        }
        while reader.subscriber.core.deliver_next() < log.end.next {
            reader.poll();
        }
        reader.news();
        reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
        reader.hear(&next.push(&["instead"]));
        answer_all(&mut reader, &next, 1);
        let base = 4 + count;
        let events = [News::Retract(base), News::Epoch(epoch(2, 2), base), message(base + 1, "instead")];
        assert_eq!(reader.news(), events, "count {count}");
        let repaired = reader.count(Counter::RepairsIn);
        assert!(repaired <= 600, "{repaired} frames were fetched again for {count}");
    }
}

/// The receiver alone, and what it needs.
struct Half {
    followed: Followed,
    receiver: Receiver,
    counters: Counters,
    events: Events,
}

impl Half {
    fn new(start: Start, count_when_accepted: bool) -> Self {
        let me = Identity { replica: 2_000, incarnation: 5 };
        let mut limits = receiver_limits(me, 3);
        limits.history = HISTORY;
        limits.count_when_accepted = count_when_accepted;
        let (followed, receiver) = (Followed::new(&limits, start), Receiver::new(limits, start));
        Self { followed, receiver, counters: Counters::default(), events: Events::default() }
    }

    fn hear(&mut self, bytes: &[u8]) -> Placement {
        let frame = FrameView::from_prefix(bytes).unwrap();
        self.receiver.on_frame(&mut self.followed, &frame, None, &mut self.counters, &mut self.events)
    }

    fn learn(&mut self, bytes: &[u8]) {
        let frame = FrameView::from_prefix(bytes).unwrap();
        self.receiver.learn_start(&mut self.followed, &frame, &mut self.counters, &mut self.events);
    }

    /// The repairer that it asks now, if it asks.
    fn asks(&mut self, now: Nanos) -> Option<std::net::SocketAddrV4> {
        let mut out = [0; NACK_LEN_MAX];
        let Self { followed, receiver, counters, events } = self;
        receiver.poll_nack(followed, now, &mut 0, &mut out, counters, events).map(|(_, to)| to)
    }
}

/// S2, S10.
#[test]
fn s2_an_epoch_below_the_floor_is_neither_followed_nor_asked_for_except_the_adopted_one() {
    let mut log = Log::begun(3);
    let behind = Start::Behind(log.end, 3);
    let start = log.begin(epoch(2, 2), &member_list(3));
    for (floor, adopting, follows) in [
        (epoch(3, 3), Epoch::NONE, false),
        (epoch(3, 3), epoch(2, 2), true),
        (epoch(3, 3), epoch(2, 3), false),
        (epoch(2, 2), Epoch::NONE, true),
    ] {
        let mut half = Half::new(behind, true);
        half.hear(&log.frames[1].clone());
        (half.followed.floor, half.followed.adopting) = (floor, adopting);
        let heartbeat = log.header(Kind::Heartbeat, identity(2));
        half.receiver.on_heartbeat(&mut half.followed, &heartbeat, &mut half.counters, &mut half.events);
        half.asks(1_000);
        assert_eq!(half.asks(1_000_000).is_some(), follows, "{floor:?} {adopting:?}");
        let placement = half.hear(&start);
        assert_eq!(matches!(placement, Placement::Next(_)), follows);
        assert_eq!(half.followed.epoch() == epoch(2, 2), follows);
    }
}

/// S10.
#[test]
fn s10_a_replica_cuts_its_own_log_and_keeps_only_what_follows_it() {
    let mut log = Log::begun(3);
    let mut half = Half::new(Start::Behind(log.end, 3), true);
    half.hear(&log.frames[1].clone());
    let frame = log.push(&["kept"]);
    let mut next = log.clone();
    let lost = [log.push(&["lost"]), log.push(&["lost"])];
    for bytes in [&frame, &lost[0]] {
        let Placement::Next(next) = half.hear(bytes) else { panic!("it follows") };
        let end = *next.end();
        half.receiver.accept(&mut half.followed, next, &mut half.counters);
        half.followed.on_stored(&end);
    }
    // This one waits for room in the journal.
    let Placement::Next(last) = half.hear(&lost[1]) else { panic!("it follows") };
    let frame = FrameView::from_prefix(&lost[1]).unwrap();
    assert!(half.receiver.buffer(&mut half.followed, last, &frame, &mut half.counters));
    let cut = next.end;
    next.begin(epoch(2, 2), &member_list(3));
    let behind = next.push(&["of epoch 2"]);
    let third = next.begin(epoch(3, 3), &member_list(3));
    half.learn(&third);
    assert_eq!(half.receiver.take_retracted(), None, "a replica is not cut behind its back");
    assert_eq!(half.followed.end().map(|end| end.next), Some(6));
    half.receiver.cut_to(&mut half.followed, cut, cut.next);
    assert_eq!((half.followed.end(), half.receiver.frames.has_ready()), (Some(cut), false));
    assert_eq!(half.hear(&third), Placement::Stored);
    assert_eq!(half.hear(&behind), Placement::Stored);
    let Placement::Next(first) = half.hear(&next.at(4)) else { panic!("it follows") };
    half.receiver.accept(&mut half.followed, first, &mut half.counters);
    assert_eq!(half.followed.end(), Some(next.end), "with all that was kept");
}

/// S6.
#[test]
#[should_panic(expected = "everything below 3 is committed (S6)")]
fn s6_a_cut_into_what_is_committed_stops_with_words() {
    let log = Log::begun(3);
    let mut half = Half::new(Start::Behind(log.end, 3), true);
    half.receiver.cut_to(&mut half.followed, log.before(2).end, 2);
}

#[test]
fn who_is_preferred_is_asked_first_and_the_others_if_it_is_silent() {
    let mut log = Log::begun(3);
    let mut half = Half::new(Start::From(1), false);
    half.hear(&log.frames[1].clone());
    let header = log.header(Kind::Heartbeat, identity(1));
    half.receiver.on_heartbeat(&mut half.followed, &header, &mut half.counters, &mut half.events);
    log.push(&["x"]);
    half.receiver.requests.prefer = Some(address(9));
    let asked: Vec<_> = (0..40).filter_map(|step| half.asks(1_000 + step * 1_000_000)).take(4).collect();
    assert_eq!((asked[0], asked[2]), (address(9), address(9)));
    assert!(asked[1] != address(9) && asked[3] != address(9) && asked[1] != asked[3], "{asked:?}");
}
