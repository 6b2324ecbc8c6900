//! What the simulator found in the engines, each as a promise of its own: a bug of which only a seed knows
//! comes back when the seeds change.

use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{Log, messages, open_submission, written};
use lockstep_memory::net::To;
use lockstep_memory::world::*;
use lockstep_replica::journal::memory::{MemoryStore, MemoryTail};
use lockstep_replica::journal::{SEGMENT_LEN_MIN, Settings, copy_behind, format, open};
use lockstep_replica::replica::Recovered;
use lockstep_wire::*;
use lockstep_wire::{Keyring, LeaderLossReason};

const RING: usize = 256 << 10;
const MS: Nanos = 1_000_000;

/// The leader of a cluster of `members`, whose epoch has begun.
fn leader(members: u32) -> SoloReplica {
    let mut node = SoloReplica::new(start(born_tail(1, members, RING), replica_limits(1, members)).unwrap());
    node.poll();
    assert_eq!((node.replica.role(), node.next()), (Role::Leader, 3));
    // CLOCK-1: a leader of several stamps once another one's clock is known.
    node.hear(&[Log::begun(members).ack(2, 2)]);
    node
}

fn blank() -> SoloReplica {
    SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 3)).unwrap())
}

/// What replica `from`, which holds `log`, says of `ballot`.
fn ballot(log: &Log, kind: Kind, from: u32, ballot: Epoch) -> Vec<u8> {
    let body = BallotBody { process_nonce: u64::from(from), ballot: ballot.0, about: 0 };
    written(|out| write_ballot(out, &Keyring::none(CLUSTER), log.header(kind, identity(from)), body))
}

/// What `node` tells of the publisher `name`.
fn look_up(node: &mut SoloReplica, name: &str) -> QueryReplyBody {
    let header = Header { cluster: CLUSTER, history: HISTORY, sender: 900, ..Header::new(Kind::Query) };
    let sent = node.ask(
        9,
        written(|out| write_query(out, &Keyring::none(CLUSTER), header, 5, QueryKind::Publisher, name)),
    );
    let mut replies =
        sent.iter().filter_map(|(_, bytes)| match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
            Ok(Datagram::QueryReply(_, body)) => Some(body),
            _ => None,
        });
    replies.next_back().expect("a reply")
}

/// S8.
#[test]
pub fn s8_what_a_deposed_leader_had_in_its_open_frame_is_forgotten_with_it() {
    let mut node = leader(3);
    let mut log = Log::begun(3);
    node.hear(&[open_submission("a", [1, 1], 0)]);
    let next = node.next();
    node.hear(&[log.ack(2, next)]);
    assert_eq!(node.replica.core.commit_next(), next);
    // Both in one batch: the frame is still open when the promise is asked for.
    node.hear(&[
        messages(1, 1, 4),
        open_submission("b", [2, 2], 0),
        ballot(&log, Kind::Prepare, 2, epoch(2, 2)),
    ]);
    assert_eq!((node.replica.role(), node.next()), (Role::Standby, next), "the open frame is thrown away");
    let (a, b) = (look_up(&mut node, "a"), look_up(&mut node, "b"));
    assert_eq!((a.publisher, a.publisher_seq), (1, 0), "its messages were not stamped");
    assert_eq!(b.publisher, 0, "nor was the open");
}

/// S1, S2: frames that a full device refused are in the log. They reach others as repairs, or are exchanged.
#[test]
pub fn s1_what_the_device_did_not_take_is_not_sent_once_another_leader_is_promised() {
    let mut node = leader(3);
    let log = Log::begun(3);
    node.hear(&[open_submission("a", [1, 1], 0)]);
    node.replica.net_mut().takes = 0;
    let next = node.next();
    assert_eq!(node.hear(&[messages(1, 1, 4)]), [], "no buffers");
    assert_eq!((node.next(), node.replica.has_pending_work()), (next + 3, true), "stamped, and to be sent");
    node.hear(&[ballot(&log, Kind::Prepare, 2, epoch(2, 2))]);
    assert_eq!(node.replica.role(), Role::Standby);
    assert!(!node.replica.has_pending_work(), "nothing waits to be sent: the node may sleep");
    node.replica.net_mut().takes = usize::MAX;
    let sent: Vec<_> = (0..20).flat_map(|_| node.wait(MS)).collect();
    let frames = sent.iter().filter(|(_, bytes)| Header::peek(bytes).unwrap().kind == Kind::Frame as u8);
    assert_eq!(frames.count(), 0, "below its promise");
    assert_eq!(node.next(), next + 3, "its log keeps them until another one is known");
}

