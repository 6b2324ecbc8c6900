//! A history is founded on what is left of another one: who goes on in it, who is told that it lost
//! something, and who stops (LINEAGE-1, LINEAGE-2, S12).

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::receiver::{Start, UNLED_NS};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_core::proto::log::LogEnd;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{Log, written};
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::{Tail, TailLabel};
use lockstep_replica::replica::ReplicaLimits;
use lockstep_wire::Keyring;
use lockstep_wire::*;

pub const RING: usize = 256 << 10;
pub const MS: Nanos = 1_000_000;
pub const LATER: u64 = 0xb2;

/// Replica `number` under the incarnation that `recover` draws for it.
pub fn founder(number: u32) -> Identity {
    Identity { replica: number, incarnation: 0x900 + number }
}

/// A reader that holds everything below seq 5, of which everything below 4 is final, and the log.
fn reader(delivery: Delivery) -> (Log, Reader) {
    let mut log = Log::begun(3);
    let mut reader = Reader::new(delivery, Start::From(1));
    reader.hear(&log.frames[1].clone());
    reader.repair(log.repair(0, 2, 3));
    reader.hear(&log.push(&["a"]));
    reader.hear(&log.ack(2, 4));
    reader.hear(&log.push(&["b"]));
    assert_eq!(reader.subscriber.core.commit_next(), 4);
    reader.news();
    (log, reader)
}

/// Time passes in which `reader` asks, and is answered out of `log` by a replica that knows all of it to be
/// committed.
fn answer(reader: &mut Reader, log: &Log, rounds: usize) {
    for _ in 0..rounds {
        reader.wait(MS);
        for request in reader.requests() {
            if request.ranges.is_empty() {
                let base = log.epochs.last().unwrap().base;
                if request.header.epoch() == log.epoch {
                    let index = log.frames.iter().position(|bytes| *bytes == log.at(base)).unwrap();
                    reader.repair(log.repair_for(request.token, index, 2, log.commit_next));
                }
            } else if request.header.history == log.history {
                for (index, bytes) in log.frames.iter().enumerate() {
                    let header = Header::peek(bytes).unwrap();
                    let mut asked = request.ranges.iter();
                    if asked.any(|&(from, to)| header.first_seq < to && from < header.next_seq()) {
                        reader.repair(log.repair_for(request.token, index, 2, log.commit_next));
                    }
                }
            }
        }
    }
}

/// The reader hears the later history speak until it has asked and gone over, or has ended.
pub fn hear_of(reader: &mut Reader, later: &mut Log) {
    for _ in 0..100 {
        reader.hear(&later.heartbeat());
        answer(reader, later, 1);
    }
}

#[test]
fn lineage_2_a_committed_reader_goes_on_in_the_history_that_was_founded_on_its_own() {
    let (mut log, mut reader) = reader(Delivery::Committed);
    log.push(&["c"]);
    let mut later = log.before(5);
    later.found(founder(2), LATER);
    later.begin(Epoch::new(later.epoch.round() + 1, founder(2)), &[MemberBody::full(founder(2), address(2))]);
    later.push(&["d"]);
    later.commit_next = later.end.next;
    hear_of(&mut reader, &mut later);
    let events = reader.news();
    assert!(events.contains(&News::Founded(LATER, 5)), "{events:?}");
    let messages: Vec<_> = events.iter().filter(|event| matches!(event, News::Message(..))).collect();
    assert_eq!(messages, [&News::Message(4, "b".into()), &News::Message(7, "d".into())]);
    assert_eq!(reader.subscriber.core.history(), LATER);
    let cursor = reader.subscriber.core.cursor().unwrap();
    assert_eq!((cursor.history, cursor.seq, cursor.chain), (LATER, later.end.next, later.end.chain));
}

#[test]
fn lineage_2_a_stamped_reader_takes_back_what_the_new_history_does_not_have() {
    let (mut log, mut reader) = reader(Delivery::Stamped);
    reader.hear(&log.push(&["lost"]));
    let mut later = log.before(5);
    later.found(founder(2), LATER);
    later.push(&["instead"]);
    later.commit_next = later.end.next;
    hear_of(&mut reader, &mut later);
    let stream: Vec<(Seq, String)> = reader.stream();
    // "b" may have been told before the last look; what was taken back and told again has its old place.
    assert_eq!(stream.last(), Some(&(6, "instead".to_owned())), "{:?}", reader.events);
    assert!(!stream.iter().any(|(_, text)| text == "lost"), "{stream:?}");
    assert!(reader.events.iter().any(|event| matches!(event, News::Retract(from) if *from <= 5)));
}

