//! The replica, alone on its device: leader, standby, and what it does for others.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::window::Window;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{Log, messages, nack, open_submission, submission};
use lockstep_memory::net::To;
use lockstep_memory::world::*;
use lockstep_replica::replica::ReplicaLimits;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// When the journal was told to be full (true) or free, and at which seq.
fn fullness(events: &[ReplicaEvent]) -> Vec<(bool, Seq)> {
    let reported = |event: &ReplicaEvent| match *event {
        ReplicaEvent::Condition { condition: Condition::JournalFull, holds, a, .. } => Some((holds, a)),
        _ => None,
    };
    events.iter().filter_map(reported).collect()
}

pub const RING: usize = 256 << 10;

/// The leader of a cluster of `members`, whose epoch has begun.
pub fn leader(members: u32, change: impl Fn(&mut ReplicaLimits)) -> SoloReplica {
    let mut limits = replica_limits(1, members);
    change(&mut limits);
    let mut node = SoloReplica::new(start(born_tail(1, members, RING), limits).unwrap());
    node.poll();
    assert_eq!((node.replica.role(), node.next()), (Role::Leader, 3));
    // CLOCK-1: a leader of several stamps once another one's clock is known.
    node.hear(&[Log::begun(members).ack(2, 2)]);
    node
}

/// Replica 2 of three with an empty journal.
pub fn blank(change: impl Fn(&mut ReplicaLimits)) -> SoloReplica {
    let mut limits = replica_limits(2, 3);
    change(&mut limits);
    SoloReplica::new(start(blank_tail(2, RING), limits).unwrap())
}

/// Replica 2 of three that holds the log so far.
pub fn standby(log: &Log, change: impl Fn(&mut ReplicaLimits)) -> SoloReplica {
    let mut node = blank(change);
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    node.hear(&log.frames[2..]);
    assert_eq!((node.replica.role(), node.next()), (Role::Standby, log.end.next));
    node.events();
    node
}

pub fn decoded(sent: &[(To, Vec<u8>)]) -> Vec<Datagram<'_>> {
    sent.iter()
        .map(|(_, bytes)| Datagram::decode(bytes, &Keyring::none(CLUSTER)).expect("our own bytes"))
        .collect()
}

/// Payload texts of the frames among what was sent to the groups.
pub fn texts(sent: &[(To, Vec<u8>)]) -> Vec<String> {
    let frames = decoded(sent).into_iter().filter_map(|datagram| match datagram {
        Datagram::Frame(frame, None) => Some(frame),
        _ => None,
    });
    let entries = frames.flat_map(|frame| frame.entries()).filter(|entry| entry.kind() == EntryKind::Message);
    entries.map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect()
}

fn heartbeats(sent: &[(To, Vec<u8>)]) -> Vec<(Header, HeartbeatBody)> {
    let heartbeats = decoded(sent).into_iter().filter_map(|datagram| match datagram {
        Datagram::Heartbeat(header, body) => Some((*header, body)),
        _ => None,
    });
    heartbeats.collect()
}

/// A repaired frame's first seq, and its giver's identity, accepted epoch and commit.
pub type Repair = (Seq, Identity, Epoch, Seq);

/// Repairs and refusals (reason, oldest) among what was sent.
pub fn answers(sent: &[(To, Vec<u8>)]) -> (Vec<Repair>, Vec<(RepairReject, Seq)>) {
    let (mut repairs, mut refusals) = (Vec::new(), Vec::new());
    for datagram in decoded(sent) {
        match datagram {
            Datagram::Frame(frame, Some(trailer)) => repairs.push((
                frame.header.first_seq,
                Identity::from_packed(trailer.repairer),
                Epoch(trailer.accepted),
                trailer.commit_next,
            )),
            Datagram::RepairReject(_, body) => {
                refusals.push((RepairReject::from_u32(body.reason).unwrap(), body.oldest_seq));
            }
            _ => {}
        }
    }
    (repairs, refusals)
}

// ---------------------------------------------------------------------------- leader

