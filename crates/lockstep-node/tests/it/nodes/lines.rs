//! Two lines under real nodes: losses on one line, or the loss of a whole line, have no effect but on its
//! counters.

use crate::support::Cluster;
use lockstep_client::{
    Delivery, Publisher, PublisherEvent, Start, StreamDigest, Subscriber, SubscriberEvent,
};
use lockstep_core::engine::counters::Counter;
use lockstep_io::counters::CountersReader;
use lockstep_io::device::MemorySharing;
use lockstep_node::{EVENT_KINDS, Node, NodeSettings, journal_digest};
use lockstep_process::events::Recorder;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// There is no takeover here, however long the machine keeps a thread waiting: other tests cover that.
pub(super) const SETTINGS: &str = "[journal]\ntail_size = \"8MiB\"\nsegment_size = \"1MiB\"\n[stream]\nwindow_bytes = \"1MiB\"\n\
    [timing]\nfailure_timeout = \"30s\"\nfailure_timeout_max = \"30s\"\n";

/// The counts of a run.
pub(super) struct Outcome {
    /// Sums over the nodes before they were stopped, by the names in the counters file.
    sums: BTreeMap<String, u64>,
    subscriber_gaps: u64,
    pub log: String,
}

impl Outcome {
    pub fn sum(&self, name: &str) -> u64 {
        *self.sums.get(name).unwrap_or_else(|| panic!("no counter {name}"))
    }
}

/// Three nodes, a publisher and a subscriber on two lines; everything arrives, once and in order.
fn run(fault_injection: &str, messages: u64, at_least: Duration) -> Outcome {
    let cluster = Cluster::on_lines(3, &format!("{SETTINGS}{fault_injection}"), &["", ""]);
    run_in(&cluster, MemorySharing::Off, messages, at_least)
}

/// Three nodes of `cluster`, a publisher and a subscriber; everything arrives, once and in order.
pub(super) fn run_in(cluster: &Cluster, memory: MemorySharing, messages: u64, at_least: Duration) -> Outcome {
    let stop = AtomicBool::new(false);
    let recorder = Recorder::new(EVENT_KINDS, 1024);
    let (digest, sums, subscriber_gaps) = std::thread::scope(|scope| {
        for id in 1..=3 {
            let settings = NodeSettings { memory, ..cluster.node(id) };
            let (stop, recorder) = (&stop, &recorder);
            scope.spawn(move || {
                let node = Node::open(&settings).unwrap_or_else(|error| panic!("{error}"));
                node.run(stop, recorder).unwrap_or_else(|error| panic!("{error}"));
            });
        }
        let endpoint = cluster.endpoint().with_memory(memory);
        let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1)).unwrap();
        let mut publisher = Publisher::connect(&endpoint).unwrap();
        let orders =
            publisher.open("orders", Duration::from_secs(20)).unwrap_or_else(|error| panic!("{error}"));
        let mut digest = StreamDigest::new();
        let (mut published, mut committed, begun) = (0, 0, Instant::now());
        while digest.messages() < messages || committed < messages || begun.elapsed() < at_least {
            assert!(begun.elapsed() < Duration::from_secs(100), "stuck at {published}, {committed}");
            if published < messages && publisher.try_publish(orders, 0, &published.to_le_bytes()).is_ok() {
                published += 1;
            }
            publisher.poll(usize::MAX, |event| {
                committed += u64::from(matches!(event, PublisherEvent::Committed { .. }));
            });
            subscriber.poll(1000, |event| {
                if let SubscriberEvent::Message(message) = event {
                    digest.add(&message);
                }
                ControlFlow::Continue(())
            });
            std::thread::yield_now();
        }
        // The nodes publish their counters earlier than this.
        std::thread::sleep(Duration::from_millis(100));
        let sums = sums(cluster);
        stop.store(true, Ordering::Release);
        (digest.hex(), sums, subscriber.counters().get(Counter::Gaps))
    });
    for id in 1..=3 {
        let (own, _) = journal_digest(&cluster.node(id), None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((own.messages(), own.hex()), (messages, digest.clone()), "journal {id}");
    }
    Outcome { sums, subscriber_gaps, log: recorder.recent_text() }
}

fn sums(cluster: &Cluster) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for id in 1..=3 {
        let file = CountersReader::open(&cluster.node(id).counters).unwrap_or_else(|error| panic!("{error}"));
        for row in file.rows() {
            *sums.entry(row.name.clone()).or_default() += file.value(&row.name).unwrap_or(0);
        }
    }
    sums
}

/// No takeover and no repair: only an event and a counter.
#[test]
fn the_loss_of_a_whole_line_is_an_alarm_and_nothing_else() {
    let lost = "[fault_injection]\nloss = \"100%\"\nline = 2\n";
    let outcome = run(lost, 5_000, Duration::from_millis(1_500));
    let counted = |name| outcome.sum(name);
    assert_eq!(counted("line_datagrams_in{line=\"b\"}"), 0);
    assert!(
        counted("line_alarms{line=\"b\"}") >= 3 && counted("line_lost{line=\"b\"}") > 100,
        "{}",
        outcome.log
    );
    assert_eq!(
        (counted("line_alarms{line=\"a\"}"), counted("suspicions"), counted("candidacies")),
        (0, 0, 0)
    );
    let lost_at_sockets = counted("udp_dropped") > 0;
    assert!(lost_at_sockets || counted("loss_gaps") == counted("loss_came_late"), "{}", outcome.log);
    assert!(lost_at_sockets || outcome.subscriber_gaps == 0, "{} gaps", outcome.subscriber_gaps);
    assert!(outcome.log.contains("line 2 delivers nothing, and the other works"), "{}", outcome.log);
}

/// A datagram that both lines lose is repaired; one that a single line loses is not missed.
#[test]
fn what_both_lines_lose_is_repaired_and_nothing_is_delivered_twice() {
    let outcome = run("[fault_injection]\nloss = \"20%\"\nduplication = \"2%\"\n", 5_000, Duration::ZERO);
    let counted = |name| outcome.sum(name);
    let (first, lost) = (
        counted("line_first{line=\"a\"}") + counted("line_first{line=\"b\"}"),
        counted("line_lost{line=\"a\"}"),
    );
    assert!(lost > 0 && counted("line_lost{line=\"b\"}") > 0 && first > lost, "{first} first, {lost} lost");
    assert!(counted("repairs_in") > 0 || counted("loss_gaps") == 0, "{}", outcome.log);
}
