//! The stream's time beside the clocks of those who keep it.

use super::replica::{leader, standby};
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_memory::cluster::SoloReplica;
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
    node.replica.poll(node.now + HEARTBEAT, WALL + ahead);
    let open = lockstep_memory::log::open_submission("a", [1, 1], 0);
    node.replica.net_mut().groups.push_back(open);
    node.replica.poll(node.now + 2 * HEARTBEAT, WALL + ahead);
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