#[test]
fn lineage_2_a_reader_that_was_told_more_than_the_new_history_has_is_told_how_much_and_ends() {
    for delivery in [Delivery::Committed, Delivery::Stamped] {
        let (mut log, mut reader) = reader(delivery);
        reader.hear(&log.push(&["seen by this reader alone"]));
        reader.hear(&log.ack(2, 6));
        assert_eq!(reader.subscriber.core.commit_next(), 6);
        let mut later = log.before(5);
        later.found(founder(2), LATER);
        hear_of(&mut reader, &mut later);
        assert_eq!(reader.events.last(), Some(&News::Forgotten(LATER, 5, 6)), "{delivery:?}");
        assert!(reader.subscriber.core.is_ended());
        assert!(!reader.events.contains(&News::Founded(LATER, 5)));
    }
}

#[test]
fn lineage_2_a_reader_of_another_log_than_the_founded_one_is_no_part_of_it() {
    // The founder holds another log than what was committed. Its table does not tell, as it begins behind
    // that; and its frames end where the reader's do, or elsewhere.
    for texts in [&["x", "y"][..], &["x, y"]] {
        let (mut log, mut reader) = reader(Delivery::Committed);
        reader.hear(&log.ack(2, 5));
        reader.events.clear();
        let mut other = log.before(3);
        other.begin(epoch(2, 3), &member_list(3));
        for text in texts {
            other.push(&text.split(", ").collect::<Vec<_>>());
        }
        other.begin(epoch(3, 3), &member_list(3));
        other.found(founder(3), LATER);
        hear_of(&mut reader, &mut other);
        assert!(reader.subscriber.core.is_ended(), "{texts:?}: {:?}", reader.events);
        assert!(matches!(reader.events.last(), Some(News::Diverged(_))), "{texts:?}: {:?}", reader.events);
        assert_eq!(reader.messages(), Vec::<&str>::new());
    }
}

#[test]
fn lineage_2_while_its_own_history_is_led_a_reader_takes_no_other_one() {
    let (mut log, mut reader) = reader(Delivery::Committed);
    let mut later = log.before(5);
    later.found(founder(2), LATER);
    reader.requests();
    for _ in 0..200 {
        reader.hear(&log.heartbeat());
        reader.hear(&later.heartbeat());
        reader.wait(MS);
    }
    assert_eq!(reader.requests(), [], "it asks nobody for the start of the other one");
    assert_eq!(reader.subscriber.core.history(), HISTORY);
    // As soon as it is led no more, it goes on where it was left.
    hear_of(&mut reader, &mut later);
    assert_eq!(reader.subscriber.core.history(), LATER);
}

#[test]
fn lineage_2_a_history_that_was_not_founded_on_ours_is_passed_over() {
    let (_, mut reader) = reader(Delivery::Committed);
    let mut outsider = Log::of_history(3, 0xdead);
    hear_of(&mut reader, &mut outsider);
    assert_eq!((reader.subscriber.core.history(), reader.subscriber.core.is_ended()), (HISTORY, false));
    reader.requests();
    for _ in 0..100 {
        reader.hear(&outsider.heartbeat());
        reader.wait(MS);
    }
    assert_eq!(reader.requests(), [], "it was judged once");
    assert!(reader.count(Counter::RejectedHistory) > 100);
}

#[test]
fn a_history_whose_start_nobody_gives_is_asked_for_ever_more_seldom_and_followed_once_it_is_given() {
    let (log, mut reader) = reader(Delivery::Committed);
    let mut later = log.before(5);
    later.found(founder(2), LATER);
    reader.wait(UNLED_NS);
    let mut asked = 0;
    for _ in 0..500 {
        reader.hear(&later.heartbeat());
        reader.wait(5 * MS);
        let requests = reader.requests().into_iter().filter(|request| request.ranges.is_empty()).count();
        asked += requests;
    }
    assert!((4..100).contains(&asked), "{asked} requests");
    // The founder was alone, or the network lost what it gave: its epoch is the same one.
    for _ in 0..100 {
        hear_of(&mut reader, &mut later);
    }
    assert_eq!(reader.subscriber.core.history(), LATER);
}

