//! # power: all machines lose it at once
//!
//! The question: is everything there afterwards that a client knew as final? Three replicas write their
//! journals to disks of their own while orders flow. At a random instant all of them stand still, and a
//! picture is taken of each disk. What publishers and subscribers know to be committed by then was said
//! before that instant, as nobody could say anything after it. Then the machines start again from the
//! pictures: another boot, an empty page cache, no tails.
//!
//! `durability = "power"` must have kept all of it, on a quorum of the disks. `"process"` did not promise
//! that: there each replica says that it may have forgotten something, and the cluster waits for its
//! operator, who founds a history on what is left.

use crate::flow::{Feed, FeedResult, Message, Stream, View, line};
use crate::images::{Cache, Disk};
use crate::netns::{Namespace, Place};
use crate::processes::{
    Cluster, Ground, Outcome, PATIENCE, Process, freeze, last_words, memory_folder, moving, run, signal_all,
};
use crate::takeover::leads;
use lockstep_config::Config;
use lockstep_daemon::config::NodeConfig;
use lockstep_memory::rng::Rng;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Replicas, and disks.
const REPLICAS: u32 = 3;
/// How many of them make a quorum.
const QUORUM: usize = 2;
/// Lines that flow before the power may fail, so that every run has something to lose.
const LINES_MIN: usize = 200;
/// The power fails within this time from then on.
const INSTANT_MS: u64 = 400;
/// Lines per second of each of the two publishers: one round in two is a trickle, one a flood.
const PER_SECOND: [u64; 2] = [1_000, 40_000];
/// When nothing has come for so long, clients have read everything.
const QUIET: Duration = Duration::from_millis(150);
/// How long a publisher waits for commits that can no longer come; and for its name, on a busy machine.
const GIVE_UP: &str = "4s";

/// A flush through two file systems and two loop devices takes long on a busy machine, and a promise waits
/// for some: a takeover is not what is tried here.
const PATIENT: &str = "\n[timing]\nfailure_timeout = \"200ms\"\nfailure_timeout_max = \"1s\"\n";
/// Between two looks at what the replicas say.
const LOOK: Duration = Duration::from_millis(5);
/// The last words of a cluster, and the disks that it left behind.
pub struct Outage {
    cluster: Cluster,
    /// Mounts of the boot that follows.
    machine: Namespace,
    /// Where the pictures are mounted, replica 1 first.
    journals: Vec<PathBuf>,
    results: Vec<(String, FeedResult)>,
    view: Stream,
    /// Where the subscriber stood.
    cursor: String,
    cache: Cache,
    /// Holds the images.
    _folder: TempDir,
}

/// What one round has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Messages that a publisher or the subscriber knew to be committed.
    pub acknowledged: u64,
    /// Messages that each disk held.
    pub stored: Vec<u64>,
    /// The cache of the disks.
    pub cache: Cache,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledged, all kept", self.acknowledged)?;
        write!(f, "; the disks ({:?} cache) hold {:?}", self.cache, self.stored)
    }
}

