//! # failover: what a subscriber notices when the leader goes
//!
//! ```text
//!   ──── window without ────┬──── window with ────  then: whole again, digests compared, once more
//!   committed  ││││││││││││ │      ││││││││││││││││
//!                           ▲ └ gap ┘
//!               the leader is struck here
//! ```
//!
//! Real processes on this host: three replicas, and a load that publishes at a fixed rate, each message at
//! its intended time, however things stand, and reads the stream as stamped and as committed. What counts
//! is the largest gap between two committed deliveries: all the rest (how fast the death is noticed, how
//! fast somebody is elected) is part of it. Beside it stands the largest gap of equally long windows in
//! which nobody was struck: this is what the machine does by itself.

mod hog;
mod how;
pub(crate) mod load;
pub mod report;
pub mod window;

pub use hog::{HogArguments, hog};
pub use how::How;

use crate::check::SIZE_MIN;
use crate::cluster::{self, Cluster, Site};
use crate::environment;
use crate::fleet::Fleet;
use crate::harness::Run;
use crate::place::{Nodes, Place};
use crate::results::{Output, RunResult};
use load::{Load, Totals};
use lockstep::config::Config;
use lockstep_client::Start;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::{Epoch, Nanos};
use report::{Found, Takeover};
use std::path::PathBuf;
use std::time::Duration;
use window::Window;

/// Replicas.
const REPLICAS: u32 = 3;
/// Threads that poll without pause: the replicas' and the load's.
const THREADS: usize = REPLICAS as usize + 1;
/// Nothing is counted before.
const WARM_UP_NS: Nanos = 1_000_000_000;
/// A takeover that is not over by then never will be.
const TAKEOVER_NS: Nanos = 10_000_000_000;
/// How long both subscribers may take to have everything.
const EQUAL_NS: Nanos = 10_000_000_000;
/// Printed to standard error when an attached measurement begins.
const MEASURING: &str = "measuring: a takeover from now on is counted";
/// Between two looks at what the load has seen.
const LOOK: Duration = Duration::from_millis(2);

/// What to do.
#[derive(clap::Args)]
pub struct Arguments {
    /// How the leader is taken away.
    #[arg(long, value_enum, default_value_t = How::Kill)]
    how: How,
    /// How often.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// With `--how none`: for how long.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Messages per second.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Milliseconds of a window, with and without.
    #[arg(long, default_value_t = 250)]
    window_ms: u64,
    /// A process that computes for nothing on each core, with this niceness.
    #[arg(long, value_name = "NICENESS")]
    hogs: Option<i32>,
    /// What replicas and load do when there is nothing to do: `adapt`, `spin`, `yield` or `park`; by default
    /// as the number of cores has it.
    #[arg(long)]
    idle: Option<Idle>,
    /// Keeps the folders with configuration, journals and logs, and says where they are.
    #[arg(long)]
    keep: bool,
    /// Attaches to the cluster of this file instead of starting one, and tells what its takeovers cost that
    /// somebody else brings about; with `--how none` and `--minutes`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kills", "hogs", "idle", "keep"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Measures, gives out what was found, and judges it.
///
/// # Errors
/// Something lost, doubled, out of order or unequal; a takeover that did not come.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    if arguments.size < SIZE_MIN {
        return Err(format!("--size: a message has its number and its time, {SIZE_MIN} bytes at least"));
    }
    if arguments.config.is_some() && arguments.how != How::None {
        return Err(
            "--config: replicas that run elsewhere are struck by whoever runs them; say --how none".into()
        );
    }
    let mut nodes = None;
    if arguments.how == How::Partition {
        nodes = Place::nodes(REPLICAS as usize, "a leader that is cut off")?;
        if nodes.is_none() {
            return Ok(RunResult::Passed);
        }
    }
    let title = "what a subscriber notices when the leader goes";
    let mut run = Run::begin("failover", title, environment::facts());
    let clock = Clock::start();
    let origin = clock.now();
    let (config, fleet) = match &arguments.config {
        Some(path) => (cluster::load(path)?, None),
        None => fleet(arguments, nodes).map(|(config, fleet)| (config, Some(fleet)))?,
    };
    run.results.configure(&config);
    let endpoint = cluster::endpoint(&config)?;
    let start = if fleet.is_some() { Start::From(1) } else { Start::Live };
    let load = Load::start(&endpoint, start, clock, arguments.rate, arguments.size)?;
    let _hogs = hog::hogs(arguments.hogs)?;
    let Arguments { how, rate, size, window_ms, .. } = arguments;
    run.tell("clock", "monotonic, one for all processes");
    let threads = if fleet.is_some() { THREADS } else { 1 };
    run.tell("cores", format!("{threads} busy threads of ours on {}", cpu::cores().len()));
    run.tell("how", format!("{}: {}", how.key(), how.words()));
    run.tell("idle", endpoint.idle());
    run.tell("loop", format!("open: {rate}/s of {size} B, each at its intended time"));
    run.tell("warm-up", format!("{} ms", WARM_UP_NS / 1_000_000));
    run.tell("window", format!("{window_ms} ms, with and without"));
    if let Some(niceness) = arguments.hogs {
        run.tell("hogs", format!("a process that computes on each core, nice {niceness}"));
    }
    let mut bench = Bench {
        arguments,
        run,
        clock,
        fleet,
        load: Some(load),
        epoch: Epoch::NONE,
        totals: Totals::default(),
        epochs: 0,
    };
    let measured = bench.measure();
    let (found, mut run) = bench.finish(origin, measured)?;
    found.fill(arguments, &mut run.results)?;
    run.finish(&arguments.output)
}

