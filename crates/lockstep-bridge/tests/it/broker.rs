//! librdkafka's mock cluster, the one broker of Kafka's protocol that a registry has, in a process of its
//! own: the test's own program, which runs nothing but this. It stores what it acknowledges, and recognises
//! what an idempotent producer repeats. It knows no login, no retention by time, no transactions that are
//! aborted and no fencing, and its log is gone with its process; so *cut off* is: all connections and the
//! port closed at any point, with acknowledgements on their way.
//!
//! In the process of the tests, children that these start would hold its port open.

use lockstep_testkit::processes::{Cluster, Process};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Command};
use std::time::Duration;

/// Topic and partitions; a process that has it is a broker.
const VARIABLE: &str = "MOCK_BROKER_TOPIC";
/// The test that is that process.
const TEST: &str = "broker::the_broker_of_the_other_tests_is_a_process_of_its_own";
/// What it says when it has done a command.
const DONE: &str = "broker: done";
const ADDRESS: &str = "broker: ";
const BROKER: i32 = 1;

/// The process.
pub struct MockBroker {
    process: Process,
    out: BufReader<ChildStdout>,
    pub brokers: String,
}

impl MockBroker {
    pub fn start(cluster: &Cluster, topic: &str, partitions: i32) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test knows where it lies"));
        command.args([TEST, "--exact", "--nocapture"]).env(VARIABLE, format!("{topic}:{partitions}"));
        let mut process = cluster.start_command("broker", command);
        let out = BufReader::new(process.take_stdout());
        let mut broker = Self { process, out, brokers: String::new() };
        broker.brokers = broker.answer();
        broker
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.out.read_line(&mut line).expect("a pipe");
            assert!(read > 0, "the broker has ended:\n{}", self.process.log());
            if let Some(at) = line.find(ADDRESS) {
                return line[at + ADDRESS.len()..].trim().to_owned();
            }
        }
    }

    /// `down`, `up`, `slow MILLISECONDS`, `refuse`, `store-nothing` (a producer tries again), `take`.
    pub fn command(&mut self, command: &str) {
        let stdin = self.process.stdin().as_mut().expect("piped");
        writeln!(stdin, "{command}").expect("a broker that reads");
        assert_eq!(self.answer(), DONE.trim_start_matches(ADDRESS), "{command}");
    }
}

/// Is the broker, if this is its process.
#[test]
fn the_broker_of_the_other_tests_is_a_process_of_its_own() {
    let Ok(wanted) = std::env::var(VARIABLE) else { return };
    let (topic, partitions) = wanted.split_once(':').expect("TOPIC:PARTITIONS");
    let mock = MockCluster::new(1).expect("a mock cluster");
    mock.create_topic(topic, partitions.parse().expect("a number"), 1).expect("a topic");
    println!("\n{ADDRESS}{}", mock.bootstrap_servers());
    let fail = |error| {
        mock.request_errors(RDKafkaApiKey::Produce, &[error; 1_000]);
        Ok(())
    };
    for line in std::io::stdin().lines() {
        let line = line.expect("a pipe");
        let mut words = line.split(' ');
        let done = match (words.next(), words.next()) {
            (Some("down"), None) => mock.broker_down(BROKER),
            (Some("up"), None) => mock.broker_up(BROKER),
            (Some("slow"), Some(ms)) => {
                let delay = Duration::from_millis(ms.parse().expect("a number"));
                mock.broker_round_trip_time(BROKER, delay)
            }
            (Some("refuse"), None) => fail(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
            (Some("store-nothing"), None) => fail(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
            (Some("take"), None) => {
                mock.clear_request_errors(RDKafkaApiKey::Produce);
                Ok(())
            }
            _ => panic!("no command: {line}"),
        };
        done.expect("a mock that obeys");
        println!("{DONE}");
    }
}