/// The journal of replica 1 with the start of an epoch, as a process finds it when it starts again.
fn opened(written: bool) -> (lockstep_replica::journal::OpenedJournal<MemoryTail>, Log) {
    opened_after(written, |_| {})
}

/// The same, after something has happened to the ring.
fn opened_after(
    written: bool,
    befalls: impl Fn(&mut MemoryTail),
) -> (lockstep_replica::journal::OpenedJournal<MemoryTail>, Log) {
    let settings = Settings {
        cluster: CLUSTER,
        replica: 1,
        boot: [1, 1],
        power: false,
        frame_len_max: FRAME_LEN_MAX,
        segment_len: SEGMENT_LEN_MIN,
    };
    let (mut store, log) = (MemoryStore::default(), Log::begun(3));
    format(&mut store, CLUSTER, identity(1), [1, 1]).unwrap();
    let mut opened = open(&mut store, MemoryTail::new(RING), settings).unwrap();
    for bytes in &log.frames {
        opened.tail.append(&FrameView::from_prefix(bytes).unwrap()).unwrap();
    }
    while written && copy_behind(opened.tail.memory_mut(), &mut opened.writer, &mut store, false).unwrap() > 0
    {
    }
    befalls(opened.tail.memory_mut());
    let opened = open(&mut store, opened.tail.memory_mut().clone(), settings).unwrap();
    (opened, log)
}

/// What the segments have is not looked at in the ring: a bit that rots there must not name another history.
#[test]
fn s12_a_history_is_learned_from_a_frame_that_is_whole() {
    let newest = Log::begun(3).frames[0].len();
    let (opened, _) = opened_after(true, |memory| {
        memory.ring_mut()[newest + std::mem::offset_of!(Header, history)] ^= 0x40;
    });
    assert_eq!(opened.superblock.history, HISTORY);
}

#[test]
fn an_epoch_start_is_what_opening_judged_whatever_befalls_the_tail_afterwards() {
    for written in [true, false] {
        let (mut opened, log) = opened(written);
        assert_eq!(Recovered::of_journal(&opened, 8).start_frame, log.frames[1]);
        opened.tail.memory_mut().ring_mut()[log.frames[0].len() + HEADER_LEN + 40] ^= 1;
        assert_eq!(Recovered::of_journal(&opened, 8).start_frame, log.frames[1]);
    }
}

#[test]
fn a_leader_that_can_hand_over_to_nobody_goes_on_stamping() {
    for (members, to) in [(1, None), (3, Some(identity(1)))] {
        let mut node = leader(members);
        let now = node.now;
        assert!(!node.replica.start_handover(now, to), "{members} members, to {to:?}");
        let next = node.next();
        node.hear(&[open_submission("a", [1, 1], 0)]);
        assert_eq!(node.next(), next + 1, "{members} members, to {to:?}");
    }
}