impl Outage {
    /// Lets orders flow with this `durability`, and cuts the power at a random instant.
    pub fn at_random(durability: &str, rng: &mut Rng) -> Self {
        let folder = memory_folder();
        let running = Namespace::of_mounts();
        let ground =
            Ground { places: vec![running.place().clone(); REPLICAS as usize], ..Ground::loopback(REPLICAS) };
        let cluster = Cluster::on(ground, &format!("durability = \"{durability}\"\n{PATIENT}"));
        let cache = [Cache::Safe, Cache::Volatile][rng.below(2) as usize];
        let disk = |id: u32| {
            let at = cluster.path(&format!("journal-{id}"));
            Disk::new(&running, folder.path().join(format!("disk-{id}")), &at, cache)
        };
        let disks: Vec<Disk> = (1..=REPLICAS).map(disk).collect();
        let replicas = cluster.found();
        let host = Place::host();
        let view = View::start(&cluster, &host, "reader", &[]);
        let per_second = PER_SECOND[rng.below(2) as usize];
        let mut feeds = ["a", "b"].map(|name| Feed::start(&cluster, &host, name, per_second, GIVE_UP));
        let began = Instant::now();
        while view.count() < LINES_MIN {
            let ended: String = feeds.iter_mut().filter_map(Feed::ended).collect();
            let is_late = began.elapsed() > PATIENCE || !ended.is_empty();
            let (lines, logs) = (view.count(), || last_words(&replicas));
            assert!(!is_late, "{lines} lines flowed, and no more\n{ended}\n{}", logs());
            std::thread::sleep(LOOK);
        }
        std::thread::sleep(Duration::from_micros(rng.below(INSTANT_MS * 1000)));

        freeze(&replicas);
        let pictures =
            (1..).zip(&disks).map(|(id, disk)| disk.picture(folder.path().join(format!("after-{id}"))));
        let pictures: Vec<Disk> = pictures.collect();
        view.await_quiet(QUIET);
        // The kernel wakes a group of processes whose last parent in the session ends: what they do then is
        // not in the pictures.
        if let Some(name) = moving(&replicas) {
            panic!("{name} was let go on while pictures were taken: run this in the foreground");
        }
        let results = feeds.map(|feed| (feed.name().to_owned(), feed.terminate())).to_vec();
        let (view, cursor) = view.finish_at();
        drop(replicas);
        drop(running);

        let machine = next_boot(&cluster, rng);
        let journals: Vec<PathBuf> = (1..=REPLICAS).map(|id| cluster.path(&format!("after-{id}"))).collect();
        pictures.iter().zip(&journals).for_each(|(picture, at)| picture.mount(&machine, at));
        // Memory is empty after a loss of power; a tail that lies on a disk by mistake is another boot's.
        for id in (1..=REPLICAS).filter(|_| rng.below(2) == 0) {
            std::fs::remove_file(cluster.path(&format!("tail-{id}"))).expect("a tail");
        }
        Self { cluster, machine, journals, results, view, cursor, cache, _folder: folder }
    }

    /// What the journals on the disks hold.
    fn logs(&self) -> Vec<Stream> {
        let read = |journal: &PathBuf| Stream::of_journal(&self.machine.outside(journal));
        self.journals.iter().map(read).collect()
    }

    /// Judges the disks: whatever anybody knew to be committed is on a quorum of them, where it was.
    pub fn judge_disks(&self) -> Shown {
        let logs = self.logs();
        for (log, id) in logs.iter().zip(1..) {
            log.judge().unwrap_or_else(|why| panic!("disk {id}: {why}"));
        }
        self.view.judge().unwrap_or_else(|why| panic!("the subscriber: {why}"));
        let at = |log: &Stream, message: &Message| {
            let found = log.messages.binary_search_by_key(&message.seq, |message| message.seq);
            found.is_ok_and(|index| log.messages[index] == *message)
        };
        for message in &self.view.messages {
            let holders = logs.iter().filter(|log| at(log, message)).count();
            assert!(holders >= QUORUM, "{message:?} was delivered as committed, and {holders} disks hold it");
        }
        let mut acknowledged = self.view.messages.len() as u64;
        for (name, results) in &self.results {
            let holders = logs.iter().filter(|log| log.count_of(name) >= results.committed).count();
            let committed = results.committed;
            assert!(holders >= QUORUM, "'{name}' knows {committed} committed, and {holders} disks hold them");
            acknowledged += committed.saturating_sub(self.view.count_of(name));
        }
        assert!(acknowledged >= LINES_MIN as u64, "{acknowledged} acknowledged: too few to lose any");
        Shown {
            acknowledged,
            cache: self.cache,
            stored: logs.iter().map(|log| log.messages.len() as u64).collect(),
        }
    }

    /// What a command of replica `id` needs to find its disk.
    fn journal_of(&self, id: u32) -> String {
        format!("replicas.{id}.journal={}", self.journals[id as usize - 1].display())
    }

    /// Runs a command on the host of replica `id`.
    fn run_at(&self, id: u32, args: &[&str]) -> Outcome {
        let (id_text, journal) = (id.to_string(), self.journal_of(id));
        let all: Vec<&str> = args.iter().copied().chain(["--replica", &id_text, "--set", &journal]).collect();
        run(self.cluster.command_at(self.machine.place(), &all), b"")
    }