#[test]
fn lineage_1_frames_of_a_former_history_count_where_a_giver_of_the_present_one_gives_them() {
    let log = {
        let mut log = Log::begun(3);
        log.push(&["a"]);
        log.push(&["lost"]);
        log
    };
    let mut later = log.before(4);
    later.found(founder(2), LATER);
    later.push(&["b"]);
    let mut reader = Reader::new(Delivery::Committed, Start::From(1));
    reader.hear(later.frames.last().unwrap());
    assert_eq!(reader.subscriber.core.history(), LATER, "the first that is heard");
    answer(&mut reader, &later, 0);
    // What lies above the founding, in the words of whoever was left behind; and what lies below it, in the
    // same words.
    reader.hear(&later.at(4));
    reader.repair(log.repair(3, 3, 5));
    reader.repair(log.repair(2, 3, 5));
    assert_eq!(reader.messages(), Vec::<&str>::new());
    // Live, it counts for nothing at all.
    reader.hear(&log.frames[2]);
    assert_eq!(reader.messages(), Vec::<&str>::new());
    later.commit_next = later.end.next;
    reader.hear(&later.heartbeat());
    answer(&mut reader, &later, 20);
    assert_eq!(reader.messages(), ["a", "b"]);
}

/// LINEAGE-1: whoever was left behind has committed in its own history what the later one does not have.
#[test]
pub fn lineage_1_what_a_giver_of_a_former_history_calls_committed_counts_for_nothing_in_the_later_one() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut later = log.before(4);
    later.found(founder(2), LATER);
    let start = later.begin(Epoch::new(later.epoch.round() + 1, founder(2)), &member_list(3));
    let mut reader = Reader::new(Delivery::Committed, Start::From(1));
    reader.hear(&start);
    for index in 0..4 {
        reader.repair(later.repair(index, 2, 5));
    }
    reader.hear(&later.push(&["b"]));
    assert_eq!((reader.messages(), reader.subscriber.core.commit_next()), (vec!["a"], 5));
    // A frame that both have, in the words of whoever is far ahead in the former history.
    reader.repair(log.repair(2, 3, 100));
    assert_eq!((reader.messages(), reader.subscriber.core.commit_next()), (vec!["a"], 5));
    later.commit_next = later.end.next;
    reader.hear(&later.heartbeat());
    assert_eq!(reader.messages(), ["a", "b"]);
}

#[test]
fn a_newcomer_that_heard_who_was_left_behind_first_goes_on_in_the_present_history() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut later = log.before(4);
    later.found(founder(2), LATER);
    later.push(&["b"]);
    later.commit_next = later.end.next;
    let mut reader = Reader::new(Delivery::Committed, Start::From(1));
    reader.hear(&log.ack(3, 4));
    assert_eq!(reader.subscriber.core.history(), HISTORY);
    hear_of(&mut reader, &mut later);
    assert_eq!(reader.messages(), ["a", "b"]);
}

// ------------------------------------------------------------------------ replicas

/// A tail of `identity` that holds these frames.
pub fn tail_of(identity: Identity, frames: &[Vec<u8>]) -> Tail<MemoryTail> {
    let label = TailLabel {
        cluster: CLUSTER,
        identity,
        boot: [1, 1],
        generation: 1,
        record_len_max: FRAME_LEN_MAX as u32,
    };
    let mut tail = Tail::blank(MemoryTail::new(RING), label, LogEnd::BLANK).expect("a ring large enough");
    for bytes in frames {
        tail.append(&FrameView::from_prefix(bytes).unwrap()).expect("it follows");
    }
    tail
}

pub fn limits(identity: Identity) -> ReplicaLimits {
    let mut limits = replica_limits(identity.replica, 3);
    limits.receiver.me = identity;
    limits
}

fn node(identity: Identity, frames: &[Vec<u8>]) -> SoloReplica {
    let mut node = SoloReplica::new(start(tail_of(identity, frames), limits(identity)).unwrap());
    node.events();
    node
}

