//! Replay and live in one reader: what is told, in which order, and when it ends; and in a replica.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::Role;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::replay::{ReplayLimits, ReplayStep, SourceState};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{Log, written};
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_replica::replica::{CatchUpPlan, CatchUpRequest};
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::net::SocketAddrV4;

/// A reader that knows two journals.
fn reader(delivery: Delivery, start: Start) -> Reader {
    reader_of_journals(delivery, start, vec![address(8), address(9)])
}

/// A reader that knows these journals.
pub fn reader_of_journals(delivery: Delivery, start: Start, sources: Vec<SocketAddrV4>) -> Reader {
    let mut reader = Reader::new(delivery, start);
    let me = Identity { replica: 2_000, incarnation: 0 };
    reader.subscriber.core.set_replay(ReplayLimits::new(Keyring::none(CLUSTER).into(), me, sources));
    reader
}

fn replay_item(kind: Kind, end: u32, next: Seq) -> Vec<u8> {
    replay_item_of(HISTORY, kind, end, next)
}

/// An item between the frames of a connection to a journal of `history`.
pub fn replay_item_of(history: u64, kind: Kind, end: u32, next: Seq) -> Vec<u8> {
    let mut out = vec![0; SMALL_LEN_MAX];
    let header = Header { cluster: CLUSTER, history, ..Header::new(kind) };
    let body = ReplayBody { next, oldest_seq: 1, end, reserved: 0 };
    let len = write_replay(&mut out, &Keyring::none(CLUSTER), header, body);
    out.truncate(len);
    out
}

/// The refusal of a journal whose oldest entry is `oldest_seq`.
fn refusal(why: ReplayEndReason, oldest_seq: Seq) -> Vec<u8> {
    let mut out = vec![0; SMALL_LEN_MAX];
    let header = Header { cluster: CLUSTER, history: HISTORY, ..Header::new(Kind::ReplayAnswer) };
    let body = ReplayBody { next: 1, oldest_seq, end: why as u32, reserved: 0 };
    let len = write_replay(&mut out, &Keyring::none(CLUSTER), header, body);
    out.truncate(len);
    out
}

/// The answer that frames follow, and these frames.
fn granted(frames: &[Vec<u8>]) -> Vec<u8> {
    let next = Header::peek(&frames[0]).unwrap().first_seq;
    [replay_item(Kind::ReplayAnswer, 0, next), frames.concat()].concat()
}

/// What a request asks for: first seq, and the chain if it is to be compared.
fn request(reader: &Reader) -> (Seq, Option<Chain>) {
    let mut out = [0; SMALL_LEN_MAX];
    let len = reader.subscriber.core.write_replay_request(&mut out).expect("something is missing");
    let Ok(Datagram::ReplayRequest(header, body)) = Datagram::decode(&out[..len], &Keyring::none(CLUSTER))
    else {
        panic!("a request")
    };
    (body.from, (header.flags & REPLAY_CHAIN != 0).then_some(header.chain))
}

#[test]
fn s10_a_replay_delivers_the_committed_log_from_its_birth_on_though_nobody_is_heard() {
    let mut log = Log::begun(3);
    log.push(&["a", "b"]);
    log.begin(epoch(2, 2), &member_list(3));
    log.push(&["c"]);
    let mut reader = reader(Delivery::Committed, Start::Oldest);
    assert_eq!(reader.step(), Some(ReplayStep::Open(address(8))));
    assert_eq!(request(&reader), (0, None));
    let bytes = granted(&log.frames);
    assert_eq!(reader.replay(&bytes), bytes.len());
    assert_eq!(reader.messages(), ["a", "b", "c"]);
    assert!(
        reader.events.contains(&News::Replaying(1)) && reader.events.contains(&News::Epoch(epoch(2, 2), 5))
    );
    assert_eq!(reader.count(Counter::NacksOut), 0);
    // Live goes on behind it, and the connection is needed no more.
    let live = log.push(&["d"]);
    reader.hear(&live);
    reader.hear(&log.ack(3, 8));
    assert_eq!(reader.messages(), ["a", "b", "c", "d"]);
    assert_eq!(reader.step(), Some(ReplayStep::Close));
    assert_eq!(reader.events.last(), Some(&News::CaughtUp(8)));
}

