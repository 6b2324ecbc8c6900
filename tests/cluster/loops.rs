//! The client inside event loops of others: poll(2), mio and tokio. The examples of `lockstep-client` are run
//! as their users run them, beside a cluster whose leader is killed.

use lockstep_client::{
    AsyncPublisher, AsyncSubscriber, Delivery, EVERYBODY, Endpoint, Publisher, PublisherEvent, Start,
    Subscriber, SubscriberEvent,
};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, cpu_shares};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// An example's program, where it was built.
fn example(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_lockstep")).with_file_name("examples").join(name);
    if !path.exists() {
        println!("SKIPPED: the examples are not built: `cargo test --workspace` builds them");
        return None;
    }
    Some(path)
}

/// An example that runs, and the lines that it prints.
struct Running {
    process: Process,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(cluster: &Cluster, program: &Path, cursor: Option<&str>) -> Self {
        let mut command = Command::new(program);
        command.env("LOCKSTEP_CONFIG", cluster.config()).args(cursor);
        let mut process = cluster.start_command("example", command);
        let (to, lines) = channel();
        let stdout = BufReader::new(process.take_stdout());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        Self { process, lines, seen: Vec::new() }
    }

    fn write(&mut self, line: &str) {
        let stdin = self.process.stdin().as_mut().expect("it is open");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// Waits for a line that ends so.
    #[track_caller]
    fn await_line(&mut self, end: &str) {
        while !self.seen.last().is_some_and(|line| line.ends_with(end)) {
            let line = self.lines.recv_timeout(PATIENCE);
            let log = || format!("no '{end}' in {:?}:\n{}", self.seen, self.process.log());
            self.seen.push(line.unwrap_or_else(|_| panic!("{}", log())));
        }
    }

    /// Ends its input, and returns the cursor that it prints.
    #[track_caller]
    fn end(mut self) -> (Vec<String>, String) {
        drop(self.process.stdin().take());
        let status = self.process.wait();
        assert!(status.success(), "{status}: {:?}\n{}", self.seen, self.process.log());
        self.seen.extend(self.lines.iter());
        let cursor = self.seen.last().and_then(|line| line.strip_prefix("resume with ")).map(str::to_owned);
        let cursor = cursor.unwrap_or_else(|| panic!("no cursor at the end of {:?}", self.seen));
        (self.seen, cursor)
    }
}

/// Most that a sleeping loop takes of what one takes that spins.
const SLEEPING: f64 = 0.25;
/// Seconds of which one has to show it.
const LOOKS: usize = 20;

/// Runs an example: it sleeps, goes on under the next leader, and is resumed where it ended.
fn drive(name: &str) {
    let Some(program) = example(name) else { return };
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let mut running = Running::start(&cluster, &program, None);
    running.write("buy 1");
    running.await_line(": buy 1");

    let mut spinning = Command::new("sh");
    spinning.args(["-c", "while :; do :; done"]);
    let spinning = cluster.start_command("spinning", spinning);
    // Beside others on the same cores the second one has little too: one that sleeps is seen at a better
    // time.
    let shares = || {
        let shares = cpu_shares([&running.process, &spinning], Duration::from_secs(1));
        let [(_, asleep), (_, awake)] = &shares[..] else { panic!("two shares: {shares:?}") };
        (*asleep, *awake)
    };
    let seen = (0..LOOKS).map(|_| shares()).find(|(asleep, awake)| *asleep < awake * SLEEPING);
    assert!(seen.is_some(), "an idle {name} takes as much of a core as a loop that spins: {:.3?}", shares());
    drop(spinning);

    let leader = &mut replicas[cluster.leader() as usize - 1];
    leader.signal("KILL");
    leader.wait();
    running.write("buy 2");
    running.await_line(": buy 2");
    let (first, cursor) = running.end();
    let count = |lines: &[String], end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!((count(&first, ": buy 1"), count(&first, ": buy 2")), (1, 1), "{first:?}");
    assert!(first.iter().any(|line| line.starts_with("committed at seq ")), "{first:?}");

    let mut resumed = Running::start(&cluster, &program, Some(&cursor));
    resumed.write("buy 3");
    resumed.await_line(": buy 3");
    let (second, _) = resumed.end();
    assert_eq!((count(&second, ": buy 1"), count(&second, ": buy 2")), (0, 0), "it went on: {second:?}");
}

#[test]
fn a_loop_around_poll_sleeps_goes_on_under_the_next_leader_and_is_resumed() {
    drive("with_poll");
}

#[test]
fn a_loop_around_mio_sleeps_goes_on_under_the_next_leader_and_is_resumed() {
    drive("with_mio");
}

#[test]
fn a_task_of_tokio_sleeps_goes_on_under_the_next_leader_and_is_resumed() {
    drive("with_tokio");
}

/// Messages that are published and read, ...
const MESSAGES: u32 = 2_000;
/// ... and the one whose outcome ends the life of the leader.
const KILLS_AT: u32 = 500;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn endpoint(cluster: &Cluster) -> Endpoint {
    Endpoint::from_file(cluster.config()).expect("the cluster's file")
}

/// Messages between two waits for a reader that has nothing to read.
const WAITS_EACH: u32 = 10;

/// Publishes all, and has the leader killed in between; returns how many were committed. Again and again it
/// waits until the reader has dropped one future more: on a busy machine that would read all in a few.
async fn publish(endpoint: &Endpoint, dropped: &Cell<u32>, mut kill: impl FnMut()) -> u32 {
    let mut publisher =
        AsyncPublisher::new(Publisher::connect(endpoint).expect("connected")).expect("registered");
    let orders = publisher.open("orders", PATIENCE).await.expect("open");
    let mut committed = 0;
    let mut on_event = |event: PublisherEvent| {
        committed += u32::from(matches!(event, PublisherEvent::Committed { .. }));
    };
    for number in 0..MESSAGES {
        let before = dropped.get();
        while number % WAITS_EACH == 0 && dropped.get() == before {
            tokio::task::yield_now().await;
        }
        if number == KILLS_AT {
            publisher.drain(&mut on_event).await.expect("drained");
            kill();
        }
        let published = publisher.publish(orders, EVERYBODY, &number.to_le_bytes(), &mut on_event).await;
        published.expect("the runtime runs").expect("published");
    }
    publisher.drain(&mut on_event).await.expect("drained");
    assert!(publisher.get_ref().is_drained());
    committed
}

/// Reads until all have come, by futures many of which are dropped, and counted; returns the messages.
async fn read(endpoint: &Endpoint, dropped: &Cell<u32>) -> Vec<u32> {
    let subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1)).expect("connected");
    let mut subscriber = AsyncSubscriber::new(subscriber).expect("registered");
    subscriber.begin(PATIENCE, |_| ControlFlow::Continue(())).await.expect("begun");
    let mut numbers = Vec::new();
    while numbers.len() < MESSAGES as usize {
        let polled = subscriber.poll(1, |event| {
            if let SubscriberEvent::Message(message) = event {
                numbers.push(u32::from_le_bytes(message.payload.try_into().expect("4 bytes")));
            }
            ControlFlow::Continue(())
        });
        tokio::select! {
            biased;
            polled = polled => assert!(polled.expect("the runtime runs") > 0, "it completes with events"),
            () = tokio::task::yield_now() => dropped.set(dropped.get() + 1),
        }
    }
    numbers
}

