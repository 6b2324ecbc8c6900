//! # throughput: how many messages a second, of what datagrams of the same size would carry
//!
//! Messages of 64 bytes go through leader and one standby (of three, the third is stopped) to a subscriber
//! that delivers what is committed, without loss. The floor carries datagrams of 1,424 bytes, as long as a
//! full frame, through the same processes; each stands for the fifteen messages that a frame has. Both keep
//! the same number of messages under way.

use crate::client::{Client, Ground, Measure, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, MTU};
use crate::environment;
use crate::floor::{number, write_message};
use crate::node::{NodeArguments, Role};
use crate::progress::Progress;
use crate::results::{Output, Results, Round, Row, Unit, Verdict};
use crate::scene::{Contestant, Node};
use lockstep::client::Delivery;
use lockstep::io::clock::Clock;
use lockstep::io::cpu::{self, SchedulingClass};
use lockstep::io::idle::Idle;
use lockstep::wire::{HEADER_LEN, Nanos, entry_len, frame_len_max};
use std::time::Instant;

/// Messages of 64 bytes in a full frame.
const PER_FRAME: u64 = ((frame_len_max(MTU) - HEADER_LEN) / entry_len(MESSAGE_LEN)) as u64;
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
    if cores.len() < 2 {
        println!("SKIPPED: throughput: leader and client need a core each, this machine has {}", cores.len());
        return Ok(Verdict::Passed);
    }
    let title = "messages a second, committed, without loss, over what a raw forwarder carries";
    let mut results = Results::begin("throughput", title, environment::with_device()?);
    let (began, progress) = (Instant::now(), Progress::new("throughput"));
    if let Some(note) = cpu::pin(cores[0]).note {
        return Err(note);
    }
    let idle = Idle::for_machine(3, cores.len());
    let window = arguments.window * PER_FRAME;
    results.tell("clock", "monotonic, of the client");
    results.tell("cores", format!("3 threads on {}", cores.len()));
    results.tell("idle", idle);
    results.tell(
        "loop",
        format!("{window} messages under way, handed in up to {} at once", arguments.burst * PER_FRAME),
    );
    results.tell("warm-up", format!("{} ms of each contestant and round", WARM_UP_NS / 1_000_000));
    let case = format!("committed, {MESSAGE_LEN} B, {window} under way");
    let axes = [("bytes", MESSAGE_LEN as f64), ("window", window as f64)];
    for number in 1..=arguments.rounds {
        for contestant in Contestant::ALL {
            progress.say(&format!("round {number} of {}, {}", arguments.rounds, contestant.key()));
            let at_s = began.elapsed().as_secs_f64();
            let cluster = Cluster::new(3, idle)?;
            results.configure(&cluster.config);
            let rate = one(contestant, &cluster, &cores, arguments)
                .map_err(|error| format!("{}, round {number}: {error}", contestant.name()))?;
            let seconds = arguments.milliseconds as f64 / 1e3;
            let round = Round { at_s, seconds, samples: (rate * seconds) as u64, ..Round::value(rate) };
            let (key, words) = (contestant.key(), contestant.name());
            let row = || Row::new(&case, key, words, Unit::MessagesPerSecond).over(axes);
            results.add(&case, key, round, || row().as_floor(contestant != Contestant::Lockstep));
        }
    }
    let each =
        format!("a datagram of the floors has {} B and counts as {PER_FRAME} messages", frame_len_max(MTU));
    results.notes.push(each);
    drop(progress);
    arguments.output.give(&results)
}

/// One contestant in one round, in messages per second.
fn one(
    contestant: Contestant,
    cluster: &Cluster,
    cores: &[usize],
    arguments: &Arguments,
) -> Result<f64, String> {
    // Never real time: it would starve the threads that write the segments, and the journal would be full.
    let scheduling = SchedulingClass::Other;
    let leader = NodeArguments { contestant, role: Role::Leader, core: cores[1], scheduling, stall_ns: 0 };
    let _leader = Node::start(cluster, &leader)?;
    let standby_core = *cores.get(arguments.standby_core).ok_or("--standby-core: there is no such core")?;
    let _standby = Node::start(
        cluster,
        &NodeArguments { contestant, role: Role::Standby, core: standby_core, scheduling, stall_ns: 0 },
    )?;
    // The floor's unit is a datagram, lockstep's a message.
    let (each, message_len) =
        if contestant == Contestant::Lockstep { (1, MESSAGE_LEN) } else { (PER_FRAME, frame_len_max(MTU)) };
    let flood = Flood {
        window: arguments.window * PER_FRAME / each,
        burst: arguments.burst * PER_FRAME / each,
        lasts_ns: arguments.milliseconds * 1_000_000,
        idle: cluster.config.endpoint().idle,
        message_len,
    };
    let rate = measure(contestant, Ground::own(cluster), Delivery::Committed, message_len, flood)?;
    Ok(rate * each as f64)
}

/// As much as the window lets through.
struct Flood {
    window: u64,
    burst: u64,
    lasts_ns: Nanos,
    idle: Idle,
    message_len: usize,
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
