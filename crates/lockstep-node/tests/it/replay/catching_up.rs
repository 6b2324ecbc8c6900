//! Whole clusters, with readers and replicas that lie behind every ring.

use super::{PATIENCE, wait_until};
use crate::support::Cluster;
use lockstep_client::{
    Cursor, Delivery, Publisher, PublisherEvent, ReplayEndReason, Start, StreamDigest, Subscriber,
    SubscriberEvent,
};
use lockstep_core::engine::counters::Counter;
use lockstep_node::{EVENT_KINDS, Node, journal_digest};
use lockstep_process::events::Recorder;
use lockstep_wire::Seq;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Rings and segments of 1 MiB.
const SMALL: &str = "[journal]\ntail_size = \"1MiB\"\nsegment_size = \"1MiB\"\n[stream]\nwindow_bytes = \
                     \"256KiB\"\n[runtime]\nidle = \"park\"\n";
/// Bytes of a message; the messages fill the ring several times.
const PAYLOAD: usize = 1_000;
const MANY: u64 = 6_000;

/// A node in a thread.
struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(cluster: &Cluster, id: u32) -> Self {
        let (settings, stop) = (cluster.node(id), Arc::new(AtomicBool::new(false)));
        let theirs = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let node = Node::open(&settings).unwrap_or_else(|error| panic!("{error}"));
            let recorder = Recorder::new(EVENT_KINDS, 1024);
            node.run(&theirs, &recorder)
                .unwrap_or_else(|error| panic!("{error}\n{}", recorder.recent_text()));
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("a node failed");
        }
    }
}

/// Publishes `count` messages and waits for their outcomes.
fn publish(cluster: &Cluster, name: &str, count: u64) {
    let mut publisher = Publisher::connect(&cluster.endpoint()).unwrap();
    let id = publisher.open(name, Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error}"));
    let (mut sent, mut committed, began) = (0u64, 0, Instant::now());
    let mut payload = [7; PAYLOAD];
    while committed < count {
        payload[..8].copy_from_slice(&sent.to_le_bytes());
        while sent < count && publisher.try_publish(id, 0, &payload).is_ok() {
            sent += 1;
            payload[..8].copy_from_slice(&sent.to_le_bytes());
        }
        let work = publisher.poll(10_000, |event| {
            if let PublisherEvent::Committed { .. } = event {
                committed += 1;
            }
        });
        if work == 0 {
            std::thread::yield_now();
        }
        assert!(began.elapsed() < PATIENCE, "{committed} of {count} are committed");
    }
}

/// The events that a reader received.
#[derive(Default)]
struct Read {
    digest: StreamDigest,
    next: Seq,
    replaying: Vec<Seq>,
    caught_up: bool,
    refused: Option<Option<ReplayEndReason>>,
    cursor: Option<Cursor>,
}

