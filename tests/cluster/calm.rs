//! A calm hour: orders flow, and an operator does all the work that is planned. No process has a line at
//! WARN, no alert fires, each command exits with 0, and each look says `healthy`: but for the one node that
//! is being restarted.

use crate::alerts::{BUSY, Labels, firing_all};
use crate::cli::streams::SMALL;
use crate::metrics::{Prometheus, has_prometheus};
use lockstep_testkit::gateways;
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{
    Cluster, Outcome, PATIENCE, Process, await_code, busy, command, free_address, payloads, run, signal_all,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Other tests use the cores too: no node is missed for what they take.
const PATIENT: &str = "\n[timing]\nfailure_timeout = \"5s\"\nfailure_timeout_max = \"5s\"\n";

const REPLICAS: [u32; 3] = [1, 2, 3];
const ARCHIVER: u32 = 101;
const GATEWAY: u32 = 201;

/// The restarts so far, in their order.
#[derive(Default)]
struct Restarts {
    of: Vec<u32>,
    /// So many of them have ended.
    ended: usize,
}

/// The cluster of the hour and its processes.
struct Hour<'a> {
    cluster: &'a Cluster,
    restarts: &'a Mutex<Restarts>,
    pages: BTreeMap<u32, SocketAddr>,
    processes: BTreeMap<u32, Process>,
    /// The logs of those that have ended.
    ended_logs: String,
}

impl<'a> Hour<'a> {
    /// Restarts the replicas of a cluster that was founded, each with its page, and starts the others.
    fn new(cluster: &'a Cluster, founded: Vec<Process>, restarts: &'a Mutex<Restarts>) -> Self {
        let all = REPLICAS.into_iter().chain([ARCHIVER, GATEWAY]);
        let pages: BTreeMap<_, _> = all.clone().map(|id| (id, free_address())).collect();
        let mut hour =
            Self { cluster, restarts, pages, processes: BTreeMap::new(), ended_logs: String::new() };
        let mut founded = founded.into_iter();
        for id in all {
            if let Some(replica) = founded.next() {
                assert_eq!(replica.terminate(), Some(0));
            }
            hour.start(id);
            hour.cluster.run(&["wait", "--for", "caught-up", "--timeout", "1min"], b"").with_code(0);
        }
        hour
    }

    fn start(&mut self, id: u32) {
        let (number, page) = (id.to_string(), format!("metrics.listen={}", self.pages[&id]));
        let set = ["--set", page.as_str()];
        let archiver = ["archiver", "--archiver", &number, "--set", &page];
        let process = match id {
            ARCHIVER => self.cluster.start("archiver", &archiver),
            GATEWAY => gateways::start_on(self.cluster, "a", ["--listen"], &set).0,
            _ => self.cluster.start_replica_with(id, &set),
        };
        self.processes.insert(id, process);
    }

    /// Runs a command of the operator, which succeeds without a warning.
    #[track_caller]
    fn run(&self, args: &[&str]) -> Outcome {
        let outcome = self.cluster.run(args, b"").with_code(0);
        assert_eq!(grave(&outcome.err), Vec::<&str>::new(), "{args:?}");
        outcome
    }

    /// Ends a process as its manager does, and keeps what it has said.
    fn stop(&mut self, id: u32) {
        let mut process = self.processes.remove(&id).expect("it runs");
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0), "{}", process.log());
        self.ended_logs += &format!("{}:\n{}", process.name(), process.log());
    }

    /// Restarts a process, and waits until it has what is committed.
    fn restart(&mut self, id: u32) {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner).of.push(id);
        self.stop(id);
        self.start(id);
        if id != GATEWAY {
            self.run(&["wait", "--for", "caught-up", "--replica", &id.to_string(), "--timeout", "1min"]);
        }
        self.run(&["wait", "--for", "caught-up", "--timeout", "1min"]);
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner).ended += 1;
    }

    /// All nodes, one after the other: the leader last, after it has handed over.
    fn restart_all(&mut self) {
        let leader = self.cluster.leader();
        for id in REPLICAS.into_iter().filter(|id| *id != leader).chain([ARCHIVER, GATEWAY]) {
            self.restart(id);
        }
        self.hand_over();
        self.restart(leader);
    }

    fn hand_over(&self) {
        let next = self.cluster.leader() % 3 + 1;
        self.run(&["handover", "--to", &next.to_string(), "--timeout", "1min"]);
        assert_eq!(self.cluster.leader(), next);
    }

    fn change_day(&self, name: &str) {
        self.run(&["day", "start", name]);
        self.run(&["wait", "--for", &format!("day={name}")]);
        self.run(&["day", "end"]);
    }

    /// A backup from the archiver; and the backup and all journals are read as a whole.
    fn back_up_and_verify(&self) {
        let backup = self.cluster.path("backup").display().to_string();
        self.run(&["backup", "--archiver", "101", "--to", &backup]);
        let verified = run(command(&["backup", "verify", &backup]), b"").with_code(0);
        assert_eq!(grave(&verified.err), Vec::<&str>::new());
        for node in [["--replica", "1"], ["--replica", "2"], ["--replica", "3"], ["--archiver", "101"]] {
            self.run(&[["journal", "verify"], node].concat());
        }
    }

    /// The three steps of a rotation; after each of them all processes read their keys again.
    fn rotate_keys(&self, publisher: &Process) {
        let new = self.run(&["keys", "rotate"]).out.trim().to_owned();
        let before = new.parse::<u8>().expect("a generation") - 1;
        self.reload(publisher);
        self.run(&["keys", "seal", &new]);
        self.reload(publisher);
        self.run(&["keys", "retire", &before.to_string()]);
        self.reload(publisher);
    }

    fn reload(&self, publisher: &Process) {
        let all = || self.processes.values().chain([publisher]);
        let count = |process: &Process| process.log().matches("was read again").count();
        let before: Vec<_> = all().map(count).collect();
        signal_all("HUP", all());
        let began = Instant::now();
        for (process, before) in all().zip(before) {
            while count(process) == before {
                assert!(began.elapsed() < PATIENCE, "{}: {}", process.name(), process.log());
                sleep(Duration::from_millis(5));
            }
        }
    }

    /// One round of planned work, with a pause behind each piece of it.
    fn round(&mut self, number: usize, publisher: &Process) {
        let pause = || sleep(amount(Duration::from_secs(1), Duration::from_secs(48)));
        self.change_day(&format!("day{number}"));
        pause();
        self.back_up_and_verify();
        pause();
        self.hand_over();
        pause();
        self.rotate_keys(publisher);
        pause();
        self.restart_all();
        pause();
        self.back_up_and_verify();
        pause();
    }
}

