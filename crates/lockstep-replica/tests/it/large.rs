//! Messages larger than a datagram: one number, one place and one fate each, and never half of one.

use lockstep_core::engine::publisher::{PublishError, PublisherEvent};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent};
use lockstep_memory::cluster::Cluster;
use lockstep_memory::net::SimNet;
use lockstep_memory::world::*;
use lockstep_wire::*;
use std::ops::ControlFlow;

const A: [u64; 2] = [1, 1];
const B: [u64; 2] = [2, 2];

/// A payload whose every part differs.
fn payload(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at / 7) as u8 ^ (at / 1_300) as u8 ^ salt).collect()
}

/// The flags and numbers of the messages in the leader's log.
fn stamped(cluster: &Cluster) -> Vec<(u8, PublisherSeq)> {
    let tail = cluster.replicas[0].tail();
    let mut found = Vec::new();
    let mut span = tail.find(1);
    while let Some(at) = span {
        let entries = tail.frame(at).unwrap().entries();
        let messages = entries.filter(|entry| entry.kind() == EntryKind::Message);
        found.extend(messages.map(|entry| (entry.header.flags, entry.header.publisher_seq)));
        span = tail.after(at);
    }
    found
}

/// What a reader that heard everything was told: messages as (seq, number, payload).
fn read(cluster: &Cluster, delivery: Delivery) -> Vec<(Seq, PublisherSeq, Vec<u8>)> {
    let limits = subscriber_limits(Identity { replica: 2_000, incarnation: 5 }, 3, delivery, Start::From(1));
    let mut reader = SubscriberEngine::new(SimNet::default(), limits);
    let (mut messages, mut seqs) = (Vec::new(), Vec::new());
    for (turn, (_, bytes)) in cluster.record.iter().enumerate() {
        reader.net_mut().groups.push_back(bytes.clone());
        // Seldom more than one at once.
        reader.poll(1_000_000 + turn as u64 * 1_000, 1 + turn % 3, |event| {
            seqs.extend(event.seq());
            if let SubscriberEvent::Message(message) = event {
                messages.push((message.seq, message.publisher_seq, message.payload.to_vec()));
            }
            ControlFlow::Continue(())
        });
    }
    reader.poll(1_000_000_000, 1_000, |event| {
        assert!(!matches!(event, SubscriberEvent::Message(_)), "told late: {event:?}");
        ControlFlow::Continue(())
    });
    // A start of an epoch is told of as such and as a membership.
    seqs.dedup();
    assert_eq!(seqs, (1..reader.core.deliver_next()).collect::<Vec<_>>(), "no seq is passed over in silence");
    assert_eq!(reader.core.resume_next(), reader.core.deliver_next(), "nothing is half joined");
    messages
}

#[test]
fn a_message_larger_than_a_datagram_has_one_number_one_place_and_one_fate() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", A);
    cluster.publishers[publisher].events.clear();
    let large = payload(5_000, 0);
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.try_publish(id, 9, b"before"), Ok(1));
    assert_eq!(core.try_publish(id, 9, &large), Ok(5), "the number of its last part");
    assert_eq!(core.try_publish(id, 9, b"behind"), Ok(6));
    cluster.drain(publisher);
    let (more, next) = (PART_MORE, PART_NEXT);
    let flags = [(0, 1), (more, 2), (more | next, 3), (more | next, 4), (next, 5), (0, 6)];
    assert_eq!(stamped(&cluster), flags);
    let of = |seqs: fn(&PublisherEvent) -> Option<(PublisherSeq, Seq)>| -> Vec<_> {
        cluster.publishers[publisher].events.iter().filter_map(seqs).collect()
    };
    let stamped = of(|event| match event {
        PublisherEvent::Stamped { publisher_seq, seq, .. } => Some((*publisher_seq, *seq)),
        _ => None,
    });
    assert_eq!(stamped.iter().map(|message| message.0).collect::<Vec<_>>(), [1, 5, 6]);
    assert_eq!(cluster.publishers[publisher].committed(), stamped);
    let expected: Vec<_> = stamped
        .iter()
        .zip([b"before".to_vec(), large, b"behind".to_vec()])
        .map(|((number, seq), payload)| (*seq, *number, payload))
        .collect();
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        assert_eq!(read(&cluster, delivery), expected, "{delivery:?}");
    }
}