/// Reads until `messages` were delivered, or the subscription ends; `limit` messages a poll.
fn read(cluster: &Cluster, start: Start, messages: u64, limit: usize, mut each: impl FnMut(u64)) -> Read {
    let mut subscriber = Subscriber::connect(&cluster.endpoint(), Delivery::Committed, start).unwrap();
    let (mut read, began) = (Read::default(), Instant::now());
    while read.digest.messages() < messages && !subscriber.is_ended() {
        let work = subscriber.poll(limit, |event| {
            match event {
                SubscriberEvent::Message(message) => {
                    assert!(message.seq >= read.next, "seq {} again", message.seq);
                    read.next = message.seq + 1;
                    read.digest.add(&message);
                }
                SubscriberEvent::Replaying { from } => read.replaying.push(from),
                SubscriberEvent::CaughtUp { .. } => read.caught_up = true,
                SubscriberEvent::Refused { why, .. } => read.refused = Some(why),
                SubscriberEvent::Abandoned { from, oldest, why } => {
                    panic!("abandoned at {from}, oldest {oldest}: {}", why.name())
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        each(read.digest.messages());
        if work == 0 {
            std::thread::yield_now();
        }
        let at = subscriber.deliver_next();
        assert!(began.elapsed() < PATIENCE, "{} of {messages} messages, at seq {at}", read.digest.messages());
    }
    read.cursor = subscriber.cursor();
    if read.refused.is_none() && !read.replaying.is_empty() {
        assert!(subscriber.counters().get(Counter::ReplayedIn) > 0);
    }
    read
}

/// The digest of the journals with this many messages, which are a quorum of three: the third node may have
/// been stopped before it had received the last ones.
fn digest_of_a_quorum(cluster: &Cluster, messages: u64) -> String {
    let digest = |id| journal_digest(&cluster.node(id), None).unwrap_or_else(|error| panic!("{error}")).0;
    let all: Vec<_> = (1..=3).map(digest).collect();
    let whole: Vec<_> = all.iter().filter(|digest| digest.messages() == messages).collect();
    let counts: Vec<_> = all.iter().map(|digest| digest.messages()).collect();
    assert!(whole.len() >= 2, "{counts:?} of {messages} messages");
    assert!(whole.iter().all(|digest| digest.hex() == whole[0].hex()), "they differ");
    whole[0].hex()
}

#[test]
fn a_reader_behind_every_ring_is_replayed_to_and_goes_on_live_without_a_hole_or_a_repeat() {
    let cluster = Cluster::new(3, SMALL);
    let nodes: Vec<_> = (1..=3).map(|id| Running::start(&cluster, id)).collect();
    publish(&cluster, "first", MANY);
    let total = 2 * MANY;
    let reads: Vec<Read> = std::thread::scope(|scope| {
        let starts = [Start::From(1), Start::Oldest, Start::From(1)];
        let readers: Vec<_> = starts
            .into_iter()
            .enumerate()
            .map(|(index, start)| {
                let cluster = &cluster;
                scope.spawn(move || read(cluster, start, total, [1_000, 1_000, 7][index], |_| {}))
            })
            .collect();
        publish(&cluster, "second", MANY);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    drop(nodes);
    let digest = digest_of_a_quorum(&cluster, total);
    for read in &reads {
        assert_eq!(read.digest.hex(), digest);
        assert!(!read.replaying.is_empty(), "nothing was replayed");
    }
}

#[test]
fn late_joiners_at_random_points_end_with_the_same_digest() {
    let cluster = Cluster::new(3, SMALL);
    let nodes: Vec<_> = (1..=3).map(|id| Running::start(&cluster, id)).collect();
    let seed = lockstep_io::clock::random_u64().unwrap();
    let reads: Vec<Read> = std::thread::scope(|scope| {
        let cluster = &cluster;
        let publisher = scope.spawn(move || publish(cluster, "orders", 3 * MANY));
        let readers: Vec<_> = (0..6u64)
            .map(|index| {
                let pause = (seed >> (8 * index)) % 256;
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(4 * pause));
                    let start = if index.is_multiple_of(2) { Start::From(1) } else { Start::Oldest };
                    read(cluster, start, 3 * MANY, 10_000, |_| {})
                })
            })
            .collect();
        publisher.join().unwrap();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    drop(nodes);
    let digest = digest_of_a_quorum(&cluster, 3 * MANY);
    for read in &reads {
        assert_eq!(read.digest.hex(), digest, "seed {seed:x}");
    }
}

/// Publishes some messages every few milliseconds until `enough` returns true. Returns how many.
fn publish_until(cluster: &Cluster, name: &str, enough: impl Fn() -> bool) -> u64 {
    let mut publisher = Publisher::connect(&cluster.endpoint()).unwrap();
    let id = publisher.open(name, Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error}"));
    let (mut sent, mut committed, began) = (0u64, 0u64, Instant::now());
    while committed < sent || !enough() {
        for _ in 0..if enough() { 0 } else { 5 } {
            sent += u64::from(publisher.try_publish(id, 0, &[7; 300]).is_ok());
        }
        publisher.poll(10_000, |event| {
            if let PublisherEvent::Committed { .. } = event {
                committed += 1;
            }
        });
        std::thread::sleep(Duration::from_millis(5));
        assert!(began.elapsed() < PATIENCE, "{committed} of {sent} are committed");
    }
    committed
}

/// A reader among many.
struct Joiner {
    subscriber: Subscriber,
    digest: StreamDigest,
    next: Seq,
    replayed: bool,
    caught_up: bool,
}

impl Joiner {
    fn join(cluster: &Cluster, start: Start) -> Self {
        let subscriber = Subscriber::connect(&cluster.endpoint(), Delivery::Committed, start).unwrap();
        Self { subscriber, digest: StreamDigest::default(), next: 0, replayed: false, caught_up: false }
    }

    fn poll(&mut self) -> usize {
        let Self { subscriber, digest, next, replayed, caught_up } = self;
        subscriber.poll(1_000, |event| {
            match event {
                SubscriberEvent::Message(message) => {
                    assert!(message.seq >= *next, "seq {} again", message.seq);
                    *next = message.seq + 1;
                    digest.add(&message);
                }
                SubscriberEvent::Replaying { .. } => *replayed = true,
                SubscriberEvent::CaughtUp { .. } => *caught_up = true,
                SubscriberEvent::Refused { why, .. } => panic!("refused at {next}: {why:?}"),
                SubscriberEvent::Abandoned { from, why, .. } => panic!("abandoned at {from}: {why:?}"),
                _ => {}
            }
            ControlFlow::Continue(())
        })
    }
}

#[test]
fn a_hundred_who_join_at_once_while_orders_flow_get_the_whole_stream_once() {
    const THREADS: usize = 4;
    const EACH: usize = 25;
    let cluster = Cluster::new(3, SMALL);
    let nodes: Vec<_> = (1..=3).map(|id| Running::start(&cluster, id)).collect();
    publish(&cluster, "before", MANY / 2);
    let (caught_up, total) = (AtomicUsize::new(0), AtomicU64::new(u64::MAX));
    let joiners: Vec<Joiner> = std::thread::scope(|scope| {
        let (cluster, caught_up, total) = (&cluster, &caught_up, &total);
        let join = move || {
            let starts = [Start::From(1), Start::Oldest];
            let mut joiners: Vec<_> =
                (0..EACH).map(|index| Joiner::join(cluster, starts[index % 2])).collect();
            let began = Instant::now();
            let missing = |joiner: &Joiner| joiner.digest.messages() < total.load(Ordering::Acquire);
            while joiners.iter().any(missing) {
                let mut work = 0;
                for joiner in &mut joiners {
                    let before = joiner.caught_up;
                    work += joiner.poll();
                    caught_up.fetch_add(usize::from(joiner.caught_up && !before), Ordering::AcqRel);
                }
                if work == 0 {
                    std::thread::yield_now();
                }
                let state: Vec<_> = joiners.iter().map(|joiner| (joiner.replayed, joiner.next)).collect();
                assert!(began.elapsed() < PATIENCE, "{caught_up:?} have caught up; of {total:?}: {state:?}");
            }
            joiners
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(join)).collect();
        let all = || caught_up.load(Ordering::Acquire) == THREADS * EACH;
        let meanwhile = publish_until(cluster, "meanwhile", all);
        assert!(meanwhile > 0);
        total.store(MANY / 2 + meanwhile, Ordering::Release);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    drop(nodes);
    let (digest, _) = journal_digest(&cluster.node(1), None).unwrap_or_else(|error| panic!("{error}"));
    for joiner in &joiners {
        assert_eq!(joiner.digest.hex(), digest.hex());
        assert!(joiner.replayed, "no ring holds the beginning");
    }
}

#[test]
fn when_the_server_dies_in_the_middle_another_goes_on_behind_the_last_frame() {
    let cluster = Cluster::new(3, SMALL);
    let mut nodes: Vec<_> = (1..=3).map(|id| Some(Running::start(&cluster, id))).collect();
    publish(&cluster, "orders", 2 * MANY);
    let mut killed = 0;
    // Standbys are killed one after the other, so one of these deaths hits the source in use. The third node
    // leads.
    let read = read(&cluster, Start::From(1), 2 * MANY, 50, |messages| {
        if messages > MANY / 2 && killed == 0 {
            drop(nodes[2].take());
            killed = 1;
        }
        if messages > MANY && killed == 1 {
            nodes[2] = Some(Running::start(&cluster, 3));
            drop(nodes[1].take());
            killed = 2;
        }
    });
    assert!(killed == 2 && !read.replaying.is_empty());
    drop(nodes);
    let (digest, _) = journal_digest(&cluster.node(1), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.digest.hex(), digest.hex());
}

#[test]
fn a_cursor_is_taken_up_where_it_was_left_and_refused_by_name_against_another_log() {
    let cluster = Cluster::new(1, SMALL);
    let node = Running::start(&cluster, 1);
    publish(&cluster, "orders", MANY);
    let first = read(&cluster, Start::From(1), 1_003, 59, |_| {});
    let cursor = first.cursor.expect("a place");
    assert_eq!(cursor.seq, first.next);
    let rest = read(&cluster, Start::Cursor(cursor), MANY - first.digest.messages(), 500, |_| {});
    assert_eq!(rest.digest.messages() + first.digest.messages(), MANY, "nothing twice, nothing missed");
    for (wrong, why) in [
        (Cursor { chain: cursor.chain ^ 1, ..cursor }, ReplayEndReason::ChainMismatch),
        (Cursor { history: cursor.history ^ 1, ..cursor }, ReplayEndReason::OtherHistory),
    ] {
        let refused = read(&cluster, Start::Cursor(wrong), 1, 500, |_| {});
        assert_eq!((refused.refused, refused.digest.messages()), (Some(Some(why)), 0));
    }
    drop(node);
}

#[test]
fn a_replica_behind_every_ring_catches_up_from_another_ones_journal() {
    let cluster = Cluster::new(3, SMALL);
    let mut nodes: Vec<_> = (1..=2).map(|id| Running::start(&cluster, id)).collect();
    publish(&cluster, "orders", MANY);
    // The third node has never received anything.
    nodes.push(Running::start(&cluster, 3));
    publish(&cluster, "more", 10);
    let mut state = lockstep_client::internal::QueryClient::open(&cluster.endpoint()).unwrap();
    let addresses: Vec<_> = (1..=3).map(|id| cluster.node(id).unicast).collect();
    wait_until("the third one has everything", || {
        let answers = state.nodes(&addresses, Duration::from_millis(200));
        let ends: Vec<_> = answers.iter().flatten().map(|state| state.commit_next).collect();
        ends.len() == 3 && ends.iter().all(|end| *end == ends[0])
    });
    drop(nodes);
    let digests: Vec<_> = [1, 2, 3]
        .map(|id| journal_digest(&cluster.node(id), None).unwrap_or_else(|error| panic!("{error}")).0.hex())
        .into();
    assert_eq!((&digests[1], &digests[2]), (&digests[0], &digests[0]));
}
