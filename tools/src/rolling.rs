//! # rolling: configurations are changed one replica at a time while orders flow
//!
//! The question: is there a configuration that `check` takes, an end of a process, and an order of both, by
//! which something acknowledged is lost or a replica cannot come back? Each change picks a replica, ends it
//! (SIGTERM, a kill, a loss of its machine's power), draws it another configuration (durability, sizes,
//! timeouts, window …), and starts it. Orders must flow before the next change. A replica may refuse for two
//! reasons, and only for these:
//!
//! * the configuration does not fit its journal: then it must start with the one that it had before, as a
//!   start that fails has changed nothing;
//! * its power was lost, and it had acknowledged from memory: then it says so and is replaced, as an operator
//!   does it.

use lockstep_memory::rng::Rng;
use lockstep_testkit::flow::{Feed, Stream, View};
use lockstep_testkit::images::{self, Cache, Disk};
use lockstep_testkit::netns::Namespace;
use lockstep_testkit::power::boot;
use lockstep_testkit::processes::{
    Cluster, Ground, PATIENCE, PRODUCT_TIMING, Process, freeze, last_words, memory_folder, run,
};
use lockstep_testkit::takeover::{COMMIT_WITHIN, SIZES};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const REPLICAS: u32 = 3;
const PER_SECOND: u64 = 500;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// New messages that show that orders flow.
const FLOWING: usize = 50;
/// No operator changes the next replica before this one has caught up; most of the time ours waits so long at
/// least.
const REST_MS: u64 = 300;

/// What a configuration is drawn from.
const KEYS: &[(&str, &[&str])] = &[
    ("stream.durability", &["process", "power"]),
    ("stream.window_entries", &["1024", "65536"]),
    ("stream.window_bytes", &["256KiB", "1MiB", "4MiB"]),
    ("stream.publishers_max", &["16", "1000", "100000"]),
    ("timing.heartbeat_interval", &["500us", "1ms", "2ms"]),
    ("timing.failure_timeout", &["20ms", "50ms", "100ms"]),
    ("timing.failure_timeout_max", &["100ms", "1s"]),
    ("timing.nack_delay", &["0us", "20us", "1ms"]),
    ("journal.tail_size", &["4MiB", "16MiB", "32MiB"]),
    // Each start begins a segment: the disks are small.
    ("journal.segment_size", &["1MiB", "2MiB", "4MiB"]),
    ("journal.flush_interval", &["100us", "1ms", "20ms"]),
    ("replay.readers", &["0", "4", "32"]),
    ("runtime.idle", &["yield", "park"]),
    ("runtime.watcher", &["true", "false"]),
    ("lines.1.gso", &["auto", "off"]),
];

/// Some keys, each with one of its values.
fn draw(rng: &mut Rng) -> Vec<String> {
    let drawn = KEYS.iter().filter_map(|(key, values)| {
        let value = values[rng.below(values.len() as u64) as usize];
        // Durability is what this is about most.
        let is_set = *key == "stream.durability" || rng.below(3) == 0;
        is_set.then(|| format!("{key}={value}"))
    });
    drawn.collect()
}

/// What the changes have shown.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Shown {
    /// Changes of a configuration.
    pub changes: u32,
    /// Processes ended by SIGTERM, by a kill, with their machine's power.
    pub ends: [u32; 3],
    /// Configurations that `check` or a start refused: the one before came up again.
    pub refused: u32,
    /// Members that were replaced, as they might have forgotten something.
    pub replaced: u32,
    /// Messages committed, delivered in one order, and in the journals.
    pub messages: u64,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, ends: [terminated, killed, cut], refused, replaced, messages } = self;
        write!(
            f,
            "{changes} changes ({terminated} by SIGTERM, {killed} kills, {cut} losses of power), {refused} refused and \
             taken back, {replaced} members replaced: {messages} messages in one order, all kept"
        )
    }
}

/// A replica, its machine, and what it runs with.
struct Node {
    id: u32,
    identity: String,
    machine: Namespace,
    disk: Option<Disk>,
    process: Process,
    settings: Vec<String>,
    /// Every run since its journal was formatted, or since the last clean end, acknowledged from the device
    /// alone.
    is_powered: bool,
}

struct Scene<'a> {
    cluster: Cluster,
    folder: &'a Path,
    nodes: Vec<Node>,
    view: View,
    shown: Shown,
    /// Numbers pictures and boots.
    count: u32,
}

fn is_power(settings: &[String]) -> bool {
    settings.iter().any(|set| set == "stream.durability=power")
}

