//! # lockstep-peers: lockstep beside what people would pick instead
//!
//! The same work for every system, on the same three nodes, in one run: a client submits 64 B and waits until
//! it sees it delivered in the total order. Closed loop, open loop, as much as goes through, and the gap
//! after `kill -9` of the leader; each system with the settings that it comes with and with the best that its
//! documents tell. `README.md` beside this has the settings and how to read the table.

mod absent;
mod adapters;
#[cfg(feature = "aeron")]
mod aeron;
#[cfg(feature = "corosync")]
mod corosync;
mod daemons;
#[cfg(feature = "etcd")]
mod etcd;
mod ground;
mod lockstep;
mod measure;
mod nats;
mod peer;
mod raw;
mod turns;
mod zookeeper;

#[cfg(not(feature = "aeron"))]
use absent::aeron;
#[cfg(not(feature = "corosync"))]
use absent::corosync;
#[cfg(not(feature = "etcd"))]
use absent::etcd;
use adapters::ADAPTERS;
use clap::Parser;
use ground::{Ground, Steps};
use lockstep_bench::environment;
use lockstep_bench::results::{Output, Results, Round, Row, RunResult, Unit};
use measure::{Failover, Session};
use peer::System;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Measures lockstep and its peers side by side.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Only these: names as the table has them, like `raw,lockstep,etcd`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds; each starts every system once, the floor first.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each loop in each round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Messages per second of the open loop, and while leaders are killed.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// How often each leader is killed; 0 leaves that out.
    #[arg(long, default_value_t = 5)]
    kills: usize,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    steps: Steps,
    /// The raw forwarder.
    #[arg(long, hide = true)]
    forward: bool,
    /// With it: spin.
    #[arg(long, hide = true)]
    spin: bool,
    #[command(flatten)]
    aeron: aeron::Process,
}

/// What a limit that holds ends the program with, as in lockstep-bench.
const FAILED: u8 = 3;

fn main() -> ExitCode {
    // The replicas are this very program, so that no older one is measured by mistake.
    if let Some(code) = lockstep_bench::as_lockstep() {
        return code;
    }
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lockstep-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.forward {
        return raw::forward(arguments.spin).map(|()| ExitCode::SUCCESS);
    }
    if let Some(ended) = arguments.aeron.run() {
        return ended.map(|()| ExitCode::SUCCESS);
    }
    let known: Vec<&str> = ADAPTERS.iter().map(|adapter| adapter.name).collect();
    if let Some(unknown) = arguments.only.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("--only: there is no peer '{unknown}'; there are {}", known.join(", ")));
    }
    if !(0.1..=3600.0).contains(&arguments.seconds) {
        return Err(String::from("--seconds: from 0.1 to 3600"));
    }
    if let Some(status) = arguments.steps.next()? {
        return Ok(status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from));
    }
    let mut bench = Bench::new(arguments)?;
    for round in 0..arguments.rounds {
        bench.each(&format!("round {} of {}", round + 1, arguments.rounds), Bench::round, |_| true);
    }
    if arguments.kills > 0 {
        bench.each("failover", Bench::failover, |system| system.has_leader);
    }
    let reasons = bench.skipped.values().map(|line| line.lines().next().unwrap_or_default().to_owned());
    bench.results.notes.extend(reasons);
    match arguments.output.give(&bench.results)? {
        RunResult::Passed => Ok(ExitCode::SUCCESS),
        RunResult::Failed => Ok(ExitCode::from(FAILED)),
    }
}

/// A system's name in results.
fn subject(system: &System) -> String {
    format!("{}-{}", system.name, system.tuning.name())
}