#[test]
fn what_live_and_a_replay_both_bring_is_delivered_once_and_live_waits_for_what_lies_before_it() {
    let mut log = Log::begun(3);
    let frames: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|text| log.push(&[text])).collect();
    let mut reader = reader(Delivery::Committed, Start::Oldest);
    reader.step();
    reader.replay(&granted(&log.frames[..3]));
    reader.hear(&frames[3]);
    reader.hear(&frames[4]);
    reader.hear(&log.ack(2, 8));
    assert_eq!(reader.messages(), ["a"], "what comes live waits for what lies before it");
    let bytes = log.frames[3..6].concat();
    // In pieces, as a connection brings them.
    let mut at = 0;
    for end in (0..bytes.len()).step_by(77).chain([bytes.len()]) {
        at += reader.replay(&bytes[at..end]);
    }
    reader.poll();
    assert_eq!((at, reader.messages()), (bytes.len(), vec!["a", "b", "c", "d", "e"]));
    assert_eq!(reader.step(), Some(ReplayStep::Close), "everything is held");
    assert_eq!(reader.count(Counter::NacksOut), 0, "repairers were left alone");
}

#[test]
fn an_application_that_takes_little_is_not_overrun_by_a_replay() {
    let mut log = Log::begun(3);
    for number in 0..40 {
        log.push(&[&format!("{number} a"), &format!("{number} b"), &format!("{number} c")]);
    }
    let mut reader = reader(Delivery::Committed, Start::From(1));
    reader.limit = 2;
    reader.hear(&log.frames[1]);
    reader.hear(log.frames.last().unwrap());
    // Nobody has it in memory.
    for _ in 0..200 {
        reader.wait(5_000_000);
        for request in reader.requests() {
            let number = u32::from(request.to.ip().octets()[3]);
            reader.repair(log.answer(number, request.token, RepairReject::TooOld, 30));
        }
    }
    let opened = reader.step();
    assert!(matches!(opened, Some(ReplayStep::Open(_))) && reader.count(Counter::Replays) == 1, "{opened:?}");
    let bytes = granted(&log.frames);
    // What was heard live is kept behind it, and committed by those who are heard.
    reader.hear(&log.ack(2, log.end.next));
    let (mut at, mut turns) = (0, 0);
    while reader.messages().len() < 120 {
        let used = reader.replay(&bytes[at..]);
        assert!(used < 3_000, "{used} bytes in one turn of two messages");
        at += used;
        reader.poll();
        turns += 1;
        assert!(turns < 1_000);
    }
    assert_eq!(reader.stream().len(), 120, "each once, in order");
}

/// A reader that is held at a bound learns what is committed beyond it: by that a coordinator knows how far
/// the next row of the stream may reach. One whose replay waited for a higher bound never wrote that row.
#[test]
fn entries_from_a_bound_on_wait_in_memory_while_a_replay_brings_them() {
    let mut log = Log::begun(3);
    let payload = "x".repeat(1_000);
    let messages = 20_000;
    (0..messages).for_each(|_| drop(log.push(&[payload.as_str()])));
    let mut reader = reader(Delivery::Committed, Start::From(1));
    reader.subscriber.core.deliver_below(3);
    // Nobody is heard, for long.
    let opened = (0..1_000).find_map(|_| {
        reader.wait(5_000_000);
        reader.step()
    });
    assert_eq!(opened, Some(ReplayStep::Open(address(8))));
    let bytes = granted(&log.frames);
    let used = reader.replay(&bytes);
    let known = reader.subscriber.core.commit_next();
    assert!(reader.messages().is_empty() && known > 3, "committed below {known}, and nothing is delivered");
    assert!(used < bytes.len() && known < log.end.next, "what has no room waits");
    reader.subscriber.core.deliver_below(Seq::MAX);
    let mut at = used;
    while at < bytes.len() {
        reader.poll();
        at += reader.replay(&bytes[at..]);
    }
    reader.limit = 2 * messages;
    reader.poll();
    assert_eq!((reader.messages().len(), reader.subscriber.core.commit_next()), (messages, log.end.next));
}