/// So many changes. Losses of power need root and loop devices: without them there are none.
pub fn rolling(rng: &mut Rng, changes: u32) -> Shown {
    let folder = memory_folder();
    let has_disks = images::unsupported().is_none();
    let machines: Vec<Namespace> = (0..REPLICAS).map(|_| Namespace::of_mounts()).collect();
    let places = machines.iter().map(|machine| machine.place().clone()).collect();
    let cluster =
        Cluster::on(Ground { places, ..Ground::loopback(REPLICAS) }, &format!("{SIZES}{PRODUCT_TIMING}"));
    let disks: Vec<_> = (1..=REPLICAS)
        .zip(&machines)
        .map(|(id, machine)| has_disks.then(|| disk(&cluster, folder.path(), machine, id, 0)))
        .collect();
    let replicas = cluster.found();
    let host = cluster.clients().clone();
    let view = View::start(&cluster, &host, "reader", &[]);
    let feeds = ["a", "b"].map(|name| Feed::start(&cluster, &host, name, PER_SECOND, COMMIT_WITHIN));
    let nodes = machines.into_iter().zip(disks).zip(replicas).zip(1..);
    let nodes = nodes.map(|(((machine, disk), mut process), id)| {
        process.await_log("identity=");
        let identity = identity_in(&process.log());
        Node { id, identity, machine, disk, process, settings: Vec::new(), is_powered: false }
    });
    let nodes = nodes.collect();
    let mut scene = Scene { cluster, folder: folder.path(), nodes, view, shown: Shown::default(), count: 0 };
    scene.await_flow();
    for _ in 0..changes {
        scene.change(rng);
        scene.await_flow();
        std::thread::sleep(Duration::from_millis(rng.below(REST_MS)));
    }
    scene.end(feeds.into())
}

fn disk(cluster: &Cluster, folder: &Path, machine: &Namespace, id: u32, number: u32) -> Disk {
    let at = cluster.path(&format!("journal-{id}"));
    Disk::new(machine, folder.join(format!("disk-{id}-{number}")), &at, Cache::Volatile)
}

