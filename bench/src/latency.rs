//! # latency: what lockstep adds to the network that it stands on
//!
//! ```text
//!   stamped     client ─▶ leader ─▶ client               a cluster of one; floor: two hops
//!   committed   client ─▶ leader ─▶ standby ─▶ client    one of two standbys; floor: three hops
//! ```
//!
//! Open loop: a message is due at its time, and its latency runs from then, however late the client was.
//! Closed loop, only when asked: the next message leaves when the last one has come, which hides stalls. The
//! contestants take turns within each round, and only what was measured side by side is compared. A sweep
//! raises the rate until nobody keeps up: latency against load, and the knee of it.
//!
//! Publisher and subscriber are one process, so a round trip needs one clock. With `--config` they attach to
//! a cluster that runs elsewhere, and `lockstep-bench reflect` beside its leader is the floor.
//!
//! With `--transport` lockstep and its floor go by another way, and several take turns in one run: each is
//! told over the floor of its own way, and each way over the first.

pub mod sweep;

use crate::client::Ground;
use crate::cluster::{MTU, Site};
use crate::contestant::Contestant;
use crate::field::{Entrant, Field, FieldArguments};
use crate::flags;
use crate::ground;
use crate::harness::{Run, Shared, pin};
use crate::load::{Burst, Pace};
use crate::probe::{Found, KernelTimes, Rally, Watched};
use crate::results::{Round, Row, RunResult, Unit};
use crate::stage::Stage;
use crate::stalls::Tally;
use crate::ways::Way;
use lockstep::config::share;
use lockstep_client::Delivery;
use lockstep_process::cpu::SchedulingClass;
use lockstep_wire::Nanos;

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    field: FieldArguments,
    /// Seconds of each contestant, case and round.
    #[arg(long, default_value_t = 1.0, value_parser = flags::seconds(0.01..=3600.0))]
    seconds: f64,
    /// Seconds before those that count.
    #[arg(long, default_value_t = 0.1, value_parser = flags::seconds(0.01..=3600.0))]
    warm_up: f64,
    /// Messages per second of the open loop, like `20k`; several are measured one after the other.
    #[arg(long, value_delimiter = ',', value_parser = rate, value_name = "RATE", default_value = "20k")]
    rates: Vec<u64>,
    /// Measures the closed loop instead: the next message leaves when the last one has come.
    #[arg(long, conflicts_with_all = ["rates", "sweep", "burst"])]
    closed: bool,
    /// Goes on from the last of the rates in steps of a half until nobody keeps up.
    #[arg(long)]
    sweep: bool,
    /// More messages for a short time at the end of each second, like `10x50ms`.
    #[arg(long, value_name = "BURST")]
    burst: Option<Burst>,
    /// Only `stamped` or `committed`.
    #[arg(long, value_parser = ["stamped", "committed"])]
    only: Option<String>,
    /// Splits each latency at the leader's stamp: from the intended time to it, and from it to the delivery.
    #[arg(long)]
    one_way: bool,
    /// Splits each latency at the moment at which this host's kernel had the datagram (SO_TIMESTAMPNS), by
    /// one more socket that hears the stream, for every contestant alike.
    #[arg(long)]
    kernel_times: bool,
    /// Tells what kept the hot threads of client, leader and standby for 50 us and more, of the floors as
    /// well, which of that made messages late, and the hiccups of the cores in each round.
    #[arg(long, conflicts_with = "config")]
    stalls: bool,
    /// How far the clocks of this host and of the leader's are apart at most, like `200ns`: on one host they
    /// are one clock.
    #[arg(long, value_parser = time, value_name = "TIME")]
    clock_error: Option<Nanos>,
    /// The client's core, by its place among ours.
    #[arg(long, default_value_t = 0)]
    client_core: usize,
    /// The leader's.
    #[arg(long, default_value_t = 1)]
    leader_core: usize,
    /// The scheduling class of every hot thread, the client's included. `fifo:N` keeps other work away, but
    /// the kernel stops such threads for up to 50 ms of each second: p50 is sound, the tail is not.
    #[arg(long, default_value = "other")]
    scheduling: SchedulingClass,
    /// Lockstep's processes lose this share of what they receive, and repair it; the floor, which cannot
    /// repair, loses nothing. Then the ratio is what loss costs.
    #[arg(long, value_name = "PERCENT", value_parser = share, default_value = "0%")]
    loss: String,
    /// The network's MTU, which lockstep's frames keep to.
    #[arg(long, default_value_t = MTU, value_parser = mtu)]
    mtu: usize,
}

/// Reads a rate like `20000`, `20k`, `1.5M`, in messages per second.
///
/// # Errors
/// It is none.
pub fn rate(text: &str) -> Result<u64, String> {
    let wrong = "is no rate; write 20000, 20k or 1.5M, from 1 to 100M messages per second";
    flags::scaled(text, &[("k", 1e3), ("M", 1e6), ("", 1.0)], 1.0..=1e8, wrong).map(|rate| rate as u64)
}

