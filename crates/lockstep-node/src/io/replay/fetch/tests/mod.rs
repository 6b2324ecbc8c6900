//! Sources that are slow, that lack what is requested, and that send a checkpoint.

use super::*;
use lockstep_core::proto::log::LogEnd;
use lockstep_memory::cluster::Cluster;
use lockstep_wire::{
    FrameView, HEADER_LEN, Header, Kind, REPLAY_CHECKPOINT, REPLAY_LEN, REPLAY_REQUEST_LEN, ReplayBody,
    ReplayCheckpointBody, write_replay, write_replay_checkpoint,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};

fn frame(first_seq: Seq) -> Vec<u8> {
    let header = Header { length: HEADER_LEN as u32, first_seq, ..Header::new(Kind::Frame) };
    bytemuck::bytes_of(&header).to_vec()
}

/// A worker whose only source is an address without a listener.
fn worker_of_nobody() -> Worker {
    let me = Identity { replica: 9, incarnation: 0 };
    let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let limits = ReplayLimits::new(lockstep_wire::Keyring::none(7).into(), me, vec![nobody]);
    Worker::new(limits, Arc::new(Shared::new()))
}

/// A busy host answers after a while. A reader that started again every 50 ms without progress never let a
/// slow source answer.
#[test]
fn a_source_that_has_not_answered_yet_is_not_at_its_end() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = server.local_addr().unwrap() else { panic!("an address of IPv4") };
    let me = Identity { replica: 9, incarnation: 0 };
    let mut fetch =
        Fetch::start(ReplayLimits::new(lockstep_wire::Keyring::none(7).into(), me, vec![address])).unwrap();
    assert_eq!(fetch.supply(), None);
    fetch.request(Some(CatchUpPlan::new(0, 10, None)));
    let (mut connection, _) = server.accept().unwrap();
    let await_supply = |fetch: &Fetch, supply| {
        while fetch.supply() != Some(supply) {
            std::thread::sleep(PAUSE);
        }
    };
    await_supply(&fetch, SourceState::Awaited);
    let mut mark = [0; REPLAY_LEN];
    let header = |kind| Header { cluster: 7, ..Header::new(kind) };
    let body = ReplayBody { next: 10, oldest_seq: 1, end: 0, reserved: 0 };
    write_replay(&mut mark, &lockstep_wire::Keyring::none(7), header(Kind::ReplayAnswer), body);
    connection.write_all(&mark).unwrap();
    await_supply(&fetch, SourceState::Sending);
    write_replay(&mut mark, &lockstep_wire::Keyring::none(7), header(Kind::ReplayMark), body);
    connection.write_all(&mark).unwrap();
    await_supply(&fetch, SourceState::AtEnd);
}

/// All journals may begin behind the entries that a replica holds without knowing that they are committed.
#[test]
fn where_no_source_has_a_range_the_proof_of_what_is_held_is_asked_for_in_turn() {
    let mut worker = worker_of_nobody();
    let plan = CatchUpPlan { proof_from: Some((13, Some(5))), ..CatchUpPlan::new(0, 12, Some(4)) };
    worker.order = Some(plan);
    for (from, chain) in [(13, 5), (12, 4), (13, 5)] {
        let now = worker.clock.now();
        worker.replay.finish();
        worker.replay.begin(now);
        assert!(matches!(worker.replay.poll(now), Some(ReplayStep::Open(_))));
        let end = ReplayEndReason::TooOld as u32;
        worker.replay.on_answer(now, &ReplayBody { next: 12, oldest_seq: 13, end, reserved: 0 });
        worker.check_failure(now);
        assert_eq!(worker.order.map(|order| (order.from, order.chain)), Some((from, Some(chain))));
    }
}

/// Seed 97115820: retention had overtaken a node, and one journal lay as far behind as the node. That journal
/// granted each request and sent nothing, so the node never reported for five seconds that its log is gone,
/// after which it rejoins.
#[test]
fn a_journal_that_lies_behind_takes_nothing_back_of_a_log_that_is_gone() {
    let mut worker = worker_of_nobody();
    *worker.shared.order.lock().unwrap() = (1, Some(CatchUpPlan::new(0, 316, Some(4))));
    worker.begin();
    worker.shared.gone.store(330, Ordering::Release);
    let take = |worker: &mut Worker, piece: ReplayItem<'_>| {
        let now = worker.clock.now();
        let Worker { replay, shared, chunk, order, .. } = worker;
        take_piece(replay, now, shared, piece, chunk, order);
    };
    let body = ReplayBody { next: 316, oldest_seq: 1, end: 0, reserved: 0 };
    assert!(matches!(worker.replay.poll(worker.clock.now()), Some(ReplayStep::Open(_))));
    take(&mut worker, ReplayItem::Answer(Header::new(Kind::ReplayAnswer), body));
    take(&mut worker, ReplayItem::Mark(Header::new(Kind::ReplayMark), body));
    assert_eq!(worker.shared.gone(), Some(329), "it grants, and gives nothing");
    worker.begin();
    assert_eq!(worker.shared.gone(), Some(329), "the next one is asked");
    while !worker.replay.is_opening() {
        worker.replay.poll(worker.clock.now());
    }
    take(&mut worker, ReplayItem::Answer(Header::new(Kind::ReplayAnswer), body));
    let log = lockstep_memory::log::Log::begun(3);
    take(&mut worker, ReplayItem::Frame(FrameView::from_prefix(&log.frames[0]).unwrap()));
    assert_eq!(worker.shared.gone(), None, "it gives what was gone");
}

