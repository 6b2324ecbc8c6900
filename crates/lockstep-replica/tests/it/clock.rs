//! The stream's time beside the clocks of those who keep it.

use super::replica::{leader, standby};
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_memory::cluster::{Cluster, SoloReplica};
use lockstep_memory::log::Log;
use lockstep_wire::*;

const WALL: Nanos = 1_700_000_000_000_000_000;
const HOUR: Nanos = 3_600_000_000_000;
const HEARTBEAT: Nanos = 1_000_000;

/// What was told of the clock: whether it is ahead, by how much, and whether the stream's time stands still.
fn clock_events(node: &mut SoloReplica) -> Vec<(bool, Nanos, u64)> {
    let clock_events = node.events().into_iter().filter_map(|event| match event {
        ReplicaEvent::Condition { condition: Condition::ClockAhead, holds, a, b, .. } => Some((holds, a, b)),
        _ => None,
    });
    clock_events.collect()
}

#[test]
fn a_leader_whose_clock_is_far_ahead_is_told_by_its_standbys_until_their_clocks_are_past_it() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    let wall = WALL + node.now;
    node.hear(&[log.heartbeat_with(|header, _| header.timestamp = wall + HOUR)]);
    let begun = clock_events(&mut node);
    assert!(
        matches!(begun[..], [(true, ahead, 0)] if (HOUR - HEARTBEAT..=HOUR).contains(&ahead)),
        "{begun:?}"
    );
    node.hear(&[log.heartbeat_with(|header, _| header.timestamp = wall + HOUR + 5)]);
    assert!(clock_events(&mut node).is_empty(), "once");
    node.now += HOUR;
    node.hear(&[log.heartbeat_with(|header, _| header.timestamp = wall + HOUR + 5)]);
    assert!(matches!(clock_events(&mut node)[..], [(false, ..)]));
}

#[test]
fn a_stamp_of_the_future_is_told_though_its_leader_is_gone() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    log.end.timestamp = WALL + node.now + HOUR;
    node.hear(&[log.push(&["a"])]);
    assert!(matches!(clock_events(&mut node)[..], [(true, ahead, 0)] if ahead > HOUR - HEARTBEAT));
}

#[test]
fn clocks_that_differ_by_less_than_a_tenth_of_a_second_are_no_news() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    for step in 0..100 {
        let wall = WALL + node.now;
        node.hear(&[log.heartbeat_with(|header, _| header.timestamp = wall + step * HEARTBEAT - HEARTBEAT)]);
    }
    assert!(clock_events(&mut node).is_empty());
}

#[test]
fn a_leader_behind_the_streams_time_tells_that_it_stands_still_and_for_how_long() {
    let mut node = leader(1, |_| {});
    let ahead = node.now + 2 * HOUR;
    node.replica.poll(node.now + HEARTBEAT, Wall(WALL + ahead));
    let open = lockstep_memory::log::open_submission("a", [1, 1], 0);
    node.replica.net_mut().groups.push_back(open);
    node.replica.poll(node.now + 2 * HEARTBEAT, Wall(WALL + ahead));
    node.now += 3 * HEARTBEAT;
    node.events();
    // Its clock was set right.
    node.wait(HEARTBEAT);
    let begun = clock_events(&mut node);
    assert!(matches!(begun[..], [(true, left, 1)] if left > HOUR), "{begun:?}");
    node.now += 2 * HOUR;
    node.wait(HEARTBEAT);
    assert!(matches!(clock_events(&mut node)[..], [(false, ..)]));
}

/// The stream's time in a history that was born under these clocks, less the right time: behind its first
/// message, which is returned with it.
fn first_time(members: u32, ahead: &[(u32, i64)]) -> (Seq, i64) {
    let mut cluster = Cluster::new(members, |_| {});
    cluster.ahead = ahead.to_vec();
    let index = cluster.add_publisher(|_| {});
    let id = cluster.open(index, "orders", [1, 1]);
    cluster.publishers[index].publish(id, &["a"]);
    cluster.await_committed(1);
    let end = cluster.replicas[0].tail().end();
    (end.next - 1, end.timestamp.wrapping_sub(WALL + cluster.now) as i64)
}

#[test]
fn clock_1_a_history_begins_with_the_time_of_a_quorum_whatever_the_clock_of_its_founder_shows() {
    let (hour, day, tolerance) = (HOUR as i64, 24 * HOUR as i64, 100_000_000);
    for wrong in [hour, day, 15 * 365 * day, -hour, -day] {
        let one = [[(1, wrong)], [(2, wrong)], [(3, wrong)]];
        for ahead in one {
            let (seq, off) = first_time(3, &ahead);
            assert!(seq == 4 && off.abs() < tolerance, "{ahead:?}: {seq} is stamped {off} ns off");
        }
        let (_, off) = first_time(5, &[(1, wrong), (4, wrong)]);
        assert!(off.abs() < tolerance, "two of five by {wrong}: {off} ns off");
        let (_, off) = first_time(3, &[1, 2, 3].map(|number| (number, wrong)));
        assert!((off - wrong).abs() < tolerance, "all by {wrong}: {off} ns off");
        let (_, off) = first_time(1, &[(1, wrong)]);
        assert!((off - wrong).abs() < tolerance, "one member is a quorum by itself");
    }
}

#[test]
fn clock_1_what_is_submitted_before_a_quorum_shows_its_clocks_is_stamped_when_it_does() {
    let mut cluster = Cluster::new(3, |_| {});
    cluster.dead = vec![2, 3];
    let index = cluster.add_publisher(|_| {});
    cluster.publishers[index].publisher.core.open("orders", [1, 1]);
    cluster.run(2_000);
    let end = cluster.replicas[0].tail().end();
    assert_eq!((end.next, end.timestamp), (3, 0), "the birth and the start of the epoch, without a time");
    cluster.dead = vec![3];
    assert!(
        cluster.run_until(|cluster| cluster.replicas[0].core.commit_next() == 4),
        "the open is committed"
    );
    let end = cluster.replicas[0].tail().end();
    assert!(end.timestamp > WALL, "the open has a time: {end:?}");
}
