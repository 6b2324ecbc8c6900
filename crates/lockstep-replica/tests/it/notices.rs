//! What a publisher is told beside its fates: what the leader misses, whether it takes anything, and what
//! stands under its numbers.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::proto::window::Window;
use lockstep_memory::cluster::Cluster;
use lockstep_wire::*;

const A: [u64; 2] = [1, 1];
const B: [u64; 2] = [2, 2];

fn count(cluster: &Cluster, index: usize, counter: Counter) -> u64 {
    cluster.publishers[index].publisher.core.counters.get(counter)
}

#[test]
fn ingress_1_a_lost_submission_is_missed_by_the_leader_and_sent_again_long_before_its_time() {
    // INGRESS-1
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|limits| limits.resend_ns_min = 4_000_000);
    let id = cluster.open(publisher, "orders", A);
    cluster.publishers[publisher].publish(id, &["before"]);
    cluster.drain(publisher);
    cluster.lost = |from, to, _| from == 101 && to == 1;
    cluster.publishers[publisher].publish(id, &["lost"]);
    cluster.run(1);
    cluster.lost = |_, _, _| false;
    cluster.publishers[publisher].publish(id, &["behind it"]);
    // 120 µs instead of 4 ms.
    cluster.run(12);
    assert!(cluster.publishers[publisher].publisher.core.is_drained());
    assert_eq!(count(&cluster, publisher, Counter::Resends), 1, "only what was missing");
    assert_eq!(count(&cluster, publisher, Counter::NoticesIn), 1);
    assert_eq!(cluster.replicas[0].core.counters.get(Counter::NoticesOut), 1);
}

#[test]
fn ingress_1_what_a_dead_publisher_never_sends_is_not_asked_for_for_ever() {
    // INGRESS-1
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", A);
    cluster.lost = |from, to, _| from == 101 && to == 1;
    cluster.publishers[publisher].publish(id, &["lost"]);
    cluster.run(1);
    cluster.lost = |_, _, _| false;
    cluster.publishers[publisher].publish(id, &["behind it"]);
    cluster.run(1);
    // Nothing more is heard of the process.
    cluster.lost = |from, _, _| from == 101;
    cluster.run(100_000);
    let notices = cluster.replicas[0].core.counters.get(Counter::NoticesOut);
    assert!((2..=6).contains(&notices), "{notices}");
}

#[test]
fn what_is_stamped_is_not_sent_again_while_its_commit_waits() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", A);
    let before = count(&cluster, publisher, Counter::Resends);
    cluster.lost = |from, _, bytes| matches!(from, 2 | 3) && bytes[5] == Kind::Ack as u8;
    cluster.publishers[publisher].publish(id, &["a", "b"]);
    cluster.run(1_000);
    assert!(!cluster.publishers[publisher].publisher.core.is_drained());
    assert_eq!(count(&cluster, publisher, Counter::Resends), before);
}

#[test]
fn a_full_window_is_told_before_the_next_beat_and_so_is_that_it_takes_again() {
    let mut cluster = Cluster::new(3, |limits| {
        limits.window = Window { entries: 6, bytes: 100_000 };
        limits.heartbeat.interval_ns = 50_000_000;
        limits.failure_detector.timeout_ns = 500_000_000;
        limits.failure_detector.timeout_ns_max = 500_000_000;
    });
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", A);
    // The ladder behind the last frame is over: the next beat is far away.
    cluster.run(100);
    cluster.publishers[publisher].events.clear();
    cluster.lost = |from, _, bytes| matches!(from, 2 | 3) && bytes[5] == Kind::Ack as u8;
    cluster.publishers[publisher].publish(id, &["a"; 9]);
    cluster.run(10);
    assert!(cluster.publishers[publisher].events.contains(&PublisherEvent::Throttled));
    cluster.lost = |_, _, _| false;
    cluster.drain(publisher);
    cluster.run(10_000);
    assert!(cluster.publishers[publisher].events.contains(&PublisherEvent::Unthrottled));
    assert_eq!(cluster.publishers[publisher].committed().len(), 9);
}

#[test]
fn a_copy_that_publishes_something_else_under_a_number_is_told_so() {
    // In the window while the other one is stamped, and handed in behind it.
    for turns in [0, 50] {
        let mut cluster = Cluster::new(3, |_| {});
        let (left, right) = (cluster.add_publisher(|_| {}), cluster.add_publisher(|_| {}));
        let id = cluster.open(left, "twins", A);
        assert_eq!(cluster.open(right, "twins", A), id);
        cluster.publishers[left].publish(id, &["same", "buy 100", "same"]);
        cluster.run(turns);
        cluster.publishers[right].publish(id, &["same", "buy 101", "same"]);
        cluster.drain(left);
        cluster.drain(right);
        assert_eq!(count(&cluster, left, Counter::Divergences), 0);
        assert_eq!(count(&cluster, right, Counter::Divergences), 1);
        let events = &cluster.publishers[right].events;
        let at = events.iter().position(|event| matches!(event, PublisherEvent::Diverged { .. })).unwrap();
        let PublisherEvent::Diverged { publisher, publisher_seq, seq } = events[at] else { unreachable!() };
        assert_eq!((publisher, publisher_seq), (id, 2));
        assert_eq!(events[at + 1], PublisherEvent::Committed { publisher, publisher_seq, seq });
    }
}

#[test]
fn a_process_that_begins_anew_is_told_the_last_number_that_is_committed() {
    let mut cluster = Cluster::new(3, |_| {});
    let (old, new) = (cluster.add_publisher(|_| {}), cluster.add_publisher(|_| {}));
    let id = cluster.open(old, "orders", A);
    cluster.publishers[old].publish(id, &["a", "b"]);
    cluster.drain(old);
    cluster.lost = |from, _, bytes| from == 101 && bytes[5] == Kind::Submission as u8;
    cluster.publishers[old].publish(id, &["never heard"]);
    cluster.run(10);
    cluster.open(new, "orders", B);
    let opened = PublisherEvent::Opened { ticket: 0, publisher: id, publisher_seq: 3, last: 2 };
    assert_eq!(cluster.publishers[new].events.last(), Some(&opened));
}
