//! One name, opened more than once on one handle: the newer process is the same one.

use super::replica::{decoded, leader, texts};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_memory::cluster::{Cluster, SoloReplica};
use lockstep_memory::log::{Log, messages, open_submission, submission};
use lockstep_memory::world::*;
use lockstep_replica::replica::ReplicaLimits;
use lockstep_wire::Keyring;
use lockstep_wire::*;

const A: [u64; 2] = [1, 1];
const B: [u64; 2] = [2, 2];
const C: [u64; 2] = [3, 3];

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(3, |_: &mut ReplicaLimits| {});
    cluster.add_publisher(|_| {});
    cluster
}

/// Whether this datagram of a publisher is an open.
fn is_open(from: u32, bytes: &[u8]) -> bool {
    let Ok(Datagram::Submission(_, mut entries)) = Datagram::decode(bytes, &Keyring::none(CLUSTER)) else {
        return false;
    };
    from > 100 && entries.any(|entry| entry.kind() == EntryKind::Open)
}

/// Runs until the handle is told `event`.
fn await_event(cluster: &mut Cluster, event: PublisherEvent) {
    let reported = cluster.run_until(|cluster| cluster.publishers[0].events.contains(&event));
    assert!(reported, "{event:?} is not told: {:?}", cluster.publishers[0].events);
}

#[test]
fn s8_a_message_before_a_second_open_has_its_fate_though_a_takeover_takes_both_back() {
    let mut cluster = cluster();
    let id = cluster.open(0, "orders", A);
    cluster.run(100);
    // The leader is heard by the publisher alone; the others hear what is submitted.
    cluster.lost = |from, to, _| from == 1 && to < 100 || to == 1 && from < 100;
    cluster.publishers[0].publish(id, &["a"]);
    cluster.publishers[0].publisher.core.open("orders", B).expect("a name");
    cluster.run(100);
    let stamped = PublisherEvent::Stamped { publisher: id, publisher_seq: 1, seq: 4 };
    assert!(cluster.publishers[0].events.contains(&stamped), "{:?}", cluster.publishers[0].events);
    // The next leader stamps both again, in this order.
    await_event(&mut cluster, PublisherEvent::Opened { ticket: 1, publisher: id, publisher_seq: 2, last: 1 });
    let events = &cluster.publishers[0].events;
    assert!(events.contains(&PublisherEvent::Unstamped { publisher: id, publisher_seq: 1 }), "{events:?}");
    assert_eq!(cluster.publishers[0].committed(), [(1, 5)], "{events:?}");
    assert!(events.contains(&PublisherEvent::Fenced { publisher: id, publisher_seq: 2 }), "{events:?}");
}

#[test]
fn s8_a_second_open_that_a_takeover_takes_back_leaves_the_first_one_as_it_was() {
    let mut cluster = cluster();
    let id = cluster.open(0, "orders", A);
    cluster.run(100);
    // The leader is heard by the publisher alone, and it alone hears the second open.
    cluster.lost =
        |from, to, bytes| from == 1 && to < 100 || to == 1 && from < 100 || to > 1 && is_open(from, bytes);
    cluster.publishers[0].publish(id, &["a"]);
    cluster.publishers[0].publisher.core.open("orders", B).expect("a name");
    cluster.run(100);
    let refused = cluster.publishers[0].publisher.core.try_publish(id, 0, b"b");
    assert!(refused.is_err(), "the second open stands behind `a`");
    await_event(&mut cluster, PublisherEvent::Unstamped { publisher: id, publisher_seq: 1 });
    let taken = cluster.publishers[0].publisher.core.try_publish(id, 0, b"b");
    assert_eq!(taken, Ok(2), "the first one is open again");
    let committed = cluster.run_until(|cluster| cluster.publishers[0].committed().len() == 2);
    assert!(committed, "{:?}", cluster.publishers[0].events);
    // At last it gets there: the first one is told which of its messages are in the stream, and the second
    // one goes on.
    cluster.lost = |_, _, _| false;
    await_event(&mut cluster, PublisherEvent::Fenced { publisher: id, publisher_seq: 3 });
    await_event(&mut cluster, PublisherEvent::Opened { ticket: 1, publisher: id, publisher_seq: 3, last: 2 });
    cluster.publishers[0].publish(id, &["c"]);
    cluster.await_committed(3);
}

