//! The processes of an endurance run: three replicas, an archiver, a gateway, a feed, a reader and an
//! application. Each of them is this very program, and ends with the scene: its standard input ends, or it is
//! killed. The reader has no such input; it ends by itself when nothing comes any more.

use super::{Arguments, orders};
use crate::child::itself;
use crate::cluster::{Cluster, Site};
use crate::fleet::{Fleet, children};
use crate::gateway::{users, write_users};
use crate::place::Place;
use crate::usage::{Usage, folder_bytes, unnamed_bytes};
use lockstep::config::{Config, NodeConfig};
use lockstep_gateway::gateway::users::Recipient;
use lockstep_node::{JournalReader, NodeSettings};
use lockstep_process::signal::Signal;
use lockstep_replica::journal::LogComparison;
use lockstep_testkit::processes::command_of;
use lockstep_trial::process::{TrialProcess, Wiring};
use lockstep_wire::Seq;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Replicas.
const REPLICAS: u32 = 3;
/// The archiver's number.
const ARCHIVER: u32 = 101;
/// How long a process may take to end in order, and a reader to have everything.
const PATIENCE: Duration = Duration::from_secs(30);
/// A reader to which nothing comes for so long ends.
const SILENCE: &str = "2min";
/// Between two looks at a reader.
const LOOK: Duration = Duration::from_millis(20);

/// Starts this program with these arguments, beside the replicas; its standard error goes into a log in
/// `folder`.
fn daemon(
    name: &'static str,
    args: Vec<String>,
    folder: &Path,
    wiring: Wiring,
) -> Result<TrialProcess, String> {
    let log = folder.join(format!("{name}.log"));
    TrialProcess::of_program(name, itself()?, args, log, wiring).map_err(|failure| failure.to_string())
}

/// The same of one that prints a line when it is ready; that line.
fn ready(name: &'static str, args: Vec<String>, folder: &Path) -> Result<(TrialProcess, String), String> {
    let mut process = daemon(name, args, folder, Wiring::Talking)?;
    let line = process.first_line().map_err(|failure| failure.to_string())?;
    Ok((process, line))
}

/// Ends the standard input of a process, and waits until it has ended in order.
fn end(process: &mut TrialProcess) -> Result<(), String> {
    process.close_stdin();
    process.await_good_end(PATIENCE).map_err(|failure| failure.to_string())
}

/// See the module.
pub struct Scene {
    application: TrialProcess,
    gateway: TrialProcess,
    feed: TrialProcess,
    reader: TrialProcess,
    archiver: TrialProcess,
    /// The replicas: they end behind the others, and their folders go with them.
    pub fleet: Fleet,
    /// The cluster's file.
    pub config: Config,
    /// Where the gateway listens.
    pub listens: SocketAddr,
    /// Messages that the reader has printed.
    printed: Arc<AtomicU64>,
    path: PathBuf,
    folder: PathBuf,
}

impl Scene {
    /// Starts all of them.
    ///
    /// # Errors
    /// In words, what did not start.
    pub fn start(arguments: &Arguments) -> Result<Self, String> {
        let mut cluster = Cluster::on(&Site::loopback(REPLICAS), arguments.idle)?;
        cluster.add_archiver(ARCHIVER)?;
        let (config, path) = (cluster.config.clone(), cluster.path());
        let folder = path.with_file_name("");
        let mut fleet = Fleet::start(cluster, Place::hosts(REPLICAS as usize))?;
        fleet.await_whole()?;
        start_day(&path, 1)?;
        let of = |words: &[&str]| {
            let file = path.display().to_string();
            let own = ["lockstep"].iter().chain(words).copied().chain(["--config", &file]);
            own.map(String::from).collect::<Vec<_>>()
        };
        let archiver = Self::start_archiver(&path, &folder)?;
        let mut reader =
            daemon("reader", of(&["subscribe", "--timeout", SILENCE]), &folder, Wiring::Talking)?;
        let printed = count_lines(reader.take_stdout().ok_or("the reader has no output")?);
        let users = users(&[orders::USER.to_owned()], &Recipient::Own, &[])?;
        let file = write_users(&users, &folder)?;
        let spool = format!("gateway.spool={}", folder.display());
        let gateway = ["gateway", "--listen", "127.0.0.1:0", "--until-stdin-ends", "--users", &file, "--set"];
        let (gateway, line) = ready("gateway", of(&[&gateway[..], &[&spool]].concat()), &folder)?;
        let listens = line.rsplit(' ').next().and_then(|address| address.parse().ok());
        let listens = listens.ok_or_else(|| format!("the gateway says '{line}'"))?;
        // A spool of the whole stream would need gigabytes an hour.
        let whom = format!("client:{}", orders::USER);
        let group = format!("239.160.77.{}:30001", 1 + std::process::id() % 250);
        let feed = ["feed", "--until-stdin-ends", "--of", &whom, "--group", &group];
        let feed = [&feed[..], &["--requests", "127.0.0.1:0", "--set", &spool]].concat();
        let (feed, _) = ready("feed", of(&feed), &folder)?;
        let every = format!("--snapshot-every={}", arguments.snapshot_every);
        let snapshots = folder.join("snapshots").display().to_string();
        let application = vec!["application".into(), path.display().to_string(), snapshots, every];
        let (application, _) = ready("application", application, &folder)?;
        Ok(Self {
            application,
            gateway,
            feed,
            reader,
            archiver,
            fleet,
            config,
            listens,
            printed,
            path,
            folder,
        })
    }

