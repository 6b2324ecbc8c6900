//! S7: a standby's suffix is exchanged for another, while takeovers follow each other.

use lockstep_core::engine::event::ReplicaEvent;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::Log;
use lockstep_memory::world::*;
use lockstep_wire::*;

/// Bytes of the rings of these replicas.
const RING: usize = 256 << 10;

/// The log of epoch 1 up to seq 3, which is committed.
fn begun() -> Log {
    let mut log = Log::begun(5);
    log.push_open("a", (1, [1, 1]), 1, 0);
    log
}

/// A standby that has `own` as its log, and knows no more of it to be committed than [`begun`].
fn standby(own: &Log) -> SoloReplica {
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 5)).unwrap());
    node.hear(&own.frames[1..2]);
    node.ask(1, own.repair(0, 1, 3));
    node.hear(&own.frames[2..]);
    assert_eq!(
        (node.next(), node.replica.core.commit_next()),
        (own.end.next, 3),
        "of five, two are no quorum"
    );
    node.events();
    node
}

/// A standby whose own log has seqs 4 to 6 of epoch 2, and that has staged 4 and 5 of epoch 1 for epoch 3: of
/// the log which it returns, and which goes on to seq 8.
fn staging() -> (SoloReplica, Log) {
    let mut own = begun();
    own.begin(epoch(2, 3), &member_list(5));
    for number in 1..3 {
        own.push_of(1, &[number]);
    }
    let mut node = standby(&own);
    let mut log = begun();
    for number in 1..5 {
        log.push_of(1, &[number]);
    }
    let begun = log.begin(epoch(3, 1), &member_list(5));
    node.hear(&[begun]);
    assert_eq!(ranges(&mut node), [(4, 8)]);
    give(&mut node, &log, &[4, 5]);
    assert_eq!(node.next(), 7, "staged, and no more");
    (node, log)
}

/// Replica 1 repairs the frames at these seqs.
fn give(node: &mut SoloReplica, log: &Log, seqs: &[Seq]) {
    for seq in seqs {
        let index = log.frames.iter().position(|frame| *frame == log.at(*seq)).unwrap();
        node.ask(1, log.repair(index, 1, 1));
    }
}

/// What it asks for next.
fn ranges(node: &mut SoloReplica) -> Vec<(Seq, Seq)> {
    requests_in(&node.wait(200_000)).into_iter().flat_map(|request| request.ranges).collect()
}

/// Appends more than four rings of frames to `log`.
fn push_rings(log: &mut Log) {
    let mut len = 0;
    for number in 1.. {
        len += log.push_of(1, &[number]).len();
        if len > 4 * RING {
            break;
        }
    }
}

/// Gives `node` a frame of another's journal, and returns the seq behind it.
fn replay(node: &mut SoloReplica, bytes: &[u8]) -> Seq {
    let (now, frame) = (node.now, FrameView::from_prefix(bytes).unwrap());
    // The segments do not lag.
    node.flush();
    let is_processed = node.replica.on_replayed(now, (identity(1), HISTORY), &frame);
    let (is_stopped, seq) = (node.replica.core.is_stopped(), frame.header.first_seq);
    assert!(is_processed && !is_stopped, "seq {seq}: {:?}", node.events());
    frame.header.next_seq()
}

fn exchanged(node: &mut SoloReplica) -> Vec<(Seq, Epoch)> {
    let events = node.events();
    assert!(!node.replica.core.is_stopped(), "{events:?}");
    let exchanged = |event| {
        if let ReplicaEvent::SuffixReplaced { from, epoch, .. } = event { Some((from, epoch)) } else { None }
    };
    events.into_iter().filter_map(exchanged).collect()
}

/// S7.
#[test]
fn s7_what_was_staged_is_not_fetched_again_for_the_next_epoch_whose_log_it_is() {
    // It goes on behind the start of epoch 3, or knows nothing of it.
    for contains in [true, false] {
        let (mut node, log) = staging();
        let mut log = if contains { log } else { log.before(8) };
        let start = log.begin(epoch(4, 3), &member_list(5));
        node.hear(&[start]);
        assert_eq!(ranges(&mut node), [(6, 8)]);
        give(&mut node, &log, &[6, 7]);
        let first_start = if contains { epoch(3, 1) } else { epoch(4, 3) };
        assert_eq!(exchanged(&mut node), [(4, first_start)]);
        assert_eq!(node.replica.tail().end(), log.end);
    }
}

