//! Bugs that others shipped, each as a promise of ours. The numbers are those of the catalogue of faults; the
//! comment names where the bug was.

use lockstep_core::engine::event::Role;
use lockstep_core::proto::commit::{Commit, Durability};
use lockstep_core::proto::election::{Election, ElectionStep, Promise};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::membership::{Electorate, Membership, PendingChange, judge_change};
use lockstep_memory::cluster::{Cluster, SoloReplica};
use lockstep_memory::log::Log;
use lockstep_memory::world::*;
use lockstep_replica::journal::memory::{MemoryStore, MemoryTail};
use lockstep_replica::journal::{JournalOpenError, SEGMENT_LEN_MIN, Settings, format, open};
use lockstep_wire::Keyring;
use lockstep_wire::*;

const RING: usize = 256 << 10;

fn cluster(members: u32) -> (Cluster, PublisherId) {
    let mut cluster = Cluster::new(members, |_| {});
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    (cluster, id)
}

fn leaders(cluster: &Cluster) -> Vec<u32> {
    let lives = |number: &u32| !cluster.dead.contains(number) && !cluster.paused.contains(number);
    let leads = |number: &u32| cluster.replicas[*number as usize - 1].role() == Role::Leader;
    (1..=cluster.replicas.len() as u32).filter(lives).filter(leads).collect()
}

/// Runs until the publisher was told the fate of `count` messages.
fn committed(cluster: &mut Cluster, count: usize) -> Vec<(PublisherSeq, Seq)> {
    let done = cluster.run_until(|cluster| cluster.publishers[0].committed().len() >= count);
    let outcomes = cluster.publishers[0].committed();
    assert!(done, "{} of {count} were told: {outcomes:?}", outcomes.len());
    outcomes
}

/// A counter of replica 1 that holds epoch `round` of replica 1 up to 20, from 10 on.
fn counter(round: u32) -> Commit {
    let mut commit = Commit::new(10);
    let members = Membership::collect(member_list(3), 10);
    commit.on_epoch_started(epoch(round, 1), 10, members, Durability::Process);
    commit.on_log_end(20);
    commit
}

// 1: Aeron PR 2147; ConsensusModuleAgent.onAppendPosition, ClusterMember.quorumPosition
#[test]
fn a_position_from_an_older_term_commits_nothing() {
    let mut commit = counter(3);
    commit.on_ack(identity(2), epoch(2, 2), 20);
    commit.on_ack(identity(3), epoch(1, 1), 20);
    assert_eq!(commit.commit_next(), 10);
    commit.on_ack(identity(2), epoch(3, 1), 15);
    assert_eq!(commit.commit_next(), 15);
}

// 2: KurrentDB #3472
#[test]
fn a_deposed_leaders_own_writes_are_not_committed_by_its_successors_positions() {
    let mut commit = counter(3);
    commit.on_ack(identity(2), epoch(4, 3), 20);
    commit.on_ack(identity(3), epoch(4, 3), 20);
    commit.on_announced(epoch(4, 3), 20);
    assert_eq!(commit.commit_next(), 10, "what is committed is another log");
}

// 2: the same, seen by the publisher
#[test]
fn what_a_deposed_leader_stamped_alone_is_told_where_it_came_to_be() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    committed(&mut cluster, 1);
    cluster.lost = |from, to, _| from == 1 && to != 1 || to == 1 && from < 100;
    cluster.publishers[0].publish(id, &["b", "c"]);
    let outcomes = committed(&mut cluster, 3);
    cluster.lost = |_, _, _| false;
    cluster.run(1_000);
    let tail = cluster.replicas[1].tail();
    for (number, seq) in outcomes {
        let frame = tail.frame(tail.find(seq).expect("it is in the log")).expect("no damage");
        let entry = frame.entries().nth((seq - frame.header.first_seq) as usize).expect("it is in the frame");
        assert_eq!((entry.header.publisher, entry.header.publisher_seq), (id, number));
    }
}

