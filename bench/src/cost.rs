//! # cost: processor time for a million committed messages
//!
//! ```text
//!   client ─▶ leader ─▶ standby ─▶ client          processor time of each of the three processes, by the
//!                                                  scheduler's count, over the messages that came
//! ```
//!
//! The cluster is that of `throughput committed`: a leader, one standby, a client that publishes and reads;
//! the third replica is stopped. The floors are forwarders in the same places. In a closed and in an open
//! loop a message of the floors is a datagram of its own, as in `latency`; as fast as possible a datagram of
//! the floors is as long as a full frame and stands for as many messages as one has, as in `throughput`.
//!
//! A thread that polls without pause takes a core whatever comes. So the cost of a message at a low rate is
//! that of the idle strategy, and depends on the rate; the cost as fast as possible is that of the message.

use crate::client::{Client, Ground, Measure};
use crate::cluster::{Cluster, MESSAGE_LEN, MTU, Site};
use crate::contestant::Contestant;
use crate::environment;
use crate::flags;
use crate::harness::{Run, Shared, pin, two_cores};
use crate::load::{BATCH_MAX, Drive, Pace, Paced, Probe, Window};
use crate::results::{Round, RunResult, Unit};
use crate::stage::Stage;
use crate::throughput::per_frame;
use crate::usage::cpu_ns;
use crate::ways::Way;
use lockstep_client::Delivery;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_wire::{Nanos, frame_len_max};
use std::time::{Duration, Instant};

/// Time before that which counts.
const WARM_UP_NS: Nanos = 300_000_000;
/// A turn that takes so much longer than it should is ended.
const OVERTIME_NS: Nanos = 60_000_000_000;
/// Full datagrams under way, and handed in at once, as fast as possible.
const WINDOW: u64 = 256;
const BURST: u64 = 32;
/// Messages.
const MILLION: f64 = 1e6;

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Seconds of each turn that count.
    #[arg(long, default_value_t = 2.0, value_parser = flags::seconds(0.05..=600.0))]
    seconds: f64,
    /// Messages per second of open loops; several are measured one after the other.
    #[arg(long, value_delimiter = ',', value_name = "RATE", default_value = "20k,200k",
          value_parser = crate::latency::rate)]
    rates: Vec<u64>,
    /// How leader, standby and client wait when there is nothing to do, those of the floors as well: `adapt`,
    /// `spin`, `yield` or `park`.
    #[arg(long, default_value_t = Idle::Adapt)]
    idle: Idle,
    /// The standby's core, by its place among ours; the client has the first one, the leader the second.
    #[arg(long, default_value_t = 0)]
    standby_core: usize,
}

/// When messages leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rate {
    Closed,
    Open(u64),
    Greatest,
}

impl Rate {
    fn words(self) -> String {
        match self {
            Self::Closed => "closed loop".to_owned(),
            Self::Open(rate) => format!("{rate}/s"),
            Self::Greatest => "as fast as possible".to_owned(),
        }
    }
}

/// Measures, and gives out what was found.
///
/// # Errors
/// A process that did not start, a message that was lost. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(all) = two_cores("cost", "leader and client") else { return Ok(RunResult::Passed) };
    let title = "processor time for a million committed messages, and what a raw forwarder takes";
    let mut run = Run::begin("cost", title, environment::with_device(None)?);
    pin(all[0])?;
    let Arguments { seconds, idle, standby_core, .. } = arguments;
    run.tell("clock", "the scheduler's, of all threads of a process");
    run.tell("idle", format!("{idle}, of all, 3 threads on {}", all.len()));
    run.tell("cores", format!("client {}, leader {}", all[0], all[1]));
    run.tell("rounds", format!("{} of {seconds} s, contestants in turn", arguments.shared.rounds));
    run.tell("warm-up", format!("{} ms of each turn", WARM_UP_NS / 1_000_000));
    let standby = all.get(*standby_core).copied();
    let standby = standby.ok_or_else(|| format!("--standby-core {standby_core}: there is no such core"))?;
    let cores = [all[1], standby];
    let open = arguments.rates.iter().map(|rate| Rate::Open(*rate));
    let rates = [Rate::Closed].into_iter().chain(open).chain([Rate::Greatest]).collect::<Vec<_>>();
    run.rounds(arguments.shared.rounds, |run, number| {
        for rate in &rates {
            for contestant in Contestant::ALL {
                run.show(&format!("round {number}, {}, {}", rate.words(), contestant.key()));
                turn(run, arguments, (*rate, contestant), cores)?;
            }
        }
        Ok(())
    })?;
    run.results.notes.push(format!(
        "as fast as possible a datagram of the floors has {} B and counts as {} messages",
        frame_len_max(MTU),
        per_frame(MESSAGE_LEN)
    ));
    run.finish(&arguments.shared.output)
}

