//! A cluster that lost a quorum of its journals goes on in a history that is founded on one of them.

use super::histories::{LATER, founder, limits, tail_of};
use lockstep_core::engine::event::Role;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::window::Window;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::world::*;
use lockstep_replica::journal::Founding;
use lockstep_replica::replica::ReplicaEngine;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// The log that a replica holds.
pub fn frames_of(replica: &ReplicaEngine<MemoryPorts>) -> Vec<Vec<u8>> {
    let tail = replica.tail();
    let spans = std::iter::successors(tail.find(1), |span| tail.after(*span));
    spans.map(|span| tail.frame(span).unwrap().bytes.to_vec()).collect()
}

/// All replicas are lost. A history is founded on what replica `number` holds, without its last `less`
/// frames, and a blank replica takes each other's place. Returns where it was founded.
pub fn recover(cluster: &mut Cluster, number: u32, less: usize) -> Seq {
    let mut frames = frames_of(&cluster.replicas[number as usize - 1]);
    frames.truncate(frames.len() - less);
    let last = FrameView::from_prefix(frames.last().unwrap()).unwrap();
    let end = LogEnd {
        next: last.header.next_seq(),
        epoch: last.header.epoch(),
        chain: last.chain_after(),
        timestamp: last.header.timestamp,
    };
    let member = MemberBody::full(founder(number), address(number));
    let founding = Founding {
        keys: &Keyring::none(CLUSTER).into(),
        history: LATER,
        ancestor: &Lineage::of(HISTORY),
        end,
        epochs: &[EpochBase { epoch: end.epoch.0, base: 2 }],
        promised: end.epoch,
        member,
        window: Window { entries: 1_000, bytes: 100_000 },
        durability: Durability::Process,
    };
    frames.push(founding.frame().unwrap());
    for other in 1..=cluster.replicas.len() as u32 {
        let stored: &[Vec<u8>] = if other == number { &frames } else { &[] };
        let replica = start(tail_of(founder(other), stored), limits(founder(other))).unwrap();
        cluster.replicas[other as usize - 1] = replica;
    }
    end.next
}

#[test]
fn a_cluster_that_lost_its_quorum_goes_on_in_a_new_history_and_every_message_stands_in_it_once() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", [1, 1]);
    cluster.publishers[publisher].publish(id, &["a", "b", "c"]);
    assert!(cluster.run_until(|cluster| cluster.publishers[0].publisher.core.is_drained()));
    // Stamped by the leader, heard by nobody who is left.
    cluster.lost = |from, to, _| from == 1 && matches!(to, 2 | 3);
    cluster.publishers[publisher].publish(id, &["d", "e"]);
    cluster.run(20);
    cluster.lost = |_, _, _| false;
    let founded = recover(&mut cluster, 2, 0);
    assert!(
        cluster.run_until(|cluster| cluster.publishers[0].publisher.core.is_drained()),
        "{:?}",
        cluster.publishers[0].events
    );
    let events = &cluster.publishers[publisher].events;
    assert!(events.contains(&PublisherEvent::Founded { history: LATER, seq: founded }), "{events:?}");
    let unstamped = |event: &&PublisherEvent| matches!(event, PublisherEvent::Unstamped { .. });
    assert_eq!(events.iter().filter(unstamped).count(), 2, "what was lost is known to be");
    let numbers: Vec<_> =
        cluster.publishers[publisher].committed().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    // The others have learnt everything, and have no vote yet.
    let caught_up = cluster.run_until(|cluster| {
        let end = cluster.replicas[1].tail().end();
        cluster.replicas.iter().all(|replica| replica.tail().end() == end)
    });
    assert!(caught_up);
    assert_eq!(cluster.replicas[0].role(), Role::Learner);
    let texts: Vec<String> = frames_of(&cluster.replicas[0])
        .iter()
        .flat_map(|bytes| {
            let frame = FrameView::from_prefix(bytes).unwrap();
            let messages = frame.entries().filter(|entry| entry.kind() == EntryKind::Message);
            messages.map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(texts, ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_publisher_that_was_told_of_a_commit_that_is_lost_is_told_so_and_learns_what_is_left_of_it() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", [1, 1]);
    for text in ["a", "b", "c"] {
        cluster.publishers[publisher].publish(id, &[text]);
        assert!(cluster.run_until(|cluster| cluster.publishers[0].publisher.core.is_drained()));
    }
    let have = cluster.replicas[1].tail().end().next;
    let founded = recover(&mut cluster, 2, 2);
    let lost = cluster
        .run_until(|cluster| cluster.publishers[0].events.last() == Some(&PublisherEvent::OutcomesUnknown));
    let events = &cluster.publishers[publisher].events;
    assert!(lost, "{events:?}");
    let event = PublisherEvent::HistoryLost { history: LATER, next: founded, have };
    assert_eq!(events[events.len() - 2], event);
    // The publisher that opens the name anew is told that two of the three are gone.
    let again = cluster.add_publisher(|_| {});
    assert_eq!(cluster.open(again, "orders", [2, 2]), id);
    let opened = PublisherEvent::Opened { ticket: 0, publisher: id, publisher_seq: 2, last: 1 };
    assert!(cluster.publishers[again].events.contains(&opened), "{:?}", cluster.publishers[again].events);
}
