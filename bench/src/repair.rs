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
//! An open loop: each message has an intended time, and its latency runs from there to its delivery as committed
//! at each reader. The conditions alternate within the run, and each ratio is that of two neighbours. All clocks
//! are one.
//!
//! What may happen: every path loses a share of its packets (`--of all`); only those to the last reader do (`--of
//! one`): then the others are measured, and it must not hurt them; the last reader stands still (`--stop`),
//! catches up, and the others must not notice.

mod load;
mod reader;

pub use reader::{ReaderArguments, read};

use crate::cluster::{Cluster, Site};
use crate::environment;
use crate::fleet::Fleet;
use crate::place::{self, Holders, Place};
use crate::stats::{HEADS, Spread, Summary, cell, paired};
use clap::ValueEnum;
use load::{Load, Published};
use lockstep::client::Endpoint;
use lockstep::engine::counters::Counter;
use lockstep::io::cpu::{self, resident_bytes};
use lockstep::io::idle::Idle;
use lockstep::io::signal::Signal;
use reader::{Read, Said};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Replicas.
const REPLICAS: usize = 3;
/// Windows that a reader keeps apart; 0 is none that counts.
const WINDOWS_MAX: usize = 64;
/// The shortest message: number, time, window.
const SIZE_MIN: usize = 18;
/// Nothing is counted before.
const WARM_UP: Duration = Duration::from_secs(1);
/// Between two windows: what is still under way belongs to neither.
const BETWEEN: Duration = Duration::from_millis(300);
/// How long readers may take to start, and to have everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Who is no further behind has caught up: what comes in a tenth of a second is on its way.
const CAUGHT_UP_SECONDS: f64 = 0.1;

fn window_of(payload: &[u8]) -> usize {
    payload
        .get(16..18)
        .and_then(|word| word.try_into().ok())
        .map_or(0, |word| u16::from_le_bytes(word).into())
}

fn write_window(payload: &mut [u8], window: usize) {
    payload[16..SIZE_MIN].copy_from_slice(&(window as u16).to_le_bytes());
}

/// Who loses something.
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
    /// What replicas, readers and load do when there is nothing to do: `spin`, `yield` or `park`; by default as
    /// the number of cores has it.
    #[arg(long)]
    idle: Option<Idle>,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Who holds the network.
    #[arg(long, hide = true)]
    holders: Option<Holders>,
}

/// A share like `0.01%`, in a million.
fn per_million(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').ok_or("give a share with %, like 0.01%")?;
    let percent: f64 = number.trim().parse().map_err(|_| format!("'{number}' is no number"))?;
    let share = (percent * 1e4).round();
    if (1.0..=999_999.0).contains(&share) { Ok(share as u32) } else { Err("0.0001% to 99.9999%".into()) }
}

/// Measures, prints, and judges.
///
/// # Errors
/// Something lost, doubled, out of order or unequal; a reader that does not catch up.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.size < SIZE_MIN {
        return Err(format!("--size: a message has number, time and window, {SIZE_MIN} bytes at least"));
    }
    let readers = arguments.readers as usize;
    if readers < 2 && (arguments.of == Of::One || arguments.stop.is_some()) {
        return Err(String::from(
            "--readers: beside the one that is hit there must be another to be measured",
        ));
    }
    let Some(holders) = &arguments.holders else {
        return match place::run_in_network(REPLICAS + readers, "repair over a network that loses")? {
            Some(status) if !status.success() => Err(String::from("it failed in its network, as said above")),
            _ => Ok(()),
        };
    };
    let (mut places, mut addresses) = Place::nodes(holders)?;
    let readers = places.split_off(REPLICAS);
    addresses.truncate(REPLICAS);
    let site = Site { interface: "eth0", ttl: 1, addresses, keeps_all: true, ..Site::loopback(0) };
    // Replicas, readers, load.
    let threads = REPLICAS + readers.len() + 1;
    let idle = arguments.idle.unwrap_or_else(|| Idle::for_machine(threads, cpu::cores().len()));
    let cluster = Cluster::on(&site, idle)?;
    let mut environment = environment::lines();
    environment.push(format!("threads    {threads} on {} cores, idle {idle}", cpu::cores().len()));
    let (endpoint, path) = (cluster.config.endpoint(), cluster.path());
    let mut fleet = Fleet::start(cluster, places)?;
    let leader = fleet.await_whole()?;
    let readers =
        readers.into_iter().map(|place| Reader::start(place, &path)).collect::<Result<Vec<_>, _>>()?;
    let mut bench =
        Bench { arguments, fleet, readers, memory: BTreeMap::new(), windows: Vec::new(), caught_up: None };
    let published = bench.measure(&endpoint)?;
    bench.finish(leader, published, &environment)
}

