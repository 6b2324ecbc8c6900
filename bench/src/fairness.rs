//! # fairness: what one publisher that floods costs ninety-nine that do not
//!
//! ```text
//!   99 names, paced ───┐
//!                      ├──▶ leader ─▶ standby ─▶ the outcome of each paced message: committed
//!   1 name, no pace ───┘
//! ```
//!
//! The paced names publish in turn, from intended times, by one handle; the flood has a handle, a socket and
//! a thread of its own, and publishes for as long as its window takes something. The **unfairness ratio** is
//! what a paced message takes beside the flood over what it takes beside a thread that computes: both have as
//! many threads on the same cores, and only one of them wants to be stamped.

use crate::cluster::{self, Cluster, MESSAGE_LEN, Site};
use crate::environment;
use crate::flags;
use crate::fleet::Fleet;
use crate::harness::{Run, Shared, pin, two_cores};
use crate::place::Place;
use crate::results::{Round, Row, RunResult, Unit};
use crate::stats::Latencies;
use crate::worker::Worker;
use lockstep::config::Config;
use lockstep_client::{Endpoint, Publisher, PublisherEvent};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::{Nanos, PublisherId};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Replicas: a leader and the standby whose ack commits.
const REPLICAS: u32 = 2;
/// How long opens may take, and messages that are under way at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that the flood hands in before it looks at what came.
const BURST: u64 = 64;
/// Messages of each turn that do not count, in nanoseconds.
const WARM_UP_NS: Nanos = 200_000_000;

/// How many, how often, how long.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Names that are paced.
    #[arg(long, default_value_t = 99, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    publishers: u64,
    /// Messages per second of all of them together, from intended times.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(100..=100_000))]
    rate: u64,
    /// Seconds of each turn that count.
    #[arg(long, default_value_t = 2.0, value_parser = flags::seconds(0.05..=600.0))]
    seconds: f64,
}

/// The thread beside the paced names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    Busy,
    Flood,
}

impl Beside {
    const ALL: [Self; 3] = [Self::Nobody, Self::Busy, Self::Flood];

    /// As JSON calls it, and as the table does.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Nobody => ("alone", "alone"),
            Self::Busy => ("busy", "beside a thread that computes"),
            Self::Flood => ("flood", "beside a publisher that floods"),
        }
    }
}

/// Measures, and says what a flood costs the others.
///
/// # Errors
/// A process that did not start, a message without an outcome. One core: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(cores) = two_cores("fairness", "leader and publishers") else { return Ok(RunResult::Passed) };
    let Arguments { shared: Shared { rounds, output }, publishers, rate, seconds } = arguments;
    let title = "publish to committed of paced publishers, beside one that floods";
    let mut run = Run::begin("fairness", title, environment::facts());
    run.tell("loop", format!("open: {rate}/s of {MESSAGE_LEN} B from {publishers} names in turn"));
    run.tell("rounds", format!("{rounds} of {seconds} s, in turn"));
    let idle = Idle::Adapt;
    run.tell("idle", idle);
    run.tell(
        "the ratio over `busy`",
        "the unfairness ratio: as many threads, of which one wants to be stamped",
    );
    pin(cores[0])?;
    cpu::short_slice(); // as all processes here do
    let cluster = Cluster::on(&Site::loopback(REPLICAS), idle)?;
    run.results.configure(&cluster.config);
    let config = cluster.config.clone();
    let mut fleet = Fleet::start(cluster, Place::hosts(REPLICAS as usize))?;
    fleet.await_whole()?;
    let mut paced = Paced::open(&cluster::endpoint(&config)?, *publishers)?;
    let case = format!("committed, {MESSAGE_LEN} B, {publishers} paced publishers, {rate}/s together");
    run.rounds(*rounds, |run, _| {
        for beside in Beside::ALL {
            let other = start(beside, &config, cores[1])?;
            let at = Instant::now();
            let latencies = paced.measure(*rate, (seconds * 1e9) as Nanos)?;
            let counted = at.elapsed();
            let (subject, words) = beside.words();
            let row = Row::new(&case, subject, words, Unit::Nanos).as_floor(beside != Beside::Flood);
            run.record(row, at, counted, Round::of(&latencies)?);
            if let Some(flooded) = other.map(Worker::end).transpose()?.filter(|_| beside == Beside::Flood) {
                let row = Row::new("the flood", "flood", "committed of it", Unit::MessagesPerSecond);
                run.record(row, at, counted, Round::value(flooded as f64 / counted.as_secs_f64()));
            }
        }
        Ok(())
    })?;
    run.finish(output)
}