/// Replicas of our own, whole, and where they are.
fn fleet(arguments: &Arguments, nodes: Option<Nodes>) -> Result<(Config, Fleet), String> {
    let (places, site) = match nodes {
        None => (Place::hosts(REPLICAS as usize), Site::loopback(REPLICAS)),
        Some((places, addresses)) => {
            (places, Site { interface: "eth0", ttl: 1, addresses, keeps_all: true, ..Site::loopback(0) })
        }
    };
    let site = Site { keeps_all: arguments.how != How::None, ..site };
    let idle = arguments.idle.unwrap_or_else(|| Idle::for_machine(THREADS, cpu::cores().len()));
    let mut cluster = Cluster::on(&site, idle)?;
    if arguments.keep {
        eprintln!("failover: kept: {}", cluster.keep().display());
    }
    let config = cluster.config.clone();
    let mut fleet = Fleet::start(cluster, places)?;
    fleet.await_whole()?;
    Ok((config, fleet))
}

struct Bench<'a> {
    arguments: &'a Arguments,
    run: Run,
    clock: Clock,
    /// None where the replicas are somebody else's.
    fleet: Option<Fleet>,
    load: Option<Load>,
    /// The newest epoch that the `stamped` subscriber saw.
    epoch: Epoch,
    /// How many it saw.
    epochs: u64,
    totals: Totals,
}

