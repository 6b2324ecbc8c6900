//! The leader dies, stalls, or is cut off; nothing is lost, and nothing is done twice.

use crate::replica::standby;
use lockstep_core::engine::counters::{Counter, Counters};
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::proto::window::Window;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::log::{Log, written};
use lockstep_memory::world::*;
use lockstep_wire::*;
use lockstep_wire::{Keyring, LeaderLossReason};

/// A cluster of three with one open publisher.
fn cluster(members: u32) -> (Cluster, PublisherId) {
    let mut cluster = Cluster::new(members, |_| {});
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    (cluster, id)
}

#[test]
fn a_leader_that_falls_silent_is_replaced_and_every_message_is_committed_once() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a", "b", "c"]);
    cluster.run(3);
    cluster.dead.push(1);
    cluster.publishers[0].publish(id, &["d", "e"]);
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "nobody leads:\n{}", cluster.describe());
    cluster.await_committed(5);
    let numbers: Vec<_> = cluster.publishers[0].committed().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[test]
pub fn s12_a_founder_that_dies_between_its_promise_and_its_start_leads_by_the_votes_of_the_blank() {
    for members in 2..=5 {
        let mut cluster = Cluster::new(members, |_| {});
        let mut tail = born_tail(1, members, 256 << 10);
        tail.promise(epoch(1, 1));
        cluster.replicas[0] = start(tail, replica_limits(1, members)).unwrap();
        assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
        assert!(cluster.replicas[0].leads() > Some(epoch(1, 1)), "S1: epoch 1 was granted once");
        cluster.add_publisher(|_| {});
        let id = cluster.open(0, "gateway", [1, 1]);
        cluster.publishers[0].publish(id, &["a"]);
        cluster.await_committed(1);
        let stands = |cluster: &Cluster| {
            cluster.replicas.iter().filter(|replica| replica.role() == Role::Standby).count()
                == members as usize - 1
        };
        assert!(cluster.run_until(stands), "all store it:\n{}", cluster.describe());
    }
}

#[test]
fn a_leader_that_was_cut_off_follows_its_successor_when_it_comes_back() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    cluster.run(100);
    cluster.paused.push(1);
    cluster.publishers[0].publish(id, &["b", "c"]);
    cluster.await_committed(3);
    cluster.paused.clear();
    let caught_up = cluster.run_until(|cluster| {
        cluster.replicas[0].role() == Role::Standby
            && cluster.replicas[0].tail().end() == cluster.replicas[1].tail().end()
    });
    assert!(caught_up, "{}", cluster.describe());
}

#[test]
fn what_a_leader_stamped_and_nobody_heard_is_exchanged_for_what_came_to_be() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["a"]);
    cluster.run(100);
    // The leader is heard by nobody, and hears its publisher.
    cluster.lost = |from, to, _| from == 1 && to != 1 || to == 1 && from < 100;
    cluster.publishers[0].publish(id, &["b", "c"]);
    assert!(
        cluster.run_until(|cluster| cluster.leader().is_some_and(|number| number != 1)
            || cluster.replicas[1..].iter().any(|replica| replica.role() == Role::Leader)),
        "{}",
        cluster.describe()
    );
    cluster.await_committed(3);
    cluster.lost = |_, _, _| false;
    let equal = cluster.run_until(Cluster::is_equal);
    assert!(equal, "{}", cluster.describe());
    assert_eq!(cluster.replicas[0].role(), Role::Standby);
}

#[test]
fn a_leader_that_is_stalled_before_each_of_its_turns_stamps_all_the_same() {
    let mut cluster = Cluster::new(3, |limits| {
        if limits.receiver.me.replica != 1 {
            limits.failure_detector.timeout_ns *= 10;
        }
    });
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.run(100);
    for _ in 0..10 {
        cluster.paused.push(1);
        cluster.publishers[0].publish(id, &["a"]);
        cluster.run(500);
        cluster.paused.clear();
        // One to hear all that waited, one to find that there is no more, one to hear the acks.
        cluster.run(3);
    }
    assert_eq!(cluster.publishers[0].committed().len(), 10, "{}", cluster.describe());
    assert_eq!(cluster.leader(), Some(1));
}

/// A leader under a flood was stalled, put aside what waited until nothing more would, and forgot the first
/// of it.
#[test]
fn a_leader_that_is_stalled_in_a_flood_speaks_again_and_has_lost_nothing() {
    let mut cluster = Cluster::new(1, |limits| limits.window = Window { entries: 10_000, bytes: 1 << 20 });
    cluster.add_publisher(|limits| {
        (limits.window_entries, limits.window_datagrams, limits.flight_datagrams) = (4_096, 4_096, 4_096);
    });
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.run(100);
    cluster.paused.push(1);
    cluster.run(500);
    cluster.paused.clear();
    // Its socket is never drained: ten datagrams come in each of its turns.
    for _ in 0..200 {
        for _ in 0..10 {
            cluster.publishers[0].publish(id, &["a message"]);
            cluster.publishers[0].publisher.flush(cluster.now, Wall(1));
        }
        cluster.run(1);
    }
    let core = &cluster.replicas[0].core;
    assert!(core.counters.get(Counter::Stamped) > 1_000, "{}", core.counters.get(Counter::Stamped));
    assert_eq!(core.counters.get(Counter::SubmissionsBuffered), 0, "none of them came before its turn");
}

