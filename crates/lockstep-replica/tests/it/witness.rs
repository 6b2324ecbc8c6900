//! A witness: it votes, acknowledges and never leads, and keeps no more than a ring.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::proto::window::Window;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::world::*;
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::replica::ReplicaLimits;
use lockstep_wire::Keyring;
use lockstep_wire::*;

const RING: usize = 64 << 10;
const WITNESS: u32 = 3;

/// Replicas of which the third is a witness, the first leads, and all have small rings.
fn witnessed(count: u32) -> (Cluster, PublisherId) {
    let mut cluster = Cluster::new(count, |_| {});
    let mut members = member_list(count);
    members[WITNESS as usize - 1] = MemberBody::witness(identity(WITNESS), address(WITNESS));
    for number in 1..=count {
        let mut tail = blank_tail(number, RING);
        if number == 1 {
            bootstrap(&mut tail, &Keyring::none(CLUSTER), HISTORY, &members).expect("a blank log");
        }
        let window = Window { entries: 1_000, bytes: RING as u32 };
        let limits = ReplicaLimits { window, ..replica_limits(number, count) };
        cluster.replicas[number as usize - 1] = start(tail, limits).expect("a member");
    }
    cluster.add_publisher(|limits| {
        limits.window_entries = 200;
        limits.window_datagrams = 200;
    });
    let id = cluster.open(0, "gateway", [1, 1]);
    let equal = cluster.run_until(Cluster::is_equal);
    assert!(equal, "{}", cluster.describe());
    (cluster, id)
}

/// Publishes so many messages of a thousand bytes.
fn publish(cluster: &mut Cluster, id: PublisherId, count: usize) {
    let text = "x".repeat(1_000);
    cluster.publishers[0].publish(id, &vec![text.as_str(); count]);
}

fn committed(cluster: &mut Cluster, count: usize) -> bool {
    cluster.run_until(|cluster| cluster.publishers[0].committed().len() == count)
}

fn count(cluster: &Cluster, number: u32, counter: Counter) -> u64 {
    cluster.replicas[number as usize - 1].core.counters.get(counter)
}

#[test]
fn two_full_members_and_a_witness_survive_the_leaders_death_and_the_witness_never_leads() {
    let (mut cluster, id) = witnessed(3);
    publish(&mut cluster, id, 5);
    cluster.run(3);
    cluster.dead = vec![1];
    publish(&mut cluster, id, 5);
    assert!(committed(&mut cluster, 10), "{}", cluster.describe());
    assert_eq!(cluster.leader(), Some(2));
    assert!(!cluster.replicas[1].core.is_exposed() && cluster.replicas[2].core.is_witness());
    cluster.dead = vec![1, 2];
    cluster.run(30_000);
    assert_eq!((cluster.leader(), count(&cluster, WITNESS, Counter::Candidacies)), (None, 0));
}

#[test]
fn a_witness_acknowledges_nothing_that_it_cannot_keep_until_older_entries_are_committed() {
    let (mut cluster, id) = witnessed(5);
    publish(&mut cluster, id, 40);
    assert!(committed(&mut cluster, 40), "{}", cluster.describe());
    assert!(cluster.run_until(Cluster::is_equal), "{}", cluster.describe());
    // Leader and witness are two of five: nothing is committed now.
    cluster.paused = vec![2, 4, 5];
    publish(&mut cluster, id, 100);
    cluster.run(40);
    let witness = &cluster.replicas[WITNESS as usize - 1];
    let (commit_next, end) = (witness.core.commit_next(), witness.tail().end());
    let full = end.next < cluster.replicas[0].tail().end().next;
    assert!(full, "{}", cluster.describe());
    assert!(witness.tail().find(commit_next).is_some(), "nothing uncommitted has left the ring");
    let sent = cluster.record.iter().filter(|(from, _)| *from == WITNESS);
    let acks: Vec<_> = sent
        .map(|(_, bytes)| {
            (lockstep_memory::net::To::Group(lockstep_core::engine::ports::Group::Control), bytes.clone())
        })
        .collect();
    assert!(acks_in(&acks).iter().all(|ack| ack.first_seq <= end.next));
    cluster.paused.clear();
    assert!(committed(&mut cluster, 140), "{}", cluster.describe());
    assert!(cluster.run_until(Cluster::is_equal), "{}", cluster.describe());
}

/// A request that reaches the witness from who is no candidate.
fn ask_witness(cluster: &mut Cluster) {
    let mut bytes = vec![0; SMALL_LEN_MAX];
    let asks = Header {
        cluster: CLUSTER,
        history: HISTORY,
        epoch: cluster.replicas[0].tail().end().epoch.0,
        sender: 2,
        incarnation: identity(2).incarnation,
        ..Header::new(Kind::Nack)
    };
    let length = write_nack(&mut bytes, &Keyring::none(CLUSTER), asks, 9, &[SeqRange { from: 3, to: 5 }]);
    bytes.truncate(length);
    let witness = &mut cluster.replicas[WITNESS as usize - 1];
    witness.assume_address(address(99));
    witness.net_mut().unicast.push_back((bytes, Some(address(99))));
}