#[test]
fn the_first_thing_that_a_leader_says_is_the_start_of_its_epoch() {
    let mut node = SoloReplica::new(start(born_tail(1, 3, RING), replica_limits(1, 3)).unwrap());
    assert_eq!(node.replica.tail().promised(), epoch(1, 1), "promised before anything is said");
    let sent = node.hear(&[open_submission("a", [1, 1], 0)]);
    let Datagram::Frame(frame, None) = decoded(&sent)[0] else { panic!("no frame first") };
    let first = frame.entries().next().unwrap();
    let start = EpochStartView::parse(first.payload).unwrap();
    assert_eq!((start.epoch(), start.body.base), (epoch(1, 1), 2));
    assert_eq!(start.members().map(|member| member.identity()).collect::<Vec<_>>(), [1, 2, 3].map(identity));
}

#[test]
fn one_send_call_carries_many_frames_and_the_heartbeat_that_is_due() {
    let mut node = leader(1, |_| {});
    node.hear(&[open_submission("a", [1, 1], 0)]);
    node.replica.net_mut().sends = 0;
    node.now += 1_000_000;
    let batch: Vec<_> = (0..10).map(|number| messages(1, number * 30 + 1, number * 30 + 31)).collect();
    let sent = node.hear(&batch);
    assert_eq!(node.replica.net().sends, 1);
    let frames = sent.iter().filter(|(_, bytes)| bytes[5] == Kind::Frame as u8).count();
    assert!(frames > 5, "300 messages in {frames} frames");
    assert_eq!(heartbeats(&sent).len(), 1);
    assert_eq!({ heartbeats(&sent)[0].0.first_seq }, node.next(), "it tells of the frames before it");
    assert_eq!(texts(&sent).len(), 300);
}

#[test]
fn s8_submissions_are_stamped_once_and_in_their_publishers_order() {
    let mut node = leader(1, |_| {});
    node.hear(&[open_submission("a", [1, 1], 0)]);
    let numbered = |number: u64| {
        let text = number.to_string();
        submission(&[(EntryKind::Message, 1, number, 1, text.as_bytes())])
    };
    let sent = node.hear(&[numbered(3), numbered(1), numbered(1)]);
    assert_eq!(texts(&sent), ["1"]);
    let sent = node.hear(&[numbered(2), numbered(3), numbered(5)]);
    assert_eq!(texts(&sent), ["2", "3"]);
    let sent = node.hear(&[numbered(4)]);
    assert_eq!(texts(&sent), ["4", "5"]);
    assert_eq!((node.count(Counter::SubmissionsDuplicate), node.count(Counter::SubmissionsBuffered)), (2, 2));
    let unknown = submission(&[(EntryKind::Message, 9, 1, 1, b"x"), (EntryKind::Message, 1, 6, 2, b"x")]);
    assert!(texts(&node.hear(&[unknown])).is_empty());
    assert_eq!(node.count(Counter::SubmissionsUnknown), 2);
}

#[test]
fn nobody_submits_what_only_the_cluster_may_say() {
    let mut node = leader(1, |_| {});
    let next = node.next();
    node.hear(&[submission(&[
        (EntryKind::Genesis, 0, 0, 0, &[0; 32]),
        (EntryKind::EpochStart, 0, 0, 0, &[0; 80]),
    ])]);
    assert_eq!((node.next(), node.count(Counter::SubmissionsDropped)), (next, 2));
}

#[test]
fn a_full_window_refuses_says_so_and_takes_again_after_a_commit() {
    let mut node = leader(3, |limits| limits.window = Window { entries: 8, bytes: 100_000 });
    let mut log = Log::begun(3);
    log.end = node.replica.tail().end();
    node.hear(&[log.ack(2, 3), open_submission("a", [1, 1], 0)]);
    let sent = node.hear(&[messages(1, 1, 20)]);
    assert_eq!(texts(&sent).len(), 7, "the open is one of the eight");
    // The next one is refused, and those behind it come before their turn: four find a place.
    assert_eq!((node.count(Counter::WindowFull), node.count(Counter::SubmissionsBuffered)), (1, 4));
    let sent = node.wait(1_000_000);
    assert_eq!(heartbeats(&sent)[0].1.credit_entries, 0);
    let next = node.next();
    let sent = node.hear(&[log.ack(2, next), messages(1, 8, 12)]);
    assert_eq!(texts(&sent).len(), 5);
    let sent = node.wait(1_000_000);
    assert_eq!(heartbeats(&sent)[0].1.credit_entries, 3);
}