#[test]
fn two_who_miss_the_leader_alone_do_not_use_up_rounds() {
    let (mut cluster, _) = cluster(5);
    cluster.run(100);
    cluster.record.clear();
    cluster.lost = |from, to, _| (4..=5).contains(&from) != (4..=5).contains(&to);
    cluster.run(30_000);
    let ballots = cluster.record.iter().filter_map(|(_, bytes)| {
        match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
            Ok(Datagram::PreVote(_, body)) => Some(Epoch(body.ballot).round()),
            _ => None,
        }
    });
    let ballots: Vec<u32> = ballots.collect();
    assert!(ballots.len() > 100, "both have asked for long: {}", ballots.len());
    assert_eq!(ballots.iter().max(), Some(&2));
}

#[test]
fn a_candidate_that_was_stalled_takes_the_promises_that_came_meanwhile() {
    let (mut cluster, _) = cluster(3);
    cluster.run(100);
    cluster.dead.push(1);
    let prepares = |cluster: &Cluster| {
        let all = cluster.record.iter().filter_map(|(from, bytes)| {
            match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
                Ok(Datagram::Prepare(_, body)) => Some((*from, body.ballot)),
                _ => None,
            }
        });
        all.collect::<Vec<_>>()
    };
    assert!(cluster.run_until(|cluster| !prepares(cluster).is_empty()), "{}", cluster.describe());
    let (candidate, ballot) = prepares(&cluster)[0];
    // It is stalled for longer than its time, while the other promises; that one is not to campaign itself.
    cluster.paused.push(candidate);
    cluster.run(1);
    cluster.paused.push(5 - candidate);
    cluster.run(3_000);
    cluster.paused.clear();
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
    assert_eq!(cluster.leader(), Some(candidate));
    let ballots: Vec<u64> = prepares(&cluster).into_iter().map(|(_, ballot)| ballot).collect();
    assert!(
        ballots.iter().all(|asked| *asked == ballot),
        "asked anew, with the promises at hand: {ballots:?}"
    );
}

/// Whether a datagram from one to another is lost.
type Loss = fn(u32, u32, &[u8]) -> bool;

/// Cuts off one replica, whatever is sent from or to it.
const CUT: [Loss; 3] = [
    |from, to, _| from == 1 || to == 1,
    |from, to, _| from == 2 || to == 2,
    |from, to, _| from == 3 || to == 3,
];

/// SUSPECT-1: who missed the leader of one epoch was not wrong because that of the next one speaks.
#[test]
fn who_was_cut_off_misses_the_next_leader_no_later_than_the_one_before() {
    let (mut cluster, id) = cluster(3);
    cluster.run(200);
    let mut took = Vec::new();
    for _ in 0..6 {
        let old = cluster.leader().expect("a leader");
        let cut_at = cluster.now;
        cluster.lost = CUT[old as usize - 1];
        let replaced = |cluster: &Cluster| {
            (1..=3)
                .any(|number| number != old && cluster.replicas[number as usize - 1].role() == Role::Leader)
        };
        assert!(cluster.run_until(replaced), "{}", cluster.describe());
        took.push((cluster.now - cut_at) / 1_000);
        // Long enough for the one that is cut off to step down, and to miss everybody.
        cluster.run(20_000);
        assert_eq!(cluster.replicas[old as usize - 1].role(), Role::Standby, "{}", cluster.describe());
        cluster.lost = |_, _, _| false;
        // The first datagram of the new epoch is one of its frames.
        cluster.publishers[0].publish(id, &["a"]);
        let follows = |cluster: &Cluster| {
            let end = cluster.replicas[0].tail().end();
            cluster.replicas.iter().all(|replica| replica.tail().end() == end)
        };
        assert!(cluster.run_until(follows), "{}", cluster.describe());
        cluster.run(1_000);
    }
    let (least, most) = (took.iter().min().copied(), took.iter().max().copied());
    assert!(most < least.map(|least| 3 * least / 2), "they grow: {took:?} us");
}