/// The lines of a log at WARN or above.
fn grave(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("Z  WARN ") || line.contains("Z ERROR ")).collect()
}

/// So many looks in a row have to miss an answer before a monitor believes it: a busy host answers late.
const LOOKS: usize = 4;

/// Looks as a monitor does until `stop`. Returns how often, and the words of the looks that are not calm and
/// do not name the node that is being restarted.
fn look(cluster: &Cluster, restarts: &Mutex<Restarts>, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut looks, mut found) = (0, Vec::new());
    let restarts = || restarts.lock().unwrap_or_else(PoisonError::into_inner);
    while !stop.load(Ordering::Relaxed) {
        for (command, good) in [("health", "LOCKSTEP OK - "), ("status", "healthy: 3 of 3 members")] {
            let mut words = Vec::new();
            for _ in 0..LOOKS {
                let ended = restarts().ended;
                let outcome = cluster.run(&[command, "--timeout", "1min"], b"");
                let first = outcome.out.lines().next().unwrap_or_default();
                // The look may have begun in one restart and ended in a later one.
                let restarted = restarts().of[ended..].to_vec();
                let is_of =
                    |id| ["replica", "archiver"].iter().any(|of| first.contains(&format!("{of} {id}")));
                if outcome.code == Some(0) && first.starts_with(good) || restarted.into_iter().any(is_of) {
                    words.clear();
                    break;
                }
                words.push(format!("{command}: {:?} {first} {}", outcome.code, outcome.err));
                if !first.contains("does not answer") {
                    break;
                }
            }
            found.extend(words);
        }
        looks += 1;
        sleep(Duration::from_millis(50));
    }
    (looks, found)
}

/// Asks for alerts until `stop`; returns those that have fired, but for those of a busy machine.
fn fired(prometheus: Option<&Prometheus>, stop: &AtomicBool) -> BTreeSet<Labels> {
    let mut fired = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let firing = prometheus.and_then(firing_all).into_iter().flatten();
        fired.extend(firing.filter(|alert| !BUSY.contains(&alert["alertname"].as_str())));
        sleep(Duration::from_millis(200));
    }
    fired
}

/// Publishes an order each five milliseconds until `stop`; returns how many.
fn publish(mut lines: ChildStdin, stop: &AtomicBool) -> usize {
    let mut published = 0;
    while !stop.load(Ordering::Relaxed) {
        published += 1;
        writeln!(lines, "order {published}").expect("the publisher reads");
        sleep(Duration::from_millis(5));
    }
    published
}

/// Tells the other threads to end.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One round of work; a night does twelve of them in an hour.
#[test]
fn a_calm_hour_of_planned_work_has_no_warning_no_alert_and_no_look_that_is_not_healthy() {
    let _place = busy();
    let cluster = Cluster::new(3, &format!("{SMALL}{PATIENT}"));
    cluster.add_archiver(ARCHIVER, "");
    gateways::add_user(&cluster, "alice", "secret", &[]);
    let restarts = Mutex::<Restarts>::default();
    let mut hour = Hour::new(&cluster, cluster.found(), &restarts);
    await_code(0, || cluster.run(&["health"], b""));
    let prometheus = has_prometheus().then(|| {
        let pages: Vec<_> = hour.pages.values().copied().collect();
        let mut prometheus = Prometheus::start(&cluster, &pages);
        prometheus.until("the names of all processes", |prometheus| {
            let answer = prometheus.get("query?query=count(lockstep%3Aprocess)")?;
            (answer["data"]["result"][0]["value"][1] == "5").then_some(())
        });
        prometheus
    });
    let mut publisher = cluster.start("publisher", &["publish", "--name", "orders"]);
    let lines = publisher.stdin().take().expect("its input");
    let stop = AtomicBool::new(false);
    let (published, (looks, found), fired) = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(lines, &stop));
        let looking = scope.spawn(|| look(&cluster, &restarts, &stop));
        let asking = scope.spawn(|| fired(prometheus.as_ref(), &stop));
        let ends = Ends(&stop); // also where a step fails
        for number in 0..amount(1, 12) {
            hour.round(number, &publisher);
        }
        drop(ends);
        (publishing.join().unwrap(), looking.join().unwrap(), asking.join().unwrap())
    });
    assert_eq!(publisher.wait().code(), Some(0), "{}", publisher.log());
    println!("{published} orders, {looks} looks");
    assert_eq!(payloads(&cluster.read(&["--committed"]).out).len(), published);
    hour.ended_logs += &publisher.log();
    for id in [GATEWAY, ARCHIVER, 3, 2, 1] {
        hour.stop(id);
    }
    let all = (found, fired, grave(&hour.ended_logs));
    assert_eq!(all, Default::default(), "looks, alerts, and lines of logs");
    assert!(looks > 5 && published > 100, "{looks} looks, {published} orders");
}