    fn start_archiver(path: &Path, folder: &Path) -> Result<TrialProcess, String> {
        let id = ARCHIVER.to_string();
        let args =
            ["lockstep", "archiver", "--until-stdin-ends", "--archiver", &id, "--config"].map(String::from);
        let args = [&args[..], &[path.display().to_string()]].concat();
        daemon("archiver", args, folder, Wiring::Silent)
    }

    /// Whether everybody runs.
    ///
    /// # Errors
    /// The one that does not, with its last words.
    pub fn check_alive(&mut self) -> Result<(), String> {
        self.fleet.check_alive()?;
        let Self { application, gateway, feed, reader, archiver, .. } = self;
        let mut all = [application, gateway, feed, reader, archiver].into_iter();
        all.try_for_each(TrialProcess::check_alive).map_err(|failure| failure.to_string())
    }

    /// Each process by its name, with its number and what it uses; a replica with its watcher, and this
    /// process as `client`.
    pub fn usages(&self) -> Vec<(String, u32, Usage)> {
        let mut all = Vec::new();
        let mut add = |name: String, pids: &[u32]| {
            let usages = pids.iter().filter_map(|pid| Usage::of(*pid));
            if let (Some(pid), Some(usage)) = (pids.first(), usages.reduce(Usage::plus)) {
                all.push((name, *pid, usage));
            }
        };
        for (id, pid) in (1..).zip(self.fleet.pids()) {
            let id: u32 = id;
            add(format!("replica {id}"), &[vec![pid], children(pid)].concat());
        }
        for daemon in [&self.archiver, &self.gateway, &self.feed, &self.reader, &self.application] {
            add(daemon.name().to_owned(), &[daemon.pid()]);
        }
        add("client".to_owned(), &[std::process::id()]);
        all
    }

    /// Bytes of each folder, and of the files without a name.
    ///
    /// # Errors
    /// The cluster's file lacks somebody.
    pub fn disks(&self) -> Result<BTreeMap<String, u64>, String> {
        let mut disks = BTreeMap::new();
        for id in 1..=REPLICAS {
            disks.insert(format!("journal {id}"), folder_bytes(&self.node(id)?.journal));
        }
        disks.insert("archive".into(), folder_bytes(&self.node(ARCHIVER)?.journal));
        let tails = self.node(1)?.tail.parent().map_or(0, folder_bytes);
        disks.insert("memory folder".into(), tails);
        disks.insert("snapshots".into(), folder_bytes(&self.folder.join("snapshots")));
        disks.insert("gateway's spool".into(), unnamed_bytes(self.gateway.pid()));
        disks.insert("feed's spool".into(), unnamed_bytes(self.feed.pid()));
        Ok(disks)
    }

    /// The settings of a replica or of the archiver.
    fn node(&self, id: u32) -> Result<NodeSettings, String> {
        let settings = if id == ARCHIVER { self.config.archiver_node(id) } else { self.config.node(id) };
        settings.map_err(|error| error.to_string())
    }

    /// Replicas whose journal is larger than `limit`, and the archiver's number if its archive is.
    ///
    /// # Errors
    /// The cluster's file lacks somebody.
    pub fn full(&self, limit: u64) -> Result<Vec<u32>, String> {
        let mut full = Vec::new();
        for id in (1..=REPLICAS).chain([ARCHIVER]) {
            if folder_bytes(&self.node(id)?.journal) > limit {
                full.push(id);
            }
        }
        Ok(full)
    }