#[test]
fn s8_an_open_under_a_ticket_that_has_ended_leaves_the_one_that_is_open_as_it_is() {
    let mut cluster = cluster();
    let id = cluster.open(0, "orders", A);
    assert_eq!(cluster.open(0, "orders", B), id);
    await_event(&mut cluster, PublisherEvent::Fenced { publisher: id, publisher_seq: 1 });
    cluster.lost = |from, _, bytes| is_open(from, bytes);
    assert_eq!(
        cluster.publishers[0].publisher.core.open("orders", C),
        Some(0),
        "the ticket of the first one"
    );
    cluster.publishers[0].publish(id, &["a"]);
    cluster.run(100);
    assert_eq!(cluster.publishers[0].committed(), [(1, 5)]);
    cluster.lost = |_, _, _| false;
    await_event(&mut cluster, PublisherEvent::Fenced { publisher: id, publisher_seq: 2 });
    let opened = PublisherEvent::Opened { ticket: 0, publisher: id, publisher_seq: 2, last: 1 };
    await_event(&mut cluster, opened);
}

/// It was sent under the former open, and comes behind a later one of the same name.
#[test]
fn s8_a_close_of_a_former_incarnation_ends_nothing() {
    let mut node = leader(3, |_| {});
    node.hear(&[open_submission("a", [4, 4], 0), messages(1, 1, 3)]);
    let close = submission(&[(EntryKind::Close, 1, 3, 1, b"")]);
    node.hear(&[open_submission("a", [5, 5], 1)]);
    let next = node.next();
    node.hear(&[close]);
    assert_eq!((node.next(), node.count(Counter::SubmissionsFenced)), (next, 1));
    let order = submission(&[(EntryKind::Message, 1, 3, 2, b"of the later one")]);
    assert_eq!(texts(&node.hear(&[order])), ["of the later one"]);
}

#[test]
fn s8_a_question_is_answered_by_what_is_committed_and_a_closed_name_is_nobodys() {
    let mut node = leader(3, |_| {});
    let mut log = Log::begun(3);
    let query = || {
        lockstep_memory::log::written(|out| {
            let header = Header { cluster: CLUSTER, history: HISTORY, ..Header::new(Kind::Query) };
            write_query(out, &Keyring::none(CLUSTER), header, 8, QueryKind::Publisher, "a")
        })
    };
    let reported = |node: &mut SoloReplica| {
        let sent = node.ask(9, query());
        let replies: Vec<_> = decoded(&sent)
            .into_iter()
            .filter_map(
                |datagram| if let Datagram::QueryReply(_, body) = datagram { Some(body) } else { None },
            )
            .collect();
        assert_eq!((replies.len(), replies[0].token), (1, 8));
        (replies[0].publisher, replies[0].incarnation, replies[0].publisher_seq, replies[0].nonce)
    };
    node.hear(&[log.ack(2, 3), open_submission("a", [4, 4], 0)]);
    assert_eq!(reported(&mut node), (0, 0, 0, [0, 0]), "its open is not committed");
    node.hear(&[log.ack(2, 4), messages(1, 1, 4)]);
    assert_eq!(reported(&mut node), (1, 1, 0, [4, 4]));
    node.hear(&[log.ack(2, 7)]);
    assert_eq!(reported(&mut node), (1, 1, 3, [4, 4]));
    node.hear(&[submission(&[(EntryKind::Close, 1, 4, 1, b"")])]);
    assert_eq!(reported(&mut node), (1, 1, 3, [4, 4]));
    node.hear(&[log.ack(2, 8)]);
    assert_eq!(reported(&mut node), (1, 1, 4, [0, 0]));
}