/// A reader that reads a journal at once if it lacks more than three entries.
fn hasty_reader(start: Start) -> Reader {
    let mut reader = Reader::new(Delivery::Committed, start);
    let me = Identity { replica: 2_000, incarnation: 0 };
    let sources = vec![address(8), address(9)];
    let limits = ReplayLimits::new(Keyring::none(CLUSTER).into(), me, sources);
    reader.subscriber.core.set_replay(ReplayLimits { far_behind: 3, ..limits });
    reader
}

#[test]
fn who_is_far_behind_reads_a_journal_at_once_and_asks_no_repairer_for_what_it_brings() {
    let mut log = Log::begun(3);
    let frames: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|text| log.push(&[text])).collect();
    let mut far = hasty_reader(Start::From(1));
    far.hear(&log.frames[1]);
    far.hear(&frames[4]);
    assert_eq!(far.step(), Some(ReplayStep::Open(address(8))), "of eight entries six are missing");
    far.replay(&granted(&log.frames));
    far.hear(&log.ack(2, 8));
    let asked = far.count(Counter::NacksOut);
    far.wait(100_000_000);
    assert_eq!(far.messages(), ["a", "b", "c", "d", "e"]);
    assert_eq!(far.step(), Some(ReplayStep::Close));
    assert_eq!(far.count(Counter::NacksOut), asked, "repairers are left alone while a journal gives");
    // One hole of an entry, with many behind it, is a repairer's.
    let mut near = hasty_reader(Start::From(1));
    [0, 1, 2, 4, 5, 6].iter().for_each(|&index| near.hear(&log.frames[index]));
    near.wait(50_000_000);
    assert_eq!((near.step(), near.count(Counter::Replays)), (None, 0));
    assert!(near.count(Counter::NacksOut) > 0);
}

#[test]
fn who_is_far_behind_and_finds_no_journal_goes_on_with_repairs_and_asks_journals_again_later() {
    let mut log = Log::begun(3);
    let frames: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|text| log.push(&[text])).collect();
    let mut reader = hasty_reader(Start::From(1));
    reader.hear(&log.frames[1]);
    reader.hear(&frames[4]);
    for source in [8, 9] {
        assert_eq!(reader.step(), Some(ReplayStep::Open(address(source))));
        reader.replay(&replay_item(Kind::ReplayAnswer, ReplayEndReason::TooOld as u32, 1));
    }
    assert_eq!((reader.step(), reader.subscriber.core.is_ended()), (Some(ReplayStep::Close), false));
    reader.wait(100_000_000);
    assert_eq!(reader.step(), None, "not at once again");
    reader.hear(&frames[4]);
    reader.wait(1_000_000_000);
    assert_eq!(reader.step(), Some(ReplayStep::Open(address(8))));
    // Repairers have it.
    (0..log.frames.len()).for_each(|index| reader.repair(log.repair(index, 2, log.end.next)));
    assert_eq!(reader.messages(), ["a", "b", "c", "d", "e"]);
}

/// The rounds of a reader that was far behind stand where every ring has lost what it lacks as well. It began
/// them anew, and waited for the source that lies behind twice (seed 95029704).
#[test]
fn who_is_far_behind_ends_at_once_where_repairers_and_journals_have_lost_it() {
    let mut log = Log::begun(3);
    (0..5).for_each(|number| drop(log.push(&[&format!("{number}")])));
    let mut reader = hasty_reader(Start::From(1));
    reader.hear(&log.frames[1]);
    reader.hear(log.frames.last().unwrap());
    let mut rounds = 0;
    while !reader.subscriber.core.is_ended() {
        match reader.step() {
            Some(ReplayStep::Open(to)) if to == address(8) => {
                reader.replay(&refusal(ReplayEndReason::TooOld, 30));
            }
            Some(ReplayStep::Open(_)) => {
                reader.replay(&refusal(ReplayEndReason::Ahead, 1));
                rounds += 1;
            }
            _ => reader.wait(5_000_000),
        }
        for request in reader.requests() {
            let number = u32::from(request.to.ip().octets()[3]);
            reader.repair(log.answer(number, request.token, RepairReject::TooOld, 30));
        }
        reader.hear(log.frames.last().unwrap());
        assert!(rounds <= 8, "the one that lies behind is asked for eight rounds, and no second time");
    }
    assert_eq!(reader.events.last(), Some(&News::Abandoned(1, 30)));
}