/// A time like `200ns` or `5us`.
pub fn time(text: &str) -> Result<Nanos, String> {
    let units = [("ns", 1.0), ("us", 1e3), ("ms", 1e6)];
    flags::scaled(text, &units, 0.0..=1e15, "is no time; write 200ns, 5us or 1ms").map(|ns| ns as Nanos)
}

fn mtu(text: &str) -> Result<usize, String> {
    flags::scaled(text, &[("", 1.0)], 576.0..=9000.0, "is no MTU; write 576 to 9000 bytes")
        .map(|mtu| mtu as usize)
}

/// The combination measured at a time: a way to deliver, a size.
#[derive(Clone)]
struct Family {
    mode: &'static str,
    delivery: Delivery,
    message_len: usize,
}

impl Family {
    fn case(&self, pace: Pace, way: &Way) -> String {
        let Self { mode, message_len, .. } = self;
        let case = match pace {
            Pace::Closed => format!("{mode}, {message_len} B, closed loop"),
            Pace::Open(rate, None) => format!("{mode}, {message_len} B, {rate}/s"),
            Pace::Open(rate, Some(burst)) => format!("{mode}, {message_len} B, {rate}/s, burst {burst}"),
        };
        way.of(&case)
    }

    /// Threads that poll without pause.
    fn threads(&self) -> usize {
        if self.delivery == Delivery::Committed { 3 } else { 2 }
    }
}

/// Everything that stays the same.
struct Bench<'a> {
    arguments: &'a Arguments,
    field: Field,
    /// What was found of each case and subject, if that is asked for.
    tallies: Vec<(String, Tally)>,
}

/// Measures, and says where lockstep stands.
///
/// # Errors
/// A process that did not start, a message that was lost. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(field) = Field::open("latency", &arguments.field)? else { return Ok(RunResult::Passed) };
    if arguments.kernel_times && arguments.field.ways.leaves_loopback() {
        return Err(
            "--kernel-times needs the kernel's multicast on loopback: leave --transport and --over out"
                .to_owned(),
        );
    }
    if field.attached.is_some() && arguments.one_way && arguments.clock_error.is_none() {
        return Err("--one-way with --config compares two hosts' clocks: say how far they are apart with \
                    --clock-error, or 0ns where it is one host"
            .to_owned());
    }
    let mut run = field.begin("latency", "publish to delivery")?;
    pin(field.core(arguments.client_core, "--client-core")?)?;
    method(&mut run, arguments, &field);
    let mut bench = Bench { arguments, field, tallies: Vec::new() };
    for (mode, delivery) in [("stamped", Delivery::Stamped), ("committed", Delivery::Committed)] {
        if arguments.only.as_ref().is_none_or(|only| only == mode) {
            let mut families =
                arguments.field.sizes.iter().map(|len| Family { mode, delivery, message_len: *len });
            families.try_for_each(|family| bench.family(&mut run, &family))?;
        }
    }
    let results = &mut run.results;
    sweep::mark_knees(results);
    results.notes.extend(bench.tallies.iter().flat_map(|(whose, tally)| tally.lines(whose)));
    let plain = Contestant::Plain.key();
    let words = "p50 <= 1.08, p99 <= 1.2 of the floor with recv and sendto on udp and xdp";
    results.aim(words, |ratio| {
        let speaks = ratio.floor == plain && !ratio.case.contains("shm");
        let p99 = ratio.median("p99").is_some_and(|p99| p99 > 1.2);
        ratio.median("p50").filter(|_| speaks).map(|p50| p50 > 1.08 || p99)
    });
    results.aim("p50 by shm: stamped the floor + 300 ns, committed + 450 ns", |ratio| {
        let limit = if ratio.case.starts_with("committed") { 450.0 } else { 300.0 };
        ratio.difference("p50").filter(|_| ratio.case.contains("shm")).map(|more| more > limit)
    });
    run.finish(&arguments.shared.output)
}

/// Records clocks, warm-up, rounds and cores.
fn method(run: &mut Run, arguments: &Arguments, field: &Field) {
    run.tell(
        "clock",
        "CLOCK_MONOTONIC of the client, which publishes and reads: a round trip needs no other",
    );
    if arguments.one_way {
        let error = arguments.clock_error.unwrap_or(0);
        run.tell(
            "one way",
            format!("wall clocks, each process's read at its start; hosts apart by {error} ns"),
        );
    }
    if arguments.kernel_times {
        let words = "SO_TIMESTAMPNS of one more socket beside the client's, and its wall clock";
        run.tell("kernel times", words);
    }
    run.tell("warm-up", format!("{} s of each round are not counted", arguments.warm_up));
    let rounds = arguments.shared.rounds;
    run.tell("rounds", format!("{rounds} of {} s, contestants in turn", arguments.seconds));
    run.tell("scheduling", arguments.scheduling);
    run.tell("planted loss", format!("{} of what each process of lockstep receives", arguments.loss));
    let of = |place: usize| field.cores.get(place).map_or_else(|| "?".to_owned(), ToString::to_string);
    let client = of(arguments.client_core);
    run.tell(
        "cores",
        match field.attached {
            Some(_) => format!("client {client}; the others where the cluster has them"),
            None => {
                let (leader, standby) = (of(arguments.leader_core), of(arguments.field.standby_core));
                format!("client {client}, leader {leader}, standby {standby}, of {}", field.cores.len())
            }
        },
    );
}