// 3: Aeron PR 1898
#[test]
fn a_restart_calls_nothing_committed_that_was_not() {
    let mut log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    node.hear(&[log.push(&["a", "b"])]);
    assert_eq!(node.next(), 5, "held, and committed by nobody");
    let node = SoloReplica::new(start(node.replica.into_tail(), replica_limits(2, 3)).unwrap());
    assert_eq!(node.next(), 5);
    assert!(node.replica.core.commit_next() <= 3, "{}", node.replica.core.commit_next());
}

// 4: Aeron #1923
#[test]
fn a_standby_that_lagged_leads_without_a_gap() {
    let (mut cluster, id) = cluster(5);
    cluster.publishers[0].publish(id, &["a", "b"]);
    committed(&mut cluster, 2);
    cluster.paused.push(2);
    cluster.publishers[0].publish(id, &["c", "d", "e"]);
    committed(&mut cluster, 5);
    // What replica 2 slept through never reaches it.
    cluster.replicas[1].net_mut().groups.clear();
    cluster.paused.clear();
    cluster.dead.extend([1, 3]);
    cluster.publishers[0].publish(id, &["f"]);
    let outcomes = committed(&mut cluster, 6);
    let seqs: Vec<_> = outcomes.iter().map(|(_, seq)| *seq).collect();
    assert!(seqs.is_sorted() && outcomes.iter().map(|(number, _)| *number).eq(1..=6), "{outcomes:?}");
    let same = cluster.run_until(|cluster| {
        let ends = [2, 4, 5].map(|number| cluster.replicas[number - 1].tail().end());
        ends.iter().all(|end| *end == ends[0])
    });
    assert!(same, "the logs of the living are one");
}

// 5: Aeron #1472
#[test]
fn a_leader_that_stops_by_itself_is_followed_before_anybody_would_have_missed_it() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    committed(&mut cluster, 1);
    let begun = cluster.now;
    cluster.replicas[0].start_drain(begun);
    assert!(cluster.run_until(|cluster| leaders(cluster).iter().any(|number| *number != 1)));
    let timeout_ns = replica_limits(1, 3).failure_detector.timeout_ns;
    assert!(cluster.now - begun < timeout_ns, "{} ns, the timeout is {timeout_ns}", cluster.now - begun);
}

// 6: VRR, state transfer (vsr-tlaplus)
#[test]
fn a_log_is_never_shorter_while_its_replacement_is_fetched() {
    let mut log = Log::begun(3);
    let mut tail = blank_tail(2, RING);
    log.push(&["a", "b"]);
    for bytes in &log.frames {
        tail.append(&FrameView::from_prefix(bytes).unwrap()).unwrap();
    }
    let end = tail.end();
    tail.stage(3, epoch(2, 3)).unwrap();
    assert_eq!(tail.end(), end, "what is to replace it is not held yet");
    let settled = start(tail, replica_limits(2, 3)).unwrap();
    assert_eq!(settled.tail().end(), end);
}

// 7: Nezha §7, citing DISC '17; 17: Paxos Made Live
#[test]
fn what_a_replica_said_before_it_lost_its_disk_counts_for_nothing() {
    let reborn = Identity { incarnation: 0x999, ..identity(2) };
    let mut list = member_list(3);
    list[1] = MemberBody::full(reborn, address(2));
    let members = Membership::collect(list, 10);
    let mut commit = Commit::new(10);
    commit.on_epoch_started(epoch(3, 1), 10, members, Durability::Process);
    commit.on_log_end(20);
    commit.on_ack(identity(2), epoch(3, 1), 20);
    assert_eq!(commit.commit_next(), 10, "an ack of the incarnation that is gone");
    assert!(!members.is_quorum(&[identity(1), identity(2)]), "and a promise of it");
    commit.on_ack(reborn, epoch(3, 1), 20);
    assert_eq!(commit.commit_next(), 20);
}