#[test]
fn a_cursor_within_a_frame_names_the_chain_before_it_and_another_log_is_refused() {
    let mut log = Log::begun(3);
    let frame = log.push(&["a", "b", "c"]);
    let chain = Header::peek(&frame).unwrap().chain;
    let mut first = reader(Delivery::Committed, Start::Oldest);
    first.step();
    first.limit = 2;
    first.poll();
    first.replay(&granted(&log.frames));
    let cursor = first.subscriber.core.cursor().expect("a place");
    assert_eq!((first.messages(), cursor), (vec!["a", "b"], Cursor { history: HISTORY, seq: 5, chain }));
    let mut second = reader(Delivery::Stamped, Start::Cursor(cursor));
    assert_eq!(request(&second), (5, Some(chain)));
    second.hear(&log.frames[1]);
    second.hear(&frame);
    assert_eq!(second.messages(), ["c"], "live will do as well");
    let mut wrong = reader(Delivery::Stamped, Start::Cursor(Cursor { chain: chain ^ 1, ..cursor }));
    wrong.hear(&log.frames[1]);
    wrong.hear(&frame);
    wrong.poll();
    assert!(wrong.messages().is_empty());
    assert_eq!(wrong.events.last(), Some(&News::Refused(Some(ReplayEndReason::ChainMismatch))));
    assert!(wrong.subscriber.core.is_ended());
}

#[test]
fn a_cursor_within_a_message_in_parts_begins_at_its_first_part_and_the_message_is_read_whole() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let begins = log.push_part(7, 1, PART_MORE, "large, ");
    let chain = Header::peek(&begins).unwrap().chain;
    log.push(&["b"]);
    let mut first = reader(Delivery::Committed, Start::Oldest);
    first.step();
    first.replay(&granted(&log.frames));
    first.poll();
    let core = &first.subscriber.core;
    assert_eq!((core.deliver_next(), core.resume_next()), (6, 4));
    let cursor = core.cursor().expect("a place");
    assert_eq!((first.messages(), cursor), (vec!["a", "b"], Cursor { history: HISTORY, seq: 4, chain }));
    log.push_part(7, 2, PART_NEXT, "and whole");
    let mut second = reader(Delivery::Stamped, Start::Cursor(cursor));
    log.frames[1..].iter().for_each(|frame| second.hear(frame));
    assert_eq!(second.stream(), [(5, "b".to_string()), (6, "large, and whole".to_string())]);
    let core = &second.subscriber.core;
    assert_eq!(core.resume_next(), 7, "nothing is half joined any more");
    assert_eq!(core.cursor().map(|cursor| cursor.seq), Some(7));
}

#[test]
fn repairs_are_no_stream_and_who_hears_nothing_else_reads_a_journal() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut reader = reader(Delivery::Committed, Start::From(1));
    // The start of the epoch comes before what it owns.
    [1, 0, 1, 2].iter().for_each(|&index| reader.hear(&log.frames[index]));
    reader.hear(&log.ack(2, log.end.next));
    assert_eq!(reader.step(), None);
    assert_eq!(reader.messages(), ["a"]);
    for _ in 0..6 {
        reader.wait(100_000_000);
        reader.repair(log.repair(2, 2, log.end.next));
    }
    assert_eq!(reader.step(), Some(ReplayStep::Open(address(8))));
    assert_eq!(request(&reader), (4, Some(log.end.chain)), "behind what is held");
    let behind = log.clone();
    log.push(&["b"]);
    let mut bytes = replay_item(Kind::ReplayAnswer, 0, behind.end.next);
    bytes.extend_from_slice(log.frames.last().unwrap());
    reader.replay(&bytes);
    reader.poll();
    assert_eq!(reader.step(), None, "it stays there");
    assert_eq!(reader.messages(), ["a", "b"]);
}

