//! # day: an endurance run
//!
//! ```text
//!   client ─▶ leader, 2 standbys ─▶ client (twice), subscribe, feed, application with snapshots, archiver
//!   orders ─▶ gateway ─▶ leader … ─▶ application ─▶ gateway ─▶ answers
//!             ▲ handover, kill -9, handover …: each `--takeover`         each `--every`: a row of the run
//! ```
//!
//! Each period is a trading day. Everybody is a process of this program. What counts is that nothing is lost,
//! that all readers and journals agree at the end, and that no process grows: [`flat`] compares the last
//! period with the second one.
//!
//! Retention never removes segments of the newest frame's UTC day (DECISIONS 11), and a run lies within a day
//! or two. So a process whose journal is larger than `--journal` is restarted in order, and its oldest
//! segments are removed before, as an operator does it (`lockstep journal trim`).

mod application;
pub mod flat;
pub mod orders;
pub mod period;
mod scene;

pub use application::{ApplicationArguments, run as apply};

use crate::check::SIZE_MIN;
use crate::cluster;
use crate::environment;
use crate::failover::How;
use crate::failover::load::{Ended, Load, Seen, Totals};
use crate::flags;
use crate::harness::Run;
use crate::results::{Output, RunResult};
use crate::worker::Worker;
use flat::{Bound, PERIODS_MIN, growths};
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_process::stop::Stop;
use lockstep_wire::{Epoch, Nanos};
use orders::Orders;
use period::{Faults, Gaps, Levels, Period, Samples};
use scene::Scene;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Samples of each period, about.
const SAMPLES: u32 = 100;
/// The shortest and the longest time between two samples.
const SAMPLE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];
/// A process that is younger is not warm: a quarter of a period, and at most this.
const YOUNG: Duration = Duration::from_secs(60);
/// Between two looks at what the load has seen; a takeover is not timed by them.
const LOOK: Duration = Duration::from_millis(5);
/// Deliveries so long behind a strike are still around the takeover.
const AROUND_NS: Nanos = 250_000_000;
/// A takeover that is not over by then never will be.
const TAKEOVER_NS: Nanos = 10_000_000_000;
/// A leader that does not hand over now may do so later: how often it is asked, and the time between.
const HANDOVERS: u32 = 10;
const AGAIN_NS: Nanos = 500_000_000;
/// So many seconds of the stream stay in a journal whose oldest segments are removed.
const STAYS_SECONDS: u64 = 10;

/// How long, how much, how often.
#[derive(clap::Args)]
pub struct Arguments {
    /// How long the run is; SIGTERM ends it earlier, with what was found until then.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = flags::lasts(Duration::from_secs(1)))]
    duration: Duration,
    /// From one row to the next.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = flags::lasts(Duration::from_secs(1)))]
    every: Duration,
    /// From one takeover to the next: a planned handover and a kill -9 by turns.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = flags::lasts(Duration::from_secs(1)))]
    takeover: Duration,
    /// Messages per second.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = cluster::MESSAGE_LEN)]
    size: usize,
    /// Orders per second of the gateway's client.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    orders: u64,
    /// Entries from one snapshot of the application to the next.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    snapshot_every: u64,
    /// A process whose journal is larger is restarted in order, without the oldest segments.
    #[arg(long, value_name = "BYTES", default_value = "8GiB", value_parser = flags::amount)]
    journal: u64,
    /// How much more memory in the last period than in the second is no growth, beside a share.
    #[arg(long, value_name = "BYTES", default_value = "2MiB", value_parser = flags::amount)]
    growth: u64,
    /// That share.
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    growth_percent: f64,
    /// How replicas and clients wait when there is nothing to do: `adapt`, `spin`, `yield` or `park`.
    #[arg(long, default_value_t = Idle::Adapt)]
    idle: Idle,
    #[command(flatten)]
    output: Output,
}

