//! The night: faults one after the other on a cluster of processes in namespaces. Each is named by the first
//! line of `status` and by one alert, `why` has the command of the runbook, and what the fault's row does
//! behind it makes the cluster whole again. Between two faults all is calm.
//!
//! ```text
//!  node 1, 2, 3: replicas ── bridge ── node 4: operator, archiver, Prometheus ── node 5: an intruder
//!  plant ─▶ first line ─▶ exit code ─▶ why ─▶ the one alert ─▶ mend ─▶ healthy, no alert
//! ```

mod clocks;
mod device;
mod faults;
mod keys;
mod programs;
mod witnesses;

use crate::alerts::{BUSY, Labels, firing_all, inhibit_rules, left};
use crate::cli::streams::lines;
use crate::metrics::{Prometheus, has_prometheus, text};
use lockstep_testkit::lane::amount;
use lockstep_testkit::netns::{self, Network};
use lockstep_testkit::processes::{Cluster, Outcome, PATIENCE, Process, busy};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const REPLICAS: u32 = 3;
/// The node of the operator, the archiver and Prometheus.
const DESK: usize = 4;
/// A machine that takes another one's address.
const INTRUDER: usize = 5;
const ARCHIVER: u32 = 101;
/// Numbers of a gateway and of a feed among the processes. They run at the desk, in a test of their own.
const GATEWAY: u32 = 201;
const FEED: u32 = 202;
/// Replicas whose disks are small.
const SMALL_DISKS: [u32; 2] = [2, 3];
/// Other tests use the cores too: no node is missed for what they take.
const PATIENT: &str = "\n[timing]\nfailure_timeout = \"2s\"\nfailure_timeout_max = \"4s\"\n";

/// The cluster of the night, its processes, and who has which seat before the next fault.
pub struct Night {
    network: Arc<Network>,
    cluster: Cluster,
    processes: BTreeMap<u32, Process>,
    prometheus: Option<Prometheus>,
    /// Flags of the operator's `status`.
    asks_with: Vec<String>,
    leader: u32,
    /// The two that follow.
    standbys: [u32; 2],
}

/// What takes a fault away again.
type Mend = Box<dyn FnOnce(&mut Night)>;

/// A fault. In its words `{l}` is the leader, `{s}` and `{t}` the standbys, before the fault.
pub struct Fault {
    name: &'static str,
    /// What the first line says.
    says: &'static str,
    code: i32,
    /// A command that `why` proposes, or what else it says.
    step: &'static str,
    /// The alert that is left of all that fire, or two where two things are amiss. Empty: there is none, as
    /// the fault is at the operator's desk.
    alert: &'static str,
    plant: fn(&mut Night) -> Mend,
}

/// Where the page of a process is.
fn page(id: u32) -> SocketAddr {
    match id {
        ARCHIVER => SocketAddr::from((Network::address(DESK), 9_465)),
        GATEWAY => SocketAddr::from((Network::address(DESK), 9_466)),
        FEED => SocketAddr::from((Network::address(DESK), 9_467)),
        _ => SocketAddr::from((Network::address(id as usize), 9_464)),
    }
}

impl Night {
    fn new(network: Arc<Network>, beside: &[u32]) -> Self {
        let cluster = Cluster::on(network.ground(REPLICAS), PATIENT);
        cluster.add_archiver(ARCHIVER, "");
        for id in SMALL_DISKS {
            let journal = cluster.path(&format!("journal-{id}")).display().to_string();
            let mount = format!(
                "mkdir -p {journal} && mount -t tmpfs -o size=48m,nr_inodes=400,mode=700 none {journal}"
            );
            network.node(id as usize).shell(&mount);
        }
        let founded = cluster.found();
        let mut night = Self {
            network,
            cluster,
            processes: BTreeMap::new(),
            prometheus: None,
            asks_with: Vec::new(),
            leader: 1,
            standbys: [2, 3],
        };
        for (id, replica) in (1..).zip(founded) {
            assert_eq!(replica.terminate(), Some(0));
            night.start(id, &[]);
        }
        beside.iter().for_each(|id| night.start(*id, &[]));
        night.publish(8);
        night.await_calm();
        night
    }

