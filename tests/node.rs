//! Real nodes on real sockets and files, as threads of this process.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real threads, bounded by a clock")]

#[path = "node/lines.rs"]
mod lines;
#[path = "node/memory.rs"]
mod memory;
mod support;
#[path = "node/unicast.rs"]
mod unicast;

use lockstep::client::{
    Delivery, Flow, Publisher, PublisherEvent, Questioner, Start, StreamDigest, Subscriber, SubscriberEvent,
};
use lockstep::io::events::Recorder;
use lockstep::node::{EVENT_KINDS, Node, journal_digest};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::Cluster;

const SMALL: &str =
    "[journal]\ntail_size = \"8MiB\"\nsegment_size = \"1MiB\"\n[stream]\nwindow_bytes = \"1MiB\"\n";

#[test]
fn everybody_ends_with_the_same_digest() {
    let cluster = Cluster::new(3, SMALL);
    let stop = AtomicBool::new(false);
    let messages = 20_000;
    let digests: Vec<String> = std::thread::scope(|scope| {
        for id in 1..=3 {
            let (settings, stop) = (cluster.node(id), &stop);
            scope.spawn(move || {
                let node = Node::open(&settings).unwrap_or_else(|error| panic!("{error}"));
                let recorder = Recorder::new(EVENT_KINDS, 1024);
                node.run(stop, &recorder)
                    .unwrap_or_else(|error| panic!("{error}\n{}", recorder.recent_text()));
            });
        }
        let readers: Vec<_> = [Delivery::Committed, Delivery::Stamped]
            .into_iter()
            .map(|delivery| {
                let endpoint = cluster.endpoint();
                scope.spawn(move || {
                    let mut subscriber = Subscriber::connect(&endpoint, delivery, Start::From(1)).unwrap();
                    let mut digest = StreamDigest::new();
                    while digest.messages() < messages {
                        let work = subscriber.poll(1000, |event| {
                            match event {
                                SubscriberEvent::Message(message) => digest.add(&message),
                                SubscriberEvent::Abandoned { from, oldest, .. } => {
                                    panic!("abandoned {from} {oldest}")
                                }
                                _ => {}
                            }
                            Flow::Continue
                        });
                        if work == 0 {
                            std::thread::yield_now();
                        }
                    }
                    digest.hex()
                })
            })
            .collect();
        let mut publisher = Publisher::connect(&cluster.endpoint()).unwrap();
        let orders =
            publisher.open("orders", Duration::from_secs(20)).unwrap_or_else(|error| panic!("{error}"));
        let (mut sent, mut committed) = (0, 0);
        while committed < messages {
            // Now and then one that goes out in 51 parts.
            while sent < messages && publisher.try_publish(orders, 0, &payload(sent)).is_ok() {
                sent += 1;
            }
            let work = publisher.poll(10_000, |event| {
                if let PublisherEvent::Committed { .. } = event {
                    committed += 1;
                }
            });
            if work == 0 {
                std::thread::yield_now();
            }
        }
        let digests = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        await_equal_logs(&cluster);
        stop.store(true, Ordering::Release);
        digests
    });
    assert_eq!(digests[0], digests[1]);
    for id in 1..=3 {
        let (digest, _) = journal_digest(&cluster.node(id), None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(digest.hex(), digests[0], "journal {id}");
    }
}

/// On a busy machine one replica may be far behind when two have committed everything.
fn await_equal_logs(cluster: &Cluster) {
    let addresses: Vec<_> = (1..=3).map(|id| cluster.node(id).unicast).collect();
    let mut questioner = Questioner::open(&cluster.endpoint()).unwrap();
    let begun = Instant::now();
    loop {
        let statuses = questioner.statuses(&addresses, Duration::from_secs(1));
        let ends: Vec<_> = statuses.iter().flatten().map(|status| status.accept_next).collect();
        if ends.len() == 3 && ends.iter().all(|end| *end == ends[0]) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "one replica does not catch up: {ends:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The `number`th payload: eight bytes, and of each thousandth as many as there may be.
fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(if number % 1_000 == 999 { 8_192 } else { 1 })
}
