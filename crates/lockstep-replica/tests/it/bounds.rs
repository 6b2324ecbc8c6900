//! The bounds of what is believed of others: how far a word may reach, and whose it must be.

use super::replica::{leader, standby};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::receiver::UNLED_NS;
use lockstep_core::proto::rounds::JUMP_MAX;
use lockstep_memory::log::{Log, written};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// A ballot of replica `from` as a datagram; its log is that of `log`.
fn ballot(log: &Log, kind: Kind, from: u32, ballot: Epoch) -> Vec<u8> {
    let body = BallotBody { process_nonce: u64::from(from), ballot: ballot.0, about: 0 };
    written(|out| write_ballot(out, &Keyring::none(CLUSTER), log.header(kind, identity(from)), body))
}

/// A log with a window, as a leader's start says it.
fn log() -> Log {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    log
}

/// GAP-3.
#[test]
fn an_ack_of_whom_nobody_lists_tells_nothing_of_the_stream() {
    let mut log = log();
    let mut node = standby(&log, |_| {});
    let far = log.end.next + 10;
    node.hear(&[log.ack(9, far)]);
    assert!(requests_in(&node.wait(1_000_000)).is_empty(), "nothing is missing by a stranger's word");
    assert_eq!(node.count(Counter::AcksUnlisted), 1);
    node.hear(&[log.ack(3, far)]);
    let requests = requests_in(&node.wait(1_000_000));
    assert_eq!(requests[0].ranges, [(log.end.next, far)], "a member's word is believed");
    assert_eq!(node.count(Counter::AcksUnlisted), 1);
}

/// GAP-3: this node's log is old, and of those who hold more it lists nobody (seed 90552211).
#[test]
fn where_no_leader_is_heard_an_ack_of_whom_nobody_lists_tells_of_the_next_entry_alone() {
    for is_of_later_epoch in [false, true] {
        let mut log = log();
        let mut node = standby(&log, |_| {});
        let (next, far) = (log.end.next, log.end.next + 10);
        let ack = log.ack_with(9, far, |header, _| {
            if is_of_later_epoch {
                header.epoch = epoch(7, 9).0;
            }
        });
        node.hear(&[log.heartbeat(), ack.clone()]);
        assert!(requests_in(&node.wait(1_000_000)).is_empty(), "a leader tells more");
        let sent: Vec<_> = (0..UNLED_NS / 1_000_000).flat_map(|_| node.wait(1_000_000)).collect();
        assert!(requests_in(&sent).is_empty(), "it was heard just now");
        node.hear(&[ack]);
        let sent: Vec<_> = (0..2 * UNLED_NS / 1_000_000).flat_map(|_| node.wait(1_000_000)).collect();
        let requests = requests_in(&sent);
        assert!(!requests.is_empty(), "nobody else tells of it");
        assert!(requests.iter().all(|request| request.ranges == [(next, next + 1)]), "{requests:?}");
    }
}

/// GAP-3.
#[test]
fn nobody_tells_of_more_than_the_window_allows() {
    let mut log = log();
    let mut node = standby(&log, |_| {});
    let impossible = 1 << 40;
    node.hear(&[log.ack(3, impossible)]);
    let mut long = log.clone();
    long.end.next = impossible;
    node.hear(&[ballot(&long, Kind::PreVote, 3, epoch(2, 3))]);
    node.hear(&[log.heartbeat_with(|header, _| header.first_seq = impossible)]);
    assert!(requests_in(&node.wait(1_000_000)).is_empty());
    assert_eq!(node.count(Counter::BoundsRefused), 3);
    assert!(!node.replica.has_pending_work(), "and nothing is waited for");
}

#[test]
fn an_ack_of_a_later_epoch_deposes_nobody_if_nobody_lists_its_sender() {
    let log = log();
    let mut node = leader(3, |_| {});
    let later = |header: &mut Header, _: &mut AckBody| header.epoch = epoch(7, 9).0;
    node.hear(&[log.clone().ack_with(9, 1, later)]);
    assert_eq!((node.replica.role(), node.count(Counter::AcksUnlisted)), (Role::Leader, 2));
    node.hear(&[log.clone().ack_with(2, 1, later)]);
    assert_eq!(node.replica.role(), Role::Standby);
}

/// ELECT-2.
#[test]
fn a_ballot_far_above_all_rounds_is_refused_named_once_and_uses_up_nothing() {
    let log = log();
    let mut node = standby(&log, |_| {});
    let last = epoch(ROUND_MAX, 3);
    for _ in 0..100 {
        let sent = node.hear(&[ballot(&log, Kind::Prepare, 3, last)]);
        let promised = sent.iter().any(|(_, bytes)| bytes[5] == Kind::Promise as u8);
        assert!(!promised, "a promise of the last round ends the history");
    }
    assert_eq!(node.replica.tail().promised(), epoch(1, 1));
    assert_eq!(node.count(Counter::RoundsRefused), 100);
    let named = node.events().into_iter().filter(|event| matches!(event, ReplicaEvent::RoundRefused { .. }));
    assert_eq!(named.collect::<Vec<_>>(), [ReplicaEvent::RoundRefused { epoch: last, seen: 1 }]);
    // The next leader needs no more rounds than it took steps.
    let sent = node.hear(&[ballot(&log, Kind::Prepare, 3, epoch(JUMP_MAX + 2, 3))]);
    assert!(sent.iter().any(|(_, bytes)| bytes[5] == Kind::Promise as u8));
}

#[test]
fn a_header_far_above_all_rounds_is_no_base_for_a_ballot() {
    let mut log = log();
    let mut node = standby(&log, |_| {});
    let mut far = log.clone();
    far.epoch = epoch(ROUND_MAX, 3);
    node.hear(&[ballot(&far, Kind::PreVote, 3, epoch(2, 3))]);
    node.hear(&[log.ack_with(3, 3, |header, _| header.epoch = epoch(ROUND_MAX, 3).0)]);
    assert_eq!(node.count(Counter::RoundsRefused), 2);
    // The leader is gone: this node asks for promises in a round that is left.
    let mut asked = Vec::new();
    for _ in 0..4_000 {
        let sent = node.hear(&[ballot(&log, Kind::Grant, 3, epoch(JUMP_MAX + 2, 2))]);
        asked.extend(sent.into_iter().filter(|(_, bytes)| bytes[5] == Kind::Prepare as u8));
    }
    let Some((_, bytes)) = asked.first() else { panic!("nobody is asked for a promise") };
    let Ok(Datagram::Prepare(_, body)) = Datagram::decode(bytes, &Keyring::none(CLUSTER)) else {
        panic!("a ballot")
    };
    assert!(Epoch(body.ballot).round() <= JUMP_MAX + 2, "{}", Epoch(body.ballot));
}

/// ELECT-2.
#[test]
fn who_was_away_climbs_to_the_rounds_of_the_others_and_promises() {
    let log = log();
    let mut node = standby(&log, |_| {});
    let far = epoch(5 * JUMP_MAX, 3);
    let mut promised = false;
    for _ in 0..600 {
        node.now += 10_000_000;
        let sent = node.hear(&[ballot(&log, Kind::Prepare, 3, far)]);
        promised |= sent.iter().any(|(_, bytes)| bytes[5] == Kind::Promise as u8);
    }
    assert!(promised && node.replica.tail().promised() == far);
}