/// Runs it, and judges what was found.
///
/// # Errors
/// Something lost, doubled, out of order or unequal; a takeover that did not come, a process that ended.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    if !(SIZE_MIN..=1_000).contains(&arguments.size) {
        return Err(format!("--size: a message has its number and its time, {SIZE_MIN} to 1000 bytes"));
    }
    let title = "a long run with takeovers: latency, losses, memory, descriptors, disk";
    let mut run = Run::begin("day", title, environment::facts());
    let stop = Stop::by_signals().map_err(|error| error.to_string())?;
    let scene = Scene::start(arguments)?;
    run.results.configure(&scene.config);
    tell(&mut run, arguments);
    let endpoint = cluster::endpoint(&scene.config)?;
    let clock = Clock::start();
    let trader = orders::start(scene.listens, arguments.orders)?;
    let load = Load::recording(&endpoint, clock, arguments.rate, arguments.size)?;
    let course = Course {
        arguments,
        stop,
        clock,
        origin: clock.now(),
        scene,
        load,
        trader: Some(trader),
        orders: Orders::default(),
        wrongs: Vec::new(),
        totals: Totals::default(),
        epoch: Epoch::NONE,
        epochs: 0,
        strikes: 0,
        restarts: 0,
        gaps: Gaps::default(),
        due: 0,
        samples: BTreeMap::new(),
        takeovers: Vec::new(),
        restarted: 0,
        periods: 0,
        second: Levels::new(),
        last: Levels::new(),
    };
    let grown = course.all(&mut run).unwrap_or_else(|error| {
        // The rows so far are given out all the same.
        run.results.wrongs.push(error);
        Vec::new()
    });
    grown.iter().for_each(|line| eprintln!("lockstep-bench: {line}"));
    let result = run.finish(&arguments.output)?;
    Ok(if grown.is_empty() { result } else { RunResult::Failed })
}

/// Records how it is measured.
fn tell(run: &mut Run, arguments: &Arguments) {
    let Arguments { duration, every, takeover, rate, size, orders, journal, idle, .. } = arguments;
    run.tell("clock", "monotonic, one for all processes");
    run.tell("cores", cpu::cores().len());
    run.tell("idle", idle);
    run.tell("loop", format!("open: {rate}/s of {size} B, each at its intended time"));
    run.tell("orders", format!("{orders}/s through a gateway, which an application acknowledges"));
    run.tell("rounds", format!("{every:?} each, for {duration:?}; the first is the warm-up"));
    run.tell("takeovers", format!("each {takeover:?}: handover and kill -9 by turns"));
    run.tell("journals", format!("a process with more than {journal} B is restarted without the oldest"));
    run.tell("growth", arguments.bound());
}

impl Arguments {
    fn bound(&self) -> Bound {
        Bound { bytes: self.growth, share: self.growth_percent / 100.0 }
    }

    /// How old a process must be to count.
    fn young_ns(&self) -> Nanos {
        (self.every / 4).min(YOUNG).as_nanos() as Nanos
    }
}

struct Course<'a> {
    arguments: &'a Arguments,
    stop: Stop,
    clock: Clock,
    origin: Nanos,
    /// The client of the gateway, one for each trading day, and what those before it found.
    trader: Option<Worker<Orders>>,
    orders: Orders,
    /// The errors that they found.
    wrongs: Vec<String>,
    load: Load,
    scene: Scene,
    totals: Totals,
    /// The newest epoch that the `stamped` subscriber saw, and how many it saw.
    epoch: Epoch,
    epochs: u64,
    /// Leaders that were struck.
    strikes: u64,
    /// Processes that were restarted for room on the disk.
    restarts: u64,
    gaps: Gaps,
    /// The newest message that was delivered was due then.
    due: Nanos,
    /// Of this period: the samples of each process, takeovers and restarts.
    samples: BTreeMap<String, Samples>,
    takeovers: Vec<(How, Nanos)>,
    restarted: u64,
    /// Periods that are over, and the usage of each process in the second and in the last.
    periods: usize,
    second: Levels,
    last: Levels,
}

