//! A node that has nothing to do sleeps: how often each role wants to be called though nothing arrives.

use super::replica::{blank, leader, standby};
use lockstep_core::engine::event::Role;
use lockstep_core::engine::ports::PARK_NS_MAX;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::Log;
use lockstep_memory::world::*;
use lockstep_wire::*;

/// A leader beats this often in these tests.
const HEARTBEAT_INTERVAL_NS: Nanos = 500_000;
/// The ladder behind the last datagram, a stop's look.
const FEW: u64 = 8;

/// Calls the node whenever it wants to be called, for `lasting`, and lets it hear what `hears` says at each
/// beat. Returns how often it woke by itself.
fn wakes(node: &mut SoloReplica, lasting: Nanos, mut hears: impl FnMut() -> Vec<Vec<u8>>) -> u64 {
    node.poll();
    let (begun, mut heartbeat_at, mut wakes) = (node.now, node.now, 0);
    while node.now < begun + lasting {
        let due = node.replica.next_deadline();
        assert!(due > node.now, "a deadline of the past: {due} at {}", node.now);
        let received = hears_at(&mut heartbeat_at, due.min(node.now + PARK_NS_MAX), &mut hears);
        node.now = match received {
            Some((at, bytes)) => {
                node.replica.net_mut().groups.extend(bytes);
                at
            }
            None => {
                wakes += 1;
                due.min(node.now + PARK_NS_MAX)
            }
        };
        node.replica.poll(node.now, Wall(node.now + 1_700_000_000_000_000_000));
        node.flush();
        sent(node.replica.net_mut());
    }
    wakes
}

/// The datagrams that are received before `due`.
fn hears_at(
    heartbeat_at: &mut Nanos,
    due: Nanos,
    hears: &mut impl FnMut() -> Vec<Vec<u8>>,
) -> Option<(Nanos, Vec<Vec<u8>>)> {
    let at = *heartbeat_at + HEARTBEAT_INTERVAL_NS;
    if at > due {
        return None;
    }
    *heartbeat_at = at;
    let received = hears();
    (!received.is_empty()).then_some((at, received))
}

const SECOND: Nanos = 1_000_000_000;
const HEARTBEATS: u64 = SECOND / HEARTBEAT_INTERVAL_NS;

fn nothing() -> Vec<Vec<u8>> {
    Vec::new()
}

#[test]
fn a_leader_that_has_nothing_to_stamp_wakes_once_a_beat() {
    let mut node = leader(1, |_| {});
    let woken = wakes(&mut node, SECOND, nothing);
    assert!((HEARTBEATS - 1..=HEARTBEATS + FEW).contains(&woken), "{woken} in {HEARTBEATS} beats");
}

#[test]
fn a_leader_whose_journal_has_no_room_for_its_start_does_not_spin() {
    let mut limits = replica_limits(1, 1);
    limits.durability = lockstep_core::proto::commit::Durability::Power;
    let mut node = SoloReplica::new(start(born_tail(1, 1, 256 << 10), limits).unwrap());
    // Its promise never reaches the device.
    node.poll();
    let mut woken = 0;
    while node.now < SECOND {
        let due = node.replica.next_deadline();
        assert!(due > node.now, "a deadline of the past: {due} at {}", node.now);
        node.now = due;
        node.replica.poll(node.now, Wall(node.now));
        woken += 1;
    }
    assert_eq!((node.replica.role(), node.next()), (Role::Leader, 2));
    assert!(woken <= HEARTBEATS + FEW, "{woken} in {HEARTBEATS} beats");
}

#[test]
fn a_standby_wakes_once_a_beat_whether_it_hears_its_leader_or_not() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    let woken = wakes(&mut node, SECOND, || vec![log.heartbeat()]);
    assert!(woken <= HEARTBEATS + FEW, "{woken} in {HEARTBEATS} beats");
    let mut alone = standby(&Log::begun(3), |_| {});
    let woken = wakes(&mut alone, SECOND, nothing);
    // It asks who misses the leader too, once a beat.
    assert!(woken <= 3 * HEARTBEATS + FEW, "{woken} in {HEARTBEATS} beats");
}

#[test]
fn a_learner_and_an_archiver_sleep_until_somebody_speaks() {
    let mut log = Log::begun(1);
    let mut node = blank(|_| {});
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    assert_eq!(node.replica.role(), Role::Learner);
    let woken = wakes(&mut node, SECOND, || vec![log.heartbeat()]);
    assert!(woken <= FEW, "{woken} while its leader beats");
    let woken = wakes(&mut node, SECOND, nothing);
    assert!(woken <= SECOND / PARK_NS_MAX + 16 * FEW, "{woken} while nobody speaks");
}

#[test]
fn a_witness_that_misses_its_leader_does_not_spin() {
    let mut log = Log::begun(2);
    let _ = log.begin(
        epoch(2, 1),
        &[MemberBody::full(identity(1), address(1)), MemberBody::witness(identity(2), address(2))],
    );
    let mut node = blank(|_| {});
    node.hear(&log.frames[1..3]);
    node.ask(1, log.repair(0, 1, 4));
    for frame in 1..3 {
        node.ask(1, log.repair(frame, 1, 4));
    }
    assert!(node.replica.core.is_witness(), "{}", node.replica.role().name());
    let woken = wakes(&mut node, SECOND, nothing);
    assert!(woken <= HEARTBEATS + 16 * FEW, "{woken} in {HEARTBEATS} beats");
}

#[test]
fn a_blank_node_that_hears_nobody_wakes_once_a_beat() {
    let mut node = blank(|_| {});
    let woken = wakes(&mut node, SECOND, nothing);
    assert!(woken <= HEARTBEATS + FEW, "{woken} in {HEARTBEATS} beats");
}
