//! # repair: what losses cost the messages that they hit, and those behind them
//!
//! ```text
//!            ┌─▶ standby ─┐ repairs
//!   load ─▶ leader ──────▶├─▶ reader 1 … n       each a process on a node of its own:
//!            └─▶ standby ─┘                      the bridge between them loses what it is told to
//!
//!   ── without ──┬── with ──┬── without ──┬── with ── …   one run, one stream, every message judged
//! ```
//!
//! An open loop: each message has an intended time, and its latency runs from there to its delivery as
//! committed at each reader. The conditions alternate within the run, and each ratio is that of two
//! neighbours. All clocks are one.
//!
//! What may happen: every path loses a share of its packets (`--of all`); only those to the last reader do
//! (`--of one`): then the others are measured, and it must not hurt them; the last reader stands still
//! (`--stop`), catches up, and the others must not notice.

mod load;
mod reader;
mod report;

pub use reader::{ReaderArguments, read};

use crate::child::{self, Own};
use crate::cluster::{Cluster, Site, endpoint};
use crate::environment;
use crate::flags;
use crate::fleet::Fleet;
use crate::harness::Run;
use crate::place::Place;
use crate::results::{Output, RunResult};
use clap::ValueEnum;
use load::{Load, Published};
use lockstep_client::Endpoint;
use lockstep_core::engine::counters::Counter;
use lockstep_io::idle::Idle;
use lockstep_process::cpu::{self, resident_bytes};
use lockstep_process::signal::Signal;
use reader::{Read, Report};
use report::{COUNTED, Found, Kind, Memory, Window};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Replicas.
const REPLICAS: usize = 3;
/// Windows that a reader keeps apart; 0 is none that counts.
const WINDOWS_MAX: usize = 64;
/// The shortest message: number, time, window.
pub const SIZE_MIN: usize = 18;
/// Nothing is counted before.
const WARM_UP: Duration = Duration::from_secs(1);
/// Between two windows: what is still under way belongs to neither.
const BETWEEN: Duration = Duration::from_millis(300);
/// How long readers may take to start, and to have everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// A replica that is no further behind has caught up: what comes in a tenth of a second is on its way.
const CAUGHT_UP_SECONDS: f64 = 0.1;

/// The window that a message belongs to; of one that is too short, 0.
pub fn window_of(payload: &[u8]) -> usize {
    payload
        .get(16..18)
        .and_then(|word| word.try_into().ok())
        .map_or(0, |word| u16::from_le_bytes(word).into())
}

/// Writes into a message which window it belongs to.
pub fn write_window(payload: &mut [u8], window: usize) {
    payload[16..SIZE_MIN].copy_from_slice(&(window as u16).to_le_bytes());
}

/// The process that loses something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Of {
    /// Everybody, on every path.
    All,
    /// The last reader, of what comes to it.
    One,
}

/// What to do.
#[derive(clap::Args)]
pub struct Arguments {
    /// The share of packets that get lost, like `0.01%`.
    #[arg(long, default_value = "0.01%", value_parser = per_million)]
    loss: u32,
    /// Whose packets.
    #[arg(long, value_enum, default_value_t = Of::All)]
    of: Of,
    /// Instead of a loss: the last reader stands still for so many seconds.
    #[arg(long, value_name = "SECONDS")]
    stop: Option<f64>,
    /// Messages per second.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 224)]
    size: usize,
    /// Readers, each a process.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    readers: u32,
    /// Seconds of a window, with and without.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Windows of each kind.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=31))]
    rounds: u32,
    /// What replicas, readers and load do when there is nothing to do: `spin`, `yield` or `park`; by default
    /// as the number of cores has it.
    #[arg(long)]
    idle: Option<Idle>,
    #[command(flatten)]
    output: Output,
}

/// A share like `0.01%`, in a million.
pub fn per_million(text: &str) -> Result<u32, String> {
    let wrong = "is no share of packets; write 0.0001% to 99.9999%";
    flags::scaled(text, &[("%", 1e4)], 0.5..=999_999.4, wrong).map(|share| share.round() as u32)
}