/// S7.
#[test]
fn s7_what_was_staged_of_a_log_that_never_came_to_be_is_forgotten() {
    let (mut node, log) = staging();
    let mut log = log.before(4);
    let start = log.begin(epoch(4, 3), &member_list(5));
    node.hear(&[start]);
    assert_eq!(exchanged(&mut node), [(4, epoch(4, 3))]);
    assert_eq!(node.replica.tail().end(), log.end);
    // The same with a part of it: seq 5 is another one's now.
    let (mut node, log) = staging();
    let mut log = log.before(5);
    let start = log.begin(epoch(4, 3), &member_list(5));
    node.hear(&[start]);
    assert_eq!(ranges(&mut node), [(4, 5)]);
    give(&mut node, &log, &[4]);
    assert_eq!(exchanged(&mut node), [(4, epoch(4, 3))]);
    assert_eq!(node.replica.tail().end(), log.end);
}

/// S7, LS1307: a replica that missed two takeovers replays a log of which the epoch between them is several
/// rings long. It has that epoch's log as soon as its start is there, and the log grows from then on.
#[test]
fn s7_the_ring_need_not_hold_what_was_stamped_between_two_takeovers_that_a_replica_missed() {
    let (mut own, mut log) = (begun(), begun());
    for number in 1..4 {
        own.push_of(1, &[number]);
    }
    let mut node = standby(&own);
    log.begin(epoch(2, 3), &member_list(5));
    push_rings(&mut log);
    log.commit_next = log.end.next;
    let begun = log.begin(epoch(3, 1), &member_list(5));
    node.hear(&[begun]);
    for bytes in log.frames.iter().skip(3) {
        replay(&mut node, bytes);
    }
    // The start of epoch 3 has waited since it was heard.
    node.poll();
    assert_eq!(exchanged(&mut node), [(4, epoch(2, 3))]);
    assert_eq!(node.replica.tail().end(), log.end);
}

/// S10, LS1307: a replica was killed while it caught up, and does not know the end of its log to be
/// committed. It missed takeovers, and its epoch goes on for several rings. The first committed frame behind
/// its log shows that the log is right, and the log grows from there.
#[test]
fn s10_a_replica_that_was_killed_as_it_caught_up_goes_on_with_its_log_however_long_its_epoch_is() {
    let (mut own, mut log) = (begun(), begun());
    for number in 1..4 {
        own.push_of(1, &[number]);
    }
    let mut node = standby(&own);
    push_rings(&mut log);
    let behind = log.at(own.end.next);
    log.begin(epoch(2, 3), &member_list(5));
    log.commit_next = log.end.next;
    // The table begins above what is committed: epoch 1 is no row of it.
    let begun = log.begin_with_rows(epoch(3, 1), &member_list(5), log.epochs.len() - 1);
    node.hear(&[begun]);
    for bytes in log.frames.iter().skip(3) {
        let next = replay(&mut node, bytes);
        if *bytes == behind {
            assert_eq!(node.replica.tail().end().next, next, "nothing is replaced");
        }
    }
    node.poll();
    assert_eq!(exchanged(&mut node), []);
    assert_eq!(node.replica.tail().end(), log.end);
}

/// S8, seed 30910 of the exchange's trial: a bit of a frame that waited beside the log had changed while its
/// process did not run; the table of publishers was made of the frames before it alone, and an open was
/// forgotten.
#[test]
pub fn s8_no_table_is_made_of_a_suffix_that_the_ring_does_not_have_whole() {
    for is_staged in [true, false] {
        let (mut node, log) = staging();
        let frame = if is_staged { log.at(4) } else { node_frame(&node, 4) };
        let content = &frame[HEADER_LEN..];
        let ring = node.replica.tail_mut().memory_mut().ring_mut();
        let at = ring.windows(content.len()).position(|bytes| bytes == content).expect("it is there");
        ring[at + content.len() / 2] ^= 4;
        let mut log = log.before(8);
        let start = log.begin(epoch(4, 3), &member_list(5));
        node.hear(&[start]);
        // Damage in its own log proves nothing about that, so that it asks for all that is not committed.
        give(&mut node, &log, if is_staged { &[6, 7] } else { &[3, 4, 5, 6, 7] });
        let events = node.events();
        let is_overrun = |event: &ReplicaEvent| matches!(event, ReplicaEvent::Overrun { .. });
        assert!(node.replica.core.is_stopped() && events.iter().any(is_overrun), "{is_staged}: {events:?}");
    }
}

/// The frame of its log at `seq`.
fn node_frame(node: &SoloReplica, seq: Seq) -> Vec<u8> {
    let tail = node.replica.tail();
    tail.bytes(tail.find(seq).expect("it is there")).to_vec()
}

