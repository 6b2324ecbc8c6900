//! What a leader knows of its members, and what a standby says that missed its leader for nothing.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::proto::redundancy::UnavailableReason;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::world::*;
use lockstep_wire::*;

fn cluster() -> (Cluster, PublisherId) {
    let mut cluster = Cluster::new(3, |_| {});
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.run(500);
    (cluster, id)
}

/// One message each millisecond for this long.
fn publish_for(cluster: &mut Cluster, id: PublisherId, ms: u32) {
    for _ in 0..ms {
        cluster.publishers[0].publish(id, &["order"]);
        cluster.run(100);
    }
}

/// A member, and why it is away.
type Members = Vec<(u32, Option<UnavailableReason>)>;
/// Whether redundancy is lost, and how many members are there of how many.
type Redundancy = Vec<(bool, u64, u64)>;

/// What replica 1 told of its members, and of redundancy.
fn reported(cluster: &mut Cluster) -> (Members, Redundancy) {
    let (mut members, mut redundancy) = (vec![], vec![]);
    while let Some(event) = cluster.replicas[0].core.events.pop() {
        match event {
            ReplicaEvent::Member { identity, unavailable, .. } => {
                members.push((identity.replica, unavailable))
            }
            ReplicaEvent::Condition { condition: Condition::RedundancyLost, holds, a, b, .. } => {
                redundancy.push((holds, a, b));
            }
            _ => {}
        }
    }
    (members, redundancy)
}

#[test]
fn a_leader_tells_once_that_a_member_is_gone_and_once_that_it_is_back() {
    let (mut cluster, id) = cluster();
    publish_for(&mut cluster, id, 400);
    assert_eq!(reported(&mut cluster), (vec![], vec![]), "all are there");
    cluster.dead = vec![3];
    publish_for(&mut cluster, id, 1_000);
    assert_eq!(reported(&mut cluster), (vec![(3, Some(UnavailableReason::Silent))], vec![(true, 2, 3)]));
    let counted = |cluster: &Cluster, counter| cluster.replicas[0].core.counters.get(counter);
    assert_eq!(counted(&cluster, Counter::MembersAvailable), 2);
    cluster.dead.clear();
    publish_for(&mut cluster, id, 1_000);
    assert_eq!(reported(&mut cluster), (vec![(3, None)], vec![(false, 3, 3)]));
    assert_eq!(
        (counted(&cluster, Counter::MembersAvailable), counted(&cluster, Counter::MembersUnavailable)),
        (3, 1)
    );
}

#[test]
fn a_member_whose_journal_is_full_is_heard_and_does_not_count() {
    let (mut cluster, id) = cluster();
    publish_for(&mut cluster, id, 400);
    reported(&mut cluster);
    // It hears, and nothing of the log reaches it.
    cluster.lost = |_, to, bytes| to == 3 && bytes[5] == Kind::Frame as u8;
    publish_for(&mut cluster, id, 1_500);
    assert_eq!(reported(&mut cluster), (vec![(3, Some(UnavailableReason::Behind))], vec![(true, 2, 3)]));
    cluster.lost = |_, _, _| false;
    publish_for(&mut cluster, id, 1_500);
    assert_eq!(reported(&mut cluster), (vec![(3, None)], vec![(false, 3, 3)]));
}

#[test]
fn who_leads_no_more_says_nothing_of_redundancy() {
    let (mut cluster, id) = cluster();
    cluster.dead = vec![3];
    publish_for(&mut cluster, id, 600);
    assert!(cluster.replicas[0].core.conditions.holds(Condition::RedundancyLost));
    cluster.dead.clear();
    cluster.run(1_000);
    let now = cluster.now;
    assert!(cluster.replicas[0].start_handover(now, Some(identity(2))));
    assert!(cluster.run_until(|cluster| cluster.replicas[1].role() == Role::Leader));
    assert!(!cluster.replicas[0].core.conditions.holds(Condition::RedundancyLost));
    cluster.run(100_000);
    assert!(!cluster.replicas[1].core.conditions.holds(Condition::RedundancyLost), "all are there");
}

#[test]
fn a_standby_that_was_cut_off_tells_that_its_leader_is_heard_again() {
    let (mut cluster, id) = cluster();
    publish_for(&mut cluster, id, 50);
    while cluster.replicas[2].core.events.pop().is_some() {}
    cluster.lost = |from, to, _| from == 3 || to == 3;
    publish_for(&mut cluster, id, 100);
    cluster.lost = |_, _, _| false;
    publish_for(&mut cluster, id, 100);
    let events: Vec<_> = std::iter::from_fn(|| cluster.replicas[2].core.events.pop()).collect();
    let missed = events.iter().filter(|event| matches!(event, ReplicaEvent::LeaderSuspected { .. })).count();
    let is_return = |event: &&ReplicaEvent| matches!(event, ReplicaEvent::LeaderReturned { lasted, .. } if *lasted > 80_000_000);
    assert_eq!((missed, events.iter().filter(is_return).count()), (1, 1), "{events:?}");
    assert_eq!(cluster.replicas[0].role(), Role::Leader, "nobody took over");
}