/// Measures, gives out what was found, and judges it.
///
/// # Errors
/// Something lost, doubled, out of order or unequal; a reader that does not catch up.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    if arguments.size < SIZE_MIN {
        return Err(format!("--size: a message has number, time and window, {SIZE_MIN} bytes at least"));
    }
    let readers = arguments.readers as usize;
    if readers < 2 && (arguments.of == Of::One || arguments.stop.is_some()) {
        return Err(String::from(
            "--readers: beside the one that is hit there must be another to be measured",
        ));
    }
    let nodes = Place::nodes(REPLICAS + readers, "repair over a network that loses")?;
    let Some((mut places, mut addresses)) = nodes else { return Ok(RunResult::Passed) };
    let readers = places.split_off(REPLICAS);
    addresses.truncate(REPLICAS);
    let site = Site { interface: "eth0", ttl: 1, addresses, keeps_all: true, ..Site::loopback(0) };
    // Replicas, readers, load.
    let threads = REPLICAS + readers.len() + 1;
    let idle = arguments.idle.unwrap_or_else(|| Idle::for_machine(threads, cpu::cores().len()));
    let cluster = Cluster::on(&site, idle)?;
    let title = "publish to committed delivery where something is lost, over where nothing is";
    let mut run = Run::begin("repair", title, environment::facts());
    run.results.configure(&cluster.config);
    let Arguments { rate, size, seconds, .. } = arguments;
    run.tell("clock", "monotonic, one for all processes");
    run.tell("cores", format!("{threads} busy threads on {}", cpu::cores().len()));
    run.tell("idle", idle);
    run.tell("loop", format!("open: {rate}/s of {size} B, each at its intended time"));
    run.tell("rounds", "one for each window and reader, in one order in all rows");
    run.tell("warm-up", format!("{WARM_UP:?}"));
    run.tell("window", format!("{seconds} s, {BETWEEN:?} between two"));
    let (endpoint, path) = (endpoint(&cluster.config)?, cluster.path());
    let mut fleet = Fleet::start(cluster, places)?;
    let leader = fleet.await_whole()?;
    let readers =
        readers.into_iter().map(|place| Reader::start(place, &path)).collect::<Result<Vec<_>, _>>()?;
    let mut bench = Bench {
        arguments,
        run,
        fleet,
        readers,
        memory: BTreeMap::new(),
        windows: Vec::new(),
        caught_up: None,
        behind: Vec::new(),
        marks: Vec::new(),
    };
    let published = bench.measure(&endpoint)?;
    let (found, mut run) = bench.finish(leader, published)?;
    found.fill(arguments, &mut run.results)?;
    run.finish(&arguments.output)
}

/// A reader's process.
struct Reader {
    place: Place,
    process: Own,
    at: Arc<AtomicU64>,
    read: Receiver<Box<Read>>,
}

impl Reader {
    fn start(place: Place, config: &std::path::Path) -> Result<Self, String> {
        let mut command = place.command(child::itself()?);
        command.args(["reader", "--config"]).arg(config);
        let mut process = Own::start("a reader", command, Duration::ZERO)?;
        let (at, (ready, is_ready), (to, read)) = (Arc::new(AtomicU64::new(0)), channel(), channel());
        let theirs = Arc::clone(&at);
        process.follow(move |report| match report {
            Some(Ok(Report::Ready)) => ready.send(()).is_ok(),
            Some(Ok(Report::At(messages))) => {
                theirs.store(messages, Ordering::Release);
                true
            }
            Some(Ok(Report::Read(read))) => to.send(read).is_ok(),
            Some(Err(_)) | None => true, // what is missed is told by whoever waits for it
        })?;
        let reader = Self { place, process, at, read };
        is_ready.recv_timeout(PATIENCE).map_err(|_| "a reader does not listen; its words are above")?;
        Ok(reader)
    }

    fn at(&self) -> u64 {
        self.at.load(Ordering::Acquire)
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    run: Run,
    fleet: Fleet,
    readers: Vec<Reader>,
    memory: BTreeMap<String, Memory>,
    /// Window 1 first.
    windows: Vec<Window>,
    /// How long the one that stood still took, and what it lacked.
    caught_up: Option<(Duration, u64)>,
    /// What it lacked, over time.
    behind: Vec<(f64, f64)>,
    /// What was done, and when.
    marks: Vec<(f64, String)>,
}

impl Bench<'_> {
    fn measure(&mut self, endpoint: &Endpoint) -> Result<Published, String> {
        let load = Load::start(endpoint, self.arguments.rate, self.arguments.size)?;
        self.watch(&load, WARM_UP)?;
        if let Some(seconds) = self.arguments.stop {
            self.stop(&load, Duration::from_secs_f64(seconds))?;
        } else {
            for round in 1..=self.arguments.rounds {
                self.window(&load, Kind::Without)?;
                self.lose()?;
                self.mark("losses begin");
                self.window(&load, Kind::With)?;
                self.one().place.heal()?;
                self.mark("losses end");
                self.run.show(&format!("round {round} of {}", self.arguments.rounds));
            }
        }
        load.end()
    }

    /// The one that is hit.
    fn one(&self) -> &Reader {
        &self.readers[self.readers.len() - 1]
    }

    /// Notes what was done just now.
    fn mark(&mut self, what: &str) {
        self.marks.push((self.run.at_s(), what.to_owned()));
    }

    fn lose(&self) -> Result<(), String> {
        match self.arguments.of {
            Of::All => self.one().place.lose_everywhere(self.arguments.loss),
            Of::One => self.one().place.lose(self.arguments.loss),
        }
    }

