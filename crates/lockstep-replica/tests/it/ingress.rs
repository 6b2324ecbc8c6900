//! Fair ingress: a publisher that floods costs the others nothing.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::proto::window::Window;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::world::*;
use lockstep_wire::*;

/// The publishers of the messages in the leader's log, in order.
fn stamped(cluster: &Cluster) -> Vec<PublisherId> {
    let tail = cluster.replicas[0].tail();
    let mut found = Vec::new();
    let mut span = tail.find(1);
    while let Some(at) = span {
        let entries = tail.frame(at).unwrap().entries();
        let messages = entries.filter(|entry| entry.kind() == EntryKind::Message);
        found.extend(messages.map(|entry| entry.header.publisher));
        span = tail.after(at);
    }
    found
}

/// Hands in messages, each in a datagram of its own.
fn flood(cluster: &mut Cluster, index: usize, id: PublisherId, count: usize) {
    let now = cluster.now;
    let core = &mut cluster.publishers[index].publisher;
    for _ in 0..count {
        if core.core.try_publish(id, 0, b"flood").is_ok() {
            core.flush(now, Wall(now));
        }
    }
}

fn wide(limits: &mut lockstep_core::engine::publisher::PublisherLimits) {
    (limits.window_entries, limits.window_datagrams) = (1_024, 1_024);
}

#[test]
fn ingress_2_whoever_comes_behind_a_flood_is_stamped_behind_one_of_it() {
    // INGRESS-2
    let mut cluster = Cluster::new(1, |_| {});
    let (loud, quiet) = (cluster.add_publisher(wide), cluster.add_publisher(wide));
    let loud_id = cluster.open(loud, "loud", [1, 1]);
    let quiet_id = cluster.open(quiet, "quiet", [2, 2]);
    flood(&mut cluster, loud, loud_id, 14);
    flood(&mut cluster, quiet, quiet_id, 2);
    cluster.run(3);
    let order = stamped(&cluster);
    assert_eq!(order.len(), 16);
    assert_eq!(order[..4], [loud_id, quiet_id, loud_id, quiet_id]);
    assert!(order[4..].iter().all(|id| *id == loud_id), "and its own order stays");
}

/// Turns from handing in to the commit, at the worst, of publishers that hand in one message every other
/// turn, beside one that hands in `flood` datagrams in each turn.
fn worst_turns(per_turn: usize) -> u64 {
    let mut cluster = Cluster::new(3, |_| {});
    let loud = cluster.add_publisher(wide);
    let loud_id = cluster.open(loud, "loud", [1, 1]);
    let quiet: Vec<_> = (0..3)
        .map(|number| {
            let index = cluster.add_publisher(|_| {});
            (index, cluster.open(index, &format!("quiet {number}"), [2, number]))
        })
        .collect();
    let mut worst = 0;
    for _ in 0..100 {
        let began = cluster.now;
        for (index, id) in &quiet {
            cluster.publishers[*index].publish(*id, &["order"]);
        }
        for _ in 0..2 {
            flood(&mut cluster, loud, loud_id, per_turn);
            cluster.run(1);
        }
        let is_drained = |cluster: &Cluster| {
            quiet.iter().all(|(index, _)| cluster.publishers[*index].publisher.core.is_drained())
        };
        assert!(cluster.run_until(is_drained));
        worst = worst.max((cluster.now - began) / TURN_NS);
    }
    worst
}

#[test]
fn ingress_2_a_flood_ten_times_as_large_costs_the_others_no_turn() {
    // INGRESS-2
    let alone = worst_turns(0);
    assert_eq!(worst_turns(10), alone);
}

#[test]
fn ingress_3_a_flood_leaves_room_in_a_scarce_window_and_is_told_so() {
    // INGRESS-3
    let mut cluster = Cluster::new(3, |limits| limits.window = Window { entries: 128, bytes: 100_000 });
    let (loud, quiet) = (cluster.add_publisher(wide), cluster.add_publisher(|_| {}));
    let loud_id = cluster.open(loud, "loud", [1, 1]);
    let quiet_id = cluster.open(quiet, "quiet", [2, 2]);
    // Nothing is committed for a while.
    cluster.lost = |from, _, bytes| matches!(from, 2 | 3) && bytes[5] == Kind::Ack as u8;
    for _ in 0..40 {
        flood(&mut cluster, loud, loud_id, 8);
        cluster.run(1);
    }
    cluster.publishers[quiet].publish(quiet_id, &["order"; 9]);
    cluster.run(10);
    let order = stamped(&cluster);
    let of = |id| order.iter().filter(|other| **other == id).count();
    assert!((64..=64 + 16).contains(&of(loud_id)), "half of the window and a share: {}", of(loud_id));
    assert_eq!(of(quiet_id), 9);
    assert!(cluster.publishers[loud].events.contains(&PublisherEvent::Throttled));
    assert!(!cluster.publishers[quiet].events.contains(&PublisherEvent::Throttled));
    assert!(cluster.replicas[0].core.counters.get(Counter::SubmissionsOverShare) > 0);
    cluster.lost = |_, _, _| false;
    let drained = |cluster: &Cluster| {
        [loud, quiet].iter().all(|index| cluster.publishers[*index].publisher.core.is_drained())
    };
    assert!(cluster.run_until(drained), "and nothing of it is lost");
    assert_eq!(stamped(&cluster).len(), 320 + 9);
    cluster.run(10_000);
    assert_eq!(
        cluster.publishers[loud].events.iter().rev().find(|event| is_throttled(event)),
        Some(&PublisherEvent::Unthrottled)
    );
}

fn is_throttled(event: &PublisherEvent) -> bool {
    matches!(event, PublisherEvent::Throttled | PublisherEvent::Unthrottled)
}