/// One contestant at one rate.
fn turn(
    run: &mut Run,
    arguments: &Arguments,
    (rate, contestant): (Rate, Contestant),
    cores: [usize; 2],
) -> Result<(), String> {
    let Arguments { seconds, idle, .. } = *arguments;
    let (way, site) = (Way::default(), Site::loopback(3));
    let stage = Stage::of(contestant, &way, Delivery::Committed, cores);
    let cluster = Cluster::of(contestant, &site, idle)?;
    run.results.configure(&cluster.config);
    let full = rate == Rate::Greatest && contestant != Contestant::Lockstep;
    let (message_len, each) =
        if full { (frame_len_max(MTU), per_frame(MESSAGE_LEN)) } else { (MESSAGE_LEN, 1) };
    let at = Instant::now();
    let lasts_ns = (seconds * 1e9) as Nanos;
    let found = stage.play(&cluster, message_len, |ground: Ground<'_>| {
        Ok(Metered { rate, idle, message_len, each, lasts_ns, pids: ground.pids })
    });
    let case = format!("committed, {MESSAGE_LEN} B, {}", rate.words());
    let (words, lasts) = (way.transport.words(contestant), Duration::from_nanos(lasts_ns));
    let mut add = |part: &str, unit, round| {
        let axes = [("bytes", MESSAGE_LEN as f64)];
        run.record(contestant.row(&format!("{case}: {part}"), &words, unit).over(axes), at, lasts, round);
    };
    match found {
        Ok((metered, _nodes)) => {
            for (part, per_million) in metered.costs() {
                let round = Round { samples: metered.messages as u64, ..Round::value(per_million) };
                add(part, Unit::SecondsPerMillion, round);
            }
            let achieved = metered.messages * 1e9 / metered.lasted_ns as f64;
            let round = Round { samples: metered.messages as u64, ..Round::value(achieved) };
            let target = match rate {
                Rate::Open(rate) => Some(rate as f64),
                _ => None,
            };
            add(RATE, Unit::MessagesPerSecond, target.map_or(round.clone(), |to| round.sent(to, achieved)));
        }
        // A floor repairs nothing; what it loses at its limit ends its turn.
        Err(error) if contestant != Contestant::Lockstep => {
            let marks = vec![format!("it did not carry this: {error}")];
            add(ALL, Unit::SecondsPerMillion, Round { marks, ..Round::default() });
        }
        Err(error) => return Err(format!("{case}: {error}")),
    }
    Ok(())
}

/// The parts of a cost: of each process, and of all together. Last what was carried meanwhile.
const PARTS: [&str; 3] = ["leader", "standby", "client"];
const ALL: &str = "all together";
const RATE: &str = "messages";

/// The work of a client whose processes are metered.
struct Metered {
    rate: Rate,
    idle: Idle,
    message_len: usize,
    /// Messages that each datagram stands for.
    each: u64,
    lasts_ns: Nanos,
    /// Of leader and standby.
    pids: [Option<u32>; 2],
}

/// Processor time and messages of a turn.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// Processor time of leader, standby and client, in nanoseconds, ...
    pub cpu_ns: [u64; 3],
    /// ... over so many messages, ...
    pub messages: f64,
    /// ... and over so long.
    pub lasted_ns: Nanos,
}

impl Cost {
    /// Seconds for a million messages, of each part.
    pub fn costs(&self) -> Vec<(&'static str, f64)> {
        let of = |ns: u64| ns as f64 / 1e9 * MILLION / self.messages.max(1.0);
        let parts = PARTS.into_iter().zip(self.cpu_ns.map(of));
        parts.chain([(ALL, of(self.cpu_ns.iter().sum()))]).collect()
    }
}

impl Measure for Metered {
    type Found = Cost;

    fn with(self, mut client: impl Client) -> Result<Cost, String> {
        let Self { rate, idle, message_len, each, lasts_ns, pids } = self;
        let clock = Clock::start();
        let began = clock.now();
        let (counts_from, ends) = (began + WARM_UP_NS, began + WARM_UP_NS + lasts_ns);
        let batch_max =
            if rate == Rate::Greatest { BURST * per_frame(MESSAGE_LEN) / each } else { BATCH_MAX };
        let gives_up = ends + OVERTIME_NS;
        let drive = Drive {
            clock: &clock,
            idle,
            message_len,
            first: 0,
            batch_max,
            drains: false,
            sleeps: true,
            gives_up,
        };
        let mut meter = Meter { pids, counts_from, began: None, failed: None };
        let ended = match rate {
            Rate::Closed => drive.run(&mut client, &mut Paced::new(Pace::Closed, began, ends), &mut meter),
            Rate::Open(rate) => {
                let mut paced = Paced::new(Pace::Open(rate, None), began, ends);
                drive.run(&mut client, &mut paced, &mut meter)
            }
            Rate::Greatest => {
                let window = WINDOW * per_frame(MESSAGE_LEN) / each;
                drive.run(&mut client, &mut Window { window, ends }, &mut meter)
            }
        }?;
        let after = meter.now()?;
        meter.failed.map_or(Ok(()), Err)?;
        let (at, came, before) = meter.began.ok_or("nothing was counted: other work has the cores")?;
        let messages = ((ended.came - came) * each) as f64;
        if messages == 0.0 {
            return Err("no message came while it counted".to_owned());
        }
        let cpu_ns = [0, 1, 2].map(|part| after[part].saturating_sub(before[part]));
        Ok(Cost { cpu_ns, messages, lasted_ns: ended.at - at })
    }
}

/// Reads what the processes have taken when counting begins.
struct Meter {
    pids: [Option<u32>; 2],
    counts_from: Nanos,
    /// When it began, what had come by then, and what the processes had taken.
    began: Option<(Nanos, u64, [u64; 3])>,
    failed: Option<String>,
}

impl Meter {
    /// Processor time of leader, standby and client so far.
    fn now(&self) -> Result<[u64; 3], String> {
        let of = |pid: Option<u32>| cpu_ns(pid.ok_or("this process was not started here")?);
        Ok([of(self.pids[0])?, of(self.pids[1])?, cpu_ns(std::process::id())?])
    }
}

impl Probe for Meter {
    fn begin_turn(&mut self, now: Nanos, came: u64, _client: &impl Client) {
        if self.began.is_none() && self.failed.is_none() && now >= self.counts_from {
            match self.now() {
                Ok(taken) => self.began = Some((now, came, taken)),
                Err(error) => self.failed = Some(error),
            }
        }
    }
}