    /// A window of this kind of the usual length.
    fn window(&mut self, load: &Load, kind: Kind) -> Result<(), String> {
        let lasting = Duration::from_secs_f64(self.arguments.seconds);
        self.window_lasting(load, kind, lasting)
    }

    fn window_lasting(&mut self, load: &Load, kind: Kind, lasting: Duration) -> Result<(), String> {
        self.weigh();
        self.watch(load, BETWEEN)?;
        self.window_while(load, kind, |bench| bench.watch(load, lasting))
    }

    /// A message published while `f` runs belongs to a window of this kind.
    fn window_while(
        &mut self,
        load: &Load,
        kind: Kind,
        f: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        load.set_window(self.windows.len() + 1);
        let (at_s, before) = (self.run.at_s(), load.published());
        f(self)?;
        load.set_window(0);
        let (seconds, published) = (self.run.at_s() - at_s, load.published() - before);
        self.windows.push(Window { kind, at_s, seconds, published });
        Ok(())
    }

    /// The last reader stands still, goes on, and catches up.
    fn stop(&mut self, load: &Load, lasting: Duration) -> Result<(), String> {
        let fails = |error: lockstep_io::IoError| error.to_string();
        self.window(load, Kind::Without)?;
        Signal::Stop.send(self.one().process.process()).map_err(fails)?;
        self.mark("the last reader stands still");
        self.run.show(&format!("the last reader stands still for {lasting:?}"));
        self.window_lasting(load, Kind::With, lasting)?;
        let lacks = self.lacks(load);
        Signal::Continue.send(self.one().process.process()).map_err(fails)?;
        self.mark("it goes on");
        let began = Instant::now();
        let close = (self.arguments.rate as f64 * CAUGHT_UP_SECONDS) as u64;
        self.window_while(load, Kind::CatchingUp, |bench| {
            while bench.lacks(load) > close {
                bench.watch(load, LOOK)?;
                if began.elapsed() > PATIENCE {
                    return Err(format!("it lacks {} messages still", bench.lacks(load)));
                }
            }
            Ok(())
        })?;
        self.caught_up = Some((began.elapsed(), lacks));
        self.mark("it has caught up");
        self.window(load, Kind::After)
    }

    /// What the last reader lacks, as far as it has said.
    fn lacks(&self, load: &Load) -> u64 {
        load.published().saturating_sub(self.one().at())
    }

    /// Lets it run.
    fn watch(&mut self, load: &Load, lasting: Duration) -> Result<(), String> {
        let until = Instant::now() + lasting;
        while Instant::now() < until {
            self.fleet.check_alive()?;
            if load.has_ended() {
                return Err(String::from("the load has ended by itself"));
            }
            if self.arguments.stop.is_some() {
                self.behind.push((self.run.at_s(), self.lacks(load) as f64));
            }
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Looks at everybody's memory: between windows, for that costs whom it looks at.
    fn weigh(&mut self) {
        let replicas = (1..).zip(self.fleet.pids()).map(|(id, pid)| (format!("replica {id}"), pid));
        let readers = (1..)
            .zip(&self.readers)
            .map(|(id, reader)| (format!("reader {id}"), reader.process.process().id()));
        for (name, pid) in replicas.chain(readers).chain([("load".to_owned(), std::process::id())]) {
            let bytes = resident_bytes(pid).unwrap_or(0);
            let memory = self.memory.entry(name).or_insert(Memory { first: bytes, most: bytes });
            memory.most = memory.most.max(bytes);
        }
    }

    /// Waits until everybody has everything.
    fn finish(mut self, leader: u32, published: Published) -> Result<(Found, Run), String> {
        let mut reads = Vec::new();
        for (id, reader) in (1..).zip(&mut self.readers) {
            reader.process.write(published.messages).map_err(|error| format!("reader {id}: {error}"))?;
        }
        for (id, reader) in (1..).zip(&self.readers) {
            let read = reader.read.recv_timeout(PATIENCE);
            reads.push(*read.map_err(|_| {
                format!(
                    "reader {id} has {} of {} messages; its words are above",
                    reader.at(),
                    published.messages
                )
            })?);
        }
        let replicas = self.fleet.counters()?;
        let counts = |counter: Counter| -> Vec<u64> {
            let name = counter.name();
            replicas.iter().map(|replica| replica.value(name).unwrap_or(0)).collect()
        };
        let counted = COUNTED.map(|(_, counter)| counts(counter));
        let next = reads[0].next;
        self.fleet.await_stored(next)?;
        let Self { run, fleet, memory, windows, caught_up, behind, marks, .. } = self;
        let journals = fleet.end(next)?;
        let found =
            Found { leader, published, reads, windows, memory, caught_up, behind, marks, counted, journals };
        Ok((found, run))
    }
}
