//! State machines on real clusters: the tutorial, and replicas that are killed again and again.

mod locks;
mod peers;
mod settings;
mod stamped;
mod timers;
mod versions;

use lockstep_app::{App, AppError, StateMachine, query};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address, payloads, run};
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The counter of the tutorial, where it was built.
fn counter() -> Option<PathBuf> {
    example("counter")
}

/// An example's program, where it was built.
fn example(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_lockstep")).with_file_name("examples").join(name);
    if !path.exists() {
        println!("SKIPPED: the examples are not built: `cargo build --examples` first, as `cargo test` does");
        return None;
    }
    Some(path)
}

/// Replicas of the counter, each with its folder and its address.
struct Counters<'a> {
    program: PathBuf,
    cluster: &'a Cluster,
    addresses: Vec<SocketAddrV4>,
    running: Vec<Option<Process>>,
}

impl<'a> Counters<'a> {
    fn start_all(program: PathBuf, cluster: &'a Cluster, count: usize) -> Self {
        let address = || free_address().to_string().parse().expect("an IPv4 address");
        let addresses = (0..count).map(|_| address()).collect();
        let mut all = Self { program, cluster, addresses, running: (0..count).map(|_| None).collect() };
        (0..count).for_each(|index| all.start(index));
        all
    }

    fn start(&mut self, index: usize) {
        let mut command = Command::new(&self.program);
        command.current_dir(self.cluster.path("")).env("LOCKSTEP_CONFIG", self.cluster.config());
        command.args([(index + 1).to_string(), self.addresses[index].to_string(), "500".to_owned()]);
        self.running[index] = Some(self.cluster.start_command(&format!("counter-{}", index + 1), command));
    }

    fn kill(&mut self, index: usize) {
        let mut process = self.running[index].take().expect("it runs");
        process.signal("KILL");
        process.wait();
    }

    /// Waits until each replica answers this.
    fn all_answer(&mut self, wanted: &str) {
        for (address, process) in self.addresses.iter().zip(&mut self.running) {
            let began = Instant::now();
            loop {
                let answer = query(*address, b"");
                if answer.as_deref().is_ok_and(|answer| answer == wanted.as_bytes()) {
                    break;
                }
                let process = process.as_mut().expect("it runs");
                let is_over = process.ended().is_some() || began.elapsed() > PATIENCE;
                assert!(!is_over, "{}: {answer:?}, wanted {wanted}:\n{}", process.name(), process.log());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Turns a replica until `done`.
fn turn_until<M: StateMachine>(app: &mut App<M>, words: &str, mut done: impl FnMut(&App<M>) -> bool) {
    let began = Instant::now();
    while !done(app) {
        if app.turn(|_, _| {}).expect("it goes on") == 0 {
            app.wait(Duration::from_millis(1)).expect("a descriptor");
        }
        let core = &app.replica().core;
        let (next, outputs) = (core.next(), core.outputs.count());
        assert!(began.elapsed() < PATIENCE, "{words}: applied below {next}, {outputs} outputs in the stream");
    }
}

/// Turns a replica that cannot go on until it says so.
fn end_of<M: StateMachine>(app: &mut App<M>) -> AppError {
    let began = Instant::now();
    loop {
        match app.turn(|_, _| {}) {
            Err(error) => return error,
            Ok(0) => app.wait(Duration::from_millis(1)).expect("a descriptor"),
            Ok(_) => {}
        }
        assert!(began.elapsed() < PATIENCE, "it neither goes on nor ends, at {}", app.replica().next());
    }
}

/// What a replica's page answers: the number of its status, and its text.
fn page(address: SocketAddrV4, path: &str) -> (u16, String) {
    let limits = (Duration::from_secs(5), 1 << 20);
    let page = lockstep_process::page::fetch((address.into(), path), ("", None), limits).expect("a page");
    (page.status, String::from_utf8_lossy(&page.content).into_owned())
}

/// The totals in the stream, in order.
fn totals(cluster: &Cluster) -> Vec<u64> {
    let text = cluster.read(&[]).out;
    payloads(&text).iter().filter_map(|payload| payload.strip_prefix("total ")?.parse().ok()).collect()
}

/// A newcomer who has installed no logger took it for a program that hangs.
#[test]
fn a_replica_without_a_logger_says_where_it_begins_when_it_is_ready_and_that_it_stops() {
    let Some(program) = counter() else { return };
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    cluster.publish("one message\n");
    let mut counters = Counters::start_all(program, &cluster, 1);
    counters.all_answer("total 1");
    let mut process = counters.running[0].take().expect("it runs");
    process.await_log("INFO  copy 1 of counter, version 1, begins at seq 1");
    process.await_log("has read the stream up to its end, seq ");
    process.signal("TERM");
    process.await_log("stops behind seq ");
    assert_eq!(process.wait().code(), Some(0));
}

const MESSAGES: u64 = 300;

/// `LOCKSTEP_ROUNDS=200 cargo test --test cluster apply::` is the long run.
#[test]
fn whoever_is_killed_each_message_is_applied_once_and_each_output_is_stamped_once() {
    let Some(program) = counter() else { return };
    let rounds: u64 = std::env::var("LOCKSTEP_ROUNDS").map_or(12, |rounds| rounds.parse().expect("a number"));
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let mut counters = Counters::start_all(program, &cluster, 3);
    for round in 0..rounds {
        let lines: String = (0..MESSAGES).map(|line| format!("round {round} line {line}\n")).collect();
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                cluster.run(&["publish", "--name", "orders"], lines.as_bytes()).with_code(0);
            });
            match round % 4 {
                0 | 2 => {
                    let index = (round / 2 % 3) as usize;
                    counters.kill(index);
                    counters.start(index);
                }
                1 => {
                    (0..3).for_each(|index| counters.kill(index));
                    std::thread::sleep(Duration::from_millis(round % 7 * 5));
                    (0..3).for_each(|index| counters.start(index));
                }
                _ => {
                    let index = cluster.leader() as usize - 1;
                    replicas[index].signal("KILL");
                    replicas[index].wait();
                    replicas[index] = cluster.start_replica(index as u32 + 1);
                }
            }
            publishing.join().expect("a publisher");
        });
    }
    let all = rounds * MESSAGES;
    counters.all_answer(&format!("total {all}"));
    // Every replica has applied every message; the last totals may still be on their way.
    let began = Instant::now();
    let mut stamped = totals(&cluster);
    while stamped.len() < all as usize && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
        stamped = totals(&cluster);
    }
    assert!(stamped.iter().copied().eq(1..=all), "{} totals of {all}", stamped.len());
}