/// Nodes of the first release do not know the request for a checkpoint. Both forms are tried in turn.
#[test]
fn where_no_journal_has_the_beginning_or_gives_a_checkpoint_the_node_is_told_the_oldest_that_is_kept() {
    let mut worker = worker_of_nobody();
    worker.order = Some(CatchUpPlan { may_begin_behind: true, ..CatchUpPlan::new(0, 1, None) });
    let mut now = worker.clock.now();
    worker.replay.begin(now);
    let ends = [ReplayEndReason::TooOld, ReplayEndReason::Malformed, ReplayEndReason::TooOld];
    for (end, asks_next, gone) in [(ends[0], Some(13), 0), (ends[1], None, 14), (ends[2], Some(13), 14)] {
        now += 2 * crate::io::replay::AGAIN_NS;
        assert!(matches!(worker.replay.poll(now), Some(ReplayStep::Open(_))));
        worker.replay.on_answer(now, &ReplayBody { next: 1, oldest_seq: 13, end: end as u32, reserved: 0 });
        worker.check_failure(now);
        assert_eq!(worker.order.and_then(|order| order.checkpoint_until), asks_next, "{end:?}");
        assert_eq!(worker.shared.gone.load(Ordering::Acquire), gone, "{end:?}");
    }
}

/// The tables of a log in which a name was opened.
fn checkpoint() -> Checkpoint {
    let mut cluster = Cluster::new(3, |_| {});
    cluster.add_publisher(|_| {});
    cluster.open(0, "gateway", [1, 1]);
    let tail = cluster.replicas[0].tail();
    let mut checkpoint = Checkpoint::default();
    let mut span = tail.find(1);
    while let Some(here) = span {
        checkpoint.apply(&tail.frame(here).expect("no damage")).expect("a log");
        span = tail.after(here);
    }
    checkpoint
}

/// A checkpoint as a source sends it, in one part.
fn part_of(checkpoint: &Checkpoint) -> Vec<u8> {
    let LogEnd { next, epoch, chain, timestamp } = checkpoint.end;
    let header = Header {
        cluster: 7,
        history: checkpoint.history,
        epoch: epoch.0,
        first_seq: next,
        chain,
        timestamp,
        ..Header::new(Kind::ReplayCheckpoint)
    };
    let bytes = checkpoint.to_bytes();
    let body = ReplayCheckpointBody { offset: 0, len: bytes.len() as u64 };
    let mut part = vec![0; HEADER_LEN + size_of::<ReplayCheckpointBody>() + bytes.len()];
    write_replay_checkpoint(&mut part, &lockstep_wire::Keyring::none(7), header, body, &bytes);
    part
}

/// An answer or a mark of a source.
fn message_of(kind: Kind, body: ReplayBody) -> [u8; REPLAY_LEN] {
    let mut bytes = [0; REPLAY_LEN];
    let header = Header { cluster: 7, ..Header::new(kind) };
    write_replay(&mut bytes, &lockstep_wire::Keyring::none(7), header, body);
    bytes
}

/// Retention may have left nothing committed behind the checkpoint, and more is committed once this node
/// acknowledges it: the source's mark is sufficient, and no other one is.
#[test]
fn a_checkpoint_behind_which_nothing_is_committed_is_taken_at_the_sources_mark() {
    let (checkpoint, keys) = (checkpoint(), lockstep_wire::Keyring::none(7));
    let (next, part) = (checkpoint.end.next, part_of(&checkpoint));
    let mark =
        |next| message_of(Kind::ReplayMark, ReplayBody { next, oldest_seq: next, end: 0, reserved: 0 });
    let me = Identity { replica: 9, incarnation: 0 };
    let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let limits = ReplayLimits::new(lockstep_wire::Keyring::none(7).into(), me, vec![nobody]);
    let (mut replay, mut parts, mut whole) = (ReplayReader::new(limits), CheckpointParts::default(), None);
    replay.begin(0);
    assert!(matches!(replay.poll(0), Some(ReplayStep::Open(_))));
    replay.on_answer(0, &ReplayBody { next, oldest_seq: next, end: 0, reserved: 0 });
    let mut take = |bytes: &[u8]| {
        let (piece, _) = piece(bytes, &keys).expect("whole").expect("one");
        take_part(&mut replay, 0, piece, &mut parts, &mut whole)
    };
    assert!(!take(&mark(next)), "nothing has come yet");
    assert!(!take(&part), "it may be of another log");
    assert!(!take(&mark(next + 1)), "that is not its end");
    assert!(take(&mark(next)));
    assert_eq!(whole, Some(checkpoint));
}