/// Members 1 to 3 were lost, and a history was founded at seq 4 on what replica 2 held.
fn later() -> (Log, Log) {
    let mut log = Log::begun(3);
    log.push_of(1, &[1]);
    let mut later = log.clone();
    later.found(founder(2), LATER);
    later.begin(Epoch::new(later.epoch.round() + 1, founder(2)), &[MemberBody::full(founder(2), address(2))]);
    later.push_of(1, &[2]);
    later.commit_next = later.end.next;
    (log, later)
}

/// The node hears the later history until it has asked for its start and has it.
fn show(node: &mut SoloReplica, later: &mut Log) {
    for _ in 0..80 {
        node.hear(&[later.heartbeat()]);
        let sent = node.wait(MS);
        for request in requests_in(&sent) {
            let frames = later.frames.clone();
            for (index, bytes) in frames.iter().enumerate() {
                let header = Header::peek(bytes).unwrap();
                let starts =
                    request.ranges.is_empty() && header.first_seq == later.epochs.last().unwrap().base;
                let mut asked = request.ranges.iter();
                let is_known = request.header.history == LATER;
                let lies = asked.any(|&(from, to)| header.first_seq < to && from < header.next_seq());
                if starts || is_known && lies {
                    node.ask(2, later.repair(index, 2, later.commit_next));
                }
            }
        }
    }
}

#[test]
fn s12_a_member_of_the_former_history_stops_when_it_learns_of_the_founding_and_says_what_it_holds() {
    let (mut log, mut later) = later();
    log.push_of(1, &[2]);
    let mut stray = node(identity(3), &log.frames);
    // It has heard its own history before. What it and its leader hold was committed, and nobody else has it.
    stray.hear(&[log.ack(1, 3)]);
    show(&mut stray, &mut later);
    let event =
        ReplicaEvent::Founded { history: LATER, next: 4, own_next: 5, commit_next: 5, goes_on: false };
    let events = stray.events();
    assert!(events.contains(&event), "{events:?}");
    assert!(stray.replica.core.is_stopped());
}

#[test]
fn s12_a_member_that_comes_back_while_the_later_history_is_heard_does_not_begin() {
    let (log, mut later) = later();
    let mut stray = node(identity(3), &log.frames);
    stray.hear(&[later.heartbeat()]);
    assert!(!stray.replica.core.is_stopped(), "one datagram may be what the network kept");
    for _ in 0..20 {
        stray.wait(MS);
        stray.hear(&[later.heartbeat()]);
    }
    assert!(stray.replica.core.is_stopped());
    assert!(stray.events().contains(&ReplicaEvent::OtherHistory { have: HISTORY, seen: LATER }));
}

#[test]
fn s12_a_member_whose_history_is_led_is_stopped_by_no_founding() {
    let (mut log, mut later) = later();
    let mut member = node(identity(3), &log.frames);
    for _ in 0..100 {
        member.hear(&[log.heartbeat(), later.heartbeat()]);
        let sent = member.wait(MS);
        assert!(requests_in(&sent).iter().all(|request| !request.ranges.is_empty()), "it asks for no proof");
    }
    assert!(!member.replica.core.is_stopped());
    assert_eq!(member.replica.role(), Role::Standby);
}

#[test]
fn a_learner_goes_on_in_the_later_history_and_its_journal_takes_note() {
    let (mut log, mut later) = later();
    log.push_of(1, &[2]);
    // It is no member of either.
    let mut learner = node(Identity { replica: 9, incarnation: 0x109 }, &log.frames);
    assert_eq!(learner.replica.role(), Role::Learner);
    show(&mut learner, &mut later);
    assert_eq!(learner.replica.tail().end(), later.end);
    let events = learner.events();
    let event = ReplicaEvent::Founded { history: LATER, next: 4, own_next: 5, commit_next: 1, goes_on: true };
    assert!(
        events.contains(&event) && events.contains(&ReplicaEvent::History { history: LATER }),
        "{events:?}"
    );
    assert_eq!(learner.replica.core.lineage(), later.lineage);
    assert_eq!(learner.replica.role(), Role::Learner);
}