/// A reader's process.
struct Reader {
    place: Place,
    child: Child,
    at: Arc<AtomicU64>,
    read: Receiver<Box<Read>>,
}

impl Reader {
    fn start(place: Place, config: &std::path::Path) -> Result<Self, String> {
        let fails = |error: std::io::Error| format!("starting a reader: {error}");
        let mut command = place.command(std::env::current_exe().map_err(fails)?);
        command.args(["reader", "--config"]).arg(config);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(fails)?;
        let out = child.stdout.take().ok_or("a reader has no output")?;
        let (at, (ready, is_ready), (to, read)) = (Arc::new(AtomicU64::new(0)), channel(), channel());
        let theirs = Arc::clone(&at);
        std::thread::spawn(move || follow(BufReader::new(out), &theirs, &ready, &to));
        let reader = Self { place, child, at, read };
        is_ready.recv_timeout(PATIENCE).map_err(|_| "a reader does not listen; its words are above")?;
        Ok(reader)
    }

    fn at(&self) -> u64 {
        self.at.load(Ordering::Acquire)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Takes what a reader says, to its end.
fn follow(out: impl BufRead, at: &AtomicU64, ready: &Sender<()>, to: &Sender<Box<Read>>) {
    for said in out.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()) {
        let went = match said {
            Said::Ready => ready.send(()).is_ok(),
            Said::At(messages) => {
                at.store(messages, Ordering::Release);
                true
            }
            Said::Read(read) => to.send(read).is_ok(),
        };
        if !went {
            return;
        }
    }
}

/// What a window was like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Without,
    With,
    CatchingUp,
    After,
}

/// What a process holds, in bytes: when counting began, and at most.
#[derive(Clone, Copy, Default, Debug)]
struct Memory {
    first: u64,
    most: u64,
}