/// A word of a former leader that stops comes late, or that of the next one before its epoch's start.
#[test]
pub fn a_leader_that_stops_is_missed_only_by_those_who_follow_the_epoch_that_it_led() {
    let mut log = Log::begun(3);
    log.begin(epoch(2, 3), &member_list(3));
    let mut node = standby(&log, |_| {});
    let mut stops = |of: Epoch| {
        let header = Header { epoch: of.0, ..log.header(Kind::StepDown, of.leader()) };
        let body = StepDownBody { process_nonce: 1, successor: 0 };
        node.hear(&[written(|out| write_step_down(out, &Keyring::none(CLUSTER), header, body))]);
        node.events().into_iter().find(|event| matches!(event, ReplicaEvent::LeaderSuspected { .. }))
    };
    assert_eq!(stops(epoch(1, 1)), None, "the leader that is followed goes on");
    assert_eq!(stops(epoch(3, 1)), None, "so does the one that is followed here");
    assert_eq!(
        stops(epoch(2, 3)),
        Some(ReplicaEvent::LeaderSuspected { epoch: epoch(2, 3), why: LeaderLossReason::StepDown })
    );
}

/// A frame of the former leader's that carries this.
fn carries(bytes: &[u8], payload: &[u8]) -> bool {
    match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
        Ok(Datagram::Frame(frame, _)) => frame.entries().any(|entry| entry.payload == payload),
        _ => false,
    }
}

/// A handover to replica 3, which is paused for `ms` milliseconds from its first moment on. Returns who
/// leads, and after how many milliseconds.
fn handed_over_to_a_slow_one(ms: u32) -> (u32, Nanos) {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["first"]);
    cluster.await_committed(1);
    cluster.run(100);
    let began = cluster.now;
    assert!(cluster.replicas[0].start_handover(began, Some(identity(3))));
    assert!(cluster.run_until(|cluster| cluster.leader() != Some(1)), "{}", cluster.describe());
    cluster.paused = vec![3];
    cluster.run(ms * (1_000_000 / TURN_NS) as u32);
    cluster.paused.clear();
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
    (cluster.leader().expect("somebody leads"), (cluster.now - began) / 1_000_000)
}

/// Storing a promise may take a flush, and a busy machine is late: some staggers are too short for that.
#[test]
fn elect_1_a_successor_that_was_named_has_the_time_of_a_candidate() {
    for ms in [0, 3, 7] {
        assert_eq!(handed_over_to_a_slow_one(ms).0, 3, "it was paused for {ms} ms");
    }
    let (leads, after) = handed_over_to_a_slow_one(50);
    assert_eq!(leads, 2, "a successor that does not come holds nobody up");
    assert!(after < 60, "{after} ms");
}

/// What it kept of the former epoch, behind something that was lost, stands at seqs that are its own epoch's.
#[test]
fn a_leader_that_has_handed_over_misses_nothing_of_what_it_stamped() {
    let (mut cluster, id) = cluster(3);
    cluster.publishers[0].publish(id, &["first"]);
    cluster.await_committed(1);
    cluster.run(100);
    cluster.lost = |from, _, bytes| from == 1 && carries(bytes, b"lost");
    for text in ["lost", "kept"] {
        let next = cluster.replicas[0].tail().end().next;
        cluster.publishers[0].publish(id, &[text]);
        assert!(cluster.run_until(|cluster| cluster.replicas[0].tail().end().next > next), "{text}");
    }
    cluster.run(2);
    cluster.dead = vec![1];
    cluster.await_committed(3);
    let before = cluster.leader().expect("somebody leads");
    let replica = &mut cluster.replicas[before as usize - 1];
    while replica.core.events.pop().is_some() {}
    let now = cluster.now;
    assert!(replica.start_handover(now, None));
    let after = 5 - before;
    assert!(cluster.run_until(|cluster| cluster.leader() != Some(before)), "{}", cluster.describe());
    // Its successor takes its time.
    cluster.paused = vec![after];
    cluster.run(1_000);
    cluster.paused.clear();
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(after)), "{}", cluster.describe());
    let core = &mut cluster.replicas[before as usize - 1].core;
    let events: Vec<_> = std::iter::from_fn(|| core.events.pop()).collect();
    assert!(!events.iter().any(|event| matches!(event, ReplicaEvent::Gap { .. })), "{events:?}");
}

#[test]
fn a_takeover_that_was_ordered_and_one_after_a_failure_are_counted_apart() {
    let (mut cluster, _) = cluster(3);
    let counts = |cluster: &Cluster| {
        let of = |counters: &Counters| {
            [Counter::TakeoversRequested, Counter::TakeoversFailed].map(|counter| counters.get(counter))
        };
        cluster.replicas.iter().map(|replica| of(&replica.core.counters)).collect::<Vec<_>>()
    };
    assert_eq!(counts(&cluster), [[0, 0]; 3], "a founding is none");
    cluster.run(100);
    let now = cluster.now;
    assert!(cluster.replicas[0].start_handover(now, Some(identity(3))));
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(3)), "{}", cluster.describe());
    assert_eq!(counts(&cluster), [[0, 0], [0, 0], [1, 0]]);
    cluster.run(50);
    cluster.dead = vec![3];
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
    let after = counts(&cluster);
    assert_eq!(after[2], [1, 0]);
    let others = [after[0], after[1]];
    assert!(
        others.contains(&[0, 1]) && others.contains(&[0, 0]),
        "the former leader or the other: {after:?}"
    );
}
