//! # throughput: how many messages a second, of what datagrams of the same size would carry
//!
//! Messages go through leader and one standby (of three, the third is stopped) to a subscriber that delivers
//! what is committed, without loss. The floor carries datagrams of 1,424 bytes, as long as a full frame,
//! through the same processes; each stands for as many messages as a frame has, fifteen of 64 bytes. Both keep
//! the same number of messages under way. A message that does not come ends the measurement.

use crate::attached::Attached;
use crate::client::{Client, Ground, Measure, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, MTU, Site};
use crate::environment;
use crate::floor::{MESSAGE_LEN_MIN, number, write_message};
use crate::node::{NodeArguments, Role};
use crate::progress::Progress;
use crate::results::{Output, Results, Round, Row, Unit, Verdict};
use crate::scene::{Contestant, Node};
use lockstep::client::Delivery;
use lockstep::io::clock::Clock;
use lockstep::io::cpu::{self, SchedulingClass};
use lockstep::io::idle::Idle;
use lockstep::wire::{HEADER_LEN, Nanos, entry_len, frame_len_max};
use std::path::PathBuf;
use std::time::Instant;

/// Messages in a full frame; one that fills more than a frame counts as one.
const fn per_frame(message_len: usize) -> u64 {
    let count = (frame_len_max(MTU) - HEADER_LEN) / entry_len(message_len);
    if count == 0 { 1 } else { count as u64 }
}

/// Time before that which counts.
const WARM_UP_NS: Nanos = 300_000_000;
/// Without a delivery for so long, something is lost.
const LOST_NS: Nanos = 5_000_000_000;

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rounds; each runs every contestant once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds of each contestant and round.
    #[arg(long, default_value_t = 1_000)]
    milliseconds: u64,
    /// Full datagrams under way.
    #[arg(long, default_value_t = 256)]
    window: u64,
    /// Full datagrams that a client hands in at once.
    #[arg(long, default_value_t = 32)]
    burst: u64,
    /// Bytes of a message; several are measured one after the other.
    #[arg(long, value_delimiter = ',', value_name = "BYTES", default_values_t = [MESSAGE_LEN])]
    sizes: Vec<usize>,
    /// Attaches to the cluster of this file instead of starting one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With `--config`: the port at which `lockstep-bench reflect` is the floor; 50 above the cluster's by default.
    #[arg(long, requires = "config", value_name = "PORT")]
    floor_port: Option<u16>,
    /// The standby's core, by its place among ours; the client has 0 and the leader 1.
    #[arg(long, default_value_t = 0)]
    standby_core: usize,
    #[command(flatten)]
    output: Output,
}

/// Measures, and gives out what was found.
///
/// # Errors
/// A process that did not start, a message that was lost. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<Verdict, String> {
    let cores = cpu::cores();
    if cores.len() < 2 && arguments.config.is_none() {
        println!("SKIPPED: throughput: leader and client need a core each, this machine has {}", cores.len());
        return Ok(Verdict::Passed);
    }
    if let Some(short) = arguments.sizes.iter().find(|size| **size < MESSAGE_LEN_MIN) {
        return Err(format!("--sizes: a message has {MESSAGE_LEN_MIN} bytes at least, not {short}"));
    }
    let attached = arguments.config.as_deref().map(|path| Attached::open(path, arguments.floor_port));
    let attached = attached.transpose()?;
    let title = "messages a second, committed, without loss, over what a raw forwarder carries";
    let environment = environment::with_device(attached.as_ref().map(|attached| &attached.config))?;
    let mut results = Results::begin("throughput", title, environment);
    let idle = attached.as_ref().map_or_else(|| Idle::for_machine(3, cores.len()), Attached::idle);
    match &attached {
        Some(attached) => results.configure(&attached.config),
        None => results.configure(&Cluster::file(&Site::loopback(3), idle)?.config),
    }
    let (began, progress) = (Instant::now(), Progress::new("throughput"));
    if let Some(note) = cpu::pin(cores[0]).note {
        return Err(note);
    }
    results.tell("clock", "monotonic, of the client");
    results.tell("cores", format!("3 threads on {}", cores.len()));
    results.tell("idle", idle);
    let (window, burst) = (arguments.window, arguments.burst);
    results.tell("loop", format!("{window} full datagrams under way, handed in up to {burst} at once"));
    results.tell("warm-up", format!("{} ms of each contestant and round", WARM_UP_NS / 1_000_000));
    for &message_len in &arguments.sizes {
        let each = per_frame(message_len);
        let case = format!("committed, {message_len} B, {} under way", window * each);
        let axes = [("bytes", message_len as f64), ("window", (window * each) as f64)];
        let contestants = match &attached {
            None => Contestant::ALL.to_vec(),
            Some(attached) => {
                attached.contestants(Delivery::Committed, frame_len_max(MTU), &mut results.notes)?
            }
        };
        for number in 1..=arguments.rounds {
            for &contestant in &contestants {
                progress.say(&format!(
                    "{case}, round {number} of {}, {}",
                    arguments.rounds,
                    contestant.key()
                ));
                let at_s = began.elapsed().as_secs_f64();
                let flood = Flood::of(contestant, message_len, arguments, idle);
                let rate = match &attached {
                    Some(attached) => flood.on(contestant, attached.ground()),
                    None => alone(contestant, flood, &cores, arguments),
                };
                let rate =
                    rate.map_err(|error| format!("{case}, {}, round {number}: {error}", contestant.name()))?;
                let seconds = arguments.milliseconds as f64 / 1e3;
                let round = Round { at_s, seconds, samples: (rate * seconds) as u64, ..Round::value(rate) };
                let (key, words) = (contestant.key(), contestant.name());
                let row = || Row::new(&case, key, words, Unit::MessagesPerSecond).over(axes);
                results.add(&case, key, round, || row().as_floor(contestant != Contestant::Lockstep));
            }
        }
        let counts = format!(
            "a datagram of the floors has {} B and counts as {each} messages of {message_len} B",
            frame_len_max(MTU)
        );
        results.notes.push(counts);
    }
    drop(progress);
    arguments.output.give(&results)
}

