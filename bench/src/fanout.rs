//! # fanout: what each subscriber more costs, and whom
//!
//! ```text
//!   publisher ─▶ leader ─▶ subscriber 1 … subscriber K      one process each
//! ```
//!
//! One datagram serves all subscribers; the kernel hands it to one after the other. So each message has two
//! figures: its latency to the median subscriber, and to the last one of all. The floor is the plain
//! forwarder in the leader's place, and as many readers of plain sockets, which repair nothing: what they did
//! not get is lost.
//!
//! Open loop: each message is due at its time, and its latencies run from then, however late the publisher
//! was.

mod copies;
pub mod listener;
mod listeners;

pub use listener::{ListenerArguments, listen};

use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::contestant::Contestant;
use crate::environment;
use crate::harness::{Run, Shared, pin, two_cores};
use crate::load::Pace;
use crate::probe::Rally;
use crate::results::{Round, RunResult, Unit};
use crate::stage::Stage;
use crate::stats::Latencies;
use crate::ways::Way;
use listener::Received;
use listeners::Listeners;
use lockstep_client::Delivery;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::Nanos;
use std::time::{Duration, Instant};

/// Messages of each turn that do not count.
pub const WARM_UP: u64 = 50;
/// How long the last message may take to all who lack it.
const SETTLE: Duration = Duration::from_secs(3);
/// Between two looks whether all have it.
const LOOK: Duration = Duration::from_millis(2);
/// The contestants.
const CONTESTANTS: [Contestant; 2] = [Contestant::Plain, Contestant::Lockstep];

/// How to measure.
#[derive(clap::Args)]
#[command(mut_arg("rounds", |rounds| rounds.default_value("3")))]
pub struct Arguments {
    /// Subscribers, one process each; several counts are measured one after the other.
    #[arg(long, value_delimiter = ',', value_name = "COUNT", default_values_t = [1, 2, 4, 8, 16, 32, 64])]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=64))]
    subscribers: Vec<u64>,
    /// Instead: sends by unicast to so many destinations, without a stream.
    #[arg(long, value_delimiter = ',', value_name = "COUNT", conflicts_with = "subscribers")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1024))]
    copies: Vec<u64>,
    #[command(flatten)]
    shared: Shared,
    /// Messages per second, from intended times.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
    /// Messages of each turn that count.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    messages: u64,
    /// How subscribers wait: `spin`, `yield` or `park`. By default they spin if each has a core, else yield.
    #[arg(long)]
    idle: Option<Idle>,
}

/// Measures, and says what a subscriber more costs.
///
/// # Errors
/// A process that did not start. With fewer than two cores: SKIPPED. What lockstep did not deliver is wrong.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    if !arguments.copies.is_empty() {
        return copies::run(arguments);
    }
    let Some(cores) = two_cores("fanout", "leader and publisher") else { return Ok(RunResult::Passed) };
    let title = "publish to the median and the last subscriber";
    let mut run = Run::begin("fanout", title, environment::with_device(None)?);
    run.tell("clock", "CLOCK_MONOTONIC, which all processes of a host share");
    run.tell("warm-up", format!("{WARM_UP} messages of each turn are not counted"));
    run.tell("loop", "open: from intended times");
    run.tell("turns", format!("{} rounds of {} messages", arguments.shared.rounds, arguments.messages));
    run.tell("messages", format!("{MESSAGE_LEN} B, delivered as stamped by a cluster of one"));
    run.tell("cores", place_words(&cores));
    pin(cores[0])?;
    cpu::short_slice(); // as all processes here do
    for &subscribers in &arguments.subscribers {
        run.rounds(arguments.shared.rounds, |run, round| {
            for contestant in CONTESTANTS {
                let what = format!("{subscribers} subscribers, round {round}, {}", contestant.name());
                run.show(&what);
                one(run, arguments, &cores, subscribers as usize, contestant)
                    .map_err(|error| format!("{what}: {error}"))?;
            }
            Ok(())
        })?;
    }
    run.finish(&arguments.shared.output)
}

fn place_words(cores: &[usize]) -> String {
    let subscribers: Vec<String> = places(cores).iter().map(usize::to_string).collect();
    format!("publisher {}, leader {}, subscribers in turn on {}", cores[0], cores[1], subscribers.join(", "))
}