#[test]
fn large_messages_of_several_publishers_share_the_stream() {
    let mut cluster = Cluster::new(3, |_| {});
    let publishers: Vec<_> = (0..3u8)
        .map(|salt| {
            let index = cluster.add_publisher(|_| {});
            (index, cluster.open(index, &format!("gateway {salt}"), [7, u64::from(salt)]), salt)
        })
        .collect();
    // Every third datagram to the leader is lost, so that parts are sent again and stand far apart.
    cluster.lost = |from, to, bytes| {
        let is_lost = from > 100 && to == 1 && bytes[5] == Kind::Submission as u8;
        is_lost && Header::peek(bytes).is_some_and(|header| header.number % 3 == 0)
    };
    for round in 0..10u8 {
        for (index, id, salt) in &publishers {
            let large = payload(2_000 + 500 * usize::from(round), *salt);
            let published =
                |cluster: &mut Cluster| cluster.publishers[*index].publisher.core.try_publish(*id, 0, &large);
            while published(&mut cluster) == Err(PublishError::Backpressure) {
                cluster.run(1);
            }
        }
        cluster.run(1);
    }
    publishers.iter().for_each(|(index, ..)| cluster.drain(*index));
    let messages = read(&cluster, Delivery::Committed);
    assert_eq!(messages.len(), 30);
    assert_eq!(read(&cluster, Delivery::Stamped), messages);
    for (_, _, found) in &messages {
        let whole = (0..3).any(|salt| *found == payload(found.len(), salt));
        assert!(whole, "{} bytes are nobody's", found.len());
    }
}

#[test]
fn a_publisher_that_is_fenced_in_the_middle_of_a_message_leaves_nothing_half_delivered() {
    let mut cluster = Cluster::new(3, |_| {});
    let (old, new) = (cluster.add_publisher(|_| {}), cluster.add_publisher(|_| {}));
    let id = cluster.open(old, "orders", A);
    // Only the first part comes through, to anybody.
    cluster.lost = |from, _, bytes| {
        from == 101 && bytes[5] == Kind::Submission as u8 && bytes[HEADER_LEN + 1] & PART_NEXT != 0
    };
    assert_eq!(cluster.publishers[old].publisher.core.try_publish(id, 0, &payload(4_000, 1)), Ok(4));
    cluster.run(20);
    assert_eq!(stamped(&cluster), [(PART_MORE, 1)]);
    assert_eq!(cluster.open(new, "orders", B), id);
    let opened = PublisherEvent::Opened { ticket: 0, publisher: id, publisher_seq: 2, last: 1 };
    assert_eq!(cluster.publishers[new].events.last(), Some(&opened), "a part is a number");
    cluster.run(20);
    let fenced = PublisherEvent::Fenced { publisher: id, publisher_seq: 2 };
    assert_eq!(cluster.publishers[old].events.last(), Some(&fenced), "so message 4 is in no stream");
    let again = payload(4_000, 2);
    assert_eq!(cluster.publishers[new].publisher.core.try_publish(id, 0, &again), Ok(5));
    cluster.drain(new);
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        let messages = read(&cluster, delivery);
        assert_eq!(messages.len(), 1);
        assert_eq!((messages[0].1, &messages[0].2), (5, &again));
    }
}

#[test]
fn a_window_takes_all_parts_of_a_message_or_none() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|limits| limits.window_entries = 5);
    let id = cluster.open(publisher, "orders", A);
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.try_publish(id, 0, &payload(3_000, 1)), Ok(3));
    assert_eq!(core.try_publish(id, 0, &payload(3_000, 2)), Err(PublishError::Backpressure));
    assert_eq!(core.try_publish(id, 0, b"short"), Ok(4));
    cluster.drain(publisher);
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.try_publish(id, 0, &payload(3_000, 2)), Ok(7));
    cluster.drain(publisher);
    assert_eq!(read(&cluster, Delivery::Committed).len(), 3);
}
