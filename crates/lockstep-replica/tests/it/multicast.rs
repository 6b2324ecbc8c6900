//! Multicast dies and unicast lives: nobody is replaced for that, and the stream goes on by repair.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::log::Log;
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// The longest `timing.heartbeat_interval` that a file may have.
const SECOND: Nanos = 1_000_000_000;

/// A cluster of three with one open publisher, running for a while.
fn cluster() -> (Cluster, PublisherId) {
    let mut cluster = Cluster::new(3, |_| {});
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.run(500);
    (cluster, id)
}

/// What each replica told since the last look.
fn reported(cluster: &mut Cluster) -> Vec<Vec<ReplicaEvent>> {
    let events = |replica: &mut lockstep_replica::replica::ReplicaEngine<MemoryPorts>| {
        std::iter::from_fn(|| replica.core.events.pop()).collect()
    };
    cluster.replicas.iter_mut().map(events).collect()
}

/// Whether this event says that multicast is lost, or is back.
fn is_multicast(event: &ReplicaEvent, lost: bool) -> bool {
    let ReplicaEvent::Condition { condition: Condition::MulticastLost, holds, .. } = event else {
        return false;
    };
    *holds == lost
}

/// Publishes one message after the other until so many are committed, within a second.
fn publish(cluster: &mut Cluster, id: PublisherId, count: usize) {
    let before = cluster.publishers[0].committed().len();
    for number in 1..=count {
        cluster.publishers[0].publish(id, &["order"]);
        let committed = |cluster: &Cluster| cluster.publishers[0].committed().len() == before + number;
        assert!(cluster.run_until(committed), "message {number} is not committed after a second");
    }
}

/// Whether no group leads from one node to the other, and which replicas lack somebody by it.
type Way = (fn(u32, u32) -> bool, [bool; 3]);

/// MCAST-1: whichever way the groups fail, everybody who is deaf says so within a second, nothing is
/// suspected, nobody else leads, and what is published is committed and stored everywhere.
#[test]
fn mcast_1_when_only_multicast_dies_it_is_named_nobody_is_replaced_and_the_stream_goes_on() {
    // Everything, what the replicas send to each other, what the leader sends, what it hears, what one
    // standby hears.
    let ways: [Way; 5] = [
        (|_, _| true, [true, true, true]),
        (|from, to| from < 100 && to < 100, [true, true, true]),
        (|from, to| from == 1 && to < 100, [false, true, true]),
        (|from, to| from < 100 && to == 1, [true, false, false]),
        (|from, to| from < 100 && to == 3, [false, false, true]),
    ];
    for (way, (groups_lost, deaf)) in ways.into_iter().enumerate() {
        let (mut cluster, id) = cluster();
        publish(&mut cluster, id, 3);
        reported(&mut cluster);
        cluster.groups_lost = groups_lost;
        publish(&mut cluster, id, 20);
        // Half a second, of which nothing is published.
        cluster.run(50_000);
        publish(&mut cluster, id, 5);
        for (index, events) in reported(&mut cluster).into_iter().enumerate() {
            let lost = events.iter().filter(|event| is_multicast(event, true)).count();
            assert_eq!(lost, usize::from(deaf[index]), "way {way}, replica {}: {events:?}", index + 1);
            let counters = &cluster.replicas[index].core.counters;
            let missed = [Counter::Suspicions, Counter::Candidacies].map(|counter| counters.get(counter));
            assert_eq!(missed, [0, 0], "way {way}, replica {}: {events:?}", index + 1);
        }
        let roles: Vec<_> = cluster.replicas.iter().map(|replica| replica.role()).collect();
        assert_eq!(roles, [Role::Leader, Role::Standby, Role::Standby], "way {way}");
        let end = cluster.replicas[0].tail().end();
        let same = |cluster: &Cluster| cluster.replicas.iter().all(|replica| replica.tail().end() == end);
        assert!(cluster.run_until(same), "way {way}: a standby lacks something after a second");

        cluster.groups_lost = |_, _| false;
        cluster.run(500);
        for (index, events) in reported(&mut cluster).into_iter().enumerate() {
            let back = events.iter().any(|event| is_multicast(event, false));
            assert_eq!(back, deaf[index], "way {way}, replica {}: {events:?}", index + 1);
        }
    }
}

/// MCAST-1: an answer is the leader's own word: where it is dead nobody gives it, and it is replaced as ever.
#[test]
fn mcast_1_a_dead_leader_does_not_answer_and_is_replaced() {
    let (mut cluster, id) = cluster();
    publish(&mut cluster, id, 3);
    cluster.groups_lost = |from, to| from == 1 && to < 100;
    cluster.run(20_000);
    cluster.dead.push(1);
    let replaced =
        |cluster: &Cluster| cluster.replicas[1..].iter().any(|replica| replica.role() == Role::Leader);
    assert!(cluster.run_until(replaced));
    publish(&mut cluster, id, 3);
}