#[test]
fn a_window_full_of_bytes_refuses_too() {
    let mut node = leader(3, |limits| limits.window = Window { entries: 1_000, bytes: 1_500 });
    let log_end = node.next();
    node.hear(&[Log::begun(3).ack(2, log_end), open_submission("a", [1, 1], 0)]);
    let payload = [7; 1_000];
    for number in 1..=4 {
        node.hear(&[submission(&[(EntryKind::Message, 1, number, 1, &payload)])]);
    }
    assert_eq!(node.next(), log_end + 3, "the open, and two messages");
    assert_eq!(node.count(Counter::WindowFull), 1);
}

#[test]
fn a_full_journal_refuses_and_recovers() {
    let mut limits = replica_limits(1, 1);
    limits.window = Window { entries: 100_000, bytes: 10_000_000 };
    let mut node = SoloReplica::new(start(born_tail(1, 1, 32 << 10), limits).unwrap());
    node.poll();
    node.hear(&[open_submission("a", [1, 1], 0)]);
    node.events();
    let payload = [7; 1_000];
    let message = |number| submission(&[(EntryKind::Message, 1, number, 1, &payload)]);
    let mut number = 1;
    while node.count(Counter::WindowFull) == 0 {
        assert!(number < 100, "32 KiB are not full");
        node.hear(&[message(number)]);
        number += 1;
    }
    let next = node.next();
    number -= 1;
    for _ in 0..5 {
        node.hear(&[message(number)]);
    }
    assert_eq!(node.next(), next);
    assert_eq!(fullness(&node.events()), [(true, next)], "told once");
    node.flush();
    node.hear(&[message(number)]);
    assert_eq!(node.next(), next + 1);
    assert_eq!(fullness(&node.events()), [(false, next)]);
}

/// S1.
#[test]
fn s1_a_leader_that_restarts_does_not_lead_again() {
    let mut node = leader(3, |_| {});
    node.hear(&[open_submission("a", [1, 1], 0)]);
    let (tail, now) = (node.replica.into_tail(), node.now);
    let mut node = SoloReplica { replica: start(tail, replica_limits(1, 3)).unwrap(), now };
    assert_eq!(node.replica.role(), Role::Standby);
    let next = node.next();
    let sent = node.hear(&[messages(1, 1, 4)]);
    assert_eq!((node.next(), texts(&sent).len()), (next, 0));
    let sent = node.wait(10_000_000);
    assert!(heartbeats(&sent).is_empty());
    assert_eq!(acks_in(&sent).len(), 1, "it serves as a standby");
    // Neither does one that died between its promise and its first word.
    let mut tail = born_tail(1, 3, RING);
    tail.promise(epoch(1, 1));
    assert_eq!(start(tail, replica_limits(1, 3)).unwrap().role(), Role::Standby);
}

#[test]
fn s4_in_power_mode_a_leader_speaks_when_its_promise_is_stored_and_counts_itself_when_flushed() {
    let mut limits = replica_limits(1, 1);
    limits.durability = Durability::Power;
    let mut node = SoloReplica::new(start(born_tail(1, 1, RING), limits).unwrap());
    assert!(node.wait(1_000_000).is_empty(), "nothing is said before the promise is on disk");
    node.flush();
    let sent = node.poll();
    assert_eq!(node.next(), 3);
    assert!(acks_in(&sent).iter().all(|header| header.first_seq < 3));
    assert_eq!(node.replica.core.commit_next(), 1, "a quorum of one that has not flushed");
    node.flush();
    assert_eq!(acks_in(&node.poll()).iter().map(|header| header.first_seq).collect::<Vec<_>>(), [3]);
    assert_eq!(node.replica.core.commit_next(), 3);
}

