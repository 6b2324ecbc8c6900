//! The table of publishers: who finds no room in it, what is told of it, and in whose configuration its size
//! stands.

use super::replica::{leader, standby};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_memory::cluster::{Cluster, SoloReplica};
use lockstep_memory::log::{Log, open_submission, written};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// A cluster whose replicas take so many names while they lead, and one handle.
fn cluster(publishers_max: [u32; 3]) -> Cluster {
    let mut cluster = Cluster::new(3, |limits| {
        limits.publishers_max = publishers_max[limits.receiver.me.replica as usize - 1];
    });
    cluster.add_publisher(|limits| limits.names_max = 16);
    cluster
}

/// Asks for a name, and runs until it is open or refused. Returns its id.
fn try_open(cluster: &mut Cluster, name: &str) -> Result<PublisherId, u32> {
    let wanted = cluster.publishers[0].publisher.core.open(name, [name.len() as u64, 7]).expect("a name");
    let seen = cluster.publishers[0].events.len();
    let outcome = move |cluster: &Cluster| {
        cluster.publishers[0].events[seen..].iter().find_map(|event| match event {
            PublisherEvent::Opened { ticket, publisher, .. } if *ticket == wanted => Some(Ok(*publisher)),
            PublisherEvent::Refused { ticket, reason: OpenRefusal::TableFull { publishers_max } }
                if *ticket == wanted =>
            {
                Some(Err(*publishers_max))
            }
            _ => None,
        })
    };
    assert!(cluster.run_until(|cluster| outcome(cluster).is_some()), "{name} is neither opened nor refused");
    outcome(cluster).unwrap()
}

fn conditions(cluster: &mut Cluster, replica: usize) -> Vec<(bool, u64, u64)> {
    let events = std::iter::from_fn(|| cluster.replicas[replica].core.events.pop());
    let outcomes = events.filter_map(|event| match event {
        ReplicaEvent::Condition { condition: Condition::PublishersNearlyFull, holds, a, b, .. } => {
            Some((holds, a, b))
        }
        _ => None,
    });
    outcomes.collect()
}

fn await_leader(cluster: &mut Cluster) -> usize {
    let led = |cluster: &Cluster| {
        (0..3).find(|index| {
            !cluster.dead.contains(&(*index as u32 + 1)) && cluster.replicas[*index].role() == Role::Leader
        })
    };
    assert!(cluster.run_until(|cluster| led(cluster).is_some()), "nobody leads");
    led(cluster).unwrap()
}

#[test]
fn an_open_that_finds_the_table_full_is_refused_by_name_and_not_tried_for_ever() {
    let mut cluster = cluster([5, 5, 5]);
    for name in ["a", "bb", "ccc"] {
        assert!(try_open(&mut cluster, name).is_ok());
    }
    cluster.run(1_000);
    assert!(conditions(&mut cluster, 0).is_empty(), "three of five");
    assert_eq!(try_open(&mut cluster, "dddd"), Ok(4));
    cluster.run(1_000);
    assert_eq!(conditions(&mut cluster, 0), [(true, 4, 5)], "an alarm before it is full");
    assert_eq!(try_open(&mut cluster, "eeeee"), Ok(5));
    assert_eq!(try_open(&mut cluster, "ffffff"), Err(5));
    let refused = cluster.replicas[0].core.counters.get(Counter::OpensRefused);
    cluster.run(10_000);
    assert_eq!(cluster.replicas[0].core.counters.get(Counter::OpensRefused), refused, "it asks no more");
    // The others go on, and a name that is known is opened again by a newer process.
    let id = cluster.open(0, "a", [9, 9]);
    cluster.publishers[0].publish(id, &["x"]);
    assert!(cluster.run_until(|cluster| !cluster.publishers[0].committed().is_empty()));
}