// 8: ZooKeeper PRs 1445, 1993, 2028, 2111, 2266
#[test]
fn nothing_is_acknowledged_before_it_is_where_the_ack_says_that_it_is() {
    let mut cluster = Cluster::new(3, |limits| limits.durability = Durability::Power);
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.publishers[0].publish(id, &["a"]);
    committed(&mut cluster, 1);
    cluster.flushing = false;
    cluster.record.clear();
    cluster.publishers[0].publish(id, &["b"]);
    cluster.run(100);
    let end = cluster.replicas.iter().map(|replica| replica.tail().end().next).max().unwrap();
    for (from, bytes) in &cluster.record {
        if let Ok(Datagram::Ack(header, _)) = Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
            let durable = cluster.replicas[*from as usize - 1].tail().durable_next();
            assert!(header.first_seq <= durable && durable < end, "{} of {durable}", { header.first_seq });
        }
    }
    assert_eq!(cluster.publishers[0].committed().len(), 1, "and nothing is committed by it");
}

fn candidate() -> (Election, Epoch) {
    let mut election = Election::new(ELECTION, identity(2));
    election.on_missed(0, LeaderLossReason::Down, 0);
    let members = Membership::collect(member_list(3), 1);
    assert!(election.poll(0, epoch(4, 1), &members, 0, true).is_some());
    let ballot = election.ballot().expect("it asks");
    (election, ballot)
}

fn electorate(members: u32) -> Electorate {
    Electorate { at_end: Membership::collect(member_list(members), 1), ..Electorate::default() }
}

// 9: CCF, arXiv 2406.17455: an election's quorum counted wrongly
#[test]
fn one_voice_that_promises_twice_is_one_promise() {
    let (mut election, ballot) = candidate();
    let own = LogEnd { next: 10, epoch: epoch(4, 1), chain: 0, timestamp: 0 };
    let promise = Promise { by: identity(3), accepted: epoch(4, 1), next: 9, chain: 0, commit_next: 1 };
    election.on_promise(ballot, promise);
    election.on_promise(ballot, Promise { next: 10, ..promise });
    assert_eq!(election.assess(&own, 1, &electorate(5)), ElectionStep::Wait, "two of five");
}

// 9: CCF: entries of earlier terms committed by counting
#[test]
fn entries_of_earlier_epochs_are_committed_only_by_one_of_the_present_epoch() {
    let mut commit = Commit::new(5);
    commit.on_epoch_started(epoch(3, 1), 10, Membership::collect(member_list(3), 10), Durability::Process);
    commit.on_log_end(20);
    commit.on_ack(identity(2), epoch(3, 1), 10);
    assert_eq!(commit.commit_next(), 5, "they hold what lies before the epoch, and nothing of it");
    commit.on_ack(identity(2), epoch(3, 1), 11);
    assert_eq!(commit.commit_next(), 11);
}

// 9: CCF: commit advanced by a negative answer
#[test]
fn a_refusal_to_repair_commits_nothing_of_another_epochs_log() {
    let mut log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    node.hear(&[log.push(&["a", "b"])]);
    let before = node.replica.core.commit_next();
    for token in 0..20 {
        let mut bytes = vec![0; SMALL_LEN_MAX];
        let header = Header {
            cluster: CLUSTER,
            history: HISTORY,
            epoch: epoch(2, 3).0,
            sender: 3,
            incarnation: identity(3).incarnation,
            first_seq: 90,
            commit_next: 80,
            ..Header::new(Kind::RepairReject)
        };
        let range = SeqRange { from: 3, to: 5 };
        let reason = RepairReject::OtherEpoch as u32;
        let body = RepairRejectBody { token, range, oldest_seq: 1, reason, retry_after_ns: 0 };
        let length = write_repair_reject(&mut bytes, &Keyring::none(CLUSTER), header, body);
        bytes.truncate(length);
        node.ask(3, bytes);
    }
    assert_eq!(node.replica.core.commit_next(), before);
}