/// Simulator seed 20261122403574: the start of the epoch in `power` was counted by the epoch in `process`
/// before it, which the same replica had led alone.
#[test]
fn s4_the_start_of_an_epoch_is_counted_by_its_own_durability_and_not_by_that_of_the_one_before() {
    let before = leader(1, |_| {});
    assert_eq!(before.replica.core.commit_next(), 3, "in `process`, a quorum of one");
    let now = before.now;
    let limits = ReplicaLimits { durability: Durability::Power, ..replica_limits(1, 1) };
    let mut node = SoloReplica { replica: start(before.replica.into_tail(), limits).unwrap(), now };
    for _ in 0..1_000 {
        node.wait(1_000_000);
        if node.next() > 3 {
            break;
        }
        // The promise is stored, and the epoch may begin.
        node.flush();
    }
    assert_eq!((node.replica.role(), node.next()), (Role::Leader, 4));
    assert_eq!(node.replica.core.commit_next(), 3, "the device does not have the start");
    node.flush();
    node.poll();
    assert_eq!(node.replica.core.commit_next(), 4);
}

#[test]
fn s4_a_leader_commits_by_the_acks_of_a_quorum_in_its_epoch() {
    let mut node = leader(3, |_| {});
    let mut log = Log::begun(3);
    node.hear(&[log.ack_with(2, 3, |header, _| header.epoch = epoch(1, 2).0)]);
    node.hear(&[log.ack_with(2, 3, |header, _| header.history = 0)]);
    node.hear(&[log.ack_with(2, 3, |header, _| header.incarnation += 1)]);
    assert_eq!(node.replica.core.commit_next(), 1);
    node.hear(&[log.ack(2, 3)]);
    assert_eq!(node.replica.core.commit_next(), 3);
}

#[test]
fn successors_are_ranked_by_how_far_they_are() {
    let mut node = leader(5, |_| {});
    let mut log = Log::begun(5);
    node.hear(&[open_submission("a", [1, 1], 0), log.ack(4, 3), log.ack(3, 4)]);
    let heartbeat = heartbeats(&node.wait(1_000_000))[0].1;
    assert_eq!(heartbeat.successors, [3, 4, 2, 5, 0, 0, 0, 0]);
    assert_eq!((heartbeat.epoch_start_seq, heartbeat.membership_seq), (2, 2));
}

// ---------------------------------------------------------------------------- standby

#[test]
fn s3_a_standby_stores_what_follows_and_acknowledges_a_batch_once() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    let batch = [log.push(&["a"]), log.push(&["b"]), log.push(&["c"])];
    let sent = node.hear(&batch);
    let acks = acks_in(&sent);
    assert_eq!(acks.len(), 1);
    assert_eq!((acks[0].epoch(), acks[0].first_seq, acks[0].chain), (epoch(1, 1), 6, log.end.chain));
    assert!(sent.iter().all(|(to, _)| *to == To::Group(lockstep_core::engine::ports::Group::Control)));
    assert_eq!(node.replica.tail().end(), log.end);
    assert!(node.hear(&batch).is_empty(), "copies are no news");
}

#[test]
fn s3_a_standby_does_not_acknowledge_over_a_hole() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    let frames = [log.push(&["a"]), log.push(&["b"])];
    assert!(acks_in(&node.hear(&frames[1..])).is_empty());
    let acks = acks_in(&node.hear(&frames[..1]));
    assert_eq!(
        acks.iter().map(|header| header.first_seq).collect::<Vec<_>>(),
        [5],
        "kept frames follow at once"
    );
}