#[test]
fn s10_a_frame_that_the_followed_epoch_does_not_own_is_taken_from_no_replay() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut deposed = log.clone();
    deposed.push(&["never committed"]);
    let start = log.begin(epoch(2, 2), &member_list(3));
    let mut reader = reader(Delivery::Committed, Start::Oldest);
    reader.step();
    reader.hear(&start);
    reader.replay(&granted(&deposed.frames));
    assert_eq!(reader.messages(), ["a"]);
    assert!(reader.count(Counter::FramesUnowned) > 0);
}

#[test]
fn a_blank_replica_stores_what_is_replayed_waits_for_room_and_follows() {
    let mut log = Log::begun(3);
    for _ in 0..400 {
        log.push(&["some words that take room", "and more of them, and more of them, and more of them"]);
    }
    let mut replica = start(blank_tail(3, 64 << 10), replica_limits(3, 3)).expect("it starts");
    assert_eq!(replica.role(), Role::Blank);
    let (mut waited, repairer) = (0, (identity(2), HISTORY));
    for (now, bytes) in (1_000_000..).step_by(1_000).zip(&log.frames) {
        let frame = FrameView::from_prefix(bytes).unwrap();
        while !replica.on_replayed(now, repairer, &frame) {
            flush(replica.tail_mut().memory_mut());
            waited += 1;
            assert!(waited < 1_000);
        }
    }
    assert!(waited > 0, "a ring of 64 KiB is full now and then");
    assert_eq!((replica.tail().end(), replica.role()), (log.end, Role::Standby));
    assert_eq!(replica.core.commit_next(), log.end.next, "all of it is committed");
    // What comes twice is dealt with, and changes nothing.
    let frame = FrameView::from_prefix(&log.frames[5]).unwrap();
    assert!(replica.on_replayed(9_000_000, repairer, &frame));
    assert_eq!(replica.tail().end(), log.end);
}

/// Repairs and takeovers meanwhile change nothing of what every ring has lost.
#[test]
fn a_journal_is_asked_for_what_the_rings_have_lost_although_repairs_of_the_rest_go_on_and_one_is_silent() {
    let mut log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(3, 64 << 10), replica_limits(3, 3)).unwrap());
    node.hear(&log.frames[1..]);
    node.ask(1, log.repair(0, 1, 1));
    let at = log.end;
    log.push(&["lost by every ring"]);
    let mut asked_at = None;
    for turn in 0..60 {
        let lost = log.frames.len();
        log.push(&["repaired"]);
        log.push(&["heard"]);
        let mut sent = node.hear(&log.frames[lost + 1..]);
        sent.extend(node.wait(1_000_000));
        for request in requests_in(&sent) {
            if request.to == address(1) {
                node.ask(1, log.answer(1, request.token, RepairReject::TooOld, at.next + 1));
                node.ask(1, log.repair(lost, 1, 1));
            }
        }
        let now = node.now;
        if node.replica.poll_catch_up(now, None) != CatchUpRequest::GoOn {
            asked_at = Some(turn);
            break;
        }
    }
    assert!(asked_at.is_some_and(|turn| turn >= 35), "some longest waits of the silent one: {asked_at:?} ms");
    assert_eq!(node.next(), at.next);
}

