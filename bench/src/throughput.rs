//! # throughput: how many messages a second, of what datagrams of the same size would carry
//!
//! ```text
//!   alone       publisher ─▶ leader ─▶ publisher                 a cluster of one, its journal on; floor: two hops
//!   committed   client ─▶ leader ─▶ standby ─▶ client            of three, the third is stopped; floor: three hops
//! ```
//!
//! Alone, the publisher counts what it is told is committed, and nobody else reads: what is measured is the leader, as
//! far as one publisher fills it. Committed, a subscriber beside the publisher delivers. The floor carries datagrams of
//! 1,424 bytes, as long as a full frame, through the same processes; each stands for as many messages as a frame has,
//! fifteen of 64 bytes. Both keep the same number of messages under way. A message that does not come ends the
//! measurement.
//!
//! Batches are what `sendmmsg`, UDP_SEGMENT and UDP_GRO or the rings of xdp make of what lies ready. One datagram per
//! call is what a plain forwarder does: lockstep is handed one full datagram at a time, and sends none uncut.

use crate::attached::Attached;
use crate::client::{Client, Ground, Measure, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, MTU, Site};
use crate::environment;
use crate::floor::{MESSAGE_LEN_MIN, number, write_message};
use crate::node::{NodeArguments, Role};
use crate::progress::Progress;
use crate::results::{Output, Results, Round, Row, Unit, VALUE, Verdict};
use crate::scene::{Contestant, Node};
use crate::ways::{Way, Ways, WaysArguments, compare};
use clap::ValueEnum;
use lockstep_client::Delivery;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::{HEADER_LEN, Nanos, entry_len, frame_len_max};
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

/// Who is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Mode {
    /// A cluster of one, and a publisher.
    Alone,
    /// Leader, standby and subscriber.
    Committed,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Committed => "committed",
        }
    }

    fn replicas(self) -> u32 {
        match self {
            Self::Alone => 1,
            Self::Committed => 3,
        }
    }

    /// Threads that poll without pause.
    fn threads(self) -> usize {
        match self {
            Self::Alone => 2,
            Self::Committed => 3,
        }
    }

    fn delivery(self) -> Delivery {
        match self {
            Self::Alone => Delivery::Stamped,
            Self::Committed => Delivery::Committed,
        }
    }
}

/// What goes into a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Batching {
    /// As much as lies ready.
    Batches,
    /// One datagram.
    Single,
}

/// What is measured at a time.
struct Family {
    mode: Mode,
    batching: Batching,
    message_len: usize,
}

impl Family {
    fn case(&self, way: &Way, window: u64) -> String {
        let Self { mode, batching, message_len } = self;
        let under_way = window * per_frame(*message_len);
        let case = format!("{}, {message_len} B, {under_way} under way", mode.name());
        match batching {
            Batching::Batches => way.of(&case),
            Batching::Single => way.of(&format!("{case}, one datagram per call")),
        }
    }