#[test]
fn lineage_2_a_learner_that_knows_more_to_be_committed_stops_and_says_so() {
    let (mut log, mut later) = later();
    log.push_of(1, &[2]);
    log.commit_next = 5;
    log.push_of(1, &[3]);
    let mut learner = node(Identity { replica: 9, incarnation: 0x109 }, &log.frames);
    show(&mut learner, &mut later);
    let event =
        ReplicaEvent::Founded { history: LATER, next: 4, own_next: 6, commit_next: 5, goes_on: false };
    let events = learner.events();
    assert!(events.contains(&event), "{events:?}");
    assert!(learner.replica.core.is_stopped());
    assert_eq!(learner.next(), 6, "nothing of it was exchanged");
}

#[test]
fn s12_a_learner_that_begins_among_strangers_stops() {
    let (log, _) = later();
    let mut learner = node(Identity { replica: 9, incarnation: 0x109 }, &log.frames);
    let mut outsider = Log::of_history(3, 0xdead);
    show(&mut learner, &mut outsider);
    assert!(learner.replica.core.is_stopped());
    assert!(learner.events().contains(&ReplicaEvent::OtherHistory { have: HISTORY, seen: 0xdead }));
}

#[test]
fn s12_a_founder_tells_of_who_was_left_behind_and_does_not_begin_where_the_former_history_is_led() {
    let (mut log, _) = later();
    let mut founded = log.clone();
    founded.found(founder(2), LATER);
    let mut alone = node(founder(2), &founded.frames);
    alone.hear(&[log.ack(3, 4)]);
    alone.hear(&[log.ack(3, 4)]);
    let event = ReplicaEvent::AncestorHistory { history: HISTORY, identity: identity(3) };
    assert_eq!(alone.events().iter().filter(|seen| **seen == event).count(), 1, "once");
    assert!(!alone.replica.core.is_stopped());
    for _ in 0..100 {
        alone.wait(MS);
    }
    assert_eq!(alone.replica.role(), Role::Leader, "it leads alone");
    alone.hear(&[log.heartbeat()]);
    assert!(!alone.replica.core.is_stopped(), "it has begun");
    let mut alone = node(founder(2), &founded.frames);
    alone.hear(&[log.heartbeat()]);
    assert!(alone.replica.core.is_stopped(), "the former history is alive: nothing was to be founded");
}

#[test]
fn s12_two_founders_on_two_journals_of_one_history_name_each_other_once() {
    let (log, _) = later();
    let mut founders = [2, 3].map(|replica| {
        let mut founded = log.clone();
        let history = LATER + u64::from(replica);
        founded.found(founder(replica), history);
        let mut alone = node(founder(replica), &founded.frames);
        for _ in 0..100 {
            alone.wait(MS);
        }
        assert_eq!(alone.replica.role(), Role::Leader, "nobody else is there");
        (alone, founded, history)
    });
    for (own, other) in [(0, 1), (1, 0)] {
        let (heartbeat, history) = (founders[other].1.heartbeat(), founders[other].2);
        let identity = Header::peek(&heartbeat).expect("a header").identity();
        let (alone, ..) = &mut founders[own];
        for _ in 0..40 {
            alone.hear(std::slice::from_ref(&heartbeat));
            alone.wait(MS);
        }
        let event = ReplicaEvent::OtherLeader { history, identity };
        let events = alone.events();
        assert_eq!(events.iter().filter(|seen| **seen == event).count(), 1, "once: {events:?}");
        assert_eq!(alone.replica.role(), Role::Leader, "which of them is right, an operator says");
    }
}

#[test]
fn s9_acks_and_promises_of_the_former_history_count_for_nothing_in_the_later_one() {
    let (mut log, _) = later();
    let mut founded = log.clone();
    founded.found(founder(2), LATER);
    let mut alone = node(founder(2), &founded.frames);
    for _ in 0..100 {
        alone.wait(MS);
    }
    let led = alone.replica.tail().end().epoch;
    // A member that was left behind asks for promises high above everything.
    let ballot = Epoch::new(led.round() + 500, identity(3));
    let body = BallotBody { process_nonce: 3, ballot: ballot.0, about: 0 };
    alone.hear(&[written(|out| {
        write_ballot(out, &Keyring::none(CLUSTER), log.header(Kind::Prepare, identity(3)), body)
    })]);
    alone.hear(&[log.ack(3, 4)]);
    assert_eq!((alone.replica.role(), alone.replica.tail().promised()), (Role::Leader, led));
}

// ------------------------------------------------------------------------ a whole cluster