impl Bench<'_> {
    fn family(&mut self, run: &mut Run, family: &Family) -> Result<(), String> {
        let idle = self.field.idle(family.threads(), Contestant::Lockstep);
        run.tell(&format!("idle, {}", family.mode), format!("{idle}, {} threads", family.threads()));
        let mut entrants = self.field.entrants(run, family.delivery, family.message_len)?;
        if entrants.is_empty() {
            return Ok(());
        }
        if self.arguments.closed {
            return self.case(run, family, Pace::Closed, &mut entrants);
        }
        let burst = self.arguments.burst;
        for &rate in &self.arguments.rates {
            self.case(run, family, Pace::Open(rate, burst), &mut entrants)?;
        }
        let mut rate = self.arguments.rates.last().copied().unwrap_or(1);
        while self.arguments.sweep && !entrants.is_empty() {
            rate = sweep::next(rate);
            self.case(run, family, Pace::Open(rate, burst), &mut entrants)?;
        }
        Ok(())
    }

    /// All rounds of a case. A client that does not keep up in a sweep is no entrant any more.
    fn case(
        &mut self,
        run: &mut Run,
        family: &Family,
        pace: Pace,
        entrants: &mut Vec<Entrant>,
    ) -> Result<(), String> {
        let place = |(way, contestant): &Entrant| (way.transport, *contestant);
        let first = entrants.first().map(place);
        let (mut keep, case_on) = (entrants.clone(), |way: &Way| family.case(pace, way));
        Field::rounds(run, self.arguments.shared.rounds, entrants, case_on, |run, entrant, case| {
            if self.arguments.stalls && first == Some(place(entrant)) {
                // What the cores do to a thread that does nothing: a second in each round.
                ground::hiccups(run, &self.field.cores)?;
            }
            let (way, contestant) = (&entrant.0, entrant.1);
            let (at_s, words) = (run.at_s(), way.transport.words(contestant));
            let found = self.one(run, family, pace, entrant, &format!("{case}, {words}"));
            if !found.as_ref().is_ok_and(|found| !sweep::is_saturated(found)) {
                keep.retain(|other| place(other) != place(entrant));
            }
            let parts = match found {
                Ok(found) => found.rounds(case)?,
                // A floor repairs nothing; what it loses at its limit ends its round.
                Err(error) if contestant != Contestant::Lockstep => {
                    let marks = vec![format!("it did not carry this: {error}")];
                    vec![(case.to_owned(), Round { marks, ..Round::default() })]
                }
                Err(error) => return Err(error),
            };
            for (case, round) in parts {
                run.results.add(row(family, pace, (contestant, &words), &case), Round { at_s, ..round });
            }
            Ok(())
        })?;
        if self.arguments.sweep {
            *entrants = keep;
        }
        Ok(())
    }

    /// One contestant in one round.
    fn one(
        &mut self,
        run: &mut Run,
        family: &Family,
        pace: Pace,
        (way, contestant): &Entrant,
        whose: &str,
    ) -> Result<Found, String> {
        let Arguments { scheduling, stalls, leader_core, one_way, mtu, ref loss, .. } = *self.arguments;
        let (idle, contestant) = (self.field.idle(family.threads(), *contestant), *contestant);
        let rally = |ground: Ground<'_>| -> Result<Rally, String> {
            let kernel = self.arguments.kernel_times.then(|| KernelTimes::open(ground, contestant));
            Ok(Rally {
                pace,
                warm_up_ns: (self.arguments.warm_up * 1e9) as Nanos,
                one_way,
                kernel: kernel.transpose()?,
                stalls,
                ..Rally::probe(family.message_len, (self.arguments.seconds * 1e9) as Nanos, idle)
            })
        };
        let cores = self.field.places(leader_core, "--leader-core", self.arguments.field.standby_core)?;
        let stage = Stage { scheduling, stalls, ..Stage::of(contestant, way, family.delivery, cores) };
        let site = Site { loss: loss.clone(), mtu, ..Site::loopback(0) };
        let message_len = family.message_len;
        let (mut found, stalled) = self.field.turn(run, &stage, (site, idle, message_len), rally)?;
        if let Some(Watched { stalls, slow, messages, counted }) = found.watched.take() {
            let mut processes = vec![("client", stalls)];
            processes.extend(stalled);
            let known = self.tallies.iter().position(|(other, _)| other == whose);
            let at = known.unwrap_or_else(|| {
                self.tallies.push((whose.to_owned(), Tally::default()));
                self.tallies.len() - 1
            });
            self.tallies[at].1.add(&processes, &slow, messages, counted);
        }
        Ok(found)
    }
}

fn row(family: &Family, pace: Pace, (contestant, words): (Contestant, &str), case: &str) -> Row {
    let bytes = ("bytes", family.message_len as f64);
    let row = contestant.row(case, words, Unit::Nanos);
    match pace {
        Pace::Open(rate, _) => row.over([bytes, ("rate", rate as f64)]),
        Pace::Closed => row.over([bytes]),
    }
}