    /// Who takes turns on a way.
    fn contestants(&self, way: &Way) -> Vec<Contestant> {
        let all = way.transport.contestants().iter().copied();
        match self.batching {
            Batching::Batches => all.collect(),
            // What a device of lockstep does with many is not asked here. Past the kernel there are no calls of one.
            Batching::Single if all.clone().any(|one| one == Contestant::Plain) => {
                all.filter(|one| *one != Contestant::Io).collect()
            }
            Batching::Single => Vec::new(),
        }
    }
}

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
    /// Only this, of both.
    #[arg(long, value_enum)]
    only: Option<Mode>,
    /// What goes into a call; several are measured one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "batches")]
    batching: Vec<Batching>,
    #[command(flatten)]
    ways: WaysArguments,
    /// Attaches to the cluster of this file instead of starting one, and measures `committed`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["transport", "over", "only", "batching"])]
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
    let title = "messages a second, without loss, over what a raw forwarder carries";
    let environment = environment::with_device(attached.as_ref().map(|attached| &attached.config))?;
    let mut results = Results::begin("throughput", title, environment);
    match &attached {
        Some(attached) => results.configure(&attached.config),
        None => results.configure(&Cluster::file(&Site::loopback(3), Idle::Spin)?.config),
    }
    if let Some(note) = cpu::pin(cores[0]).note {
        return Err(note);
    }
    results.tell("clock", "monotonic, of the client");
    let (window, burst) = (arguments.window, arguments.burst);
    results.tell("loop", format!("{window} full datagrams under way, handed in up to {burst} at once"));
    results.tell("warm-up", format!("{} ms of each contestant and round", WARM_UP_NS / 1_000_000));
    let ways = Ways::new(&arguments.ways)?;
    let (began, progress) = (Instant::now(), Progress::new("throughput"));
    let mut bench = Bench { arguments, attached, ways, cores, began, progress, results };
    for mode in [Mode::Alone, Mode::Committed] {
        let attached_measures = bench.attached.is_some() && mode == Mode::Alone;
        if arguments.only.is_some_and(|only| only != mode) || attached_measures {
            continue;
        }
        for &batching in &arguments.batching {
            for &message_len in &arguments.sizes {
                bench.family(&Family { mode, batching, message_len })?;
            }
        }
    }
    let Bench { progress, mut results, .. } = bench;
    drop(progress);
    for message_len in &arguments.sizes {
        results.notes.push(format!(
            "a datagram of the floors has {} B and counts as {} messages of {message_len} B",
            frame_len_max(MTU),
            per_frame(*message_len)
        ));
    }
    results.aim("0.9 of the floor with the same batching, alone", |ratio| {
        let is_single = ratio.case.contains("one datagram per call");
        let floor = if is_single { Contestant::Plain } else { Contestant::Io }.key();
        // Datagrams and bytes of a case are told beside its messages.
        let speaks =
            ratio.floor == floor && !ratio.case.ends_with(": datagrams") && !ratio.case.ends_with(": bytes");
        ratio.median(VALUE).filter(|_| speaks).map(|share| share < 0.9)
    });
    arguments.output.give(&results)
}

/// Everything that stays the same.
struct Bench<'a> {
    arguments: &'a Arguments,
    attached: Option<Attached>,
    ways: Ways,
    cores: Vec<usize>,
    began: Instant,
    progress: Progress,
    results: Results,
}

impl Bench<'_> {
    /// All rounds of a family: every contestant on every way in each.
    fn family(&mut self, family: &Family) -> Result<(), String> {
        let (arguments, mode) = (self.arguments, family.mode);
        let idle = match &self.attached {
            Some(attached) => attached.idle(),
            None => Idle::for_machine(mode.threads(), self.cores.len()),
        };
        let name = format!("idle, {}", mode.name());
        self.results.tell(&name, format!("{idle}, {} threads on {}", mode.threads(), self.cores.len()));
        let contestants: Vec<(Way, Contestant)> = match &self.attached {
            None => {
                let ways = self.ways.open(mode == Mode::Committed, &mut self.results)?;
                let of = |way: Way| family.contestants(&way).into_iter().map(move |one| (way.clone(), one));
                ways.into_iter().flat_map(of).collect()
            }
            Some(attached) => {
                let notes = &mut self.results.notes;
                let found = attached.contestants(mode.delivery(), frame_len_max(MTU), notes)?;
                found.into_iter().map(|one| (Way::default(), one)).collect()
            }
        };
        for number in 1..=arguments.rounds {
            for (way, contestant) in &contestants {
                let (case, key) = (family.case(way, arguments.window), contestant.key());
                self.progress.say(&format!("{case}, round {number} of {}, {key}", arguments.rounds));
                let at_s = self.began.elapsed().as_secs_f64();
                let flood = Flood::of(*contestant, family, arguments, idle);
                let carried = match &self.attached {
                    Some(attached) => flood.on(*contestant, attached.ground()),
                    None => self.alone(family, way, *contestant, flood),
                };
                let carried = carried
                    .map_err(|error| format!("{case}, {}, round {number}: {error}", contestant.name()))?;
                self.add(family, (way, *contestant), carried, at_s);
            }
        }
        let mut ways: Vec<&Way> = contestants.iter().map(|(way, _)| way).collect();
        ways.dedup_by_key(|way| way.transport);
        if let Some((first, others)) = ways.split_first() {
            for other in others {
                let cases = [other, first].map(|way| family.case(way, arguments.window));
                compare(&mut self.results, [&cases[0], &cases[1]], [other.transport, first.transport]);
            }
        }
        Ok(())
    }

    /// A round of a contestant: a row each for messages, datagrams and bytes.
    fn add(&mut self, family: &Family, (way, contestant): (&Way, Contestant), carried: Carried, at_s: f64) {
        let (window, message_len) = (self.arguments.window, family.message_len);
        let case = family.case(way, window);
        let axes = [("bytes", message_len as f64), ("window", (window * per_frame(message_len)) as f64)];
        let seconds = self.arguments.milliseconds as f64 / 1e3;
        let (key, words) = (contestant.key(), way.transport.words(contestant));
        let rows = [
            (case.clone(), carried.messages, Unit::MessagesPerSecond),
            (format!("{case}: datagrams"), carried.datagrams, Unit::DatagramsPerSecond),
            (format!("{case}: bytes"), carried.bytes, Unit::BytesPerSecond),
        ];
        for (case, rate, unit) in rows {
            let round = Round { at_s, seconds, samples: (rate * seconds) as u64, ..Round::value(rate) };
            let row = || Row::new(&case, key, &words, unit).over(axes);
            self.results.add(&case, key, round, || row().as_floor(contestant != Contestant::Lockstep));
        }
    }

    /// One contestant in one round, on a cluster of its own.
    fn alone(
        &self,
        family: &Family,
        way: &Way,
        contestant: Contestant,
        flood: Flood,
    ) -> Result<Carried, String> {
        let (transport, hosts) = (way.transport, way.hosts.as_ref());
        let gso = family.batching == Batching::Batches;
        let site = Site { transport, gso, ..hosts.site(family.mode.replicas()) };
        let cluster = Cluster::of(contestant, &site, flood.idle)?;
        // Never real time: it would starve the threads that write the segments, and the journal would be full.
        let start = |role, core: usize| {
            let client = hosts.client_address();
            let which = NodeArguments { transport, client, ..NodeArguments::new(contestant, role, core) };
            Node::start_on(hosts, &cluster, &which)
        };
        let _leader = start(Role::Leader, self.cores[1])?;
        let core = self.cores.get(self.arguments.standby_core);
        let core = *core.ok_or("--standby-core: there is no such core")?;
        let has_standby = family.mode == Mode::Committed;
        let _standby = has_standby.then(|| start(Role::Standby, core)).transpose()?;
        let _entered = hosts.enter()?;
        flood.on(contestant, Ground { fates: !has_standby, ..Ground::over(&cluster, hosts, transport) })
    }
}