    fn start(&mut self, id: u32, more: &[&str]) {
        let (number, page) = (id.to_string(), self.page_of(id));
        let set = [&["--set", page.as_str()], more].concat();
        let process = match id {
            ARCHIVER => {
                self.cluster.start("archiver", &[&["archiver", "--archiver", &number], &set[..]].concat())
            }
            GATEWAY => self.start_gateway(&set),
            FEED => self.start_feed(&set),
            _ => self.cluster.start_replica_with(id, &set),
        };
        self.processes.insert(id, process);
    }

    /// The setting with which a process has its page.
    fn page_of(&self, id: u32) -> String {
        format!("metrics.listen={}", page(id))
    }

    /// Ends a process with a signal and waits for its end.
    fn end(&mut self, id: u32, signal: &str) {
        let mut process = self.processes.remove(&id).expect("it runs");
        process.signal(signal);
        process.wait();
    }

    fn signal(&self, id: u32, name: &str) {
        self.processes[&id].signal(name);
    }

    /// So many lines of 900 bytes.
    fn publish(&self, count: usize) {
        self.cluster.publish(&lines(0, count));
    }

    fn status(&self) -> Outcome {
        let args: Vec<_> = ["status"].into_iter().chain(self.asks_with.iter().map(String::as_str)).collect();
        self.cluster.run(&args, b"")
    }

    /// Waits until all is well, and takes the seats.
    fn await_calm(&mut self) {
        let began = Instant::now();
        while self.status().code != Some(0) {
            assert!(began.elapsed() < PATIENCE, "not calm:\n{}", self.cluster.run(&["why"], b"").out);
        }
        self.leader = self.cluster.leader();
        let mut others = (1..=REPLICAS).filter(|id| *id != self.leader);
        self.standbys = [(); 2].map(|()| others.next().expect("two follow"));
    }

    fn filled(&self, words: &str) -> String {
        let [s, t] = self.standbys.map(|id| id.to_string());
        words.replace("{l}", &self.leader.to_string()).replace("{s}", &s).replace("{t}", &t)
    }

    /// What Alertmanager would send, of all that fire now.
    fn sent(&mut self) -> BTreeSet<String> {
        let Some(prometheus) = &self.prometheus else { return BTreeSet::new() };
        let alerts = firing_all(prometheus).unwrap_or_default().into_iter();
        let alerts: Vec<Labels> = alerts.filter(|one| !BUSY.contains(&one["alertname"].as_str())).collect();
        let rules = inhibit_rules();
        let all = ["critical", "warning"].iter().flat_map(|severity| left(&rules, &alerts, severity));
        all.map(str::to_owned).collect()
    }

