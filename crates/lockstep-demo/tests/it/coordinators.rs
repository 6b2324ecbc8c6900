//! Coordinators of a set: the list, cuts, and who takes whose place.

use crate::dev::Dev;
use lockstep_client::{
    Counted, Delivery, EVERYBODY, Endpoint, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use lockstep_daemon::config::Config;
use lockstep_io::counters::CountersReader;
use lockstep_set::CutEntry;
use lockstep_testkit::processes::{Outcome, PATIENCE, await_code, command, run};
use lockstep_wire::{Epoch, Identity, Nanos, PublisherId, Seq};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a stream is published into at most, if nobody ends it.
const FLOW: Duration = Duration::from_secs(300);

/// A set that runs.
pub struct Set {
    pub file: String,
}

impl Set {
    pub fn run(&self, args: &[&str]) -> Outcome {
        let mut command = command(args);
        command.env("LOCKSTEP_CONFIG", &self.file);
        run(command, b"")
    }

    pub fn publish(&self, stream: &str, text: &str) {
        let mut command = command(&["publish", "--stream", stream, "--name", "p"]);
        command.env("LOCKSTEP_CONFIG", &self.file);
        run(command, text.as_bytes()).with_code(0);
    }

    fn show(&self) -> Value {
        let shown = await_code(0, || self.run(&["streams", "show", "--json"]));
        serde_json::from_str(shown.out.trim()).expect("an object")
    }

    /// What `streams show` has, once this holds.
    #[track_caller]
    fn await_show(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let shown = self.show();
            if holds(&shown) {
                return shown;
            }
            assert!(began.elapsed() < PATIENCE, "{shown}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What `streams show` has once no cut was added for longer than cuts of a home stream that moves are
    /// apart.
    fn await_calm(&self) -> Value {
        let began = Instant::now();
        let mut shown = self.show();
        loop {
            std::thread::sleep(Duration::from_millis(2_500));
            let next = self.show();
            if next["last_cut"]["seq"] == shown["last_cut"]["seq"] {
                return next;
            }
            assert!(began.elapsed() < PATIENCE, "cuts without a cause: {shown} {next}");
            shown = next;
        }
    }

    pub fn config(&self, stream: &str) -> Config {
        Config::load(Some(Path::new(&self.file)), &[Config::choice_of_stream(stream)])
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub fn endpoint(&self, stream: &str) -> Endpoint {
        Endpoint::from_config(&self.config(stream)).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The process of a coordinator.
    pub fn pid(&self, id: u32) -> u32 {
        let config = self.config("s1");
        let path = Counted::path(&config.counters_folder(), config.cluster, &format!("coordinator-{id}"));
        CountersReader::open(&path).unwrap_or_else(|error| panic!("{error}")).pid()
    }

    /// The process of the leader of a stream.
    pub fn leader(&self, stream: &str) -> (Identity, u32) {
        let status = await_code(0, || self.run(&["status", "--stream", stream, "--json"]));
        let status: Value = serde_json::from_str(status.out.trim()).expect("an object");
        let leader: Identity =
            status["leader"].as_str().and_then(|text| text.parse().ok()).expect("a leader");
        let path = &self.config(stream).replica(leader.replica).expect("a replica").counters.clone();
        (leader, CountersReader::open(path).unwrap_or_else(|error| panic!("{error}")).pid())
    }
}

/// A program that publishes into a stream until it is dropped.
pub struct Flow {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flow {
    pub fn start(endpoint: Endpoint) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut publisher = Publisher::connect(&endpoint).expect("a publisher");
            let id = publisher.open("flow", PATIENCE).expect("a name");
            let began = Instant::now();
            while !stops.load(Ordering::Acquire) && began.elapsed() < FLOW {
                let _ = publisher.try_publish(id, EVERYBODY, b"an order"); // the window may be full
                let until = Instant::now() + Duration::from_millis(2);
                while Instant::now() < until {
                    publisher.poll(64, |_: PublisherEvent| {});
                    publisher.wait(Duration::from_millis(1)).expect("it is ours");
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A reader of the home stream's cuts.
struct CutReader {
    subscriber: Subscriber,
    /// The epoch of the first row of the last cut.
    epoch: Epoch,
    /// Seq, stamp and publisher of each cut that counts.
    counted: Vec<(Seq, Nanos, PublisherId)>,
}

impl CutReader {
    fn new(endpoint: &Endpoint) -> Self {
        let subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1));
        Self { subscriber: subscriber.expect("a subscriber"), epoch: Epoch::NONE, counted: Vec::new() }
    }

    /// Reads until this holds.
    #[track_caller]
    fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.counted.last());
            let Self { subscriber, epoch, counted } = self;
            let work = subscriber.poll(64, |event| {
                if let SubscriberEvent::SetNote { seq, timestamp, publisher, payload } = event
                    && let Ok(cut) = CutEntry::parse(payload)
                    && cut.after.seq == counted.last().map_or(0, |(seq, ..)| *seq)
                {
                    *epoch = cut.rows[0].epoch();
                    counted.push((seq, timestamp, publisher));
                }
                ControlFlow::Continue(())
            });
            if work == 0 {
                subscriber.wait(Duration::from_millis(5)).expect("it is ours");
            }
        }
    }

    /// The longest time between two cuts from place `from` on.
    fn gap(&self, from: usize) -> Duration {
        let gaps = self.counted[from..].windows(2).map(|pair| pair[1].1 - pair[0].1);
        Duration::from_nanos(gaps.max().unwrap_or(0))
    }
}

pub fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("every host has kill").success());
}

#[test]
fn a_set_has_a_list_and_cuts_at_once_and_streams_that_are_idle_cost_no_entry() {
    let mut dev = Dev::start(&["--streams", "3"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    set.publish("s2", "one\ntwo\n");
    let next = |shown: &Value, index: usize| shown["streams"][index]["next"].as_u64().unwrap_or(0);
    // The start of its epoch, the name of the publisher and two messages.
    let shown = set.await_show(|shown| next(shown, 0) >= 5);
    assert_eq!((&shown["list"], &shown["home"]), (&Value::from(1), &Value::from("s1")));
    set.await_calm();

    let again = set.run(&["streams", "add", "--all"]).with_code(0);
    assert_eq!(again.out, "nothing to change: list 1 of s1 has s2, s3\n");
    let removed = set.run(&["streams", "remove", "s2"]).with_code(0);
    assert!(removed.out.starts_with("list 2 at seq ") && removed.out.ends_with(": s3\n"), "{}", removed.out);
    let removed = set.run(&["streams", "remove", "s2"]).with_code(0);
    assert!(removed.out.starts_with("nothing to change: list 2"), "{}", removed.out);
    set.publish("s2", "three\n");
    set.publish("s3", "one\n");
    set.await_show(|shown| next(shown, 0) >= 4 && shown["streams"][0]["name"] == "s3");
    let added = set.run(&["streams", "add", "s2", "--from", "1"]).with_code(0);
    assert!(added.out.starts_with("list 3 at seq ") && added.out.ends_with(": s3, s2\n"), "{}", added.out);
    set.await_show(|shown| next(shown, 1) >= 6);

    for (args, word) in [
        (&["streams", "add", "s1"][..], "s1 is the home stream: all of it is merged, and no list names it"),
        (&["streams", "add", "s9"], "there is no stream \"s9\": the file has s2, s3 beside the home stream"),
        (&["streams", "show", "--stream", "s2"], "this is about all streams of the set; leave it out"),
        (&["coordinator", "--id", "7"], "no coordinator 7; the file has 1, 2: name one of them with --id"),
        (&["coordinator"], "the file has the coordinators 1, 2: name one of them with --id"),
    ] {
        let refused = set.run(args).with_code(2);
        assert!(refused.err.contains(word), "{}", refused.err);
    }
    dev.end();
}

#[test]
fn what_the_runbook_asks_of_a_set_is_answered() {
    let mut dev = Dev::start(&["--streams", "2"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    for (args, word) in [
        (&["streams", "show"][..], "s2"),
        (&["counters", "coordinator-1", "--stream", "s1"], "coordinator_list"),
        (&["status", "--stream", "s2"], "healthy: 3 of 3 members"),
        (&["keys", "show", "--stream", "s1"], "coordinator"),
    ] {
        await_code(0, || {
            let shown = set.run(args);
            let has_it = shown.out.contains(word);
            Outcome { code: shown.code.map(|code| code + i32::from(!has_it)), ..shown }
        });
    }
    // What it finds is the host's, and so is its exit code; it is asked of one stream.
    let doctor = set.run(&["doctor", "--stream", "s2"]);
    assert!(doctor.err.is_empty() && !doctor.out.is_empty(), "{:?} {}", doctor.code, doctor.err);
    dev.end();
}

#[test]
fn another_coordinator_takes_the_place_of_one_that_is_killed_and_a_leader_that_dies_stops_one_stream() {
    let mut dev = Dev::start(&["--streams", "2"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    let flow = Flow::start(set.endpoint("s2"));
    let mut reader = CutReader::new(&set.endpoint("s1"));
    reader.until(|reader| reader.counted.len() > 50);
    let first = reader.counted[reader.counted.len() - 1].2;

    let before = reader.counted.len();
    kill(set.pid(1));
    reader.until(|reader| reader.counted.iter().rev().take(20).all(|(.., publisher)| *publisher != first));
    println!("coordinator killed -9: cuts are at most {:?} apart", reader.gap(before));
    // It is started again, begins at the newest cut, and is the first one again.
    let second = reader.counted[reader.counted.len() - 1].2;
    reader.until(|reader| reader.counted.iter().rev().take(20).all(|(.., publisher)| *publisher == first));
    assert_ne!(first, second);

    for stream in ["s2", "s1"] {
        let (leader, pid) = set.leader(stream);
        let (epoch, cuts) = (reader.epoch, reader.counted.len());
        kill(pid);
        // The flow goes on, behind the takeover: under a new epoch where it is its stream's.
        reader.until(|reader| reader.counted.len() > cuts + 20 && (stream == "s1" || reader.epoch > epoch));
        assert_ne!(set.leader(stream).0, leader, "another replica leads {stream}");
    }
    drop(flow);
    dev.end();
}