/// S10, S12: what a ballot tells is the log that was won before, and that is all that is used of it.
#[test]
fn s10_a_blank_node_learns_the_log_from_who_campaigns_when_nobody_else_speaks() {
    for kind in [Kind::Prepare, Kind::Promise] {
        let log = Log::begun(3);
        let mut node = blank();
        let words = ballot(&log, kind, 3, epoch(2, 3));
        let mut sent = node.hear(std::slice::from_ref(&words));
        sent.extend(node.wait(MS));
        sent.extend(node.wait(MS));
        let requests = requests_in(&sent);
        let first = requests.first().unwrap_or_else(|| panic!("nothing is asked for after {kind:?}"));
        assert_eq!((first.header.epoch(), first.ranges.len()), (epoch(1, 1), 0), "the won epoch's start");
        assert!(sent.iter().all(|(_, bytes)| bytes[5] == Kind::Nack as u8), "it has no vote yet");
        assert_eq!((node.replica.tail().promised(), node.replica.role()), (Epoch::NONE, Role::Blank));
        node.ask(3, log.repair(1, 3, 1));
        node.ask(3, log.repair(0, 3, 1));
        assert_eq!((node.replica.role(), node.replica.tail().end()), (Role::Standby, log.end));
        let sent = node.hear(&[ballot(&log, Kind::Prepare, 3, epoch(2, 3))]);
        assert!(sent.iter().any(|(_, bytes)| bytes[5] == Kind::Promise as u8), "now it votes");
    }
}

/// The entry that lists a node may be the very one that it lacks: without its vote nobody leads.
#[test]
fn s5_who_has_no_vote_yet_gets_from_a_candidate_the_entry_that_gives_it_one() {
    let mut log = Log::begun(3);
    let mut node = SoloReplica::new(start(blank_tail(4, RING), replica_limits(4, 3)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    assert_eq!((node.replica.role(), node.replica.tail().end()), (Role::Learner, log.end));
    let members = member_list(4);
    log.push_change(2, Change::Add, members[3], &members);
    let mut sent = node.hear(&[ballot(&log, Kind::Prepare, 2, epoch(2, 2))]);
    sent.extend(node.wait(MS));
    assert_eq!(requests_in(&sent).first().map(|request| request.ranges.clone()), Some(vec![(3, 4)]));
    node.ask(2, log.repair(2, 2, 3));
    assert_eq!(node.replica.role(), Role::Standby);
    let sent = node.hear(&[ballot(&log, Kind::Prepare, 2, epoch(2, 2))]);
    assert!(sent.iter().any(|(_, bytes)| bytes[5] == Kind::Promise as u8), "now it votes");
}

/// What lies below a start's table is only taken from who calls it committed. A holder of the start must be
/// able to, also when it is started again and nobody else is left.
#[test]
fn s10_an_epoch_start_tells_what_those_who_elected_its_leader_knew_to_be_committed() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut node = blank();
    node.hear(&log.frames[1..3]);
    node.ask(1, log.repair(0, 1, 1));
    assert_eq!((node.replica.role(), node.replica.tail().end()), (Role::Standby, log.end));
    assert_eq!(node.replica.core.commit_next(), 4, "its own ack and the leader's");
    let mut alone = SoloReplica::new(start(node.replica.into_tail(), replica_limits(2, 3)).unwrap());
    assert_eq!(alone.replica.core.commit_next(), 1, "no frame tells it");
    log.commit_next = log.end.next;
    let mut start = None;
    for _ in 0..400 {
        for (_, bytes) in alone.wait(MS) {
            let promise = match Datagram::decode(&bytes, &Keyring::none(CLUSTER)) {
                Ok(Datagram::PreVote(_, body)) => ballot(&log, Kind::Grant, 3, Epoch(body.ballot)),
                Ok(Datagram::Prepare(_, body)) => ballot(&log, Kind::Promise, 3, Epoch(body.ballot)),
                Ok(Datagram::Frame(frame, None)) => {
                    start.get_or_insert(*frame.header);
                    continue;
                }
                _ => continue,
            };
            alone.replica.net_mut().groups.push_back(promise);
        }
    }
    let start = start.expect("it leads");
    assert_eq!((start.first_seq, start.commit_next), (4, 4));
}

/// S5: of five, a leader and a standby are no quorum. Another standby has heard that a third one held it too.
#[test]
pub fn s5_a_new_leader_takes_for_committed_what_one_of_the_promises_calls_so() {
    let mut log = Log::begun(5);
    log.push(&["a"]);
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 5)).unwrap());
    node.hear(&log.frames[1..3]);
    node.ask(1, log.repair(0, 1, 1));
    assert_eq!((node.replica.tail().end(), node.replica.core.commit_next()), (log.end, 1));
    let mut knows = log.clone();
    knows.commit_next = log.end.next;
    let mut begun = None;
    for _ in 0..400 {
        for (_, bytes) in node.wait(MS) {
            let (kind, asked) = match Datagram::decode(&bytes, &Keyring::none(CLUSTER)) {
                Ok(Datagram::PreVote(_, body)) => (Kind::Grant, Epoch(body.ballot)),
                Ok(Datagram::Prepare(_, body)) => (Kind::Promise, Epoch(body.ballot)),
                Ok(Datagram::Frame(frame, None)) => {
                    begun.get_or_insert(*frame.header);
                    continue;
                }
                _ => continue,
            };
            let last = if kind == Kind::Promise { &knows } else { &log };
            let ballots = [ballot(&log, kind, 3, asked), ballot(last, kind, 4, asked)];
            node.replica.net_mut().groups.extend(ballots);
        }
        if let Some(begun) = begun {
            assert_eq!((begun.first_seq, begun.commit_next), (4, 4), "before anybody acknowledges it");
            return;
        }
    }
    panic!("it does not lead");
}