#[test]
fn a_replica_whose_newest_snapshot_is_damaged_goes_on_from_the_one_before() {
    let Some(program) = counter() else { return };
    let cluster = Cluster::new(2, "");
    let _replicas = cluster.found();
    let mut counters = Counters::start_all(program, &cluster, 1);
    cluster.publish(&"line\n".repeat(1_200));
    counters.all_answer("total 1200");
    let folder = cluster.path("counter-1");
    let snapshots = || {
        let files = fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|kind| kind == "snapshot")).collect();
        files.sort();
        files
    };
    let began = Instant::now();
    while snapshots().len() < 2 {
        assert!(began.elapsed() < PATIENCE, "no two snapshots: {:?}", snapshots());
        std::thread::sleep(Duration::from_millis(10));
    }
    counters.kill(0);
    let newest = snapshots().pop().expect("two");
    let mut bytes = fs::read(&newest).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&newest, bytes).expect("a disk");
    counters.start(0);
    counters.all_answer("total 1200");
    cluster.publish("line\n");
    counters.all_answer("total 1201");
    assert_eq!(totals(&cluster).len(), 1_201);
}

/// The text between two marks of a document.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect()
}

#[test]
fn the_tutorial_is_followed_word_for_word() {
    let Some(program) = counter() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/APPLY.md")).expect("the tutorial");
    let example = fs::read_to_string(root.join("examples/counter.rs")).expect("the example");
    let body = example.split_once("\n\n").expect("a body behind its comment").1;
    assert_eq!(blocks(&page, "rust,no_run"), [body], "docs/APPLY.md and examples/counter.rs differ");

    let (steps, _) = page.split_once("\n## A project of your own\n").expect("what follows the tutorial");
    let commands: Vec<_> = blocks(steps, "console").iter().flat_map(|block| block.lines()).collect();
    let [_build, dev, one, two, publish, subscribe, ask] = commands[..] else {
        panic!("other commands: {commands:#?}");
    };
    let cluster = Cluster::new(3, "");
    let _dev = match dev {
        "target/release/lockstep dev" => cluster.found(),
        other => panic!("{other}"),
    };
    let (examples, bins) =
        (program.parent().expect("a folder"), program.parent().and_then(Path::parent).expect("two"));
    let addresses = [free_address().to_string(), free_address().to_string()];
    let shell = |line: &str| {
        let line = line
            .replace("target/release/examples", &examples.display().to_string())
            .replace("127.0.0.1:9701", &addresses[0])
            .replace("127.0.0.1:9702", &addresses[1]);
        let mut command = Command::new("sh");
        let path = format!("{}:{}", bins.display(), std::env::var("PATH").unwrap_or_default());
        command.current_dir(cluster.path("")).env("LOCKSTEP_CONFIG", cluster.config()).env("PATH", path);
        command.args(["-c", &line]);
        command
    };
    let _one = cluster.start_command("one", shell(&format!("exec {one}")));
    let _two = cluster.start_command("two", shell(&format!("exec {two}")));
    run(shell(publish), b"").with_code(0);
    let began = Instant::now();
    let text = loop {
        let text = run(shell(subscribe), b"").with_code(0).out;
        if text.contains("quiet at 3") {
            break text;
        }
        assert!(began.elapsed() < PATIENCE, "{text}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let texts: Vec<_> = payloads(&text).into_iter().filter(|payload| payload.contains(' ')).collect();
    assert_eq!(texts, ["total 1", "total 2", "total 3", "quiet at 3"], "{text}");
    assert!(ask.starts_with("curl ") && ask.ends_with("http://127.0.0.1:9701/query"), "{ask}");
    let answer = query(addresses[0].parse().expect("IPv4"), b"").expect("an answer");
    assert_eq!(answer, b"total 3");
}