struct Bench<'a> {
    arguments: &'a Arguments,
    ground: Ground,
    systems: Vec<System>,
    results: Results,
    began: Instant,
    /// A measure that no longer runs, and the line that says so.
    skipped: BTreeMap<String, String>,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self, String> {
        let mut results =
            Results::begin("peers", "lockstep and its peers, side by side", environment::facts());
        results.command = command();
        let (mut systems, mut skipped) = (Vec::new(), BTreeMap::new());
        let wanted: BTreeSet<&str> = arguments.only.iter().map(String::as_str).collect();
        for adapter in ADAPTERS {
            if !wanted.is_empty() && !wanted.contains(adapter.name) {
                continue;
            }
            match (adapter.version)() {
                Ok(version) => {
                    for system in (adapter.systems)() {
                        let System { settings, delivered, .. } = system;
                        results.tell(
                            &subject(&system),
                            format!("{version}; {settings}; delivered: {delivered}"),
                        );
                        systems.push(system);
                    }
                }
                Err(why) => {
                    let line = format!("SKIPPED: {}: {why}", adapter.name);
                    eprintln!("{line}");
                    skipped.insert(adapter.name.to_owned(), line);
                }
            }
        }
        results.tell("work", "64 B, one client on node 3, which holds a daemon too and is never killed");
        results.tell(
            "order",
            "in each round every system is started, warmed up, measured and ended; then the kills",
        );
        results.tell("windows", format!("{:?} messages under way, the best is shown", measure::WINDOWS));
        Ok(Self {
            arguments,
            ground: arguments.steps.ground()?,
            systems,
            results,
            began: Instant::now(),
            skipped,
        })
    }

    /// Does something with each system that still takes part. One that fails is left out from then on.
    fn each(
        &mut self,
        what: &str,
        mut act: impl FnMut(&mut Self, &System) -> Result<(), String>,
        wants: impl Fn(&System) -> bool,
    ) {
        for system in std::mem::take(&mut self.systems) {
            let subject = subject(&system);
            if wants(&system) && !self.skipped.contains_key(&subject) {
                eprintln!("peers: {:>5.0} s: {what}: {subject}", self.began.elapsed().as_secs_f64());
                if let Err(why) = act(self, &system) {
                    let line = format!("SKIPPED: {subject}: {what}: {why}");
                    eprintln!("{line}");
                    self.skipped.insert(subject, line);
                }
            }
            self.systems.push(system);
        }
    }

    fn start(&self, system: &System) -> Result<(Session, Ground), String> {
        let ground = self.ground.anew()?;
        Ok((Session::new((system.start)(&ground, system.tuning)?), ground))
    }

    /// One system's turn in a round.
    fn round(&mut self, system: &System) -> Result<(), String> {
        let lasts = Duration::from_secs_f64(self.arguments.seconds);
        let rate = self.arguments.rate;
        let at_s = self.began.elapsed().as_secs_f64();
        let (mut session, _ground) = self.start(system)?;
        session.await_whole(rate)?;
        let closed = session.closed(system.warm_up, lasts)?;
        let paced = session.paced(rate, lasts)?;
        let [throughput, cost] = session.flood(lasts)?;
        let open = format!("open loop, 64 B, {rate}/s from intended times");
        for (case, unit, round) in [
            ("closed loop, 64 B, one under way", Unit::Nanos, closed),
            (open.as_str(), Unit::Nanos, paced),
            ("throughput, 64 B", Unit::MessagesPerSecond, throughput),
            ("CPU s per million, at that throughput", Unit::SecondsPerMillion, cost),
        ] {
            self.add(case, unit, system, Round { at_s, ..round });
        }
        Ok(())
    }

    /// One system's leaders, killed.
    fn failover(&mut self, system: &System) -> Result<(), String> {
        let (mut session, _ground) = self.start(system)?;
        let (rate, kills, began) = (self.arguments.rate, self.arguments.kills, self.began);
        session.closed(system.warm_up, Duration::ZERO)?;
        let (mut never, mut again) = (0, 0);
        session.failover(rate, kills, |Failover { victim, gap, calm, missing, twice }| {
            eprintln!(
                "peers: node {victim} killed: gap {gap:.1?}, before {calm:.1?}, {missing} never came, {twice} twice"
            );
            let at_s = began.elapsed().as_secs_f64();
            for (case, found) in
                [("gap after kill -9 of the leader", gap), ("longest gap of the second before", calm)]
            {
                let round = Round { at_s, ..Round::value(found.as_nanos() as f64) };
                self.add(&format!("{case}, {rate}/s"), Unit::Nanos, system, round);
            }
            (never, again) = (never + missing, again + twice);
        })?;
        for (count, what) in [(never, "never came"), (again, "came twice")] {
            if count > 0 {
                let words = format!("{count} messages of {} {what} around a kill", subject(system));
                self.results.notes.push(words);
            }
        }
        Ok(())
    }

    fn add(&mut self, case: &str, unit: Unit, system: &System, round: Round) {
        let subject = subject(system);
        let words = format!("{}, {}", system.name, system.tuning.name());
        let row = Row::new(case, &subject, &words, unit).as_floor(system.is_floor);
        self.results.add(row.over([("bytes", peer::PAYLOAD_LEN as f64)]), round);
    }
}

/// The command line as it was typed: without what this program tells itself.
fn command() -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = std::env::args();
    while let Some(word) = rest.next() {
        if word == "--from" || word == "--holders" {
            rest.next();
        } else {
            words.push(word);
        }
    }
    words
}
