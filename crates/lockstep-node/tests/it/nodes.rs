//! Real nodes on real sockets and files, as threads of this process.

mod lines;
mod memory;
mod participant;
mod unicast;

use crate::support::Cluster;
use lockstep_client::internal::QueryClient;
use lockstep_client::{
    Delivery, Publisher, PublisherEvent, Start, StreamDigest, Subscriber, SubscriberEvent,
};
use lockstep_node::{EVENT_KINDS, Node, journal_digest};
use lockstep_process::events::{LOST_CODE, Recorder};
use lockstep_wire::Condition;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SMALL: &str =
    "[journal]\ntail_size = \"8MiB\"\nsegment_size = \"1MiB\"\n[stream]\nwindow_bytes = \"1MiB\"\n";

/// The columns of the rows of a table of docs/LOG.md that begin with a code.
fn coded_rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| LS"));
    rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_log_code_is_one_things_and_stands_in_the_table() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/LOG.md")).unwrap();
    let (happens, holds) = text.split_once("## Conditions").expect("two tables");
    let mut codes_and_levels = vec![format!("{LOST_CODE:04} WARN")];
    codes_and_levels.extend(EVENT_KINDS.iter().map(|kind| format!("{:04} {}", kind.code, kind.level)));
    let code = |row: &str| row[..4].to_owned();
    let mut codes: Vec<_> = codes_and_levels.iter().map(|row| code(row)).collect();
    codes.sort();
    let twice: Vec<_> = codes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(twice.is_empty(), "one code for two things: {twice:?}");

    let mut written: Vec<_> =
        coded_rows(happens).iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    let conditions = coded_rows(holds);
    written.extend(conditions.iter().map(|row| format!("{} WARN", row[0])));
    codes_and_levels.sort();
    written.sort();
    assert_eq!(written, codes_and_levels, "docs/LOG.md has every code, once, with its level");

    let listed: Vec<_> = conditions.iter().map(|row| (row[0].to_owned(), row[1], row[2])).collect();
    let known =
        |condition: &Condition| (format!("{:04}", *condition as u16), condition.name(), condition.meaning());
    assert_eq!(
        listed,
        Condition::ALL.iter().map(known).collect::<Vec<_>>(),
        "docs/LOG.md has every condition in its order"
    );
    let protocol =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md")).unwrap();
    for (code, name, meaning) in listed {
        let row = format!("| {} {name} | {meaning} |", code.trim_start_matches('0'));
        assert!(protocol.contains(&row), "docs/PROTOCOL.md lacks '{row}'");
    }
}

#[test]
fn a_handle_is_one_descriptor_for_a_poll_of_the_callers_own() {
    let cluster = Cluster::new(1, SMALL);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (settings, stop) = (cluster.node(1), &stop);
        scope.spawn(move || {
            let node = Node::open(&settings).unwrap_or_else(|error| panic!("{error}"));
            let recorder = Recorder::new(EVENT_KINDS, 1024);
            node.run(stop, &recorder).unwrap_or_else(|error| panic!("{error}"));
        });
        let endpoint = cluster.endpoint();
        let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1)).unwrap();
        let mut publisher = Publisher::connect(&endpoint).unwrap();
        let (mut poll, mut events) = (mio::Poll::new().unwrap(), mio::Events::with_capacity(8));
        for (token, fd) in [subscriber.as_raw_fd(), publisher.as_raw_fd()].into_iter().enumerate() {
            let source = &mut mio::unix::SourceFd(&fd);
            poll.registry().register(source, mio::Token(token), mio::Interest::READABLE).unwrap();
        }
        let orders =
            publisher.open("orders", Duration::from_secs(20)).unwrap_or_else(|error| panic!("{error}"));
        let (mut delivered, mut woken, begun) = (0_u64, [0_u64; 2], Instant::now());
        for number in 1..=200_u64 {
            publisher.try_publish(orders, 0, &number.to_le_bytes()).unwrap();
            while delivered < number {
                assert!(begun.elapsed() < Duration::from_secs(60), "stuck at {delivered}");
                // Edge-triggered: everything is read until a poll finds nothing.
                while publisher.poll(64, |_| {}) > 0 {}
                while subscriber.poll(64, |event| {
                    delivered += u64::from(matches!(event, SubscriberEvent::Message(_)));
                    ControlFlow::Continue(())
                }) > 0
                {}
                if delivered < number {
                    let due = publisher.due().min(subscriber.due());
                    poll.poll(&mut events, Some(due)).unwrap();
                    events.iter().for_each(|event| woken[event.token().0] += 1);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(woken.iter().all(|times| *times > 0), "both descriptors became readable: {woken:?}");
    });
}

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
                            ControlFlow::Continue(())
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
            // Now and then a message in 51 parts.
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
    let mut questioner = QueryClient::open(&cluster.endpoint()).unwrap();
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

/// The `number`th payload: eight bytes, and for each thousandth one the largest size.
fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(if number % 1_000 == 999 { 8_192 } else { 1 })
}