impl Bench<'_> {
    /// Strikes the leader as often as asked, or watches for as long as asked.
    fn measure(&mut self) -> Result<(Nanos, Vec<Takeover>), String> {
        self.watch_for(WARM_UP_NS, &mut Window::default())?;
        let (began, mut takeovers) = (self.clock.now(), Vec::new());
        if self.arguments.how == How::None {
            self.stand_by(&mut takeovers)?;
            return Ok((began, takeovers));
        }
        for number in 1..=self.arguments.kills {
            let takeover = self.takeover().map_err(|error| format!("takeover {number}: {error}"))?;
            self.run.show(&format!("{number} of {}: {takeover}", self.arguments.kills));
            takeovers.push(takeover);
        }
        Ok((began, takeovers))
    }

    /// One window after the other, without a strike.
    fn stand_by(&mut self, windows: &mut Vec<Takeover>) -> Result<(), String> {
        let until = self.clock.now() + (self.arguments.minutes * 60e9) as Nanos;
        if self.arguments.config.is_some() {
            // Somebody else strikes, and has to know from when on it counts.
            eprintln!("failover: {MEASURING}");
        }
        let mut carried = None;
        while self.clock.now() < until {
            let (mut window, before) = (Window::default(), self.epoch);
            window.delivered.extend(carried);
            self.watch_for(self.arguments.window_ms * 1_000_000, &mut window)?;
            carried = window.delivered.last().copied();
            let gap_ns = window.gap(0, Nanos::MAX).unwrap_or(0);
            let epochs = window.epochs.iter().filter(|seen| seen.epoch > before).count() as u64;
            let (at, wait_ns) = (self.clock.now(), window.wait(0));
            windows.push(Takeover { at, calm_ns: gap_ns, wait_ns, epochs, ..Takeover::default() });
            let left = until.saturating_sub(at) / 1_000_000_000;
            let so_far: u64 = windows.iter().map(|window| window.epochs).sum();
            self.run.show(&format!("{left} s left, {so_far} takeovers so far"));
            self.fleet.as_mut().map_or(Ok(()), Fleet::check_alive)?;
        }
        Ok(())
    }

    /// A window without, a window with, and everybody whole again.
    fn takeover(&mut self) -> Result<Takeover, String> {
        let how = self.arguments.how;
        let window_ns = self.arguments.window_ms * 1_000_000;
        let (mut window, calm_from) = (Window::default(), self.clock.now());
        self.watch_for(window_ns, &mut window)?;
        let (before, retracted, gaps) = (self.epoch, self.totals.retracted, self.totals.gaps);
        let leader = before.leader().replica;
        let struck = self.fleet()?.strike(leader, how)?;
        let deadline = struck + TAKEOVER_NS;
        let (stamped_at, full_at) = loop {
            self.look(&mut window)?;
            let stamped = window.epochs.iter().find(|seen| seen.at >= struck && seen.epoch > before);
            // A leader that hands over or is isolated stamps on for a while.
            let full = stamped.and_then(|stamped| window.full_rate(stamped.at));
            if let (Some(stamped), Some(full)) = (stamped, full)
                && self.clock.now() >= struck + window_ns
            {
                break (stamped.at, full);
            }
            if self.clock.now() > deadline {
                let what =
                    if stamped.is_some() { "the stream is at its full rate" } else { "somebody takes over" };
                return Err(self.fleet()?.describe(what));
            }
        };
        let epochs = window.epochs.iter().filter(|seen| seen.epoch > before).count() as u64;
        self.fleet()?.revive(leader, how)?;
        self.await_equal(self.totals.published)?;
        self.fleet()?.await_whole()?;
        let takeover = Takeover {
            at: struck,
            calm_from,
            victim: leader,
            gap_ns: window.gap(struck, full_at.max(struck + window_ns)).unwrap_or(0),
            calm_ns: window.calm(calm_from, struck).unwrap_or(0),
            across_ns: window.gap(struck, stamped_at).unwrap_or(0),
            stamp_ns: stamped_at - struck,
            full_ns: full_at - struck,
            wait_ns: window.wait(struck),
            epochs,
            retracted: self.totals.retracted - retracted,
            gaps: self.totals.gaps - gaps,
        };
        Ok(takeover)
    }

    /// The replicas that are ours.
    fn fleet(&mut self) -> Result<&mut Fleet, String> {
        self.fleet.as_mut().ok_or_else(|| "the replicas are somebody else's".to_owned())
    }

    /// Both subscribers have at least `messages`, with equal digests.
    fn await_equal(&mut self, messages: u64) -> Result<(), String> {
        let deadline = self.clock.now() + EQUAL_NS;
        while self.totals.equal < messages {
            self.look(&mut Window::default())?;
            if self.clock.now() > deadline {
                let what = format!(
                    "both subscribers have {messages} messages with equal digests; they have {:?}, equal are {}",
                    self.totals.delivered, self.totals.equal
                );
                return Err(self.fleet()?.describe(&what));
            }
        }
        Ok(())
    }

    fn watch_for(&mut self, for_ns: Nanos, window: &mut Window) -> Result<(), String> {
        let until = self.clock.now() + for_ns;
        while self.clock.now() < until {
            self.look(window)?;
        }
        Ok(())
    }

    /// Takes what the load has seen.
    fn look(&mut self, window: &mut Window) -> Result<(), String> {
        std::thread::sleep(LOOK);
        let seen = self.load.as_mut().and_then(Load::take).ok_or("the load has ended")?;
        if seen.totals != Totals::default() {
            self.totals = seen.totals;
        }
        self.epochs += seen.epochs.len() as u64;
        self.epoch = seen.epochs.iter().map(|seen| seen.epoch).fold(self.epoch, Epoch::max);
        window.add(seen);
        Ok(())
    }

    /// Ends the load and the replicas, whatever came before, and compares all digests.
    fn finish(
        mut self,
        origin: Nanos,
        measured: Result<(Nanos, Vec<Takeover>), String>,
    ) -> Result<(Found, Run), String> {
        let to = self.clock.now();
        let ended = self.load.take().ok_or("the load was ended before")?.end();
        let (from, takeovers) = match (measured, &ended) {
            (Ok(measured), _) => measured,
            // What the load has to say is the cause.
            (Err(error), Err(wrong)) => return Err(format!("{wrong}\n{error}")),
            (Err(error), Ok(_)) => return Err(error),
        };
        let ended = ended?;
        let journals = match self.fleet.take() {
            None => Vec::new(),
            Some(mut fleet) => {
                fleet.await_stored(ended.next)?;
                if self.arguments.how == How::None { Vec::new() } else { fleet.end(ended.next)? }
            }
        };
        let struck = if self.arguments.how == How::None { 0 } else { takeovers.len() as u64 };
        // A client that attaches may have come behind the start of the epoch that it found.
        let unasked = match self.arguments.config {
            Some(_) => takeovers.iter().map(|window| window.epochs).sum(),
            None => self.epochs.saturating_sub(1 + struck),
        };
        Ok((Found { origin, counted: (from, to), takeovers, unasked, ended, journals }, self.run))
    }
}