#[test]
fn a_lost_ack_is_said_again_when_the_leaders_beat_shows_that_it_is_missed() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    let frame = log.push(&["a"]);
    log.commit_next = 3;
    assert_eq!(acks_in(&node.hear(&[frame])).len(), 1);
    assert_eq!(node.replica.core.commit_next(), 4, "to its own knowledge it is committed");
    assert_eq!(acks_in(&node.hear(&[log.heartbeat()])).len(), 1);
    log.commit_next = 4;
    assert!(acks_in(&node.hear(&[log.heartbeat()])).is_empty());
    assert_eq!(acks_in(&node.wait(5_000_000)).len(), 1, "and now and then without a reason");
}

#[test]
fn s2_below_its_promise_a_standby_stores_and_acknowledges_nothing() {
    let mut log = Log::begun(3);
    let mut tail = standby(&log, |_| {}).replica.into_tail();
    tail.promise(epoch(2, 3));
    let mut node = SoloReplica::new(start(tail, replica_limits(2, 3)).unwrap());
    let sent = node.hear(&[log.push(&["of the old leader"]), log.heartbeat()]);
    assert!(acks_in(&sent).is_empty());
    assert_eq!((node.next(), node.count(Counter::FramesStale)), (3, 2));
    assert!(acks_in(&node.wait(10_000_000)).is_empty());
}

#[test]
fn s4_in_power_mode_a_standby_acknowledges_what_is_on_the_device() {
    let mut leader = SoloReplica::new({
        let mut limits = replica_limits(1, 3);
        limits.durability = Durability::Power;
        start(born_tail(1, 3, RING), limits).unwrap()
    });
    leader.flush();
    let started = leader.poll().into_iter().map(|(_, bytes)| bytes);
    let started: Vec<_> = started.filter(|bytes| bytes[5] == Kind::Frame as u8).collect();
    let genesis = leader.ask(2, nack(epoch(1, 1), HISTORY, 1, &[(1, 2)]));
    let mut node = blank(|_| {});
    node.hear(&started);
    let repair = genesis.into_iter().find(|(to, _)| *to == To::Unicast(address(2))).expect("a repair").1;
    node.ask(1, repair);
    assert_eq!((node.next(), node.count(Counter::AcksOut)), (3, 1));
    let acks = acks_in(&node.wait(10_000_000));
    assert_eq!({ acks[0].first_seq }, 1, "held, and not on the device");
    node.flush();
    assert_eq!(acks_in(&node.poll()).iter().map(|header| header.first_seq).collect::<Vec<_>>(), [3]);
}

