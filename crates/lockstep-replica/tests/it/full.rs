//! Journals without room, for long: whoever stores nothing blames nobody else for it, asks for nothing, and
//! goes on by itself; and however many takeovers nobody committed, the next one can.

use super::replica::decoded;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::proto::commit::Durability;
use lockstep_memory::cluster::{Cluster, SoloReplica};
use lockstep_memory::log::{Log, messages, written};
use lockstep_memory::net::To;
use lockstep_memory::world::*;
use lockstep_replica::replica::{ReplicaCore, ReplicaLimits};
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// A ring of some thirty frames of a thousand bytes.
const RING: usize = 32 << 10;
const HEARTBEAT_INTERVAL_NS: Nanos = 1_000_000;
/// Hours, at the timeouts of these tests.
const LONG_HEARTBEATS: u64 = 20_000;

/// Replica 2 of three, which holds `log` in a small ring. The open of publisher 1 is in it.
fn standby(durability: Durability) -> (SoloReplica, Log) {
    let mut log = Log::begun(3);
    log.push_open("gateway", (1, [1, 1]), 1, 0);
    let mut limits = replica_limits(2, 3);
    limits.durability = durability;
    let mut node = SoloReplica::new(start(blank_tail(2, RING), limits).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    node.hear(&log.frames[2..]);
    log.commit_next = log.end.next;
    node.hear(&[log.heartbeat()]);
    assert_eq!((node.replica.role(), node.next()), (Role::Standby, log.end.next));
    (node, log)
}

/// The same without room: its segments do not grow.
fn full_standby() -> (SoloReplica, Log) {
    let (mut node, mut log) = standby(Durability::Process);
    let text = "x".repeat(1_000);
    while node.next() == log.end.next {
        assert!(log.end.next < 100, "32 KiB are not full");
        let frame = log.push(&[&text]);
        node.hear(&[frame]);
    }
    assert!(node.replica.core.conditions.holds(Condition::JournalFull));
    node.events();
    (node, log)
}

fn misses(node: &mut SoloReplica) -> Vec<ReplicaEvent> {
    node.events().into_iter().filter(|event| matches!(event, ReplicaEvent::LeaderSuspected { .. })).collect()
}

/// The leader beats on, and nothing is committed.
fn heartbeats(node: &mut SoloReplica, log: &mut Log, count: u64) -> Vec<(To, Vec<u8>)> {
    let mut all = Vec::new();
    for _ in 0..count {
        node.now += HEARTBEAT_INTERVAL_NS;
        let heartbeat = log.heartbeat();
        all.extend(node.hear(&[heartbeat]));
    }
    all
}

fn kinds(sent: &[(To, Vec<u8>)]) -> Vec<u8> {
    sent.iter().map(|(_, bytes)| bytes[5]).collect()
}

fn ballot(log: &Log, kind: Kind, from: u32, ballot: Epoch) -> Vec<u8> {
    let body = BallotBody { process_nonce: u64::from(from), ballot: ballot.0, about: 0 };
    written(|out| write_ballot(out, &Keyring::none(CLUSTER), log.header(kind, identity(from)), body))
}

/// SUSPECT-3.
#[test]
fn a_standby_without_room_takes_its_leader_neither_for_silent_nor_for_deaf() {
    let (mut node, mut log) = full_standby();
    // What it hears of submissions is not in its own log, whoever stamped it.
    node.hear(&[messages(1, 1, 3)]);
    heartbeats(&mut node, &mut log, LONG_HEARTBEATS);
    assert_eq!(misses(&mut node), []);
    // There is room, and the leader lets nothing be committed all the same: that is the leader's doing.
    for _ in 0..20 {
        node.flush();
        let missing = log.frames.iter().position(|bytes| {
            let header = Header::peek(bytes).unwrap();
            header.first_seq >= node.next()
        });
        if let Some(index) = missing {
            let repair = log.repair(index, 1, 3);
            node.ask(1, repair);
        }
    }
    assert_eq!(node.next(), log.end.next, "it goes on by itself");
    assert!(!node.replica.core.conditions.holds(Condition::JournalFull));
    heartbeats(&mut node, &mut log, LONG_HEARTBEATS);
    assert!(!misses(&mut node).is_empty());
}

/// SUSPECT-3.
#[test]
fn a_standby_whose_device_lags_blames_nobody_for_what_is_not_committed() {
    let (mut node, mut log) = standby(Durability::Power);
    node.flush();
    let frame = log.push(&["a"]);
    node.hear(&[frame]);
    heartbeats(&mut node, &mut log, LONG_HEARTBEATS);
    assert_eq!(misses(&mut node), []);
    node.flush();
    heartbeats(&mut node, &mut log, LONG_HEARTBEATS);
    assert!(!misses(&mut node).is_empty());
}

/// ELECT-3.
#[test]
fn who_has_no_room_votes_and_asks_for_nothing_until_it_has() {
    let (mut node, log) = full_standby();
    let (mut asked, mut turns) = (Vec::new(), 0);
    for _ in 0..2_000 {
        asked.extend(node.wait(100_000));
        turns += u64::from(node.replica.next_deadline() > node.now);
    }
    let asks = |kind: &u8| [Kind::PreVote as u8, Kind::Prepare as u8].contains(kind);
    assert_eq!(kinds(&asked).into_iter().filter(asks).count(), 0);
    assert_eq!(turns, 2_000, "and it sleeps meanwhile");
    assert_eq!(misses(&mut node).len(), 1, "it misses the leader");
    let grants = node.hear(&[ballot(&log, Kind::PreVote, 3, epoch(2, 3))]);
    assert_eq!(kinds(&grants).iter().filter(|kind| **kind == Kind::Grant as u8).count(), 1);
    let promises = node.hear(&[ballot(&log, Kind::Prepare, 3, epoch(2, 3))]);
    assert_eq!(kinds(&promises).iter().filter(|kind| **kind == Kind::Promise as u8).count(), 1);
    node.flush();
    let mut asked = Vec::new();
    for _ in 0..1_000 {
        asked.extend(node.wait(100_000));
    }
    assert!(kinds(&asked).contains(&(Kind::PreVote as u8)), "it has room, and nobody leads");
}

/// Each repair would be dropped for want of room and asked for again, at the pace of the network, for as long
/// as the disk is full.
#[test]
pub fn nack_1_who_has_no_room_asks_for_no_repair_until_it_has() {
    let (mut node, mut log) = full_standby();
    log.push(&["lost"]);
    let frame = log.push(&["behind it"]);
    let mut sent = node.hear(&[frame]);
    let repair = |node: &mut SoloReplica, sent: &[(To, Vec<u8>)]| {
        let requests = requests_in(sent);
        for request in &requests {
            let begins = |bytes: &Vec<u8>| Header::peek(bytes).unwrap().first_seq == request.ranges[0].0;
            let index = log.frames.iter().position(begins).expect("frames of one entry");
            node.ask(1, log.repair(index, 1, log.commit_next));
        }
        requests.len()
    };
    let mut asked = 0;
    for _ in 0..2_000 {
        asked += repair(&mut node, &sent);
        sent = node.wait(100_000);
    }
    assert_eq!(asked, 0, "in 200 ms");
    node.flush();
    for _ in 0..2_000 {
        asked += repair(&mut node, &sent);
        sent = node.wait(100_000);
    }
    assert!(asked > 0, "it has room now");
    assert_eq!(node.next(), log.end.next, "and stores what it is given");
}

/// A log of as many takeovers behind the first epoch that nobody committed, all by replica 1; each start
/// lists as many of the epochs before it as there is room for.
fn long_row(takeovers: u32) -> Log {
    let mut log = Log::begun(3);
    let members = member_list(3);
    for round in 2..2 + takeovers {
        let skipped = (log.epochs.len() + 1).saturating_sub(EPOCHS_MAX);
        log.begin_with_rows(epoch(round, 1), &members, skipped);
        log.push(&["what nobody else heard"]);
    }
    log
}

/// Replica `number` that holds the whole log.
fn holder(log: &Log, number: u32) -> SoloReplica {
    let mut tail = blank_tail(number, 256 << 10);
    for bytes in &log.frames {
        tail.append(&FrameView::from_prefix(bytes).unwrap()).unwrap();
    }
    SoloReplica::new(start(tail, replica_limits(number, 3)).unwrap())
}

/// S5.
#[test]
fn s5_however_many_takeovers_nobody_committed_the_next_one_leads() {
    for takeovers in [1, 13, 14, 15, 16, 40] {
        let log = long_row(takeovers);
        let mut node = holder(&log, 1);
        let mut led = Vec::new();
        for _ in 0..4_000 {
            let mut sent = node.wait(100_000);
            let header = Log::begun(3);
            let prepares = decoded(&sent).iter().find_map(|datagram| match datagram {
                Datagram::PreVote(_, body) => Some((Kind::Grant, Epoch(body.ballot))),
                Datagram::Prepare(_, body) => Some((Kind::Promise, Epoch(body.ballot))),
                _ => None,
            });
            if let Some((kind, asked)) = prepares {
                sent.extend(node.hear(&[ballot(&header, kind, 2, asked)]));
            }
            led.extend(sent);
        }
        let starts: Vec<Vec<EpochBase>> = decoded(&led)
            .into_iter()
            .filter_map(|datagram| match datagram {
                Datagram::Frame(frame, None) => frame.entries().next(),
                _ => None,
            })
            .filter(|entry| entry.kind() == EntryKind::EpochStart)
            .map(|entry| EpochStartView::parse(entry.payload).unwrap().epochs().collect())
            .collect();
        let Some(table) = starts.first() else { panic!("nobody leads after {takeovers}") };
        let newest = log.epochs.len().saturating_sub(EPOCHS_MAX - 1);
        assert_eq!(table[..table.len() - 1], log.epochs[newest..], "{takeovers}");
        let alarm = node.replica.core.conditions.holds(Condition::EpochsUncommitted);
        assert_eq!(alarm, takeovers > 5, "{takeovers}");
    }
}

/// A node that starts reads takeovers, and does not know yet that they are committed.
#[test]
fn takeovers_that_a_node_reads_at_its_start_are_no_condition() {
    for is_archiver in [false, true] {
        let mut log = long_row(26);
        let mut tail = blank_tail(2, 256 << 10);
        for bytes in &log.frames {
            tail.append(&FrameView::from_prefix(bytes).unwrap()).unwrap();
        }
        let limits = ReplicaLimits { is_archiver, ..replica_limits(2, 3) };
        let mut node = SoloReplica::new(start(tail, limits).unwrap());
        let holds = |node: &SoloReplica| node.replica.core.conditions.holds(Condition::EpochsUncommitted);
        for _ in 0..1_000 {
            node.wait(100_000);
            assert!(!holds(&node), "it has only read");
        }
        let skipped = (log.epochs.len() + 1).saturating_sub(EPOCHS_MAX);
        log.begin_with_rows(epoch(99, 1), &member_list(3), skipped);
        log.commit_next = log.end.next;
        node.hear(&log.frames[log.frames.len() - 1..]);
        for _ in 0..100 {
            node.hear(&[log.heartbeat()]);
            assert!(!holds(&node), "all of them are committed");
            node.now += HEARTBEAT_INTERVAL_NS;
        }
        assert_eq!(node.next(), log.end.next);
        let roles: Vec<bool> = node
            .events()
            .into_iter()
            .filter_map(|event| match event {
                ReplicaEvent::Role { is_archiver, .. } => Some(is_archiver),
                _ => None,
            })
            .collect();
        assert!(!roles.is_empty() && roles.iter().all(|says| *says == is_archiver), "{roles:?}");
    }
}

/// S10.
#[test]
fn s10_who_lacks_more_than_a_start_lists_takes_it_from_who_has_that_log() {
    let log = long_row(40);
    let mut node = SoloReplica::new(start(blank_tail(2, 256 << 10), replica_limits(2, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.before(3).repair(0, 1, 3));
    assert_eq!((node.replica.role(), node.next()), (Role::Standby, 3));
    let newest = log.frames.len() - 2;
    node.hear(&log.frames[newest..]);
    let mut other = log.clone();
    other.epoch = epoch(41, 3);
    node.ask(3, other.repair(2, 3, 1));
    assert_eq!(node.next(), 3, "whoever follows another epoch may have another log");
    let mut acks = Vec::new();
    for index in 2..newest {
        acks.extend(acks_in(&node.ask(1, log.repair(index, 1, 1))));
    }
    assert_eq!(node.next(), log.end.next);
    let last = acks.last().expect("an ack");
    assert_eq!((last.epoch(), last.first_seq), (log.epoch, log.end.next));
    assert_eq!(node.count(Counter::FramesUnowned), 1);
}

/// A majority of the disks was full while one leader followed the other: there is room again, and only one
/// replica has the log of all of them.
#[test]
fn after_forty_takeovers_without_a_commit_any_healed_majority_goes_on() {
    for away in [2, 3] {
        let mut cluster = Cluster::new(3, |_| {});
        cluster.add_publisher(|_| {});
        let log = long_row(40);
        cluster.replicas[0] = holder(&log, 1).replica;
        for number in 2..=3 {
            let SoloReplica { replica, .. } = holder(&log.before(3), number);
            cluster.replicas[number as usize - 1] = replica;
        }
        cluster.dead.push(away);
        let id = cluster.open(0, "gateway", [1, 1]);
        cluster.publishers[0].publish(id, &["a", "b"]);
        cluster.await_committed(2);
        cluster.dead.clear();
        let calm = cluster.run_until(|cluster| {
            let end = cluster.replicas[0].tail().end();
            let is_calm = |core: &ReplicaCore| !core.conditions.holds(Condition::EpochsUncommitted);
            cluster.replicas.iter().all(|replica| replica.tail().end() == end && is_calm(&replica.core))
        });
        assert!(calm, "all have that log, and the alarm is over");
    }
}