/// What went through in a second.
struct Carried {
    messages: f64,
    datagrams: f64,
    bytes: f64,
}

/// As much as the window lets through.
struct Flood {
    window: u64,
    burst: u64,
    lasts_ns: Nanos,
    idle: Idle,
    message_len: usize,
    delivery: Delivery,
    /// Messages that each of these stands for: the floor's unit is a datagram.
    each: u64,
}

impl Flood {
    fn of(contestant: Contestant, family: &Family, arguments: &Arguments, idle: Idle) -> Self {
        let full = per_frame(family.message_len);
        let (each, message_len) = match contestant {
            Contestant::Lockstep => (1, family.message_len),
            _ => (full, frame_len_max(MTU)),
        };
        let burst = if family.batching == Batching::Single { 1 } else { arguments.burst };
        Self {
            window: arguments.window * full / each,
            burst: burst * full / each,
            delivery: family.mode.delivery(),
            lasts_ns: arguments.milliseconds * 1_000_000,
            idle,
            message_len,
            each,
        }
    }

    fn on(self, contestant: Contestant, ground: Ground<'_>) -> Result<Carried, String> {
        let (message_len, each, delivery) = (self.message_len, self.each as f64, self.delivery);
        let [messages, datagrams] = measure(contestant, ground, delivery, message_len, self)?;
        let bytes = match contestant {
            Contestant::Lockstep => datagrams * HEADER_LEN as f64 + messages * entry_len(message_len) as f64,
            _ => datagrams * message_len as f64,
        };
        Ok(Carried { messages: messages * each, datagrams, bytes })
    }
}

impl Measure for Flood {
    /// Messages a second, and datagrams.
    type Found = [f64; 2];

    fn with(self, mut client: impl Client) -> Result<[f64; 2], String> {
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
                start = Some((now, came, client.datagrams()));
            }
            if let Some((at, before, datagrams)) = start
                && now >= ends
            {
                let rate = |count: u64| count as f64 * 1e9 / (now - at) as f64;
                return Ok([rate(came - before), rate(client.datagrams() - datagrams)]);
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