#[test]
fn a_future_that_is_dropped_loses_no_event_and_gives_none_twice() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let endpoint = endpoint(&cluster);
    let kill = || {
        let leader = &mut replicas[cluster.leader() as usize - 1];
        leader.signal("KILL");
        leader.wait();
    };
    let dropped = Cell::new(0);
    let both = async { tokio::join!(publish(&endpoint, &dropped, kill), read(&endpoint, &dropped)) };
    let ended = runtime().block_on(async { tokio::time::timeout(PATIENCE, both).await });
    let (committed, numbers) = ended.expect("all have come in time");
    assert_eq!(committed, MESSAGES, "each message has one outcome");
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
    let dropped = dropped.get();
    assert!(dropped > 100, "{dropped} futures were dropped before they had completed");
}

#[test]
fn a_handle_outside_of_a_runtime_is_refused_with_the_remedy() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let publisher = Publisher::connect(&endpoint(&cluster)).expect("connected");
    let refused = AsyncPublisher::new(publisher).expect_err("there is no runtime here").to_string();
    assert!(refused.contains("within `Runtime::block_on`, or in a task"), "{refused}");
}

#[test]
fn a_name_that_nobody_opens_is_an_error_in_time() {
    let cluster = Cluster::new(1, "");
    let mut replicas = cluster.found();
    let endpoint = endpoint(&cluster);
    replicas.remove(0).terminate();
    let error = runtime().block_on(async {
        let publisher = Publisher::connect(&endpoint).expect("connected");
        let mut publisher = AsyncPublisher::new(publisher).expect("registered");
        publisher.open("orders", Duration::from_millis(200)).await.expect_err("no leader")
    });
    assert!(error.to_string().contains("no leader is received on the data group"), "{error}");
}

/// The crates that a program with the client compiles, by their names.
fn compiled(features: &[&str]) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args([
        "tree",
        "--package=lockstep-client",
        "--edges=normal",
        "--prefix=none",
        "--offline",
        "--locked",
    ]);
    let output = command.args(features).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn without_the_feature_a_program_compiles_nothing_of_tokio() {
    let (without, with) = (compiled(&[]), compiled(&["--features=tokio"]));
    assert!(without.contains("lockstep-wire") && !without.contains("tokio"), "{without:?}");
    let more: Vec<_> = with.difference(&without).map(String::as_str).collect();
    assert_eq!(more, ["pin-project-lite", "tokio"]);
}
