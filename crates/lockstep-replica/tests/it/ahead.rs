//! Readers that have read what the cluster no longer has: an alarm, and no silent waiting.

use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::log::{Log, written};
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

const MS: Nanos = 1_000_000;

/// The leader's heartbeats for this long, one each ten milliseconds.
fn hear_for(reader: &mut Reader, log: &mut Log, ms: u64) {
    for _ in 0..ms / 10 {
        reader.hear(&log.heartbeat());
        reader.wait(10 * MS);
    }
}

/// A log of birth, epoch start and two messages: it ends with seq 4.
fn log() -> Log {
    let mut log = Log::begun(3);
    log.push(&["a", "b"]);
    log.commit_next = log.end.next;
    log
}

#[test]
fn a_cursor_ahead_of_the_leaders_log_ends_the_subscription_with_both_numbers() {
    for delivery in [Delivery::Committed, Delivery::Stamped] {
        let mut log = log();
        let cursor = Cursor { history: HISTORY, seq: 9, chain: 7 };
        let mut reader = Reader::new(delivery, Start::Cursor(cursor));
        hear_for(&mut reader, &mut log, 900);
        assert!(!reader.subscriber.core.is_ended(), "a leader that begins may be late: {:?}", reader.events);
        hear_for(&mut reader, &mut log, 300);
        assert_eq!(reader.events.last(), Some(&News::Ahead(9, 5)), "{:?}", reader.events);
        assert!(reader.subscriber.core.is_ended());
        hear_for(&mut reader, &mut log, 3_000);
        assert_eq!(
            reader.events.iter().filter(|event| matches!(event, News::Ahead(..))).count(),
            1,
            "told once"
        );
    }
}

#[test]
fn a_reader_at_the_end_of_the_leaders_log_waits() {
    let mut log = log();
    let cursor = Cursor { history: HISTORY, seq: log.end.next, chain: log.end.chain };
    let mut reader = Reader::new(Delivery::Committed, Start::Cursor(cursor));
    hear_for(&mut reader, &mut log, 5_000);
    assert!(!reader.subscriber.core.is_ended(), "{:?}", reader.events);
}

/// A subscription that shall begin later than the stream's end is not ahead: it has read nothing.
#[test]
fn a_beginning_that_is_yet_to_come_is_waited_for() {
    let mut log = log();
    let mut reader = Reader::new(Delivery::Committed, Start::From(9));
    hear_for(&mut reader, &mut log, 5_000);
    assert!(!reader.subscriber.core.is_ended(), "{:?}", reader.events);
}

/// What a replica that lags says of its own log is no word on the stream.
#[test]
fn what_a_lagging_standby_says_is_no_alarm() {
    let mut log = log();
    let cursor = Cursor { history: HISTORY, seq: log.end.next, chain: log.end.chain };
    let mut reader = Reader::new(Delivery::Committed, Start::Cursor(cursor));
    for _ in 0..300 {
        reader.hear(&log.heartbeat());
        reader.hear(&log.ack(2, 2));
        reader.repair(log.answer(3, 0, RepairReject::Ahead, 1));
        reader.wait(10 * MS);
    }
    assert!(!reader.subscriber.core.is_ended(), "{:?}", reader.events);
}

/// Replicas that a reader ahead tells of itself: the leader raises the alarm.
#[test]
fn a_leader_reports_a_reader_that_has_read_more_than_it_has() {
    let mut cluster = Cluster::new(3, |_| {});
    cluster.run(500);
    let end = cluster.replicas[0].tail().end();
    let holds = |cluster: &Cluster| {
        let holds = |replica: &lockstep_replica::replica::ReplicaEngine<MemoryPorts>| {
            replica.core.conditions.holds(Condition::ReaderAhead)
        };
        cluster.replicas.iter().map(holds).collect::<Vec<_>>()
    };
    let mut ask = |epoch: Epoch, commit_next: Seq| {
        let header = Header {
            cluster: CLUSTER,
            history: HISTORY,
            epoch: epoch.0,
            commit_next,
            ..Header::new(Kind::Query)
        };
        let query = written(|out| write_query(out, &Keyring::none(CLUSTER), header, 0, QueryKind::Node, ""));
        for replica in &mut cluster.replicas {
            replica.net_mut().unicast.push_back((query.clone(), Some(address(9))));
        }
        cluster.run(100);
        holds(&cluster)
    };
    assert_eq!(ask(end.epoch, end.next), [false; 3], "it has read everything");
    let later = Epoch::new(end.epoch.round() + 1, identity(2));
    assert_eq!(ask(later, end.next + 5), [false; 3], "there may be a later leader, which has it");
    assert_eq!(ask(end.epoch, end.next + 1), [true, false, false], "only who leads knows");
}