// 9: CCF: a log truncated by an early append
#[test]
fn an_early_frame_that_comes_late_truncates_nothing() {
    let mut log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    let frames = [log.push(&["a"]), log.push(&["b"]), log.push(&["c"])];
    node.hear(&frames);
    let end = node.replica.tail().end();
    node.hear(&log.frames[1..2]);
    node.hear(&frames[..1]);
    assert_eq!(node.replica.tail().end(), end);
}

// 9: CCF: an ack of the own tail instead of what matches the leader's log
#[test]
fn an_ack_names_what_is_held_without_a_gap() {
    let mut log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    let frames = [log.push(&["a"]), log.push(&["b"])];
    let sent = node.hear(&frames[1..]);
    assert!(
        acks_in(&sent).iter().all(|header| header.first_seq <= 3),
        "the second frame waits for the first"
    );
    let sent = node.hear(&frames[..1]);
    assert_eq!(acks_in(&sent).last().map(|header| header.first_seq), Some(5));
}

// 10: Raft's single-step change of the membership
#[test]
fn the_first_change_of_an_epoch_waits_for_the_epochs_start() {
    let membership = Membership::collect(member_list(4), 10);
    let mut payload = [0; 512];
    let member = MemberBody::full(identity(5), address(5));
    let length = write_membership(&mut payload, 10, Change::Add, member, &[]);
    let asked = MembershipView::parse(&payload[..length]).expect("a change");
    let standing = PendingChange {
        leader: identity(1),
        membership: &membership,
        start_committed: false,
        change_committed: true,
    };
    assert_eq!(judge_change(&standing, &asked), Err(CommandReject::StartPending));
    let standing = PendingChange { start_committed: true, ..standing };
    assert!(judge_change(&standing, &asked).is_ok_and(|after| after.members().len() == 5));
}

// 11: hashicorp/raft #605, canonical/raft #279: a pre-vote that is refused for ever
#[test]
fn a_leader_that_comes_back_alone_among_the_living_is_elected_again() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    committed(&mut cluster, 1);
    cluster.paused.push(1);
    cluster.publishers[0].publish(id, &["b"]);
    committed(&mut cluster, 2);
    cluster.paused.clear();
    cluster.run(500);
    // Now whoever leads dies: replica 1, which lost its epoch, is needed for every quorum.
    let leader = leaders(&cluster)[0];
    cluster.dead.push(leader);
    cluster.publishers[0].publish(id, &["c"]);
    committed(&mut cluster, 3);
}

// 11: cockroach #107060, OmniPaxos, Cloudflare 2020: partial connectivity
#[test]
fn a_cut_between_two_of_three_stops_nobody_for_long() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    committed(&mut cluster, 1);
    cluster.lost = |from, to, _| matches!((from, to), (1, 2) | (2, 1));
    for (count, payload) in ["b", "c", "d", "e"].into_iter().enumerate() {
        cluster.publishers[0].publish(id, &[payload]);
        committed(&mut cluster, count + 2);
        cluster.run(2_000);
    }
}

// 11: a node that hears nobody deposes nobody when it is back
#[test]
fn a_node_that_was_cut_off_deposes_no_leader_when_it_is_back() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    committed(&mut cluster, 1);
    cluster.lost = |from, to, _| from == 3 || to == 3;
    cluster.run(20_000);
    cluster.lost = |_, _, _| false;
    cluster.run(5_000);
    assert_eq!(leaders(&cluster), [1]);
    assert_eq!(cluster.replicas[0].tail().end().epoch, epoch(1, 1), "nobody campaigned alone");
}

// 12: etcd #15247
#[test]
pub fn a_leader_that_was_stalled_says_nothing_of_its_epoch_once_it_is_superseded() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    committed(&mut cluster, 1);
    cluster.paused.push(1);
    cluster.publishers[0].publish(id, &["b"]);
    committed(&mut cluster, 2);
    cluster.record.clear();
    cluster.paused.clear();
    cluster.run(1_000);
    for (from, bytes) in &cluster.record {
        let header = Header::peek(bytes).expect("a datagram");
        let stamps = [Kind::Frame as u8, Kind::Heartbeat as u8].contains(&header.kind);
        assert!(*from != 1 || !stamps || header.epoch() > epoch(1, 1), "it spoke in {}", header.epoch());
    }
    assert_eq!(cluster.replicas[0].role(), Role::Standby);
}

