//! # throughput: how many messages a second, of what datagrams of the same size would carry
//!
//! ```text
//!   alone       publisher ─▶ leader ─▶ publisher                 a cluster of one, its journal on; floor: two hops
//!   committed   client ─▶ leader ─▶ standby ─▶ client            of three, the third is stopped; floor: three hops
//! ```
//!
//! Alone, the publisher counts what it is told is committed, and nobody else reads: what is measured is the
//! leader, as far as one publisher fills it. Committed, a subscriber beside the publisher delivers. The floor
//! carries datagrams of 1,424 bytes, as long as a full frame, through the same processes; each stands for as
//! many messages as a frame has, fifteen of 64 bytes. Both keep the same number of messages under way. A
//! message that does not come ends the measurement.
//!
//! Batches are what `sendmmsg`, UDP_SEGMENT and UDP_GRO or the rings of xdp make of what lies ready. One
//! datagram per call is what a plain forwarder does: lockstep is handed one full datagram at a time, and
//! sends none uncut.

use crate::client::{Client, Measure};
use crate::cluster::{MTU, Site};
use crate::contestant::Contestant;
use crate::field::{Field, FieldArguments};
use crate::harness::{Run, Shared, pin};
use crate::load::{Drive, Probe, Window};
use crate::results::{Round, RunResult, Unit, VALUE};
use crate::stage::Stage;
use crate::ways::Way;
use clap::ValueEnum;
use lockstep_client::Delivery;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_wire::{HEADER_LEN, Nanos, entry_len, frame_len_max};
use std::time::{Duration, Instant};

/// Messages in a full frame; one that fills more than a frame counts as one.
pub const fn per_frame(message_len: usize) -> u64 {
    let count = (frame_len_max(MTU) - HEADER_LEN) / entry_len(message_len);
    if count == 0 { 1 } else { count as u64 }
}

/// Time before that which counts.
const WARM_UP_NS: Nanos = 300_000_000;

/// The filled queues.
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

/// The combination measured at a time.
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

    /// Whether a contestant takes part on a way. What lockstep's own device does with many is not asked where
    /// calls have one datagram; past the kernel there are no such calls.
    fn takes(&self, way: &Way, contestant: Contestant) -> bool {
        let has_plain = way.transport.contestants().contains(&Contestant::Plain);
        self.batching == Batching::Batches || (has_plain && contestant != Contestant::Io)
    }
}

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    field: FieldArguments,
    /// Milliseconds of each contestant and round.
    #[arg(long, default_value_t = 1_000)]
    milliseconds: u64,
    /// Full datagrams under way.
    #[arg(long, default_value_t = 256)]
    window: u64,
    /// Full datagrams that a client hands in at once.
    #[arg(long, default_value_t = 32)]
    burst: u64,
    /// Only this, of both.
    #[arg(long, value_enum, conflicts_with = "config")]
    only: Option<Mode>,
    /// What goes into a call; several are measured one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "batches", conflicts_with = "config")]
    batching: Vec<Batching>,
}

/// Measures, and gives out what was found.
///
/// # Errors
/// A process that did not start, a message that was lost. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(mut field) = Field::open("throughput", &arguments.field)? else { return Ok(RunResult::Passed) };
    let title = "messages a second, without loss, over what a raw forwarder carries";
    let mut run = field.begin("throughput", title)?;
    pin(field.cores[0])?;
    run.tell("clock", "monotonic, of the client");
    let (window, burst) = (arguments.window, arguments.burst);
    run.tell("loop", format!("{window} full datagrams under way, handed in up to {burst} at once"));
    run.tell("warm-up", format!("{} ms of each contestant and round", WARM_UP_NS / 1_000_000));
    for mode in [Mode::Alone, Mode::Committed] {
        // To a cluster that runs already `committed` alone is asked.
        let is_attached = field.attached.is_some() && mode == Mode::Alone;
        if arguments.only.is_some_and(|only| only != mode) || is_attached {
            continue;
        }
        for &batching in &arguments.batching {
            for &message_len in &arguments.field.sizes {
                family(&mut run, &mut field, arguments, &Family { mode, batching, message_len })?;
            }
        }
    }
    for message_len in &arguments.field.sizes {
        run.results.notes.push(format!(
            "a datagram of the floors has {} B and counts as {} messages of {message_len} B",
            frame_len_max(MTU),
            per_frame(*message_len)
        ));
    }
    run.results.aim("0.9 of the floor with the same batching, alone", |ratio| {
        let is_single = ratio.case.contains("one datagram per call");
        let floor = if is_single { Contestant::Plain } else { Contestant::Io }.key();
        // Datagrams and bytes of a case are told beside its messages.
        let speaks =
            ratio.floor == floor && !ratio.case.ends_with(": datagrams") && !ratio.case.ends_with(": bytes");
        ratio.median(VALUE).filter(|_| speaks).map(|share| share < 0.9)
    });
    run.finish(&arguments.shared.output)
}

