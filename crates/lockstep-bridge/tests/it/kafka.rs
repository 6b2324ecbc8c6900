//! What a Kafka bridge does beyond the stories of all targets, and the way into the stream. The broker is
//! librdkafka's mock cluster (`broker.rs`).

use crate::broker::MockBroker;
use crate::load::{self, draws, number_of};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Outcome, PATIENCE, Process, payloads, run};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::cell::RefCell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const TOPIC: &str = "t";

struct Broker {
    process: RefCell<MockBroker>,
    brokers: String,
}

impl Broker {
    fn start(cluster: &Cluster) -> Self {
        let process = MockBroker::start(cluster, TOPIC, 1);
        Self { brokers: process.brokers.clone(), process: RefCell::new(process) }
    }

    fn say(&self, command: &str) {
        self.process.borrow_mut().command(command);
    }

    fn producer(&self) -> BaseProducer {
        producer(&self.brokers)
    }

    /// Writes these records.
    fn write(&self, records: &[String]) {
        let producer = self.producer();
        for record in records {
            send(&producer, record);
        }
        producer.flush(PATIENCE).expect("all are stored");
    }

    fn command(&self, cluster: &Cluster, more: &[&str]) -> Command {
        let mut command = load::bridge();
        command.args(["kafka", "--brokers", &self.brokers, "--topic", TOPIC]);
        command.args(more).arg("--config").arg(cluster.config());
        command
    }

    fn bridge(&self, cluster: &Cluster, more: &[&str]) -> Process {
        cluster.start_command("bridge", self.command(cluster, more))
    }

    fn run(&self, cluster: &Cluster, more: &[&str]) -> Outcome {
        run(self.command(cluster, more), b"")
    }
}

fn producer(brokers: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("linger.ms", "0");
    config.set("reconnect.backoff.max.ms", "100").set("message.timeout.ms", "0");
    config.create().expect("a producer")
}

fn send(producer: &BaseProducer, record: &str) {
    loop {
        match producer.send(BaseRecord::<(), str>::to(TOPIC).partition(0).payload(record)) {
            Ok(()) => return,
            Err(_) => producer.poll(Duration::from_millis(10)),
        }
    }
}

fn records(range: std::ops::Range<usize>) -> Vec<String> {
    // Some are empty, and some take several frames, and so several of the publisher's numbers.
    let length = |number: usize| match number % 50 {
        49 => 5_000,
        7 => 0,
        rest => rest * 3,
    };
    range
        .map(|number| {
            if number % 50 == 7 {
                String::new()
            } else {
                format!("record {number} {}", "x".repeat(length(number)))
            }
        })
        .collect()
}

const INTO: [&str; 3] = ["--in", "--publisher", "from-kafka"];

fn into<'a>(more: &[&'a str]) -> Vec<&'a str> {
    INTO.iter().chain(more).copied().collect()
}

#[track_caller]
fn assert_published(cluster: &Cluster, wanted: &[String]) {
    let read = cluster.read(&[]).out;
    let published: Vec<&str> = payloads(&read);
    let differs = wanted.iter().zip(&published).position(|(wanted, published)| wanted != published);
    if let Some(at) = differs {
        panic!("record {at} of {}: {:?} was published for {:?}", wanted.len(), published[at], wanted[at]);
    }
    assert_eq!(published.len(), wanted.len());
}

/// Records for as long as a test wants them.
struct RecordLoad {
    enough: Arc<AtomicBool>,
    /// Free while all records are acknowledged: the mock recognises no repeat of this producer's, and the
    /// records are the same however the broker is cut off.
    quiet: Arc<Mutex<()>>,
    writer: JoinHandle<usize>,
}

impl RecordLoad {
    fn start(broker: &Broker) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let (is_enough, brokers) = (Arc::clone(&enough), broker.brokers.clone());
        let quiet = Arc::new(Mutex::new(()));
        let is_quiet = Arc::clone(&quiet);
        let writer = std::thread::spawn(move || {
            let producer = producer(&brokers);
            let mut count = 0;
            while !is_enough.load(Ordering::Acquire) {
                let busy = is_quiet.lock().expect("no test has failed");
                for record in records(count..count + 1) {
                    send(&producer, &record);
                }
                while producer.in_flight_count() > 0 {
                    producer.poll(Duration::from_millis(1));
                }
                drop(busy);
                count += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            producer.flush(PATIENCE).expect("all are stored");
            count
        });
        Self { enough, quiet, writer }
    }

    fn end(self) -> usize {
        self.enough.store(true, Ordering::Release);
        self.writer.join().expect("a writer")
    }
}

#[test]
fn each_record_is_stamped_once_and_in_order_though_the_bridge_is_killed_and_the_broker_cut_off() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let broker = Broker::start(&cluster);
    let (kills, cuts) = (
        number_of("LOCKSTEP_BRIDGE_KILLS", amount(5, 15)),
        number_of("LOCKSTEP_BRIDGE_SERVER_KILLS", amount(1, 2)),
    );
    let load = RecordLoad::start(&broker);
    let mut draws = draws();
    for kill in 0..kills {
        let mut bridge = broker.bridge(&cluster, &INTO);
        std::thread::sleep(Duration::from_millis(draws.below(500)));
        if (kill + 1) * cuts / kills > kill * cuts / kills {
            let quiet = load.quiet.lock().expect("a writer");
            broker.say("down");
            std::thread::sleep(Duration::from_millis(100));
            broker.say("up");
            drop(quiet);
            std::thread::sleep(Duration::from_millis(draws.below(400)));
        }
        assert!(bridge.ended().is_none(), "the bridge ended by itself:\n{}", bridge.log());
        bridge.signal("KILL");
        bridge.wait();
    }
    let count = load.end();
    broker.run(&cluster, &into(&["--until-end"])).with_code(0);
    assert_published(&cluster, &records(0..count));
    println!("{kills} kills of the bridge, {cuts} cuts of the broker, {count} records: each once, in order");
}