/// The thread that runs beside the paced names, on `core`; it finds how much of its own was committed.
fn start(beside: Beside, config: &Config, core: usize) -> Result<Option<Worker<u64>>, String> {
    let endpoint = cluster::endpoint(config)?;
    let worker = match beside {
        Beside::Nobody => return Ok(None),
        Beside::Busy => Worker::start("busy thread", move |ending| {
            pin(core)?;
            cpu::short_slice();
            while !ending.load(Ordering::Acquire) {
                std::hint::black_box(ending);
            }
            Ok(0)
        }),
        Beside::Flood => Worker::start("flood", move |ending| flood(&endpoint, core, ending)),
    };
    worker.map(Some)
}

/// Publishes for as long as there is room. Returns how many of its messages were committed.
fn flood(endpoint: &Endpoint, core: usize, ending: &AtomicBool) -> Result<u64, String> {
    pin(core)?;
    cpu::short_slice();
    let mut publisher = Publisher::connect(endpoint).map_err(|error| error.to_string())?;
    let id = publisher.open("flood", PATIENCE).map_err(|error| error.to_string())?;
    let (payload, mut committed) = ([7; MESSAGE_LEN], 0);
    while !ending.load(Ordering::Acquire) {
        let mut work = 0;
        while work < BURST && publisher.try_publish(id, 0, &payload).is_ok() {
            work += 1;
        }
        publisher.flush();
        publisher.poll(usize::MAX, |event| {
            committed += u64::from(matches!(event, PublisherEvent::Committed { .. }));
        });
        if work == 0 {
            std::thread::yield_now();
        }
    }
    Ok(committed)
}

/// The names that are paced, in one handle.
struct Paced {
    publisher: Publisher,
    ids: Vec<PublisherId>,
    /// What of each is under way: number and intended time.
    under_way: Vec<VecDeque<(u64, Nanos)>>,
    clock: Clock,
}

impl Paced {
    fn open(endpoint: &Endpoint, count: u64) -> Result<Self, String> {
        let fails = |error: IoError| error.to_string();
        let mut publisher = Publisher::connect(endpoint).map_err(fails)?;
        let open = |number| publisher.open(&format!("paced/{number}"), PATIENCE);
        let ids = (1..=count).map(open).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let under_way = vec![VecDeque::new(); ids.len()];
        Ok(Self { publisher, ids, under_way, clock: Clock::start() })
    }

    /// Messages for so long, each from its intended time to its outcome.
    fn measure(&mut self, rate: u64, lasts_ns: Nanos) -> Result<Latencies, String> {
        let Self { publisher, ids, under_way, clock } = self;
        let mut latencies = Latencies::new()?;
        let (began, every_ns) = (clock.now(), 1_000_000_000 / rate);
        let counts_from = began + WARM_UP_NS;
        let ends = counts_from + lasts_ns;
        let (mut due, mut turn, mut left) = (began, 0_usize, 0_u64);
        let payload = [3; MESSAGE_LEN];
        loop {
            let now = clock.now();
            while due <= now && due < ends {
                let place = turn % ids.len();
                let Ok(number) = publisher.try_publish(ids[place], 0, &payload) else { break };
                under_way[place].push_back((number, due));
                (due, turn, left) = (due + every_ns, turn + 1, left + 1);
            }
            publisher.flush();
            let work = publisher.poll(usize::MAX, |event| {
                let PublisherEvent::Committed { publisher, publisher_seq, .. } = event else { return };
                let Some(place) = ids.iter().position(|id| *id == publisher) else { return };
                let now = clock.now();
                while let Some(&(number, intended)) = under_way[place].front()
                    && number <= publisher_seq
                {
                    under_way[place].pop_front();
                    left -= 1;
                    if intended >= counts_from {
                        latencies.record(now.saturating_sub(intended));
                    }
                }
            });
            if due >= ends && left == 0 {
                return Ok(latencies);
            }
            if now > ends + PATIENCE.as_nanos() as Nanos {
                return Err(format!("{left} messages have no outcome"));
            }
            if work == 0 {
                std::thread::yield_now();
            }
        }
    }
}