/// All that is left is replica 3, and its log is of epoch 1: whatever a blank node asks, it answers from
/// that.
fn ask_replica_3(node: &mut SoloReplica, log: &mut Log, mut sent: Vec<(To, Vec<u8>)>) {
    for _ in 0..200 {
        sent.extend(node.wait(5 * MS));
        for request in requests_in(&std::mem::take(&mut sent)) {
            let from = u32::from(request.to.ip().octets()[3]);
            if from != 3 {
                continue;
            }
            if request.header.epoch() != epoch(1, 1) {
                sent.extend(node.ask(3, log.answer(3, request.token, RepairReject::OtherEpoch, 1)));
            } else if request.ranges.is_empty() {
                sent.extend(node.ask(3, log.repair(1, 3, 1)));
            } else {
                sent.extend([0, 2].into_iter().flat_map(|index| node.ask(3, log.repair(index, 3, 1))));
            }
        }
    }
}

/// Its log was gone with the power and had never been acknowledged; its promise was stored. Of three with one
/// lost, nobody leads without its vote.
#[test]
fn s5_a_blank_node_that_promised_before_has_a_vote() {
    let mut tail = blank_tail(2, RING);
    tail.promise(epoch(2, 2));
    let mut node = SoloReplica::new(start(tail, replica_limits(2, 3)).unwrap());
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let says = |sent: &[(To, Vec<u8>)], kind: Kind| sent.iter().any(|(_, bytes)| bytes[5] == kind as u8);
    let sent = node.hear(&[ballot(&log, Kind::PreVote, 3, epoch(3, 3))]);
    assert!(!says(&sent, Kind::Grant), "it has only begun to listen");
    for _ in 0..100 {
        node.wait(MS);
    }
    let sent = node.hear(&[ballot(&log, Kind::PreVote, 3, epoch(3, 3))]);
    assert!(says(&sent, Kind::Grant), "it hears no leader either");
    let sent = node.hear(&[ballot(&log, Kind::Prepare, 3, epoch(2, 1))]);
    assert!(!says(&sent, Kind::Promise), "nothing below what it promised");
    let sent = node.hear(&[ballot(&log, Kind::Prepare, 3, epoch(3, 3))]);
    assert!(says(&sent, Kind::Promise));
    assert_eq!((node.replica.role(), node.replica.tail().promised()), (Role::Blank, epoch(3, 3)));
    log.begin(epoch(3, 3), &member_list(3));
    node.hear(&log.frames[3..]);
    (0..3).for_each(|index| drop(node.ask(3, log.repair(index, 3, 1))));
    assert_eq!(
        (node.replica.role(), node.next()),
        (Role::Standby, log.end.next),
        "and it learns what was won"
    );
}

