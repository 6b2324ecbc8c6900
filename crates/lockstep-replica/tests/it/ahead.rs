//! Readers that have read what the cluster no longer has: an alarm, and no silent waiting.

use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_core::proto::log::LogEnd;
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

type Replica = lockstep_replica::replica::ReplicaEngine<lockstep_memory::world::MemoryPorts>;

/// Three replicas, of which the first leads, and what readers and operators say to them.
struct Queried(Cluster);

impl Queried {
    fn new() -> Self {
        let mut cluster = Cluster::new(3, |_| {});
        cluster.run(500);
        Self(cluster)
    }

    fn end(&self) -> LogEnd {
        self.0.replicas[0].tail().end()
    }

    /// A reader on host `from` has read up to `commit_next` in `epoch`; which replicas note it.
    fn says(&mut self, from: u32, epoch: Epoch, commit_next: Seq) -> Vec<bool> {
        let header = Header {
            cluster: CLUSTER,
            history: HISTORY,
            epoch: epoch.0,
            commit_next,
            ..Header::new(Kind::Query)
        };
        self.tell(from, header, QueryKind::Node, "");
        self.noted()
    }

    fn tell(&mut self, from: u32, header: Header, query_kind: QueryKind, name: &str) {
        let query = written(|out| write_query(out, &Keyring::none(CLUSTER), header, 0, query_kind, name));
        for replica in &mut self.0.replicas {
            replica.net_mut().unicast.push_back((query.clone(), Some(address(from))));
        }
        self.0.run(100);
    }

    /// An operator acknowledges that a reader has read up to `a`.
    fn acknowledges(&mut self, a: Seq) -> Vec<bool> {
        let name = Acknowledgement { condition: Condition::ReaderAhead, a }.to_string();
        let header = Header { cluster: CLUSTER, history: HISTORY, ..Header::new(Kind::Query) };
        self.tell(40, header, QueryKind::Acknowledge, &name);
        self.noted()
    }

    fn noted(&self) -> Vec<bool> {
        let holds = |replica: &Replica| replica.core.conditions.holds(Condition::ReaderAhead);
        self.0.replicas.iter().map(holds).collect()
    }

    /// The two numbers of the leader's condition.
    fn numbers(&self) -> Option<(Seq, ReadersAheadNumber)> {
        let numbers = self.0.replicas[0].core.conditions.numbers(Condition::ReaderAhead);
        numbers.map(|(a, b)| (a, ReadersAheadNumber::unpacked(b)))
    }
}

/// Replicas that a reader ahead tells of itself: the leader raises the alarm.
#[test]
fn a_leader_reports_a_reader_that_has_read_more_than_it_has_with_its_address() {
    let mut queried = Queried::new();
    let end = queried.end();
    assert_eq!(queried.says(9, end.epoch, end.next), [false; 3], "it has read everything");
    let later = Epoch::new(end.epoch.round() + 1, identity(2));
    assert_eq!(queried.says(9, later, end.next + 5), [false; 3], "there may be a later leader, which has it");
    assert_eq!(queried.says(9, end.epoch, end.next + 1), [true, false, false], "only who leads knows");
    let newest = address(9);
    assert_eq!(queried.numbers(), Some((end.next, ReadersAheadNumber { addresses: 1, newest })));
}

#[test]
fn an_operator_acknowledges_what_a_reader_said_and_not_what_was_said_later() {
    let mut queried = Queried::new();
    let end = queried.end();
    queried.says(9, end.epoch, end.next + 9);
    let shown = end.next + 8;
    queried.says(10, end.epoch, end.next + 20);
    assert_eq!(queried.acknowledges(shown), [true, false, false], "another one has said more since");
    assert_eq!(queried.numbers().map(|(_, number)| number.addresses), Some(2));
    assert_eq!(queried.acknowledges(end.next + 19), [false; 3]);
    assert_eq!(queried.acknowledges(end.next + 19), [false; 3], "it may be repeated");
    assert_eq!(queried.says(9, end.epoch, end.next + 9), [true, false, false], "it is said again");
    assert_eq!(queried.numbers().map(|(_, number)| number.addresses), Some(1), "it counts anew");
}

/// Ten minutes in which nothing else happens: the leader alone looks.
#[test]
fn what_one_address_said_ends_ten_minutes_after_it_was_said_last_and_what_two_said_does_not() {
    for addresses in [1, 2] {
        let mut queried = Queried::new();
        let end = queried.end();
        for host in 9..9 + addresses {
            queried.says(host, end.epoch, end.next + 9);
        }
        let leader = &mut queried.0.replicas[0];
        assert!(leader.core.conditions.holds(Condition::ReaderAhead));
        let later = queried.0.now + 601_000 * MS;
        leader.poll(later, Wall(later));
        assert_eq!(leader.core.conditions.holds(Condition::ReaderAhead), addresses > 1);
    }
}