#[test]
fn s4_a_standby_with_a_full_journal_keeps_its_commit_within_its_log_and_recovers() {
    let mut log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(2, 32 << 10), replica_limits(2, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    node.events();
    let long = "x".repeat(1_000);
    let frames: Vec<_> = (0..60).map(|_| log.push(&[&long])).collect();
    log.commit_next = log.end.next;
    // The second frame comes late, so that many wait for it and follow in one go.
    for frame in frames[..1].iter().chain(&frames[2..40]).chain(&frames[1..2]).chain(&frames[40..]) {
        node.hear(std::slice::from_ref(frame));
        node.hear(&[log.ack(3, log.end.next), log.heartbeat()]);
        let (commit_next, next) = (node.replica.core.commit_next(), node.next());
        assert!(commit_next <= next, "S4: commit {commit_next} of a log that ends at {next}");
    }
    let full_at = node.next();
    assert!(full_at < log.end.next, "32 KiB are not full");
    assert_eq!(fullness(&node.events()), [(true, full_at)], "told once");
    for _ in 0..200 {
        node.flush();
        for request in requests_in(&node.wait(200_000)) {
            for (from, to) in request.ranges {
                for seq in (from..to).take(8) {
                    node.ask(3, log.repair(seq as usize - 1, 3, log.end.next));
                    node.flush();
                }
            }
        }
    }
    assert_eq!(node.replica.tail().end(), log.end);
    assert_eq!(node.replica.core.commit_next(), log.end.next);
    assert!(fullness(&node.events()).contains(&(false, full_at)));
}

#[test]
fn s12_a_node_that_the_membership_does_not_list_stores_and_has_no_vote() {
    let log = Log::begun(1);
    let mut node = blank(|_| {});
    let mut sent = node.hear(&log.frames[1..2]);
    sent.extend(node.ask(1, log.repair(0, 1, 3)));
    for _ in 0..10 {
        sent.extend(node.wait(10_000_000));
    }
    assert_eq!((node.replica.role(), node.replica.tail().end()), (Role::Learner, log.end));
    let spoken: Vec<_> = decoded(&sent);
    let asks = |datagram: &Datagram<'_>| matches!(datagram, Datagram::Nack(..) | Datagram::Query(..));
    assert!(spoken.iter().all(asks), "{spoken:?}");
}

#[test]
fn s12_a_node_whose_log_does_not_list_it_starts_without_a_vote() {
    let log = Log::begun(3);
    let tail = standby(&log, |_| {}).replica.into_tail();
    let mut limits = replica_limits(2, 3);
    limits.receiver.me.incarnation += 1;
    let mut node = SoloReplica::new(start(tail, limits).unwrap());
    assert_eq!(node.replica.role(), Role::Learner);
    let sent: Vec<_> = (0..100).flat_map(|_| node.wait(1_000_000)).collect();
    let asks = |datagram: &Datagram<'_>| matches!(datagram, Datagram::Query(..));
    assert!(decoded(&sent).iter().all(asks), "it neither acknowledges nor campaigns");
}

#[test]
fn a_standby_whose_log_differs_stops_and_says_where() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    for count in 0..3 {
        assert!(!node.replica.core.is_stopped(), "after {count}");
        let heartbeat = log.heartbeat_with(|header, _| header.chain ^= 1);
        node.hear(&[heartbeat]);
    }
    assert!(acks_in(&node.hear(&[log.heartbeat()])).is_empty());
    assert!(node.replica.core.is_stopped());
    let seen = log.end.chain ^ 1;
    assert!(node.events().contains(&ReplicaEvent::Diverged { seq: 3, have: log.end.chain, seen }));
}

#[test]
fn s3_a_replica_that_acknowledges_another_log_is_named_once_and_stops_nobody() {
    let mut node = leader(3, |_| {});
    let end = node.replica.tail().end();
    let mut log = Log::begun(3);
    let divergent = log.ack_with(2, end.next, |header, _| header.chain = 0xbad);
    node.hear(&[divergent.clone(), divergent]);
    let reported =
        node.events().into_iter().filter(|event| matches!(event, ReplicaEvent::DivergentAck { .. }));
    assert_eq!(reported.count(), 1);
    assert!(!node.replica.core.is_stopped());
    assert!(node.replica.core.commit_next() < end.next, "it counts for nothing");
    log.push(&["a"]);
}

#[test]
fn a_standby_asks_for_what_it_misses() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    log.push(&["lost"]);
    let frame = log.push(&["b"]);
    node.hear(&[frame]);
    let requests = requests_in(&node.wait(30_000));
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].to, &requests[0].ranges[..]), (address(3), &[(3, 4)][..]), "the leader last");
    let sent = node.ask(3, log.repair(2, 3, 3));
    assert_eq!(acks_in(&sent).last().map(|header| header.first_seq), Some(5));
}

// ---------------------------------------------------------------------------- for others

/// A standby of a log of 40 frames of one entry each; the leader called everything below 20 committed.
pub fn repairer() -> (SoloReplica, Log) {
    repairer_of(3)
}

/// The same among so many members: of three, its own word and the leader's commit all of it.
pub fn repairer_of(members: u32) -> (SoloReplica, Log) {
    let mut log = Log::begun(members);
    log.commit_next = 20;
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, members)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    log.push_open("a", (1, [1, 1]), 1, 0);
    for number in 1..38 {
        log.push_of(1, &[number]);
    }
    node.hear(&log.frames[2..18]);
    node.hear(&log.frames[18..34]);
    node.hear(&log.frames[34..]);
    assert_eq!(node.next(), 41);
    (node, log)
}