    /// Restarts a process in order, and removes segments before `before` between its end and its start.
    ///
    /// # Errors
    /// In words, what could not be done.
    pub fn restart(&mut self, id: u32, before: Seq) -> Result<(), String> {
        if id != ARCHIVER {
            self.fleet.strike(id, crate::failover::How::Stop)?;
            self.fleet.revive_behind(id, crate::failover::How::Stop, |node| trim(node, before))?;
            return self.fleet.await_whole().map(|_| ());
        }
        end(&mut self.archiver)?;
        trim(&self.node(id)?, before)?;
        self.archiver = Self::start_archiver(&self.path, &self.folder)?;
        Ok(())
    }

    /// Ends the trading day, and begins the next one. Gateway and feed hold the messages of a day.
    ///
    /// # Errors
    /// The stream was not marked.
    pub fn turn_day(&self, number: usize) -> Result<(), String> {
        mark(&self.path, &["day", "end"])?;
        start_day(&self.path, number)
    }

    /// Ends those who publish, but for the load: nothing of theirs comes behind what the load reads last.
    ///
    /// # Errors
    /// One that did not end in order.
    pub fn end_publishers(&mut self) -> Result<(), String> {
        end(&mut self.application)?;
        end(&mut self.gateway)
    }

    /// The reader's digest, once it has so many messages, which are all.
    ///
    /// # Errors
    /// It did not end in order.
    pub fn end_reader(&mut self, messages: u64) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        // It writes what it has when nothing comes.
        while self.printed.load(Ordering::Acquire) < messages && Instant::now() < deadline {
            self.reader.check_alive().map_err(|failure| failure.to_string())?;
            std::thread::sleep(LOOK);
        }
        self.reader.signal(Signal::Terminate).map_err(|failure| failure.to_string())?;
        end(&mut self.reader)?;
        let log = self.reader.log();
        let digest = log.lines().rev().find_map(|line| line.split_once("digest "));
        digest.map(|(_, digest)| digest.trim().to_owned()).ok_or_else(|| format!("the reader says:\n{log}"))
    }

    /// Ends all that still runs, once every journal has the stream up to `next`, and compares the journals
    /// with that of replica 1, as far as both reach. Returns a line for each difference, and in words which
    /// are equal.
    ///
    /// # Errors
    /// One did not end in order, or a journal cannot be read.
    pub fn end(mut self, next: Seq) -> Result<(Vec<String>, String), String> {
        end(&mut self.feed)?;
        self.fleet.await_stored(next)?;
        let fails = |error: lockstep_node::JournalError| error.to_string();
        let archive = JournalReader::open(&self.node(ARCHIVER)?.journal).map_err(fails)?;
        archive.log_up_to(next, PATIENCE).map_err(fails)?;
        self.fleet.stop()?;
        end(&mut self.archiver)?;
        let first = JournalReader::open(&self.node(1)?.journal).map_err(fails)?;
        let log = first.log().map_err(fails)?;
        let (mut wrongs, mut equal) = (Vec::new(), Vec::new());
        for id in [2, 3, ARCHIVER] {
            let other = JournalReader::open(&self.node(id)?.journal).map_err(fails)?;
            let theirs = other.log().map_err(fails)?;
            match first.compare(&other, [&log, &theirs]).map_err(fails)? {
                LogComparison::Equal { from, to_next } if to_next >= next => {
                    equal.push(format!("{id} from seq {from} on"));
                }
                other => wrongs.push(format!("the journals of 1 and {id}, up to seq {next}: {other:?}")),
            }
        }
        Ok((wrongs, equal.join(", ")))
    }
}

/// Begins a trading day.
fn start_day(config: &Path, number: usize) -> Result<(), String> {
    mark(config, &["day", "start", &format!("D{number}")])
}

/// Runs a command of lockstep on the cluster of `config` to its end.
fn mark(config: &Path, words: &[&str]) -> Result<(), String> {
    let mut command = command_of(Command::new(itself()?), &["lockstep"]);
    command.args(words).arg("--config").arg(config);
    let output = command.output().map_err(|error| format!("{words:?}: {error}"))?;
    let failed = || format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(failed()) }
}

/// Removes the segments of a stopped process's journal whose entries lie before `before`, as `lockstep
/// journal trim` does.
pub fn trim(node: &NodeSettings, before: Seq) -> Result<(), String> {
    lockstep_node::trim(node, before).map(|_| ()).map_err(|error| error.to_string())
}

/// Counts the lines that a process prints, in a thread that ends with it.
fn count_lines(mut out: impl Read + Send + 'static) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(len @ 1..) = out.read(&mut buffer) {
            let lines = buffer[..len].iter().filter(|&&byte| byte == b'\n').count();
            theirs.fetch_add(lines as u64, Ordering::AcqRel);
        }
    });
    count
}