/// Answers requests for a log whose beginning is gone. While `is_older`, it does not know the request for a
/// checkpoint.
fn source(checkpoint: Checkpoint, is_older: Arc<AtomicBool>) -> SocketAddrV4 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = server.local_addr().unwrap() else { panic!("an address of IPv4") };
    std::thread::spawn(move || {
        let next = checkpoint.end.next;
        for mut connection in server.incoming().map_while(Result::ok) {
            let mut request = [0; REPLAY_REQUEST_LEN];
            if connection.read_exact(&mut request).is_err() {
                continue;
            }
            let flags = Header::peek(&request).map_or(0, |header| header.flags);
            let refused = match flags & REPLAY_CHECKPOINT {
                0 => ReplayEndReason::TooOld as u32,
                _ if is_older.load(Ordering::Acquire) => ReplayEndReason::Malformed as u32,
                _ => 0,
            };
            let body = ReplayBody { next, oldest_seq: next, end: refused, reserved: 0 };
            let mut bytes = message_of(Kind::ReplayAnswer, body).to_vec();
            if refused == 0 {
                bytes.extend(part_of(&checkpoint));
                bytes.extend(message_of(Kind::ReplayMark, body));
            }
            let _ = connection.write_all(&bytes); // the reader may have left
        }
    });
    address
}

/// A rolling upgrade during a join: the first source that sends a checkpoint is sufficient, whatever its
/// place in the list. While all sources are older, the node reports it, and asks again.
#[test]
fn a_source_of_an_older_release_is_passed_over_and_one_that_is_upgraded_gives_the_checkpoint() {
    std::thread::scope(|scope| {
        for upgraded in [0, 1] {
            scope.spawn(move || begins_once_it_is_upgraded(upgraded));
        }
    });
}

fn begins_once_it_is_upgraded(upgraded: usize) {
    let (checkpoint, me) = (checkpoint(), Identity { replica: 9, incarnation: 0 });
    let is_older = [true, true].map(|is| Arc::new(AtomicBool::new(is)));
    let sources = is_older.each_ref().map(|is_older| source(checkpoint.clone(), Arc::clone(is_older)));
    let limits = ReplayLimits::new(lockstep_wire::Keyring::none(7).into(), me, sources.to_vec());
    let mut fetch = Fetch::start(limits).unwrap();
    fetch.request(Some(CatchUpPlan { may_begin_behind: true, ..CatchUpPlan::new(0, 1, None) }));
    while fetch.gone() != Some(checkpoint.end.next) || fetch.refused().is_none() {
        std::thread::sleep(PAUSE);
    }
    assert_eq!(fetch.refused(), Some(ReplayEndReason::Malformed.name()));
    assert_eq!(fetch.take_checkpoint(), None);
    is_older[upgraded].store(false, Ordering::Release);
    let taken = loop {
        match fetch.take_checkpoint() {
            Some(taken) => break taken,
            None => std::thread::sleep(PAUSE),
        }
    };
    assert_eq!(taken, checkpoint, "of source {upgraded}");
}

/// A range that is mended from another journal is fetched hole by hole: a late frame of the previous order
/// fits nowhere.
#[test]
fn what_an_earlier_order_brings_late_is_thrown_away() {
    let mut fetch = Fetch::of(Arc::new(Shared::new()), None);
    let order = |from| Some(CatchUpPlan::new(0, from, None));
    let (mut orders, mut seen) = (Vec::new(), Vec::new());
    for from in [10, 50] {
        fetch.request(order(from));
        orders.push(fetch.shared.order.lock().unwrap().0);
    }
    // The thread has not checked yet, and is at the end of the first order.
    assert!(fetch.shared.full.push((orders[0], frame(10))).is_ok());
    fetch.shared.supply.store(packed(orders[0], SourceState::AtEnd), Ordering::Release);
    assert_eq!(fetch.take(9, |_| panic!("it was withdrawn")), 0);
    assert_eq!(fetch.supply(), Some(SourceState::Sending), "nothing of the present order is known");
    assert!(fetch.shared.full.push((orders[1], frame(50))).is_ok());
    let taken = fetch.take(9, |bytes| {
        seen.push(Header::peek(bytes).map(|header| header.first_seq));
        true
    });
    assert_eq!((taken, seen), (1, vec![Some(50)]));
    fetch.shared.supply.store(packed(orders[1], SourceState::AtEnd), Ordering::Release);
    assert_eq!(fetch.supply(), Some(SourceState::AtEnd));
}