/// Two nodes that lie behind would read from each other for ever.
#[test]
fn a_replica_that_stands_still_at_the_end_of_its_source_asks_the_next_one() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let at = log.end;
    log.push(&["b"]);
    let mut node = SoloReplica::new(start(blank_tail(3, 64 << 10), replica_limits(3, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    let repairer = (identity(2), HISTORY);
    let wish = |node: &mut SoloReplica, supply| node.replica.poll_catch_up(node.now, supply);
    assert_eq!(wish(&mut node, None), CatchUpRequest::GoOn, "the rings are asked first");
    for bytes in &log.frames[..3] {
        let now = node.now;
        assert!(node.replica.on_replayed(now, repairer, &FrameView::from_prefix(bytes).unwrap()));
    }
    assert_eq!(
        wish(&mut node, Some(SourceState::Sending)),
        CatchUpRequest::End,
        "nothing that was heard of is missing"
    );
    let heartbeat = log.heartbeat();
    node.hear(&[heartbeat]);
    assert_eq!(wish(&mut node, Some(SourceState::Sending)), CatchUpRequest::GoOn, "it gives");
    node.now += 60_000_000;
    assert_eq!(wish(&mut node, Some(SourceState::Sending)), CatchUpRequest::GoOn, "it still does");
    assert_eq!(
        wish(&mut node, Some(SourceState::AtEnd)),
        CatchUpRequest::GoOn,
        "what is young comes by repair"
    );
    node.now += 60_000_000;
    let order = CatchUpPlan::new(HISTORY, at.next, Some(at.chain));
    assert_eq!(wish(&mut node, Some(SourceState::AtEnd)), CatchUpRequest::Begin(order));
    assert_eq!(
        wish(&mut node, Some(SourceState::AtEnd)),
        CatchUpRequest::GoOn,
        "that one is given time as well"
    );
    node.now += 60_000_000;
    assert_eq!(
        wish(&mut node, Some(SourceState::Awaited)),
        CatchUpRequest::GoOn,
        "a source that has not answered is waited for"
    );
}

/// S2: what is committed is in the log of every epoch that may follow. A node that promised and lies behind
/// every ring would wait for a leader, and perhaps none comes to be without it.
#[test]
fn s2_a_replica_stores_what_is_committed_below_its_promise_and_acknowledges_nothing_of_it() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut node = SoloReplica::new(start(blank_tail(3, 64 << 10), replica_limits(3, 3)).unwrap());
    node.hear(&log.frames[1..]);
    node.ask(1, log.repair(0, 1, 1));
    let end = log.end.next;
    assert_eq!((node.replica.role(), node.next()), (Role::Standby, end));
    let body = BallotBody { process_nonce: 2, ballot: epoch(2, 2).0, about: 0 };
    let prepare = written(|out| {
        write_ballot(out, &Keyring::none(CLUSTER), log.header(Kind::Prepare, identity(2)), body)
    });
    node.hear(&[prepare]);
    assert_eq!(node.replica.tail().promised(), epoch(2, 2));
    log.push(&["b"]);
    let frame = log.frames.last().unwrap().clone();
    node.hear(std::slice::from_ref(&frame));
    assert_eq!(node.next(), end, "live, and below the promise");
    let now = node.now;
    assert!(node.replica.on_replayed(now, (identity(1), HISTORY), &FrameView::from_prefix(&frame).unwrap()));
    assert_eq!((node.next(), node.replica.core.commit_next()), (log.end.next, log.end.next));
    let sent = node.wait(10_000_000);
    assert!(acks_in(&sent).is_empty(), "{:?}", acks_in(&sent));
}

#[test]
fn an_archiver_never_votes_whatever_a_membership_says() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut replica = start(blank_tail(3, 64 << 10), replica_limits(3, 3)).expect("it starts");
    replica.core.become_archiver();
    for bytes in &log.frames {
        assert!(replica.on_replayed(
            1_000_000,
            (identity(2), HISTORY),
            &FrameView::from_prefix(bytes).unwrap()
        ));
    }
    assert_eq!(replica.role(), Role::Learner, "the birth lists it");
    for turn in 0..200 {
        replica.poll(2_000_000 + turn * 1_000_000, lockstep_wire::Wall(1));
    }
    let sent = sent(replica.net_mut());
    let spoken = sent.iter().filter(|(_, bytes)| {
        matches!(
            Datagram::decode(bytes, &Keyring::none(CLUSTER)),
            Ok(Datagram::Ack(..)
                | Datagram::Promise(..)
                | Datagram::Grant(..)
                | Datagram::PreVote(..)
                | Datagram::Prepare(..))
        )
    });
    assert_eq!(spoken.count(), 0);
}