/// One contestant in one round, on a cluster of its own.
fn alone(
    contestant: Contestant,
    flood: Flood,
    cores: &[usize],
    arguments: &Arguments,
) -> Result<f64, String> {
    let cluster = Cluster::of(contestant, &Site::loopback(3), flood.idle)?;
    // Never real time: it would starve the threads that write the segments, and the journal would be full.
    let scheduling = SchedulingClass::Other;
    let leader = NodeArguments { contestant, role: Role::Leader, core: cores[1], scheduling, stall_ns: 0 };
    let _leader = Node::start(&cluster, &leader)?;
    let standby_core = *cores.get(arguments.standby_core).ok_or("--standby-core: there is no such core")?;
    let _standby = Node::start(
        &cluster,
        &NodeArguments { contestant, role: Role::Standby, core: standby_core, scheduling, stall_ns: 0 },
    )?;
    flood.on(contestant, Ground::own(&cluster))
}

/// As much as the window lets through.
struct Flood {
    window: u64,
    burst: u64,
    lasts_ns: Nanos,
    idle: Idle,
    message_len: usize,
    /// Messages that each of these stands for: the floor's unit is a datagram.
    each: u64,
}

impl Flood {
    fn of(contestant: Contestant, message_len: usize, arguments: &Arguments, idle: Idle) -> Self {
        let full = per_frame(message_len);
        let (each, message_len) = match contestant {
            Contestant::Lockstep => (1, message_len),
            _ => (full, frame_len_max(MTU)),
        };
        Self {
            window: arguments.window * full / each,
            burst: arguments.burst * full / each,
            lasts_ns: arguments.milliseconds * 1_000_000,
            idle,
            message_len,
            each,
        }
    }

    /// Messages a second.
    fn on(self, contestant: Contestant, ground: Ground<'_>) -> Result<f64, String> {
        let (message_len, each) = (self.message_len, self.each);
        let rate = measure(contestant, ground, Delivery::Committed, message_len, self)?;
        Ok(rate * each as f64)
    }
}

impl Measure for Flood {
    type Found = f64;

    fn with(self, mut client: impl Client) -> Result<f64, String> {
        let clock = Clock::start();
        let mut waiter = self.idle.waiter(&[]).map_err(|error| error.to_string())?;
        let mut message = vec![0; self.message_len];
        let began = clock.now();
        let (counts_from, ends) = (began + WARM_UP_NS, began + WARM_UP_NS + self.lasts_ns);
        let (mut sent, mut came, mut misplaced) = (0, 0, None);
        let mut moved_at = began;
        // When the counting began, and what had come by then.
        let mut start = None;
        loop {
            let now = clock.now();
            if now >= counts_from && start.is_none() {
                start = Some((now, came));
            }
            if let Some((at, before)) = start
                && now >= ends
            {
                return Ok((came - before) as f64 * 1e9 / (now - at) as f64);
            }
            let room = (self.window - (sent - came)).min(self.burst);
            for _ in 0..room {
                write_message(&mut message, sent, now);
                if !client.publish(&message) {
                    break;
                }
                sent += 1;
            }
            client.flush();
            let before = came;
            let work = client.turn(|payload, _| {
                if number(payload) != came {
                    misplaced.get_or_insert((came, number(payload)));
                }
                came += 1;
            });
            if let Some((expected, seen)) = misplaced {
                return Err(format!("message {seen} came where {expected} was to come"));
            }
            if came > before {
                moved_at = now;
            } else if now > moved_at + LOST_NS {
                return Err(format!("message {came} of {sent} sent did not come within {LOST_NS} ns"));
            }
            if work == 0 {
                waiter.wait(0);
            }
        }
    }
}
