//! # recovery: how long a replica needs until it votes again, whatever it has to read first
//!
//! ```text
//!   names    publishers of the stream's life: a table of them is in every replica and every checkpoint
//!   journal  segments of each replica: what a start has to look through
//!
//!   killed   kill -9 of a standby, start       ─▶ it votes again   (its tail is in memory)
//!   rebooted stop, its tail removed, start     ─▶ it votes again   (from segments alone)
//!   leader   kill -9 of the leader             ─▶ the next commit
//! ```
//!
//! Three replicas as processes, all parked. The disk is what the system's temporary folder lies on. A start
//! is timed from its command to the line of the log in which the replica says that it votes.

use crate::cluster;
use crate::environment;
use crate::harness::{Run, Shared};
use crate::results::{Round, Row, RunResult, Unit};
use crate::usage::Usage;
use clap::Args;
use lockstep::config::Config;
use lockstep_client::{EVERYBODY, Endpoint, PublishError, Publisher, PublisherEvent};
use lockstep_io::clock::random_u64;
use lockstep_testkit::processes::{Cluster, PRODUCT_TIMING, Process};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Replicas.
const REPLICAS: u32 = 3;
/// No name, no message and no takeover takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names that one handle opens.
const NAMES_OF_A_HANDLE: u64 = 50_000;
/// Names that are on their way at once.
const NAMES_AT_ONCE: u64 = 128;
/// Bytes of a message that fills the journal.
const FILLING_LEN: usize = 1_200;
/// The longest sleep of a publisher to which nothing comes.
const LOOK: Duration = Duration::from_micros(200);

/// What there is to read, and how often it is read.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Publishers that the stream has.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=999_999))]
    names: u64,
    /// Bytes of each replica's journal, in MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    mebibytes: u64,
    /// Bytes of a segment, in MiB.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    segment: u64,
}

/// Measures.
///
/// # Errors
/// A process that does not do what it should, a name that is not opened, a message that is not committed.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Arguments { shared, names, mebibytes, segment } = arguments;
    let title = "seconds until a replica votes again, and until a stream without its leader goes on";
    let mut run = Run::begin("recovery", title, environment::facts());
    run.tell("clock", "monotonic, of the process that starts, kills and publishes");
    run.tell("idle", "park");
    run.tell("journal", format!("{mebibytes} MiB in segments of {segment} MiB, each of {REPLICAS} replicas"));
    run.tell("names", format!("{names}, each with one committed message"));
    let cluster = Cluster::new(
        REPLICAS,
        &format!(
            "\n[journal]\ntail_size = \"64MiB\"\nsegment_size = \"{segment}MiB\"\n\n[stream]\npublishers_max = 1000000\n{PRODUCT_TIMING}"
        ),
    );
    let mut replicas = cluster.found();
    let config = Config::load(Some(&cluster.config()), &[]).map_err(|errors| errors.to_string())?;
    let endpoint = cluster::endpoint(&config)?;
    let empty = memory_of(&replicas)?;
    run.show("names are opened");
    let at = Instant::now();
    open_names(&endpoint, *names)?;
    let opening = at.elapsed();
    let with_names = memory_of(&replicas)?;
    // Behind the names: a handle that nobody polls while they are opened loses its place in the stream.
    let mut filler = Filler::open(&endpoint, "filler")?;
    run.show("the journals are filled");
    filler.fill(mebibytes << 20)?;
    let segments = await_segments(&config)?;
    run.results.notes.push(format!(
        "{names} names opened in {:.1} s; a replica's own memory before {:.0} MiB, with them {:.0} MiB; {segments} segments",
        opening.as_secs_f64(),
        empty as f64 / 1048576.0,
        with_names as f64 / 1048576.0,
    ));
    let case = format!("{names} names, {mebibytes} MiB in {segments} segments");
    let axes = [("names", *names as f64), ("mib", *mebibytes as f64)];
    run.rounds(shared.rounds, |run, _| {
        let mut add = |key: &str, words: &str, at: Instant, took: Duration| {
            let row = Row::new(&case, key, words, Unit::Nanos).over(axes);
            run.record(row, at, took, Round::value(took.as_nanos() as f64));
        };
        let leader = cluster.leader();
        let standby = (1..=REPLICAS).find(|id| *id != leader).unwrap_or(1);
        let at = Instant::now();
        add(
            "killed",
            "kill -9 of a standby, from its start until it votes",
            at,
            restart(&cluster, &mut replicas, standby, None)?,
        );
        let at = Instant::now();
        let tail = config.replicas[standby as usize - 1].tail.clone();
        add(
            "rebooted",
            "the same without its tail: from segments",
            at,
            restart(&cluster, &mut replicas, standby, Some(&tail))?,
        );
        let at = Instant::now();
        let victim = &mut replicas[leader as usize - 1];
        victim.signal("KILL");
        let gap = filler.await_commit()?;
        victim.wait();
        add("leader", "kill -9 of the leader, until the next commit", at, gap);
        replicas[leader as usize - 1] = cluster.start_replica(leader);
        replicas[leader as usize - 1].await_log("-> standby");
        Ok(())
    })?;
    run.finish(&shared.output)
}