    fn await_sent(&mut self, fault: &str, wanted: &[&str]) {
        if self.prometheus.is_none() {
            return;
        }
        let wanted: BTreeSet<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let began = Instant::now();
        loop {
            let sent = self.sent();
            if sent == wanted {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{fault}: sent {sent:?}, wanted {wanted:?}\n{}{:#?}",
                self.status().out,
                self.prometheus.as_ref().and_then(firing_all)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Plants a fault, and sees it named, sent and mended.
    fn endure(&mut self, fault: &Fault) {
        let (says, step) = (self.filled(fault.says), self.filled(fault.step));
        let began = Instant::now();
        let mend = (fault.plant)(self);
        let planted = began.elapsed();
        let line = loop {
            let status = self.status();
            let line = status.out.lines().next().unwrap_or(status.err.trim()).to_owned();
            if line.contains(&says) && status.code == Some(fault.code) {
                break line;
            }
            let why = || self.cluster.run(&["why"], b"").out;
            assert!(
                began.elapsed() < PATIENCE,
                "{}: {says}\n{:?} {line}\n{}",
                fault.name,
                status.code,
                why()
            );
        };
        let named = began.elapsed() - planted;
        println!("{}: after {:.1} s: {line}", fault.name, named.as_secs_f64());
        assert!(line.chars().count() <= 120, "{line}");
        let why = self.cluster.run(&["why"], b"");
        assert!(why.out.contains(&step), "{}: `{step}`\n{}{}", fault.name, why.out, why.err);
        if !fault.alert.is_empty() {
            self.await_sent(fault.name, &fault.alert.split(' ').collect::<Vec<_>>());
        }
        mend(self);
        self.await_calm();
        self.await_sent(fault.name, &[]);
    }
}

/// The rules of the alerts, but that no cause has to last for long: the faults of a night are short.
fn hasty_rules(cluster: &Cluster) -> PathBuf {
    let rules = cluster.path("alerts.yml");
    let hasty = |line: &str| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => format!("{line}\n"),
    };
    let hasty: String = text("contrib/prometheus/alerts.yml").lines().map(hasty).collect();
    std::fs::write(&rules, hasty).expect("rules");
    rules
}

/// Those of a table that are chosen: `LOCKSTEP_FAULT=WORDS` chooses those with the words. Otherwise all by
/// night, and one in `by_day` for each change.
fn chosen(faults: &'static [Fault], by_day: usize) -> Vec<&'static Fault> {
    let only = std::env::var("LOCKSTEP_FAULT").ok();
    let is_wanted = |fault: &&Fault| only.as_ref().is_none_or(|only| fault.name.contains(only.as_str()));
    let every = if only.is_some() { 1 } else { amount(by_day, 1) };
    faults.iter().filter(is_wanted).step_by(every).collect()
}

/// Faults of nodes that this host can plant.
fn possible() -> Vec<&'static Fault> {
    let can_stand_still = device::can_stand_still();
    if !can_stand_still {
        println!("SKIPPED: strace is not installed here: no device stands still");
    }
    let can_be_wrong = clocks::can_be_wrong();
    if !can_be_wrong {
        println!("SKIPPED: libfaketime is not installed here: no process has a clock of its own");
    }
    let is_possible = |fault: &&Fault| {
        (can_stand_still || !fault.name.contains("device")) && (can_be_wrong || !fault.name.contains("clock"))
    };
    chosen(faults::FAULTS, 12).into_iter().filter(is_possible).collect()
}

#[test]
fn each_fault_of_a_night_is_named_by_one_line_and_one_alert_and_mended_by_its_own_words() {
    in_a_night(&[ARCHIVER], |_| (), &possible());
}

/// By day one of them.
#[test]
fn each_fault_of_a_cluster_with_a_witness_is_one_line_and_one_alert() {
    in_a_night(&[ARCHIVER], Night::take_witness, &chosen(witnesses::FAULTS, 5));
}

/// By day the first of them.
#[test]
fn each_fault_of_a_gateway_or_a_feed_is_one_alert_and_that_of_its_cluster_is_one_too() {
    in_a_night(&[ARCHIVER, GATEWAY, FEED], |_| (), &chosen(programs::FAULTS, 8));
}

/// Plants these faults, one after the other, in a cluster with these processes beside its replicas, once it
/// is prepared for them.
fn in_a_night(beside: &'static [u32], prepare: fn(&mut Night), faults: &[&'static Fault]) {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    if faults.is_empty() {
        return;
    }
    let _place = busy();
    let network = Arc::new(Network::new(INTRUDER));
    // Within the node of the desk: Prometheus and its answers are there.
    let (inside, faults) = (Arc::clone(&network), faults.to_vec());
    network.node(DESK).within(move || {
        let mut night = Night::new(inside, beside);
        prepare(&mut night);
        if has_prometheus() {
            let pages: Vec<_> = (1..=REPLICAS).chain(beside.iter().copied()).map(page).collect();
            let (rules, count) = (hasty_rules(&night.cluster), pages.len().to_string());
            let mut prometheus = Prometheus::start_with(&night.cluster, &pages, &rules);
            prometheus.until("the names of all processes", |prometheus| {
                let answer = prometheus.get("query?query=count(lockstep%3Aprocess)")?;
                (answer["data"]["result"][0]["value"][1] == *count).then_some(())
            });
            night.prometheus = Some(prometheus);
        }
        night.await_sent("calm", &[]);
        for fault in faults {
            night.endure(fault);
        }
    });
}