// 13: JGRP-1458 (delivered twice), JGRP-1821 (holes)
#[test]
fn a_takeover_delivers_each_message_once_and_leaves_no_hole() {
    let (mut cluster, id) = cluster(3);
    for round in 0..4 {
        let payloads: Vec<String> = (0..5).map(|index| format!("{round}-{index}")).collect();
        cluster.publishers[0].publish(id, &payloads.iter().map(String::as_str).collect::<Vec<_>>());
        cluster.run(2 + round);
        if let [leader] = leaders(&cluster)[..] {
            cluster.paused = vec![leader];
        }
        cluster.run(1_500);
        cluster.paused.clear();
    }
    let outcomes = committed(&mut cluster, 20);
    cluster.run(2_000);
    assert_eq!(outcomes.len(), cluster.publishers[0].committed().len(), "each fate is told once");
    assert!(outcomes.iter().map(|(number, _)| *number).eq(1..=20), "{outcomes:?}");
    let tail = cluster.replicas[0].tail();
    let mut next = 1;
    let mut stamped = Vec::new();
    for span in std::iter::successors(tail.find(1), |span| tail.after(*span)) {
        let frame = tail.frame(span).expect("no damage");
        assert_eq!({ frame.header.first_seq }, next, "no hole");
        next = frame.header.next_seq();
        let messages = frame.entries().filter(|entry| entry.kind() == EntryKind::Message);
        stamped.extend(messages.map(|entry| entry.header.publisher_seq));
    }
    assert!(stamped.iter().copied().eq(1..=20), "{stamped:?}");
}

// 14: Derecho #213
#[test]
fn all_standbys_may_join_at_once() {
    let mut cluster = Cluster::new(7, |_| {});
    let joined = cluster.run_until(|cluster| {
        let end = cluster.replicas[0].tail().end();
        cluster.replicas.iter().all(|replica| replica.tail().end() == end && replica.role() != Role::Blank)
    });
    assert!(joined);
    assert_eq!(leaders(&cluster), [1]);
}

// 15: Aeron #1601
#[test]
fn a_stuck_follower_stalls_nobody() {
    let (mut cluster, id) = cluster(3);
    cluster.paused.push(3);
    for count in 1..=20 {
        cluster.publishers[0].publish(id, &["order"]);
        committed(&mut cluster, count);
    }
    assert_eq!(leaders(&cluster), [1]);
}

fn settings(boot: u64) -> Settings {
    Settings {
        cluster: CLUSTER,
        replica: 1,
        boot: [boot, boot],
        power: false,
        frame_len_max: FRAME_LEN_MAX,
        segment_len: SEGMENT_LEN_MIN,
    }
}

// 16: Aeron #1533
#[test]
fn a_journal_that_is_gone_is_an_error_and_no_fresh_start() {
    let opened = open(&mut MemoryStore::default(), MemoryTail::new(RING), settings(1));
    assert_eq!(opened.err(), Some(JournalOpenError::Missing));
}

// 17: Paxos Made Live: promises lost with the disk
#[test]
fn a_replica_whose_memory_is_gone_knows_that_it_may_have_promised() {
    let mut store = MemoryStore::default();
    format(&mut store, CLUSTER, identity(1), [1, 1]).unwrap();
    let mut opened = open(&mut store, MemoryTail::new(RING), settings(1)).unwrap();
    opened.tail.promise(epoch(3, 2));
    drop(opened);
    let reopened = open(&mut store, MemoryTail::new(RING), settings(2)).map(|_| ());
    assert!(matches!(reopened, Err(JournalOpenError::Incomplete(_))), "{reopened:?}");
}