/// Ends standby `id`, by `kill -9` or, where its `tail` is to be removed, as an operator does; starts it, and
/// returns how long it took until it votes.
fn restart(
    cluster: &Cluster,
    replicas: &mut [Process],
    id: u32,
    tail: Option<&Path>,
) -> Result<Duration, String> {
    let replica = &mut replicas[id as usize - 1];
    replica.signal(if tail.is_some() { "TERM" } else { "KILL" });
    replica.wait();
    if let Some(tail) = tail {
        fs::remove_file(tail).map_err(|error| format!("removing {}: {error}", tail.display()))?;
    }
    let at = Instant::now();
    *replica = cluster.start_replica(id);
    replica.await_log("-> standby");
    Ok(at.elapsed())
}

/// Anonymous memory of the process that has most of it, in bytes.
fn memory_of(replicas: &[Process]) -> Result<u64, String> {
    let anonymous = |replica: &Process| {
        let usage = Usage::of(replica.pid()).ok_or_else(|| format!("{} has ended", replica.name()))?;
        Ok::<_, String>(usage.anonymous)
    };
    replicas.iter().map(anonymous).try_fold(0, |most, one| Ok(most.max(one?)))
}

/// Opens so many names, and publishes a message under each.
fn open_names(endpoint: &Endpoint, names: u64) -> Result<(), String> {
    let mut opened = 0;
    while opened < names {
        let mut publisher = Publisher::connect(endpoint).map_err(|error| error.to_string())?;
        let until = names.min(opened + NAMES_OF_A_HANDLE);
        while opened < until {
            let count = NAMES_AT_ONCE.min(until - opened);
            open_some(&mut publisher, opened..opened + count)?;
            opened += count;
        }
    }
    Ok(())
}

/// Opens names by number, and waits until the message of each is committed.
fn open_some(publisher: &mut Publisher, names: std::ops::Range<u64>) -> Result<(), String> {
    let nonce = random_u64().map_err(|error| error.to_string())?;
    for name in names.clone() {
        let name = format!("client-{name:07}");
        publisher.begin_open(&name, [nonce, 1]).ok_or_else(|| format!("{name} is one name too many"))?;
    }
    let (began, mut open, mut committed) = (Instant::now(), Vec::new(), 0);
    while committed < names.end - names.start {
        let work = publisher.poll(usize::MAX, |event| match event {
            PublisherEvent::Opened { publisher, .. } => open.push(publisher),
            PublisherEvent::Committed { .. } => committed += 1,
            _ => {}
        });
        while let Some(&id) = open.last() {
            match publisher.try_publish(id, EVERYBODY, b"first") {
                Ok(_) => _ = open.pop(),
                Err(PublishError::Backpressure) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        if work == 0 {
            publisher.wait(Duration::from_millis(1)).map_err(|error| error.to_string())?;
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the names {names:?} were not opened: {committed} are committed"));
        }
    }
    Ok(())
}

/// Publishes until the journals are as long as wanted, and looks for the next commit.
struct Filler {
    publisher: Publisher,
    name: lockstep_client::PublisherId,
}

impl Filler {
    fn open(endpoint: &Endpoint, name: &str) -> Result<Self, String> {
        let mut publisher = Publisher::connect(endpoint).map_err(|error| error.to_string())?;
        let name = publisher.open(name, PATIENCE).map_err(|error| error.to_string())?;
        Ok(Self { publisher, name })
    }

    /// One turn, behind which it sleeps where nothing came. Returns whether something did.
    fn turn(&mut self) -> Result<bool, String> {
        let mut is_lost = false;
        let lost = |event| is_lost |= event == PublisherEvent::OutcomesUnknown;
        let came = self.publisher.poll(usize::MAX, lost) > 0;
        if is_lost {
            return Err("the publisher fell so far behind the stream that no outcome is known".into());
        }
        if !came {
            self.publisher.wait(LOOK).map_err(|error| error.to_string())?;
        }
        Ok(came)
    }

    /// Publishes messages of so many bytes, and waits until all are committed.
    fn fill(&mut self, bytes: u64) -> Result<(), String> {
        let mut left = bytes / FILLING_LEN as u64;
        let mut moved = Instant::now();
        let mut message = [7; FILLING_LEN];
        while left > 0 || !self.publisher.is_drained() {
            while left > 0 {
                message[..8].copy_from_slice(&left.to_le_bytes());
                match self.publisher.try_publish(self.name, EVERYBODY, &message) {
                    Ok(_) => left -= 1,
                    Err(PublishError::Backpressure) => break,
                    Err(error) => return Err(error.to_string()),
                }
            }
            if self.turn()? {
                moved = Instant::now();
            }
            if moved.elapsed() > PATIENCE {
                return Err(format!("nothing is committed any more, and {left} messages are left"));
            }
        }
        Ok(())
    }

    /// Publishes a message now, and returns how long it took until it was committed.
    fn await_commit(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        self.publisher.try_publish(self.name, EVERYBODY, b"next").map_err(|error| error.to_string())?;
        while !self.publisher.is_drained() {
            self.turn()?;
            if began.elapsed() > PATIENCE {
                return Err("no message is committed after the leader's death".to_owned());
            }
        }
        Ok(began.elapsed())
    }
}

/// How many segments the first replica has, once its side thread has written what there is.
fn await_segments(config: &Config) -> Result<usize, String> {
    let folder: PathBuf = config.replicas[0].journal.join("segments");
    let count = || {
        fs::read_dir(&folder).map(Iterator::count).map_err(|error| format!("{}: {error}", folder.display()))
    };
    let (mut before, mut since) = (count()?, Instant::now());
    while since.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(50));
        let now = count()?;
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    Ok(before)
}