impl Scene<'_> {
    fn change(&mut self, rng: &mut Rng) {
        let at = rng.below(u64::from(REPLICAS)) as usize;
        let settings = draw(rng);
        let way = rng.below(if self.nodes[at].disk.is_some() { 3 } else { 2 }) as usize;
        let was_powered = self.nodes[at].is_powered;
        let story = format!("replica {} ended by way {way}, then {settings:?}", at + 1);
        match way {
            0 => self.terminate(at),
            1 => self.kill(at),
            _ => self.cut_power(at),
        }
        (self.shown.changes, self.shown.ends[way]) = (self.shown.changes + 1, self.shown.ends[way] + 1);
        let before = std::mem::replace(&mut self.nodes[at].settings, settings);
        match self.start(at) {
            Ok(()) => {}
            Err(log) if log.contains("must not vote under its old identity") => {
                assert!(way == 2 && !was_powered, "a needless refusal: {story}\n{log}");
                return self.replace(at);
            }
            Err(log) => {
                self.shown.refused += 1;
                self.nodes[at].settings = before;
                if let Err(again) = self.start(at) {
                    if again.contains("must not vote under its old identity") && way == 2 && !was_powered {
                        return self.replace(at);
                    }
                    panic!("{story}: refused:\n{log}\nand with the configuration before:\n{again}");
                }
            }
        }
        let node = &mut self.nodes[at];
        let is_new_run_powered = is_power(&node.settings);
        node.is_powered = is_new_run_powered && (was_powered || way == 0);
    }

    fn terminate(&mut self, at: usize) {
        let process = &mut self.nodes[at].process;
        process.signal("TERM");
        let status = process.wait();
        assert!(status.success(), "SIGTERM: {status}\n{}", process.log());
    }

    fn kill(&mut self, at: usize) {
        let process = &mut self.nodes[at].process;
        process.signal("KILL");
        process.wait();
    }

    /// Its machine stands still, a picture of its disk is taken, and it starts as another boot on that.
    fn cut_power(&mut self, at: usize) {
        freeze(std::slice::from_ref(&self.nodes[at].process));
        self.count += 1;
        let picture = self.folder.join(format!("picture-{}", self.count));
        let node = &mut self.nodes[at];
        let disk = node.disk.as_ref().expect("a disk").picture(picture);
        node.process.signal("KILL");
        node.process.wait();
        node.machine = Namespace::of_mounts();
        boot(&node.machine, &self.cluster.path(&format!("boot-{}", self.count)), u64::from(self.count));
        disk.mount(&node.machine, &self.cluster.path(&format!("journal-{}", node.id)));
        node.disk = Some(disk);
        let tail = self.cluster.path(&format!("tail-{}", node.id));
        std::fs::remove_file(tail).expect("a tail");
    }

    /// Starts it with its settings.
    ///
    /// # Errors
    /// It has ended before it had a role: what it said.
    fn start(&mut self, at: usize) -> Result<(), String> {
        self.count += 1;
        let node = &mut self.nodes[at];
        let id = node.id.to_string();
        let mut args = vec!["sequencer", "--replica", &id];
        args.extend(node.settings.iter().flat_map(|set| ["--set", set]));
        let command = self.cluster.command_at(node.machine.place(), &args);
        node.process = self.cluster.start_command(&format!("replica-{id}-{}", self.count), command);
        let began = Instant::now();
        while !node.process.log().contains(" -> ") {
            if node.process.ended().is_some() {
                return Err(node.process.log());
            }
            assert!(began.elapsed() < PATIENCE, "it has no role:\n{}", node.process.log());
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// A member that may have forgotten something is replaced: a new journal, the old identity leaves, the
    /// new one joins.
    fn replace(&mut self, at: usize) {
        self.shown.replaced += 1;
        self.count += 1;
        let node = &mut self.nodes[at];
        // A new disk: what the old one holds is kept for whoever wants to look.
        node.machine = Namespace::of_mounts();
        node.disk = Some(disk(&self.cluster, self.folder, &node.machine, node.id, self.count));
        let id = node.id;
        let format = ["format", "--replica", &id.to_string()];
        let output = run(self.cluster.command_at(node.machine.place(), &format), b"").with_code(0);
        let identity = output.out.trim().to_owned();
        let old = std::mem::replace(&mut node.identity, identity.clone());
        self.start(at).unwrap_or_else(|log| panic!("a new journal for replica {id}:\n{log}"));
        self.order(&["membership", "remove", &old]);
        self.order(&["membership", "add", &identity]);
        let node = &mut self.nodes[at];
        node.is_powered = is_power(&node.settings);
    }

    fn order(&self, args: &[&str]) {
        // The disks share the host's page cache with everything else that writes: a flush may take long.
        let patient: Vec<&str> = args.iter().copied().chain(["--timeout", "60s"]).collect();
        let output = self.cluster.run(&patient, b"");
        assert_eq!(output.code, Some(0), "{args:?}: {}\n{}{}", output.out, output.err, self.logs());
    }

    fn logs(&self) -> String {
        self.nodes.iter().map(|node| last_words(std::slice::from_ref(&node.process))).collect()
    }

    fn await_flow(&mut self) {
        let (wanted, began) = (self.view.count() + FLOWING, Instant::now());
        while self.view.count() < wanted {
            let is_late = began.elapsed() > PATIENCE;
            assert!(!is_late, "orders do not flow: {} committed\n{}", self.view.count(), self.logs());
            std::thread::sleep(LOOK);
        }
    }

    fn end(mut self, feeds: Vec<Feed>) -> Shown {
        let mut counts = BTreeMap::new();
        for feed in feeds {
            let name = feed.name().to_owned();
            let result = feed.finish();
            assert_eq!(
                (result.code, result.committed),
                (Some(0), result.published),
                "'{name}': {}",
                result.log
            );
            counts.insert(name, result.committed);
        }
        let messages: u64 = counts.values().sum();
        self.view.await_count(messages as usize);
        for at in 0..self.nodes.len() {
            self.terminate(at);
        }
        let stream = self.view.finish();
        stream.judge().unwrap_or_else(|why| panic!("the reader: {why}"));
        for (name, count) in &counts {
            assert_eq!(stream.count_of(name), *count, "lines of '{name}'");
        }
        let mut whole = 0;
        for node in &self.nodes {
            let journal: PathBuf = self.cluster.path(&format!("journal-{}", node.id));
            let journal = Stream::of_journal(&node.machine.outside(&journal));
            journal.judge().unwrap_or_else(|why| panic!("journal {}: {why}", node.id));
            journal.agrees_with(&stream).unwrap_or_else(|why| panic!("journal {}: {why}", node.id));
            whole += usize::from(journal.messages.len() == stream.messages.len());
        }
        assert!(whole > self.nodes.len() / 2, "{whole} journals hold all {messages} messages");
        Shown { messages, ..self.shown }
    }
}

/// The identity that a sequencer's log begins with.
fn identity_in(log: &str) -> String {
    let found = log.split("identity=").nth(1).and_then(|rest| rest.split_whitespace().next());
    found.unwrap_or_else(|| panic!("no identity in:\n{log}")).to_owned()
}