#[test]
fn a_broker_that_is_down_is_said_and_waited_for_on_the_way_into_the_stream() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let broker = Broker::start(&cluster);
    broker.say("down");
    let mut bridge = broker.bridge(&cluster, &into(&["--target-timeout", "2s", "--report", "1s"]));
    bridge.await_log("cannot be reached");
    broker.say("up");
    bridge.await_log("works again");
    broker.write(&records(0..100));
    bridge.await_log("messages 100");
    broker.say("down");
    bridge.await_log_times("cannot be reached", 2);
    // The stream goes on.
    cluster.publish("another\n");
    broker.say("up");
    broker.write(&records(100..200));
    bridge.await_log("messages 200");
    assert!(bridge.log().contains("p99"), "{}", bridge.log());
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn a_newer_bridge_with_the_publishers_name_fences_the_older_one() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let broker = Broker::start(&cluster);
    let mut first = broker.bridge(&cluster, &into(&["--report", "200ms"]));
    first.await_log("messages 0");
    let load = RecordLoad::start(&broker);
    std::thread::sleep(Duration::from_millis(300));
    let second = cluster.start_command("second", broker.command(&cluster, &INTO));
    assert_eq!(first.wait().code(), Some(5), "{}", first.log());
    assert!(first.log().contains("is fenced"), "{}", first.log());
    std::thread::sleep(Duration::from_millis(300));
    let count = load.end();
    assert_eq!(second.terminate(), Some(0));
    broker.run(&cluster, &into(&["--until-end"])).with_code(0);
    assert_published(&cluster, &records(0..count));
}

#[test]
fn where_the_next_record_is_unknown_a_bridge_asks_instead_of_guessing() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let broker = Broker::start(&cluster);
    broker.write(&records(0..10));
    broker.run(&cluster, &into(&["--until-end"])).with_code(0);
    let other = broker.run(&cluster, &into(&["--until-end", "--group", "other"])).with_code(3);
    other.saying(&["group other has no offset", "--resume-at OFFSET"]);
    broker.write(&records(10..20));
    broker.run(&cluster, &into(&["--until-end", "--group", "other", "--resume-at", "10"])).with_code(0);
    assert_published(&cluster, &records(0..20));
    // With what is stored there it needs no word.
    broker.write(&records(20..30));
    broker.run(&cluster, &into(&["--until-end", "--group", "other"])).with_code(0);
    assert_published(&cluster, &records(0..30));
    // The first group is behind the stream, and counts up to it.
    broker.run(&cluster, &into(&["--until-end"])).with_code(0);
    assert_published(&cluster, &records(0..30));

    let anew = Cluster::new(1, "");
    let _replicas = anew.found();
    broker.run(&anew, &into(&["--until-end"])).with_code(3).saying(&["belongs to history", "--resume-at"]);
}

#[test]
fn a_login_that_is_refused_is_said_once_and_tried_again() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    // The mock cluster knows no login, and ends a connection that begins one.
    let broker = Broker::start(&cluster);
    let password = cluster.path("password");
    std::fs::write(&password, "secret").expect("a file");
    let password = password.display().to_string();
    let login = ["--user", "bridge", "--password-file", &password, "--target-timeout", "1s"];
    let mut bridge = broker.bridge(&cluster, &login);
    bridge.await_log("refuses the login");
    std::thread::sleep(Duration::from_secs(2));
    let log = bridge.log();
    assert_eq!(log.matches("refuses the login").count(), 1, "said once:\n{log}");
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn two_bridges_at_once_notice_each_other_and_end() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let broker = Broker::start(&cluster);
    let second = cluster.start_command("second", broker.command(&cluster, &[]));
    let mut bridges = [broker.bridge(&cluster, &[]), second];
    for message in 0..200 {
        cluster.publish(&format!("message {message}\n"));
        if bridges.iter_mut().any(|bridge| bridge.ended().is_some()) {
            break;
        }
    }
    let ended: Vec<_> = bridges.iter_mut().filter_map(|bridge| bridge.ended()).collect();
    assert!(!ended.is_empty() && ended.iter().all(|status| status.code() == Some(5)), "{ended:?}");
    assert!(bridges.iter().any(|bridge| bridge.log().contains("Let one bridge write")));
}

#[test]
fn a_topic_with_another_programs_records_is_refused() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    cluster.publish("one\n");
    let broker = Broker::start(&cluster);
    broker.write(&["another program's".to_owned()]);
    let refused = broker.run(&cluster, &["--until-end"]).with_code(5);
    refused.saying(&["offset 0", "is not one of a bridge", "name another --topic"]);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let cluster = Cluster::new(1, "");
    let broker = Broker::start(&cluster);
    let of = |args: &[&str]| broker.run(&cluster, args).with_code(2);
    of(&["--in"]).saying(&["--publisher"]);
    of(&["--resume-at", "3"]).saying(&["--in"]);
    of(&["--property", "enable.idempotence=false"]).saying(&["guarantee depends on it"]);
    of(&["--property", "no.such.setting=1"]).saying(&["no.such.setting"]);
    of(&["--user", "bridge"]).saying(&["--user bridge", "--password-file"]);
    of(&["--after-purge"]).saying(&["--from SEQ"]);
    of(&["--partitions", "0"]).saying(&["--partitions"]);
}
