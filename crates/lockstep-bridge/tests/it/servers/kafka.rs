//! A topic of the mock broker, with a reader of its own.

use super::Server;
use crate::broker::MockBroker;
use lockstep_testkit::processes::{Cluster, PATIENCE};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TOPIC: &str = "lockstep";

/// Messages of the topic, by partition, as they were read: seq and line.
type Read = Arc<Mutex<Vec<Vec<(u64, String)>>>>;

/// A broker with a topic of so many partitions, into which a bridge writes in transactions or not.
pub struct KafkaServer<const PARTITIONS: i32, const TRANSACTIONS: bool> {
    /// Behind a lock, as a signal changes nothing of the test's own.
    broker: Mutex<MockBroker>,
    brokers: String,
    read: Read,
    enough: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

/// The reader of a topic: the mock stores 5 MiB of a partition, so all is read as it comes.
fn consumer(brokers: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "test").set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "earliest").set("reconnect.backoff.max.ms", "100");
    config.create().expect("a consumer")
}

fn read_all(brokers: &str, partitions: i32, read: &Read, enough: &AtomicBool) {
    let consumer = consumer(brokers);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(TOPIC, partition, Offset::Offset(0)).expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    while !enough.load(Ordering::Acquire) {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
        let headers = message.headers();
        let text = |name: &str| {
            let header = headers.and_then(|headers| headers.iter().find(|header| header.key == name));
            let value = header.and_then(|header| header.value).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let payload = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
        let [seq, publisher, number, destination] = ["Seq", "Publisher", "Publisher-Seq", "Destination"]
            .map(|name| text(&format!("Lockstep-{name}")));
        let line = format!("{seq}\t{publisher}:{number}\t{destination}\t{payload}");
        let mut read = read.lock().expect("no reader has failed");
        let partition = &mut read[message.partition() as usize];
        assert_eq!(message.offset(), partition.len() as i64, "the mock has dropped what was not read");
        partition.push((seq.parse().unwrap_or(0), line));
    }
}

impl<const PARTITIONS: i32, const TRANSACTIONS: bool> KafkaServer<PARTITIONS, TRANSACTIONS> {
    /// Where the broker recognises repeats, a cut finds acknowledgements on their way.
    const QUICK: &str = if TRANSACTIONS { "slow 3" } else { "slow 0" };

    fn command(&self, command: &str) {
        self.broker.lock().expect("no command has failed").command(command);
    }

    /// Waits until everything that the topic has now was read.
    fn await_read(&self) {
        let consumer = consumer(&self.brokers);
        for partition in 0..PARTITIONS {
            let (_, end) = consumer.fetch_watermarks(TOPIC, partition, PATIENCE).expect("its end");
            let began = Instant::now();
            let count = || self.read.lock().expect("no reader has failed")[partition as usize].len() as i64;
            while count() < end {
                assert!(began.elapsed() < PATIENCE, "{} of {end} messages of {partition} are read", count());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl<const PARTITIONS: i32, const TRANSACTIONS: bool> Drop for KafkaServer<PARTITIONS, TRANSACTIONS> {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Release);
        let ended = self.reader.take().map(JoinHandle::join);
        // A test that fails says why by itself.
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the reader has failed");
    }
}

impl<const PARTITIONS: i32, const TRANSACTIONS: bool> Server for KafkaServer<PARTITIONS, TRANSACTIONS> {
    fn start(cluster: &Cluster) -> Option<Self> {
        let mut broker = MockBroker::start(cluster, TOPIC, PARTITIONS);
        broker.command(Self::QUICK);
        let read: Read = Arc::new(Mutex::new(vec![vec![]; PARTITIONS as usize]));
        let enough = Arc::new(AtomicBool::new(false));
        let brokers = broker.brokers.clone();
        let (of, is_enough, reading) = (brokers.clone(), Arc::clone(&enough), Arc::clone(&read));
        let reader = std::thread::spawn(move || read_all(&of, PARTITIONS, &reading, &is_enough));
        Some(Self { broker: Mutex::new(broker), brokers, read, enough, reader: Some(reader) })
    }

    fn destinations() -> u32 {
        PARTITIONS as u32
    }

    fn bridge(&self) -> Vec<String> {
        let mut args = vec!["kafka".to_owned(), "--brokers".to_owned(), self.brokers.clone()];
        if TRANSACTIONS {
            args.extend(["--transactional-id".to_owned(), "bridge".to_owned()]);
        }
        args
    }

    /// The partitions have the order of their own seqs; together they have that of the stream.
    fn lines(&self, _: &Cluster) -> Vec<String> {
        self.await_read();
        let read = self.read.lock().expect("no reader has failed");
        for partition in read.iter() {
            let falls = partition.windows(2).find(|pair| pair[0].0 >= pair[1].0);
            assert_eq!(falls, None, "seqs rise in a partition");
        }
        let mut all: Vec<_> = read.iter().flatten().cloned().collect();
        all.sort_by_key(|(seq, _)| *seq);
        all.into_iter().map(|(_, line)| line).collect()
    }

    fn kill_and_start(&mut self, cluster: &Cluster) {
        self.kill();
        std::thread::sleep(Duration::from_millis(50));
        self.start_again(cluster);
    }

    /// The mock recognises no repeat of a producer without a transactional id. So nothing that it has stored
    /// may be unacknowledged when it closes the connections: before that it stores nothing for a while.
    fn kill(&mut self) {
        if !TRANSACTIONS {
            self.command("store-nothing");
            std::thread::sleep(Duration::from_millis(200));
        }
        self.command("down");
    }

    fn start_again(&mut self, _: &Cluster) {
        self.command("up");
        self.command("take");
    }

    fn signal(&self, name: &str) {
        self.command(if name == "STOP" { "slow 3000" } else { Self::QUICK });
    }

    fn set_login(&mut self, _: bool) -> bool {
        false
    }

    fn set_writable(&mut self, is_writable: bool) {
        self.command(if is_writable { "take" } else { "refuse" });
    }

    fn refusal(&self) -> &'static str {
        "refuses the right"
    }
}

#[test]
fn kafka_has_a_long_stream_and_a_growing_one_and_the_speed_is_said() {
    super::speed::<KafkaServer<1, false>>();
}

#[test]
fn each_message_is_in_kafka_once_and_in_order_though_the_bridge_is_killed_and_the_broker_cut_off() {
    super::under_kills::<KafkaServer<1, false>>();
}

#[test]
fn each_message_is_in_kafka_once_by_transactions_too() {
    super::under_kills::<KafkaServer<1, true>>();
}

#[test]
fn each_message_is_in_its_destinations_partition_of_kafka_once_and_in_order() {
    super::under_kills::<KafkaServer<3, false>>();
}

#[test]
fn kafka_has_names_as_headers_where_they_are_known() {
    let cluster = Cluster::new(1, "");
    let Some(server) = KafkaServer::<1, false>::start(&cluster) else { return };
    let _replicas = cluster.found();
    super::copy_named(&cluster, &server);
    let consumer = consumer(&server.brokers);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(TOPIC, 0, Offset::Offset(0)).expect("an offset");
    consumer.assign(&assignment).expect("an assignment");
    for wanted in [[Some("desk"), None], [Some("risk"), Some("desk")]] {
        let message = consumer.poll(PATIENCE).expect("a message in time").expect("a message");
        let headers = message.headers().expect("headers");
        let text = |name: &str| {
            let header = headers.iter().find(|header| header.key == name)?;
            header.value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let names = ["Lockstep-Publisher-Name", "Lockstep-Destination-Name"].map(text);
        assert_eq!(names.each_ref().map(|name| name.as_deref()), wanted);
    }
}

#[test]
fn kafka_that_is_down_stalled_or_refuses_is_tried_again_while_the_stream_goes_on() {
    super::in_trouble::<KafkaServer<1, false>>();
}

#[test]
fn kafka_with_another_history_is_refused() {
    super::of_another_history::<KafkaServer<1, false>>();
}