/// S6, seed 650122669: what waits beside a log is not in it, and a commit of that seq is none of what stands
/// there.
#[test]
fn s6_a_process_that_starts_again_calls_nothing_committed_that_it_has_only_staged() {
    let (node, mut log) = staging();
    let mut node = SoloReplica::new(start(node.replica.into_tail(), replica_limits(2, 5)).unwrap());
    node.hear(&[log.at(8)]);
    let give = |node: &mut SoloReplica, seq| {
        let (now, bytes) = (node.now, log.at(seq));
        assert!(node.replica.on_replayed(
            now,
            (identity(1), HISTORY),
            &FrameView::from_prefix(&bytes).unwrap()
        ));
        node.replica.core.commit_next()
    };
    assert_eq!((give(&mut node, 6), node.next()), (4, 7), "seq 4 and 5 are still those of epoch 2");
    assert_eq!(give(&mut node, 7), 4);
    log.commit_next = log.end.next;
    node.hear(&[log.at(8), log.heartbeat()]);
    assert_eq!(exchanged(&mut node), [(4, epoch(3, 1))]);
    assert_eq!((node.next(), node.replica.core.commit_next()), (9, 9));
}

/// S6, seed 652001590: a ring that keeps what is not committed fills up for good, where a later epoch is
/// heard already and what the frames in the log say of the commit is passed over.
#[test]
fn s6_what_a_frame_calls_committed_is_so_once_it_is_in_the_log_though_a_later_epoch_is_followed() {
    let mut log = Log::begun(5);
    log.push_open("a", (1, [1, 1]), 1, 0);
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 5)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    log.begin(epoch(2, 3), &member_list(5));
    for number in 1..4 {
        log.push_of(1, &[number]);
        log.commit_next = log.end.next;
    }
    log.push_of(1, &[4]);
    let begun = log.begin(epoch(3, 1), &member_list(5));
    node.hear(&[begun]);
    let committed = |seq| {
        give(&mut node, &log, &[seq]);
        node.replica.core.commit_next()
    };
    assert_eq!((3..9).map(committed).collect::<Vec<_>>(), [3, 3, 3, 6, 7, 8]);
}

/// A standby that holds this log, and knows it to be committed up to seq 3.
fn holder(log: &Log) -> SoloReplica {
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 5)).unwrap());
    let begun = log.epochs.last().unwrap().base;
    node.hear(&[log.at(begun)]);
    for (index, bytes) in log.frames.iter().enumerate() {
        if Header::peek(bytes).unwrap().first_seq != begun {
            node.ask(1, log.repair(index, 1, 3));
        }
    }
    assert_eq!(node.next(), log.end.next);
    node.events();
    node
}

/// S7: the table of epoch 4 begins with epoch 3, at seq 7: it does not say whose the seqs below are.
#[test]
pub fn s7_what_lies_below_the_table_of_a_new_epoch_is_kept_only_where_the_log_proves_it() {
    let mut old = Log::begun(5);
    old.push_open("a", (1, [1, 1]), 1, 0);
    let mut log = old.before(4);
    log.begin(epoch(2, 3), &member_list(5));
    for number in 1..4 {
        old.push_of(1, &[number]);
    }
    for number in 1..3 {
        log.push_of(1, &[number]);
    }
    log.begin(epoch(3, 3), &member_list(5));
    let third = log.clone();
    log.commit_next = log.end.next;
    let begun = log.begin_with_rows(epoch(4, 1), &member_list(5), 3);
    let mut node = holder(&old);
    node.hear(std::slice::from_ref(&begun));
    assert_eq!(ranges(&mut node), [(3, 8)], "seqs 4 to 6 are those of epoch 1 here");
    for seq in 3..8 {
        let index = log.frames.iter().position(|frame| *frame == log.at(seq)).unwrap();
        node.ask(1, log.repair(index, 1, log.commit_next));
    }
    assert_eq!(exchanged(&mut node), [(3, epoch(2, 3))]);
    assert_eq!(node.replica.tail().end(), log.end);
    // A replica that holds the start of epoch 3 holds all that it fixes.
    let mut node = holder(&third);
    node.hear(&[begun]);
    assert_eq!((exchanged(&mut node), node.replica.tail().end()), (vec![], log.end));
}

/// The frame was found by chance: a leader with the replicas' key that lies, or is broken.
#[test]
fn s8_a_second_start_of_the_log_s_own_epoch_is_not_stored() {
    let mut own = begun();
    let mut node = standby(&own);
    let again = own.begin(own.epoch, &member_list(5));
    let next = node.next();
    node.hear(&[again]);
    assert_eq!(node.next(), next);
    node.replica.invariants();
}