#[test]
fn s11_a_request_is_answered_up_to_its_budget_and_under_the_givers_word() {
    let (mut node, _) = repairer();
    let commit_next = node.replica.core.commit_next();
    let (repairs, refusals) = answers(&node.ask(9, nack(epoch(1, 1), HISTORY, 5, &[(1, 3), (5, 41)])));
    assert!(refusals.is_empty());
    let expected: Vec<Seq> = (1..3).chain(5..19).collect();
    assert_eq!(repairs.iter().map(|repair| repair.0).collect::<Vec<_>>(), expected, "sixteen and no more");
    for (_, repairer, accepted, committed) in repairs {
        assert_eq!((repairer, accepted, committed), (identity(2), epoch(1, 1), commit_next));
    }
}

#[test]
fn s11_each_request_that_brings_nothing_is_answered_by_the_reason() {
    let (mut node, _) = repairer();
    let mut reasons = |epoch, history, ranges: &[(Seq, Seq)]| {
        let (repairs, refusals) = answers(&node.ask(9, nack(epoch, history, 5, ranges)));
        (repairs.len(), refusals.into_iter().map(|(reason, _)| reason).collect::<Vec<_>>())
    };
    assert_eq!(reasons(epoch(1, 1), HISTORY, &[(41, 42)]), (0, vec![RepairReject::Ahead]));
    assert_eq!(reasons(epoch(1, 1), 0xbad, &[(3, 4), (6, 7)]), (0, vec![RepairReject::OtherHistory; 2]));
    assert_eq!(
        reasons(epoch(1, 1), 0, &[(3, 4)]),
        (1, vec![]),
        "who knows no history yet may learn this one"
    );
    assert_eq!(reasons(epoch(1, 1), HISTORY, &[]), (1, vec![]), "the start of the epoch that it is in");
    assert_eq!(reasons(epoch(2, 2), HISTORY, &[]), (0, vec![RepairReject::Ahead]));
    assert_eq!(reasons(epoch(1, 0), HISTORY, &[]), (0, vec![RepairReject::OtherEpoch]));
}

#[test]
fn s11_above_its_commit_a_node_repairs_only_to_who_follows_its_epoch() {
    let mut node = leader(3, |_| {});
    node.hear(&[open_submission("a", [1, 1], 0)]);
    let mut of_epoch = |epoch| answers(&node.ask(9, nack(epoch, HISTORY, 5, &[(2, 4)])));
    let (repairs, refusals) = of_epoch(Epoch::NONE);
    assert!(repairs.is_empty());
    assert_eq!(refusals, [(RepairReject::OtherEpoch, 1)], "nothing is committed");
    // Given to a follower, they are called what they are: not committed.
    let expected_row = |seq| (seq, identity(1), epoch(1, 1), 1);
    assert_eq!(of_epoch(epoch(1, 1)).0, [2, 3].map(expected_row));
}

#[test]
fn what_has_left_the_tail_is_too_old_and_the_oldest_is_named() {
    let mut limits = replica_limits(1, 1);
    limits.window = Window { entries: 100_000, bytes: 10_000_000 };
    let mut node = SoloReplica::new(start(born_tail(1, 1, 32 << 10), limits).unwrap());
    node.poll();
    node.hear(&[open_submission("a", [1, 1], 0)]);
    let payload = [7; 1_000];
    for number in 1..=100 {
        node.flush();
        node.hear(&[submission(&[(EntryKind::Message, 1, number, 1, &payload)])]);
    }
    let oldest = node.replica.tail().oldest_seq();
    assert!(oldest > 10);
    let (repairs, refusals) =
        answers(&node.ask(9, nack(epoch(1, 1), HISTORY, 5, &[(4, 5), (oldest, oldest + 1)])));
    assert_eq!(refusals, [(RepairReject::TooOld, oldest)]);
    assert_eq!(repairs.len(), 1);
    let (starts, _) = answers(&node.ask(9, nack(epoch(1, 1), HISTORY, 6, &[])));
    assert_eq!(
        starts.iter().map(|repair| repair.0).collect::<Vec<_>>(),
        [2],
        "a newcomer gets the epoch's start"
    );
}