/// The subscribers' cores: those that are left, or all where none is.
fn places(cores: &[usize]) -> &[usize] {
    if cores.len() > 2 { &cores[2..] } else { cores }
}

/// One contestant with one number of subscribers.
fn one(
    run: &mut Run,
    arguments: &Arguments,
    cores: &[usize],
    subscribers: usize,
    contestant: Contestant,
) -> Result<(), String> {
    let idle = Idle::for_machine(subscribers + 2, cores.len());
    let cluster = Cluster::on(&Site::loopback(1), idle)?;
    run.results.configure(&cluster.config);
    let total = WARM_UP + arguments.messages;
    let waits = arguments.idle.unwrap_or(idle);
    let which = |place: usize| ListenerArguments {
        contestant,
        core: places(cores)[place % places(cores).len()],
        idle: waits,
        messages: total,
        config: cluster.path(),
    };
    let time_of = |messages: u64| messages * 1_000_000_000 / arguments.rate;
    let pace = Pace::Open(arguments.rate, None);
    let rally = Rally {
        pace,
        warm_up_ns: time_of(WARM_UP),
        ..Rally::probe(MESSAGE_LEN, time_of(arguments.messages), idle)
    };
    let (way, mut listeners, mut at) = (Way::default(), None, Instant::now());
    let stage = Stage { outcomes: true, ..Stage::of(contestant, &way, Delivery::Stamped, [cores[1]; 2]) };
    let (sent, _leader) = stage.play(&cluster, MESSAGE_LEN, |_| {
        listeners = Some(Listeners::start((0..subscribers).map(which))?);
        at = Instant::now();
        Ok(rally)
    })?;
    let mut listeners = listeners.ok_or("nobody listens")?;
    let until = Instant::now() + SETTLE;
    while !listeners.have_all()? && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
    let received = listeners.end()?;
    let counted = at.elapsed();
    let found = Found::of(&received, total)?;
    let [mut lost, repaired] = [|received: &Received| received.gaps, |received: &Received| received.repaired]
        .map(|of| received.iter().map(of).sum());
    let Round { target, achieved, mut marks, .. } = sent.round()?;
    if found.missing > 0 {
        let missing = format!("{} deliveries to {subscribers} subscribers never came", found.missing);
        if contestant == Contestant::Lockstep {
            run.results.wrongs.push(missing);
        } else {
            lost = found.missing;
            marks.push(format!("a floor repairs nothing: {missing}"));
        }
    }
    // What was lost is counted once, with the last subscriber.
    for (whom, latencies, lost, repaired) in
        [("median", &found.to_median, 0, 0), ("last", &found.to_last, lost, repaired)]
    {
        let case = format!("to the {whom} of {subscribers} subscribers, {}/s", arguments.rate);
        let words = format!("{}, {waits}", contestant.name());
        let row = contestant.row(&case, &words, Unit::Nanos);
        let row = row.over([("subscribers", subscribers as f64), ("rate", arguments.rate as f64)]);
        let round = Round { target, achieved, marks: marks.clone(), lost, repaired, ..Round::of(latencies)? };
        run.record(row, at, counted, round);
    }
    Ok(())
}

/// Latencies of one turn.
pub struct Found {
    /// To the median subscriber.
    pub to_median: Latencies,
    /// To the last one.
    pub to_last: Latencies,
    /// Deliveries that never came.
    pub missing: u64,
}

impl Found {
    /// A message that did not reach all has no last subscriber and no median one, and does not count as
    /// either.
    pub fn of(received: &[Received], total: u64) -> Result<Self, String> {
        let mut found = Self { to_median: Latencies::new()?, to_last: Latencies::new()?, missing: 0 };
        for number in WARM_UP..total {
            let late = received.iter().filter_map(|received| *received.late.get(number as usize)?);
            let mut late: Vec<Nanos> = late.collect();
            found.missing += (received.len() - late.len()) as u64;
            late.sort_unstable();
            if let Some(last) = late.last()
                && late.len() == received.len()
            {
                found.to_median.record(late[(late.len() - 1) / 2]);
                found.to_last.record(*last);
            }
        }
        Ok(found)
    }
}