/// What a blank node heard may be all that is left of an epoch.
#[test]
fn a_blank_node_that_gets_nothing_of_a_lost_epoch_learns_the_log_that_the_others_hold() {
    let mut log = Log::begun(3);
    let mut lost = log.clone();
    log.push(&["a"]);
    lost.begin(epoch(2, 1), &member_list(3));
    // It heard the start of the lost epoch; or that of the one before, and then of the lost one.
    for datagrams in [vec![lost.frames[2].clone()], vec![log.frames[1].clone(), lost.heartbeat()]] {
        let mut node = blank();
        let sent = node.hear(&datagrams);
        assert_eq!(node.replica.tail().promised(), Epoch::NONE, "who has no vote need not promise");
        ask_replica_3(&mut node, &mut log, sent);
        assert_eq!((node.replica.role(), node.replica.tail().end()), (Role::Standby, log.end));
        assert_eq!(node.replica.tail().promised(), epoch(1, 1));
        let sent = node.hear(&[ballot(&log, Kind::Prepare, 3, epoch(2, 3))]);
        assert!(sent.iter().any(|(_, bytes)| bytes[5] == Kind::Promise as u8), "its vote counts");
    }
}

/// A standby, and the log that it holds, in which publisher 1 is open.
fn standby() -> (SoloReplica, Log) {
    let mut log = Log::begun(3);
    log.push_open("orders", (1, [1, 1]), 1, 0);
    log.commit_next = log.end.next;
    let mut node = blank();
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    node.hear(&log.frames[2..]);
    assert_eq!((node.replica.role(), node.next()), (Role::Standby, log.end.next));
    (node, log)
}

/// Whether it misses a leader as deaf that beats on and tells of `over` publishers over their share.
fn misses_deaf(node: &mut SoloReplica, log: &mut Log, over: u32) -> bool {
    for _ in 0..200 {
        let heartbeat = log.heartbeat_with(|_, body| body.shares_over = over);
        node.now += MS;
        node.hear(&[heartbeat]);
    }
    node.events()
        .iter()
        .any(|event| matches!(event, ReplicaEvent::LeaderSuspected { why: LeaderLossReason::NoProgress, .. }))
}

#[test]
fn a_leader_that_stamps_nothing_is_missed_although_the_oldest_submission_waits_for_another() {
    let (mut node, mut log) = standby();
    node.hear(&[messages(1, 5, 6)]);
    assert!(!misses_deaf(&mut node, &mut log, 0), "number 5 cannot be stamped before number 1");
    node.hear(&[messages(1, 1, 2)]);
    assert!(misses_deaf(&mut node, &mut log, 0), "number 1 can");
}

/// It would be deposed again and again, and what an epoch's start can tell of would be used up.
#[test]
fn a_leader_that_refuses_those_over_their_share_is_not_missed_while_it_says_so() {
    let (mut node, mut log) = standby();
    node.hear(&[messages(1, 1, 2)]);
    assert!(!misses_deaf(&mut node, &mut log, 1), "it hears, and may not stamp");
    assert!(misses_deaf(&mut node, &mut log, 0), "it stamps nothing, for no reason that it says");
}

/// An epoch's start has room for sixteen that nobody committed. Leaders whose quorum has to catch up first
/// must not use them up.
#[test]
fn each_takeover_that_nobody_commits_gives_the_next_leader_twice_as_long() {
    let mut times = Vec::new();
    for takeovers in 0..4 {
        // Two of five see each frame.
        let mut log = Log::begun(5);
        let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 5)).unwrap());
        node.hear(&log.frames[1..2]);
        node.ask(1, log.repair(0, 1, 1));
        for round in 0..takeovers {
            log.begin(epoch(2 + round, 1 + 2 * (round % 2)), &member_list(5));
            node.hear(&log.frames[log.frames.len() - 1..]);
        }
        log.push(&["never committed"]);
        node.hear(&log.frames[log.frames.len() - 1..]);
        assert_eq!((node.replica.role(), node.next()), (Role::Standby, log.end.next));
        node.events();
        let missed = |node: &mut SoloReplica| {
            node.events().iter().any(|event| matches!(event, ReplicaEvent::LeaderSuspected { .. }))
        };
        let long = (1..10_000).find(|_| {
            let heartbeat = log.heartbeat();
            node.now += MS;
            node.hear(&[heartbeat]);
            missed(&mut node)
        });
        times.push(long.expect("a leader under whom nothing moves is no sign of life"));
    }
    assert!(times.windows(2).skip(1).all(|pair| pair[1] > pair[0] * 3 / 2), "{times:?} ms");
}