/// Why the witness gave nothing: reasons, first seqs that they refuse, and the oldest that it can repair.
fn refusals(cluster: &Cluster) -> Vec<(Option<RepairReject>, Seq, Seq)> {
    let sent = cluster.record.iter().filter(|(from, _)| *from == WITNESS);
    let answers = sent.filter_map(|(_, bytes)| match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
        Ok(Datagram::RepairReject(_, body)) => {
            Some((RepairReject::from_u32(body.reason), body.range.from, body.oldest_seq))
        }
        _ => None,
    });
    answers.collect()
}

/// A reader that each repairer has told "too old" ends: what the witness leaves to others is none of that.
#[test]
fn a_witness_refers_to_others_what_its_ring_has_and_says_what_it_has_dropped() {
    let (mut cluster, id) = witnessed(3);
    publish(&mut cluster, id, 5);
    assert!(committed(&mut cluster, 5), "{}", cluster.describe());
    cluster.record.clear();
    ask_witness(&mut cluster);
    cluster.run(10);
    assert_eq!(refusals(&cluster), [(Some(RepairReject::Referred), 3, 1)]);
    for round in 1..=4 {
        publish(&mut cluster, id, 50);
        assert!(committed(&mut cluster, 5 + 50 * round), "{}", cluster.describe());
    }
    cluster.record.clear();
    ask_witness(&mut cluster);
    cluster.run(10);
    let refusals = refusals(&cluster);
    let [(Some(RepairReject::TooOld), 3, oldest)] = refusals[..] else { panic!("{refusals:?}") };
    assert!(oldest > 3, "{oldest}");
    assert_eq!(count(&cluster, WITNESS, Counter::RepairsOut), 0);
}

#[test]
fn a_witness_that_misses_the_leader_gives_what_its_ring_has_to_whoever_asks() {
    let (mut cluster, id) = witnessed(3);
    publish(&mut cluster, id, 5);
    assert!(committed(&mut cluster, 5), "{}", cluster.describe());
    cluster.dead = vec![1, 2];
    cluster.run(20_000);
    ask_witness(&mut cluster);
    cluster.run(10);
    assert!(count(&cluster, WITNESS, Counter::RepairsOut) > 0, "nobody else has it");
}

#[test]
fn a_witness_gives_what_its_ring_has_to_a_candidate_and_to_nobody_else() {
    let (mut cluster, id) = witnessed(3);
    publish(&mut cluster, id, 5);
    assert!(committed(&mut cluster, 5), "{}", cluster.describe());
    cluster.run(100);
    // The standby misses what leader and witness commit.
    cluster.lost = |from, to, _| from == 1 && to == 2;
    publish(&mut cluster, id, 5);
    assert!(committed(&mut cluster, 10), "{}", cluster.describe());
    ask_witness(&mut cluster);
    cluster.run(10);
    assert_eq!(count(&cluster, WITNESS, Counter::RepairsOut), 0, "who leads stores more");
    assert!(count(&cluster, WITNESS, Counter::RefusalsOut) > 0, "and it says so");
    assert!(cluster.replicas[1].tail().end().next < cluster.replicas[0].tail().end().next);
    cluster.dead = vec![1];
    cluster.lost = |_, _, _| false;
    publish(&mut cluster, id, 1);
    assert!(committed(&mut cluster, 11), "{}", cluster.describe());
    assert_eq!(cluster.leader(), Some(2));
    assert!(count(&cluster, WITNESS, Counter::RepairsOut) > 0, "{}", cluster.describe());
}

#[test]
fn a_takeover_waits_for_who_stored_what_the_witnesss_ring_has_lost_and_says_so() {
    let (mut cluster, id) = witnessed(3);
    cluster.lost = |from, to, _| from == 2 || to == 2;
    for round in 1..=4 {
        assert!(!cluster.replicas[0].core.is_exposed() || round > 1, "rings still reach back");
        publish(&mut cluster, id, 50);
        assert!(committed(&mut cluster, 50 * round), "{}", cluster.describe());
    }
    cluster.run(100);
    assert!(cluster.replicas[0].core.is_exposed(), "its only full standby lies behind the ring");
    let events = std::iter::from_fn(|| cluster.replicas[0].core.events.pop());
    assert!(events.into_iter().any(|event| matches!(
        event,
        ReplicaEvent::Condition { condition: Condition::Exposed, holds: true, .. }
    )));

    while cluster.replicas[1].core.events.pop().is_some() {}
    cluster.dead = vec![1];
    cluster.lost = |_, _, _| false;
    cluster.run(20_000);
    assert_eq!(cluster.leader(), None, "nobody has it all");
    let mut events = std::iter::from_fn(|| cluster.replicas[1].core.events.pop());
    let waits = events.find(|event| matches!(event, ReplicaEvent::TakeoverWaits { .. }));
    let Some(ReplicaEvent::TakeoverWaits { from, oldest, witness, holder }) = waits else {
        panic!("it says so")
    };
    assert!(from < oldest, "{from} {oldest}");
    assert_eq!((witness, holder), (identity(WITNESS), identity(1)));

    // The replica that stored it is back, and nothing was lost. (Its ring is as short: in this test there are
    // no segments.)
    cluster.dead.clear();
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(1)), "{}", cluster.describe());
    publish(&mut cluster, id, 1);
    assert!(committed(&mut cluster, 201), "{}", cluster.describe());
}