    /// Starts replica `id` on what its disk holds.
    fn start(&self, id: u32) -> Process {
        let (id_text, journal) = (id.to_string(), self.journal_of(id));
        let args = ["sequencer", "--replica", &id_text, "--set", &journal];
        let command = self.cluster.command_at(self.machine.place(), &args);
        self.cluster.start_command(&format!("restarted-{id}"), command)
    }

    /// Starts the replicas on what their disks hold.
    pub fn restart(&self) -> Vec<Process> {
        (1..=REPLICAS).map(|id| self.start(id)).collect()
    }

    /// The replicas are started, and each says that it may have forgotten something: none votes.
    pub fn judge_refusals(&self) {
        for mut replica in self.restart() {
            let (code, log) = (replica.wait().code(), replica.log());
            assert_eq!(code, Some(3), "{log}");
            for text in ["the tail is gone", "must not vote under its old identity", "format a new journal"] {
                assert!(log.contains(text), "'{text}' is not in:\n{log}");
            }
        }
    }

    /// The operator looks at each disk, and compares: which replica holds most.
    fn longest(&self) -> u32 {
        let files: Vec<String> = (1..=REPLICAS).map(|id| self.look(id)).collect();
        let args: Vec<&str> =
            ["recover", "--json", "--compare"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let comparison = json(&self.cluster.run(&args, b"").with_code(0).out);
        assert_eq!(comparison["has_quorum"], false, "{comparison}");
        let longest = files.iter().position(|file| comparison["longest"] == **file);
        longest.unwrap_or_else(|| panic!("{comparison} names none of {files:?}")) as u32 + 1
    }

    /// What `recover --json` says of the disk of replica `id`, in a file.
    fn look(&self, id: u32) -> String {
        let output = self.run_at(id, &["recover", "--json"]).with_code(0).out;
        let report = json(&output);
        assert_eq!(report["complete"], false, "{report}");
        let last = Stream::of_journal(&self.machine.outside(&self.journals[id as usize - 1])).last();
        assert!(
            report["next"].as_u64().is_some_and(|next| next > last),
            "seq {last} is on the disk: {report}"
        );
        let file = self.cluster.path(&format!("look-{id}.json"));
        std::fs::write(&file, output).expect("a file");
        file.display().to_string()
    }

    /// Replica `id` comes back as a new member, on a new disk.
    fn rejoin(&mut self, id: u32) -> Process {
        self.journals[id as usize - 1].clone_from(&self.cluster.path(&format!("again-{id}")));
        // The reboot may have taken it.
        let _ = std::fs::remove_file(self.cluster.path(&format!("tail-{id}")));
        let identity = self.run_at(id, &["format"]).with_code(0).out.trim().to_owned();
        let mut replica = self.start(id);
        replica.await_log("-> learner");
        let config =
            Config::load(Some(&self.cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let address = config.node(id).expect("a replica").unicast.to_string();
        let add = ["membership", "add", &identity, "--address", &address, "--timeout", "30s"];
        self.cluster.run(&add, b"").with_code(0);
        replica
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A machine that was started anew: the kernel draws another id for each boot.
fn next_boot(cluster: &Cluster, rng: &mut Rng) -> Namespace {
    let machine = Namespace::of_mounts();
    boot(&machine, &cluster.path("boot_id"), rng.next_u64());
    machine
}

/// Makes `machine` another boot, whose id stands in `file`.
pub fn boot(machine: &Namespace, file: &Path, id: u64) {
    let low = id & 0xffff_ffff_ffff;
    std::fs::write(file, format!("{:08x}-0000-4000-8000-{low:012x}\n", id >> 32)).expect("a file");
    machine.shell(&format!("mount --bind {file:?} /proc/sys/kernel/random/boot_id"));
}

/// One loss of power under `durability = "power"`: everything that was acknowledged is there, the cluster
/// elects a leader by itself, and goes on.
pub fn keeps_all(rng: &mut Rng) -> Shown {
    let outage = Outage::at_random("power", rng);
    let shown = outage.judge_disks();
    let mut replicas = outage.restart();
    let began = Instant::now();
    while !replicas.iter().any(|replica| leads(&replica.log())) {
        let ended = replicas.iter_mut().find_map(Process::ended);
        let is_late = began.elapsed() > PATIENCE || ended.is_some();
        assert!(!is_late, "nobody leads when the power is back, {ended:?}\n{}", last_words(&replicas));
        std::thread::sleep(LOOK);
    }
    let published =
        outage.cluster.run(&["publish", "--name", "orders"], (line("orders", 1) + "\n").as_bytes());
    assert_eq!(published.code, Some(0), "{}\n{}", published.err, last_words(&replicas));
    signal_all("TERM", &replicas);
    for replica in &mut replicas {
        replica.wait();
    }
    // All of it is there still, and what came since.
    outage.judge_disks();
    let went_on = outage.logs().iter().filter(|log| log.count_of("orders") == 1).count();
    assert!(went_on >= QUORUM, "{went_on} disks hold what was published when the power was back");
    shown
}

/// What a history that was founded on what was left has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founded {
    /// Messages that a client knew to be committed, and that the new history does not have.
    pub lost: u64,
    /// Messages that it has of the former one.
    pub retained: u64,
    /// Whether the reader had seen more than that, and learned so.
    pub reader_ahead: bool,
}

impl fmt::Display for Founded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reader = if self.reader_ahead { "was ahead, and told" } else { "went on" };
        write!(f, "founded on {} messages, {} lost; the reader {reader}", self.retained, self.lost)
    }
}

/// One loss of power under `durability = "process"`: each replica says what it may have forgotten and does
/// not vote; the operator founds a history on the longest of the disks. It has exactly what that disk held, a
/// reader goes on by its cursor or is told what is gone, and the others come back as new members.
pub fn says_what_is_lost(rng: &mut Rng) -> Founded {
    let mut outage = Outage::at_random("process", rng);
    outage.judge_refusals();
    let founder = outage.longest();
    let left = outage.logs().swap_remove(founder as usize - 1);
    let founded = json(&outage.run_at(founder, &["recover", "--json", "--accept-loss"]).with_code(0).out);
    let at = founded["seq"].as_u64().unwrap_or_else(|| panic!("{founded}"));
    let mut replicas = vec![outage.start(founder)];
    replicas[0].await_log("-> leader");

    let whole = Stream::of_text(&outage.cluster.read(&[]).out);
    assert!(whole == left, "the new history has {} messages, the disk {}", whole.last(), left.last());
    // The founder is all there is: nothing else is waited for, however long that may be.
    let args = ["subscribe", "--until-end", "--timeout", "100s", "--from", &outage.cursor];
    let resumed = outage.cluster.run(&args, b"");
    let reader_ahead = resumed.code == Some(3);
    if reader_ahead {
        let gone = format!("seqs {at} to ");
        let resumed = resumed.saying(&["entries that the stream does not have any more", &gone]);
        assert!(resumed.out.is_empty(), "{}", resumed.out);
        outage.view.agrees_with(&whole).unwrap_or_else(|why| panic!("the reader: {why}"));
    } else {
        let resumed = resumed.with_code(0).saying(&["was founded at seq"]);
        let mut messages = outage.view.messages.clone();
        messages.extend(Stream::of_text(&resumed.out).messages);
        assert!(messages == whole.messages, "the reader goes on with other messages");
    }

    for id in (1..=REPLICAS).filter(|id| *id != founder) {
        replicas.push(outage.rejoin(id));
    }
    outage.cluster.publish(&(line("orders", 1) + "\n"));
    let status = outage.cluster.run(&["status"], b"").with_code(0).out;
    assert!(status.starts_with(&format!("healthy: {REPLICAS} of {REPLICAS}")), "{status}");
    signal_all("TERM", &replicas);
    for replica in &mut replicas {
        replica.wait();
    }
    for log in outage.logs() {
        assert_eq!(log.count_of("orders"), 1, "a disk does not hold what was published behind the founding");
        log.judge().unwrap_or_else(|why| panic!("{why}"));
    }
    let known = |(name, results): &(String, FeedResult)| results.committed.max(outage.view.count_of(name));
    let lost =
        outage.results.iter().map(|result| known(result).saturating_sub(whole.count_of(&result.0))).sum();
    Founded { lost, retained: whole.messages.len() as u64, reader_ahead }
}