/// MCAST-1: where nobody leads, the groups bring no leader and nothing is amiss with them, although those who
/// follow answer by unicast.
#[test]
fn mcast_1_without_a_leader_no_group_is_called_lost() {
    let (mut cluster, id) = cluster();
    let reader = cluster.participants.len();
    cluster.add_participant(Delivery::Stamped, "reader", [2, 2]);
    publish(&mut cluster, id, 3);
    reported(&mut cluster);
    cluster.dead.extend([2, 3]);
    cluster.run(100_000);
    assert_eq!(cluster.leader(), None, "nobody leads");
    let lost = |event: &PublisherEvent| matches!(event, PublisherEvent::Multicast { .. });
    assert!(
        !cluster.publishers[0].events.iter().any(lost),
        "the publisher: {:?}",
        cluster.publishers[0].events
    );
    let stream = &cluster.participants[reader].stream;
    assert!(!stream.contains(&News::Multicast(true)), "the reader: {stream:?}");
    assert!(!cluster.participants[reader].events.iter().any(lost), "the reader publishes too");
    let events = reported(&mut cluster);
    assert!(!events[0].iter().any(|event| is_multicast(event, true)), "{events:?}");
}

/// MCAST-1: a paused leader answers nothing either.
#[test]
fn mcast_1_a_wedged_leader_does_not_answer_and_is_replaced() {
    let (mut cluster, id) = cluster();
    publish(&mut cluster, id, 3);
    cluster.paused.push(1);
    let replaced =
        |cluster: &Cluster| cluster.replicas[1..].iter().any(|replica| replica.role() == Role::Leader);
    assert!(cluster.run_until(replaced));
}

/// A publisher hears everything, and no group leads from it to the leader: nobody can tell it, for whoever is
/// not heard looks like one who says nothing.
#[test]
fn a_publisher_whose_group_alone_is_dead_reaches_the_leader_by_unicast() {
    let (mut cluster, id) = cluster();
    publish(&mut cluster, id, 3);
    cluster.groups_lost = |from, _| from > 100;
    publish(&mut cluster, id, 5);
    let began = cluster.now;
    for _ in 0..20 {
        cluster.publishers[0].publish(id, &["order"]);
    }
    cluster.await_committed(28);
    assert!(cluster.now < began + 200_000_000, "{} ns", cluster.now - began);
}

/// A publisher that no group brings the leader works by unicast, and says so: its groups, or its interface,
/// are wrong.
#[test]
fn a_publisher_whose_groups_bring_nobody_tells_so_and_tells_when_they_do() {
    let (mut cluster, id) = cluster();
    publish(&mut cluster, id, 3);
    cluster.groups_lost = |_, to| to > 100;
    publish(&mut cluster, id, 5);
    cluster.run(100_000);
    let reported = |cluster: &Cluster| {
        let reported = cluster.publishers[0].events.iter().filter_map(|event| match event {
            PublisherEvent::Multicast { lost } => Some(*lost),
            _ => None,
        });
        reported.collect::<Vec<_>>()
    };
    assert_eq!(reported(&cluster), [true]);
    let count = |cluster: &Cluster, counter| cluster.publishers[0].publisher.core.counters.get(counter);
    assert_eq!(
        [Counter::MulticastLost, Counter::ReadsByUnicast].map(|counter| count(&cluster, counter)),
        [1, 1]
    );
    cluster.groups_lost = |_, _| false;
    publish(&mut cluster, id, 5);
    assert_eq!(reported(&cluster), [true, false]);
    assert_eq!(count(&cluster, Counter::ReadsByUnicast), 0);
}

/// A leader whose `timing.heartbeat_interval` is a second is heard once a second: a reader that knows that
/// asks nobody for it, takes no journal instead, and calls no group lost.
#[test]
fn mcast_1_beats_that_are_seldom_by_configuration_are_no_silence() {
    let mut log = Log::begun(3);
    let mut reader =
        Reader::with(Delivery::Stamped, Start::Live, |limits| limits.heartbeat_interval_ns = SECOND);
    let me = Identity { replica: 2_000, incarnation: 5 };
    reader.subscriber.core.set_replay(ReplayLimits::new(Keyring::none(CLUSTER).into(), me, vec![address(8)]));
    reader.hear(&log.frames[1].clone());
    for _ in 0..60 {
        reader.hear(&log.heartbeat());
        for _ in 0..100 {
            reader.wait(SECOND / 100);
            assert!(reader.step().is_none(), "a journal is read");
        }
    }
    assert_eq!((reader.count(Counter::UnicastProbesOut), reader.count(Counter::Replays)), (0, 0));
    assert!(!reader.events.contains(&News::Multicast(true)));
    // Three beats that do not come are silence.
    reader.wait(4 * SECOND);
    assert_eq!(reader.count(Counter::UnicastProbesOut), 1);
}