struct Bench<'a> {
    arguments: &'a Arguments,
    fleet: Fleet,
    readers: Vec<Reader>,
    memory: BTreeMap<String, Memory>,
    /// Window 1 first.
    windows: Vec<Kind>,
    /// How long the one that stood still took, and what it lacked.
    caught_up: Option<(Duration, u64)>,
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
                self.window(&load, Kind::With)?;
                self.one().place.heal()?;
                self.say(&format!("round {round} of {}", self.arguments.rounds));
            }
        }
        load.end()
    }

    /// The one that is hit.
    fn one(&self) -> &Reader {
        &self.readers[self.readers.len() - 1]
    }

    fn say(&self, what: &str) {
        if !self.arguments.json {
            eprintln!("repair: {what}");
        }
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
        self.begin(load, kind)?;
        self.watch(load, lasting)?;
        load.set_window(0);
        Ok(())
    }

    fn begin(&mut self, load: &Load, kind: Kind) -> Result<(), String> {
        self.weigh();
        self.watch(load, BETWEEN)?;
        self.windows.push(kind);
        load.set_window(self.windows.len());
        Ok(())
    }

    /// The last reader stands still, goes on, and catches up.
    fn stop(&mut self, load: &Load, lasting: Duration) -> Result<(), String> {
        let fails = |error: lockstep::io::IoError| error.to_string();
        self.window(load, Kind::Without)?;
        Signal::Stop.send(&self.one().child).map_err(fails)?;
        self.say(&format!("the last reader stands still for {lasting:?}"));
        self.begin(load, Kind::With)?;
        self.watch(load, lasting)?;
        load.set_window(0);
        let lacks = load.published().saturating_sub(self.one().at());
        Signal::Continue.send(&self.one().child).map_err(fails)?;
        let began = Instant::now();
        self.windows.push(Kind::CatchingUp);
        load.set_window(self.windows.len());
        let close = (self.arguments.rate as f64 * CAUGHT_UP_SECONDS) as u64;
        while load.published().saturating_sub(self.one().at()) > close {
            self.watch(load, LOOK)?;
            if began.elapsed() > PATIENCE {
                return Err(format!("it lacks {} messages still", load.published() - self.one().at()));
            }
        }
        self.caught_up = Some((began.elapsed(), lacks));
        load.set_window(0);
        self.window(load, Kind::After)
    }

    /// Lets it run.
    fn watch(&mut self, load: &Load, lasting: Duration) -> Result<(), String> {
        let until = Instant::now() + lasting;
        while Instant::now() < until {
            self.fleet.check_alive()?;
            if load.has_ended() {
                return Err(String::from("the load has ended by itself"));
            }
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Looks at everybody's memory: between windows, for that costs whom it looks at.
    fn weigh(&mut self) {
        let replicas = (1..).zip(self.fleet.pids()).map(|(id, pid)| (format!("replica {id}"), pid));
        let readers =
            (1..).zip(&self.readers).map(|(id, reader)| (format!("reader {id}"), reader.child.id()));
        for (name, pid) in replicas.chain(readers).chain([("load".to_owned(), std::process::id())]) {
            let bytes = resident_bytes(pid).unwrap_or(0);
            let memory = self.memory.entry(name).or_insert(Memory { first: bytes, most: bytes });
            memory.most = memory.most.max(bytes);
        }
    }

    /// Waits until everybody has everything, compares, and prints.
    fn finish(mut self, leader: u32, published: Published, environment: &[String]) -> Result<(), String> {
        let mut reads = Vec::new();
        for (id, reader) in (1..).zip(&mut self.readers) {
            let input = reader.child.stdin.as_mut().ok_or("a reader has no input")?;
            writeln!(input, "{}", published.messages)
                .map_err(|error| format!("telling reader {id}: {error}"))?;
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
            let name = Counter::NAMES[counter as usize];
            replicas.iter().map(|replica| replica.value(name).unwrap_or(0)).collect()
        };
        let counted = COUNTED.map(|(words, counter)| (words, counts(counter)));
        let next = reads[0].next;
        self.fleet.await_stored(next)?;
        let Self { arguments, fleet, memory, windows, caught_up, .. } = self;
        let journals = fleet.end(next)?;
        let report =
            Report { arguments, leader, published, reads, windows, memory, caught_up, counted, journals };
        if arguments.json {
            println!("{}", report.json(environment)?);
        } else {
            environment.iter().for_each(|line| println!("{line}"));
            report.print();
        }
        report.judge()
    }
}

/// What is told of each replica.
const COUNTED: [(&str, Counter); 7] = [
    ("requests heard", Counter::NacksIn),
    ("frames repaired", Counter::RepairsOut),
    ("of them by a leader", Counter::RepairsLed),
    ("of them to all at once", Counter::RepairsMulticast),
    ("ranges referred", Counter::NacksReferred),
    ("ranges limited", Counter::NacksLimited),
    ("receivers given up", Counter::RequestersDropped),
];

struct Report<'a> {
    arguments: &'a Arguments,
    leader: u32,
    published: Published,
    reads: Vec<Read>,
    windows: Vec<Kind>,
    memory: BTreeMap<String, Memory>,
    caught_up: Option<(Duration, u64)>,
    counted: [(&'static str, Vec<u64>); COUNTED.len()],
    journals: Vec<String>,
}

impl Report<'_> {
    /// The readers that are measured: all, or all but the one that is hit.
    fn measured(&self) -> &[Read] {
        let spared = self.arguments.of == Of::One || self.arguments.stop.is_some();
        &self.reads[..self.reads.len() - usize::from(spared)]
    }

    fn kinds(&self) -> Vec<(Kind, String)> {
        let what = format!("{}%", f64::from(self.arguments.loss) / 1e4);
        let with = match (self.arguments.stop, self.arguments.of) {
            (Some(seconds), _) => format!("one stands still, {seconds} s"),
            (None, Of::All) => format!("every path loses {what}"),
            (None, Of::One) => format!("one loses {what}"),
        };
        let all = [
            (Kind::Without, String::from("nothing is lost")),
            (Kind::With, with),
            (Kind::CatchingUp, String::from("it catches up")),
            (Kind::After, String::from("afterwards")),
        ];
        all.into_iter().filter(|(kind, _)| self.windows.contains(kind)).collect()
    }

    /// Figures of each window of this kind at each measured reader, in one order.
    fn figures(&self, kind: Kind, column: usize) -> Vec<Option<f64>> {
        let windows = (1..).zip(&self.windows).filter(|(_, known)| **known == kind).map(|(number, _)| number);
        let of = |window: usize| {
            self.measured()
                .iter()
                .map(move |read| read.windows.get(window).and_then(|row: &Summary| row[column]))
        };
        windows.flat_map(of).collect()
    }

    fn print(&self) {
        let Arguments { rate, size, seconds, rounds, .. } = self.arguments;
        println!(
            "\npublish -> committed at {rate}/s of {size} B, {} of {} readers, windows of {seconds} s, {rounds} of each; \
             us, median [min-max] of windows and readers",
            self.measured().len(),
            self.reads.len()
        );
        print!("{:<26}", "");
        HEADS.iter().for_each(|head| print!("{head:>24}"));
        println!("{:>20}", "p99 / without");
        for (kind, words) in self.kinds() {
            print!("{words:<26}");
            for column in 0..HEADS.len() {
                let spread = Spread::of(self.figures(kind, column).into_iter().flatten());
                print!("{:>24}", cell(spread.map(|spread| spread.scaled(1e-3)), 0));
            }
            let ratio = paired(&self.figures(kind, 1), &self.figures(Kind::Without, 1));
            println!("{:>20}", cell(ratio, 2));
        }
        println!(
            "\n{:<26}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            "", "gaps", "requests", "repairs", "reasons", "replays", "replayed"
        );
        for (id, read) in (1..).zip(&self.reads) {
            let Read { gaps, requests, repairs, refusals, replays, replayed, .. } = *read;
            let name = format!("reader {id}");
            println!(
                "{name:<26}{gaps:>12}{requests:>12}{repairs:>12}{refusals:>12}{replays:>12}{replayed:>12}"
            );
        }
        print!("\n{:<26}", "");
        for id in 1..=self.journals.len() as u32 {
            print!("{:>18}", format!("replica {id}{}", if id == self.leader { ", leads" } else { "" }));
        }
        println!();
        for (words, counts) in &self.counted {
            print!("{words:<26}");
            counts.iter().for_each(|count| print!("{count:>18}"));
            println!();
        }
        println!("\n{:<26}{:>18}{:>18}", "MiB resident", "at first", "at most");
        for (name, Memory { first, most }) in &self.memory {
            println!("{name:<26}{:>18.1}{:>18.1}", mebibytes(*first), mebibytes(*most));
        }
        let Published { messages, resends, backpressure, late_ns } = self.published;
        println!(
            "\n{messages} messages; {resends} datagrams sent again, window full {backpressure} times, handed over up to \
             {:.1} ms late",
            late_ns as f64 / 1e6
        );
        if let Some((took, lacked)) = self.caught_up {
            println!(
                "the one that stood still lacked {lacked} messages and had caught up after {:.2} s",
                took.as_secs_f64()
            );
        }
        match self.judge() {
            Ok(()) => println!(
                "equal digests at {} readers and {} journals, nothing lost, doubled or out of order",
                self.reads.len(),
                self.journals.len()
            ),
            Err(wrong) => println!("WRONG: {wrong}"),
        }
    }

    fn json(&self, environment: &[String]) -> Result<String, String> {
        let rows: serde_json::Map<_, _> = self
            .kinds()
            .into_iter()
            .map(|(kind, words)| {
                let figures: serde_json::Map<_, _> = (0..HEADS.len())
                    .map(|column| {
                        let spread = Spread::of(self.figures(kind, column).into_iter().flatten());
                        (format!("{}_ns", HEADS[column]), Spread::json(spread))
                    })
                    .chain([(
                        String::from("p99_ratio"),
                        Spread::json(paired(&self.figures(kind, 1), &self.figures(Kind::Without, 1))),
                    )])
                    .collect();
                (words, figures.into())
            })
            .collect();
        let counted: serde_json::Map<_, _> =
            self.counted.iter().map(|(words, counts)| ((*words).to_owned(), counts.clone().into())).collect();
        let memory: serde_json::Map<_, _> = self
            .memory
            .iter()
            .map(|(name, memory)| (name.clone(), serde_json::json!([memory.first, memory.most])))
            .collect();
        let Published { messages, resends, backpressure, late_ns } = self.published;
        let value = serde_json::json!({
            "environment": environment,
            "rate": self.arguments.rate,
            "size": self.arguments.size,
            "rows": rows,
            "readers": self.reads,
            "leader": self.leader,
            "replicas": counted,
            "memory_bytes": memory,
            "published": messages,
            "resends": resends,
            "backpressure": backpressure,
            "late_ns": late_ns,
            "caught_up_s": self.caught_up.map(|(took, _)| took.as_secs_f64()),
            "lacked": self.caught_up.map(|(_, lacked)| lacked),
            "wrong": self.judge().err(),
        });
        serde_json::to_string_pretty(&value).map_err(|error| error.to_string())
    }

    /// Whether everybody has everything, once, in one order.
    fn judge(&self) -> Result<(), String> {
        let (digest, messages) = (&self.reads[0].digest, self.published.messages);
        for (id, read) in (1..).zip(&self.reads) {
            let id: u32 = id;
            if read.messages != messages || read.wrong > 0 {
                return Err(format!(
                    "reader {id} has {} of {messages} messages, {} wrong",
                    read.messages, read.wrong
                ));
            }
            if read.digest != *digest {
                return Err(format!("reader {id} has the digest {}, reader 1 {digest}", read.digest));
            }
        }
        match (1..).zip(&self.journals).find(|(_, journal)| *journal != digest) {
            Some((id, journal)) => {
                let id: u32 = id;
                Err(format!("journal {id} has the digest {journal}, the readers {digest}"))
            }
            None => Ok(()),
        }
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_in_a_million_and_nonsense_refused() {
        assert_eq!(per_million("0.01%"), Ok(100));
        assert_eq!(per_million("50%"), Ok(500_000));
        assert!(["1", "0%", "100%", "x%"].iter().all(|text| per_million(text).is_err()));
    }

    #[test]
    fn a_message_says_which_window_it_belongs_to() {
        let mut payload = [0; SIZE_MIN];
        write_window(&mut payload, 63);
        assert_eq!((window_of(&payload), window_of(&payload[..17])), (63, 0));
    }
}