#[test]
fn room_comes_with_a_leader_that_takes_more_names_and_no_configuration_unmakes_what_another_has_made() {
    let mut cluster = cluster([2, 6, 2]);
    assert_eq!(try_open(&mut cluster, "a"), Ok(1));
    assert_eq!(try_open(&mut cluster, "bb"), Ok(2));
    assert_eq!(try_open(&mut cluster, "ccc"), Err(2));
    // A rolling restart with a larger table: replica 2 has it already.
    let now = cluster.now;
    assert!(cluster.replicas[0].start_handover(now, Some(identity(2))));
    assert!(cluster.run_until(|cluster| cluster.replicas[1].role() == Role::Leader));
    for (name, id) in [("ccc", 3), ("dddd", 4), ("eeeee", 5)] {
        assert_eq!(try_open(&mut cluster, name), Ok(id));
    }
    cluster.run(1_000);
    // Its standbys have smaller tables, and hold all of it: one of them leads on with every name.
    cluster.dead.push(2);
    let leader = await_leader(&mut cluster);
    assert_ne!(leader, 1);
    for id in 1..=5 {
        cluster.publishers[0].publish(id, &["x"]);
    }
    cluster.await_committed(5);
    assert_eq!(try_open(&mut cluster, "ffffff"), Err(2));
    cluster.run(1_000);
    assert!(conditions(&mut cluster, leader).contains(&(true, 5, 2)));
}

#[test]
fn what_is_not_committed_is_told_to_nobody_though_the_ring_has_lost_where_it_begins() {
    let mut log = Log::begun(5);
    let mut node = standby(&log, |_| {});
    let opened = log.push_open("a", (1, [1, 1]), 1, 0);
    node.hear(&[opened, log.ack(3, 4), log.heartbeat_with(|header, _| header.commit_next = 4)]);
    assert_eq!(node.replica.core.commit_next(), 4);
    let ask = |node: &mut SoloReplica, token: u64| {
        let query = written(|out| {
            write_query(
                out,
                &Keyring::none(CLUSTER),
                Header { cluster: CLUSTER, ..Header::new(Kind::Query) },
                token,
                QueryKind::Publisher,
                "a",
            )
        });
        let sent = node.ask(9, query);
        sent.iter().find_map(|(_, bytes)| match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
            Ok(Datagram::QueryReply(header, body)) => Some(({ header.commit_next }, body.publisher_seq)),
            _ => None,
        })
    };
    assert_eq!(ask(&mut node, 1), Some((4, 0)));
    let commit_next = node.replica.core.commit_next();
    for number in 1..4_000 {
        let frame = log.push_of(1, &[number]);
        node.hear(&[frame]);
        node.flush();
        let oldest = node.replica.tail().oldest_seq();
        if oldest > commit_next && oldest < node.next() {
            assert_eq!(
                ask(&mut node, 2),
                None,
                "{number} are stored, and which of them are committed is not known"
            );
            assert!(node.count(Counter::RepliesWithheld) > 0);
            let next = node.next();
            node.hear(&[log.heartbeat_with(|header, _| header.commit_next = next)]);
            assert_eq!(ask(&mut node, 3), Some((next, number)), "now they are");
            return;
        }
        assert_eq!(ask(&mut node, 2), Some((commit_next, 0)));
    }
    panic!("the ring of 256 KiB holds everything");
}

#[test]
fn a_leader_without_room_tells_each_opener_once_a_rung_and_keeps_no_more_than_a_notice() {
    let mut node = leader(1, |limits| limits.publishers_max = 1);
    node.hear(&[open_submission("a", [1, 1], 0)]);
    let opens: Vec<_> =
        (2..60).map(|nonce| open_submission(&format!("name-{nonce}"), [nonce, 3], 0)).collect();
    let mut notices = Vec::new();
    for _ in 0..200 {
        for (_, bytes) in node.hear(&opens) {
            if let Ok(Datagram::PublisherNotice(_, rows)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER))
            {
                notices.extend(rows.iter().map(|row| (row.from, row.notice, row.incarnation)));
            }
        }
    }
    assert!(notices.iter().all(|(nonce, what, max)| (2..60).contains(nonce)
        && *what == lockstep_wire::PublisherNotice::TableFull as u32
        && *max == 1));
    assert!(notices.len() >= NOTICE_ROWS_MAX);
}