/// The uncommitted part may be longer than the ring, where many takeovers or a full quorum's wait were in it.
/// Started again it would stop again.
#[test]
fn a_log_whose_epoch_the_new_one_contains_is_kept_although_the_ring_has_lost_where_the_commit_is() {
    let mut log = Log::begun(5);
    log.commit_next = log.end.next;
    let mut node = SoloReplica::new(start(blank_tail(2, RING), replica_limits(2, 5)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 1));
    while node.replica.tail().oldest_seq() <= 3 {
        log.push(&["some words that take room", "and more of them, and more of them, and more of them"]);
        node.hear(&log.frames[log.frames.len() - 1..]);
        node.flush();
    }
    assert!(node.replica.core.commit_next() < node.replica.tail().oldest_seq());
    let mut other = log.clone();
    log.begin(epoch(2, 3), &member_list(5));
    let sent = node.hear(&log.frames[log.frames.len() - 1..]);
    assert_eq!(acks_in(&sent).last().map(Header::epoch), Some(epoch(2, 3)));
    assert_eq!((node.next(), node.replica.core.is_stopped()), (log.end.next, false));
    // Whose log parts from ours where the ring has nothing any more, we cannot follow: that takes a new
    // start.
    other.begin_with_rows(epoch(3, 1), &member_list(5), 1);
    node.hear(&other.frames[other.frames.len() - 1..]);
    assert!(node.replica.core.is_stopped());
}

/// Polls for `ms`, and hears an ack of `next` each time.
fn hears_acks(node: &mut SoloReplica, log: &mut Log, ms: u64, next: Option<Seq>) {
    for _ in 0..ms {
        node.now += MS;
        let acks: Vec<_> = next.into_iter().map(|next| log.ack(2, next)).collect();
        node.hear(&acks);
    }
}

#[test]
fn a_leader_whose_standby_still_fetches_its_log_is_heard_and_one_that_nobody_follows_is_not() {
    let (mut node, mut log) = (leader(3), Log::begun(3));
    let next = node.next();
    hears_acks(&mut node, &mut log, 1, Some(next));
    assert_eq!(node.replica.core.commit_next(), next);
    node.hear(&[messages(1, 1, 2)]);
    hears_acks(&mut node, &mut log, 500, Some(1));
    assert_eq!(node.replica.role(), Role::Leader, "it follows, and holds nothing yet");
    assert_eq!(node.replica.core.commit_next(), next, "nothing is acknowledged by that");
    hears_acks(&mut node, &mut log, 500, None);
    assert_eq!(node.replica.role(), Role::Standby, "nobody is heard");
}

#[test]
fn who_follows_a_new_epoch_says_so_before_it_holds_its_log() {
    let mut log = Log::begun(3);
    let mut node = blank();
    node.hear(&log.frames[1..]);
    node.ask(1, log.repair(0, 1, 1));
    assert_eq!((node.replica.role(), node.next()), (Role::Standby, log.end.next));
    log.push(&["missed"]);
    log.begin(epoch(2, 3), &member_list(3));
    let sent = node.hear(&log.frames[3..]);
    let acks = acks_in(&sent);
    assert_eq!(acks.iter().map(|ack| (ack.epoch(), ack.first_seq)).collect::<Vec<_>>(), [(epoch(2, 3), 1)]);
    let sent = node.ask(3, log.repair(2, 3, 1));
    let acked = acks_in(&sent).last().map(|ack| (ack.epoch(), ack.first_seq));
    assert_eq!(acked, Some((epoch(2, 3), log.end.next)), "then it holds everything");
}