impl Course<'_> {
    /// All of it; a line for each growth.
    fn all(mut self, run: &mut Run) -> Result<Vec<String>, String> {
        let measured = self.measure(run);
        if let Err(error) = measured {
            // The error of the load is the cause.
            return Err(match self.load.end() {
                Err(wrong) => format!("{wrong}\n{error}"),
                Ok(_) => error,
            });
        }
        let (bound, mut grown) = (self.arguments.bound(), Vec::new());
        let notes = &mut run.results.notes;
        if self.periods >= PERIODS_MIN {
            for (name, level) in &self.last {
                if let (Some(Some(before)), Some(level)) = (self.second.get(name), level) {
                    grown.extend(growths(name, [before, level], bound));
                }
            }
            let words = if grown.is_empty() { "flat" } else { "WRONG" };
            notes.push(format!("memory and descriptors, last period over second: {words}"));
            notes.extend(grown.iter().cloned());
        } else {
            let few = self.periods;
            notes.push(format!(
                "memory and descriptors are judged from {PERIODS_MIN} periods on: there are {few}"
            ));
        }
        run.results.counts.insert("grown".to_owned(), grown.len() as u64);
        self.finish(run)?;
        Ok(grown)
    }

    /// Until all periods are over, or somebody stops it. On a slow host, where a takeover or the turn of a
    /// day takes long, that is later than the duration says: no period is left out.
    fn measure(&mut self, run: &mut Run) -> Result<(), String> {
        let Arguments { duration, every, takeover, .. } = self.arguments;
        let ns = |duration: &Duration| duration.as_nanos() as Nanos;
        let sample = (*every / SAMPLES).clamp(SAMPLE[0], SAMPLE[1]);
        let began = self.clock.now();
        let (mut period_began, mut before) = (began, self.totals);
        let mut left = *duration;
        let mut row_due = began + ns(every.min(duration));
        let (mut sample_due, mut takeover_due) = (began, began + ns(takeover) / 2);
        while !self.stop.flag().load(Ordering::Acquire) {
            self.look()?;
            let now = self.clock.now();
            if now >= sample_due {
                sample_due = now + ns(&sample);
                self.sample(run)?;
            }
            if now >= takeover_due {
                takeover_due += ns(takeover);
                self.takeover()?;
            }
            if now >= row_due {
                let period = self.period(period_began, before)?;
                (period_began, before) = (self.clock.now(), self.totals);
                eprintln!("{period}");
                period.record(&mut run.results, self.arguments.rate, self.arguments.size)?;
                self.periods += 1;
                self.last = period.levels;
                if self.periods == 2 {
                    self.second.clone_from(&self.last);
                }
                left = left.saturating_sub(*every);
                if left.is_zero() {
                    return Ok(());
                }
                self.turn_day()?;
                row_due = self.clock.now() + ns(every).min(ns(&left));
            }
        }
        run.results
            .notes
            .push("it was stopped before its time; a period that was not over is left out".into());
        Ok(())
    }

    /// The client of the gateway has all its answers, and the next trading day begins.
    fn turn_day(&mut self) -> Result<(), String> {
        self.end_trader()?;
        self.scene.turn_day(self.periods + 1)?;
        self.trader = Some(orders::start(self.scene.listens, self.arguments.orders)?);
        Ok(())
    }

    fn end_trader(&mut self) -> Result<(), String> {
        let trader = self.trader.take().ok_or("the client of the gateway was ended before")?;
        let orders = trader.end()?;
        self.wrongs.extend(orders.wrongs());
        self.orders.add(orders);
        Ok(())
    }

    /// Takes what the load has seen.
    fn look(&mut self) -> Result<(), String> {
        std::thread::sleep(LOOK);
        let Seen { delivered, epochs, totals } = self.load.take().ok_or("the load has ended")?;
        if totals != Totals::default() {
            self.totals = totals;
        }
        for one in delivered {
            self.gaps.delivered(one.at);
            self.due = self.due.max(one.due);
        }
        self.epochs += epochs.len() as u64;
        self.epoch = epochs.iter().map(|seen| seen.epoch).fold(self.epoch, Epoch::max);
        Ok(())
    }

    /// Samples the usage of each process; one whose journal is too large is restarted.
    fn sample(&mut self, run: &Run) -> Result<(), String> {
        self.scene.check_alive()?;
        let (now, young) = (self.clock.now(), self.arguments.young_ns());
        for (name, pid, usage) in self.scene.usages() {
            let samples = self.samples.entry(name).or_default();
            if samples.process.0 != pid {
                samples.process = (pid, now);
            }
            if now >= samples.process.1 + young {
                samples.usages.push(usage);
            }
        }
        let left = (self.origin + self.arguments.duration.as_nanos() as Nanos).saturating_sub(now);
        run.show(&format!("{} s left, {} messages so far", left / 1_000_000_000, self.totals.delivered[0]));
        let leader = self.epoch.leader().replica;
        // The leader waits for its next takeover.
        let full = self.scene.full(self.arguments.journal)?;
        if let Some(id) = full.into_iter().find(|id| *id != leader) {
            let before = self.trim_before();
            self.scene.restart(id, before)?;
            (self.restarts, self.restarted) = (self.restarts + 1, self.restarted + 1);
        }
        Ok(())
    }

    /// Up to which seq journals may go.
    fn trim_before(&mut self) -> u64 {
        let stays = self.arguments.rate * STAYS_SECONDS;
        self.scene.fleet.commit_next().saturating_sub(stays)
    }

    /// Takes the leader away, and waits until everybody is whole again.
    fn takeover(&mut self) -> Result<(), String> {
        let how = if self.strikes.is_multiple_of(2) { How::Handover } else { How::Kill };
        let (leader, before, struck) = self.strike(how)?;
        self.strikes += 1;
        let deadline = struck + TAKEOVER_NS;
        // Its first delivery is of a message that was due behind the strike.
        while self.epoch == before || self.due < struck || self.clock.now() < struck + AROUND_NS {
            self.look()?;
            if self.clock.now() > deadline {
                return Err(self.scene.fleet.describe(&format!("{}: somebody takes over", how.words())));
            }
        }
        self.takeovers.push((how, self.gaps.over()));
        let is_full = self.scene.full(self.arguments.journal)?.contains(&leader);
        let before = self.trim_before();
        self.scene
            .fleet
            .revive_behind(leader, how, |node| if is_full { scene::trim(node, before) } else { Ok(()) })?;
        self.scene.fleet.await_whole().map(|_| ())
    }

    /// The leader that was struck, its epoch, and when.
    fn strike(&mut self, how: How) -> Result<(u32, Epoch, Nanos), String> {
        let mut attempts = 1;
        loop {
            let (leader, before) = (self.epoch.leader().replica, self.epoch);
            self.gaps.strike(self.clock.now());
            match self.scene.fleet.strike(leader, how) {
                Ok(struck) => return Ok((leader, before, struck)),
                Err(error) if attempts == HANDOVERS => return Err(error),
                Err(_) => attempts += 1,
            }
            self.gaps.over();
            let until = self.clock.now() + AGAIN_NS;
            while self.clock.now() < until {
                self.look()?;
            }
        }
    }

    /// Ends a period that began so.
    fn period(&mut self, began: Nanos, before: Totals) -> Result<Period, String> {
        self.look()?;
        let of = |samples: &mut Samples| flat::Level::of(&std::mem::take(&mut samples.usages));
        let levels = self.samples.iter_mut().map(|(name, samples)| (name.clone(), of(samples)));
        let Totals { published, backpressure, outcomes_wrong, ref faults, .. } = self.totals;
        Ok(Period {
            number: self.periods + 1,
            at_s: (began - self.origin) as f64 / 1e9,
            seconds: (self.clock.now() - began) as f64 / 1e9,
            levels: levels.collect(),
            latencies: self.load.cut()?,
            published: published - before.published,
            faults: Faults {
                lost: faults.missing,
                twice: faults.duplicated,
                disordered: faults.reordered + outcomes_wrong,
            },
            backpressure: backpressure - before.backpressure,
            takeovers: std::mem::take(&mut self.takeovers),
            gap: self.gaps.elsewhere(),
            restarts: std::mem::take(&mut self.restarted),
            disks: self.scene.disks()?,
        })
    }

    /// Ends everybody in order, and compares all digests.
    fn finish(mut self, run: &mut Run) -> Result<(), String> {
        self.end_trader()?;
        let Self { mut scene, load, orders, wrongs, epochs, strikes, restarts, .. } = self;
        let results = &mut run.results;
        results.wrongs.extend(wrongs);
        scene.end_publishers()?;
        let ended = load.end()?;
        let whole = ended.whole.clone().ok_or("the load has no digest")?;
        let reader = scene.end_reader(whole.messages)?;
        let (differ, equal) = scene.end(ended.next)?;
        judge(results, &ended, [&whole.hex, &reader]);
        results.wrongs.extend(differ);
        if results.wrongs.is_empty() {
            results.tell(
                "digests",
                format!(
                    "equal at the client's 2 subscribers ({}), at `subscribe` and the client ({} of {} messages); equal \
                     entries in the journals of replica 1 and {equal}",
                    ended.digests[0], whole.hex, whole.messages
                ),
            );
        }
        let counts = [
            ("orders", orders.sent),
            ("takeovers", strikes),
            ("restarts", restarts),
            ("unasked", epochs.saturating_sub(1 + strikes)),
        ];
        results.counts.extend(counts.map(|(name, count)| (name.to_owned(), count)));
        results.notes.push(format!(
            "{} of {} orders were answered, in {} logins of their client",
            orders.answered, orders.sent, orders.logins
        ));
        Ok(())
    }
}

/// Counts, and the errors found, whatever the limits are.
fn judge(results: &mut crate::results::Results, ended: &Ended, [whole, reader]: [&str; 2]) {
    let totals = &ended.totals;
    let counts = [
        ("published", totals.published),
        ("retracted", totals.retracted),
        ("lost", totals.lost()),
        ("duplicated", totals.faults.duplicated),
        ("reordered", totals.faults.reordered + totals.outcomes_wrong),
        ("gaps", totals.gaps),
        ("resends", totals.resends),
        ("backpressure", totals.backpressure),
    ];
    results.counts.extend(counts.map(|(name, count)| (name.to_owned(), count)));
    for name in ["lost", "duplicated", "reordered"] {
        let count = results.counts[name];
        if count > 0 {
            results.wrongs.push(format!("{count} messages {name}"));
        }
    }
    let [committed, stamped] = &ended.digests;
    if committed != stamped {
        results.wrongs.push(format!("the client's digests differ: {committed} committed, {stamped} stamped"));
    }
    if whole != reader {
        results.wrongs.push(format!("the reader has the digest {reader}, the client has {whole}"));
    }
}