/// All rounds of a family: every contestant on every way in each.
fn family(run: &mut Run, field: &mut Field, arguments: &Arguments, family: &Family) -> Result<(), String> {
    let mode = family.mode;
    let own = field.idle(mode.threads(), Contestant::Lockstep);
    let name = format!("idle, {}", mode.name());
    run.tell(&name, format!("{own}, {} threads on {}", mode.threads(), field.cores.len()));
    let mut entrants = field.entrants(run, mode.delivery(), frame_len_max(MTU))?;
    entrants.retain(|(way, contestant)| family.takes(way, *contestant));
    let (field, case_on) = (&*field, |way: &Way| family.case(way, arguments.window));
    Field::rounds(run, arguments.shared.rounds, &entrants, case_on, |run, (way, contestant), case| {
        let at = Instant::now();
        let idle = field.idle(mode.threads(), *contestant);
        let flood = Flood::of(*contestant, family, arguments, idle);
        let (message_len, each) = (flood.message_len, flood.each as f64);
        let cores = field.places(1, "the leader's core", arguments.field.standby_core)?;
        // Never real time: it would starve the threads that write the segments, and the journal would be
        // full.
        let outcomes = mode == Mode::Alone;
        let stage = Stage { outcomes, ..Stage::of(*contestant, way, mode.delivery(), cores) };
        let site = Site { gso: family.batching == Batching::Batches, ..Site::loopback(0) };
        let ([messages, datagrams], _) = field.turn(run, &stage, (site, idle, message_len), |_| Ok(flood))?;
        let bytes = match contestant {
            Contestant::Lockstep => datagrams * HEADER_LEN as f64 + messages * entry_len(message_len) as f64,
            _ => datagrams * message_len as f64,
        };
        let rates = [
            (case.to_owned(), messages * each, Unit::MessagesPerSecond),
            (format!("{case}: datagrams"), datagrams, Unit::DatagramsPerSecond),
            (format!("{case}: bytes"), bytes, Unit::BytesPerSecond),
        ];
        let under_way = arguments.window * per_frame(family.message_len);
        let axes = [("bytes", family.message_len as f64), ("window", under_way as f64)];
        let (counted, words) =
            (Duration::from_millis(arguments.milliseconds), way.transport.words(*contestant));
        for (case, rate, unit) in rates {
            let samples = (rate * counted.as_secs_f64()) as u64;
            let row = contestant.row(&case, &words, unit).over(axes);
            run.record(row, at, counted, Round { samples, ..Round::value(rate) });
        }
        Ok(())
    })
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
            lasts_ns: arguments.milliseconds * 1_000_000,
            idle,
            message_len,
            each,
        }
    }
}

impl Measure for Flood {
    /// Messages a second, and datagrams.
    type Found = [f64; 2];

    fn with(self, mut client: impl Client) -> Result<[f64; 2], String> {
        let clock = Clock::start();
        let counts_from = clock.now() + WARM_UP_NS;
        let mut load = Window { window: self.window, ends: counts_from + self.lasts_ns };
        let drive = Drive {
            clock: &clock,
            idle: self.idle,
            message_len: self.message_len,
            first: 0,
            batch_max: self.burst,
            drains: false,
            sleeps: false,
            gives_up: Nanos::MAX,
        };
        let mut start = Start { counts_from, at: None };
        let ended = drive.run(&mut client, &mut load, &mut start)?;
        let (at, came, datagrams) = start.at.ok_or("nothing was counted: other work has the cores")?;
        let rate = |count: u64| count as f64 * 1e9 / (ended.at - at) as f64;
        Ok([rate(ended.came - came), rate(client.datagrams() - datagrams)])
    }
}

/// When the counting began, and what messages and datagrams had come by then.
struct Start {
    counts_from: Nanos,
    at: Option<(Nanos, u64, u64)>,
}

impl Probe for Start {
    fn begin_turn(&mut self, now: Nanos, came: u64, client: &impl Client) {
        if self.at.is_none() && now >= self.counts_from {
            self.at = Some((now, came, client.datagrams()));
        }
    }
}
