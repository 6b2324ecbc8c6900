//! # latency: what lockstep adds to the network that it stands on
//!
//! ```text
//!   stamped     client ─▶ leader ─▶ client               a cluster of one; floor: two hops
//!   committed   client ─▶ leader ─▶ standby ─▶ client    one of two standbys; floor: three hops
//! ```
//!
//! Open loop: a message is due at its time, and its latency runs from then, however late the client was. Closed
//! loop, only when asked: the next message leaves when the last one has come, which hides stalls. The contestants
//! take turns within each round, and only what was measured side by side is compared. A sweep raises the rate until
//! nobody keeps up: latency against load, and the knee of it.
//!
//! Publisher and subscriber are one process, so a round trip needs one clock. With `--config` they attach to a
//! cluster that runs elsewhere, and `lockstep-bench reflect` beside its leader is the floor.
//!
//! With `--transport` lockstep and its floor go by another way, and several take turns in one run: each is told over
//! the floor of its own way, and each way over the first.

mod pace;
mod rally;
mod recovery;
mod sweep;
mod tap;

pub use rally::{Found, Rally};

use crate::attached::Attached;
use crate::client::{Ground, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, MTU, Site};
use crate::environment;
use crate::flags;
use crate::floor::MESSAGE_LEN_MIN;
use crate::ground;
use crate::node::{NodeArguments, Role};
use crate::progress::Progress;
use crate::results::{Output, Results, Round, Row, Unit, Verdict};
use crate::scene::{Contestant, Node, Scheduled};
use crate::stalls::Tally;
use crate::ways::{Way, Ways, WaysArguments, compare};
use lockstep::config::share;
use lockstep_client::Delivery;
use lockstep_io::idle::Idle;
use lockstep_process::cpu::{self, SchedulingClass};
use lockstep_wire::Nanos;
pub use pace::{Burst, Pace};
use rally::Watched;
use std::path::PathBuf;
use std::time::Instant;

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rounds; each runs every contestant once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Seconds of each contestant, case and round.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds before those that count.
    #[arg(long, default_value_t = 0.1, value_parser = seconds)]
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
    /// Bytes of a message; several are measured one after the other.
    #[arg(long, value_delimiter = ',', value_name = "BYTES", default_values_t = [MESSAGE_LEN])]
    sizes: Vec<usize>,
    /// Only `stamped` or `committed`.
    #[arg(long, value_parser = ["stamped", "committed"])]
    only: Option<String>,
    /// Splits each latency at the leader's stamp: from the intended time to it, and from it to the delivery.
    #[arg(long)]
    one_way: bool,
    /// Splits each latency at the moment at which this host's kernel had the datagram (SO_TIMESTAMPNS), by one more
    /// socket that hears the stream, for every contestant alike.
    #[arg(long)]
    kernel_times: bool,
    /// Tells what kept the hot threads of client, leader and standby for 50 us and more, of the floors as well, which
    /// of that made messages late, and the hiccups of the cores in each round.
    #[arg(long, conflicts_with = "config")]
    stalls: bool,
    /// How far the clocks of this host and of the leader's are apart at most, like `200ns`: on one host they are one
    /// clock.
    #[arg(long, value_parser = time, value_name = "TIME")]
    clock_error: Option<Nanos>,
    #[command(flatten)]
    ways: WaysArguments,
    /// Attaches to the cluster of this file instead of starting one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["transport", "over"])]
    config: Option<PathBuf>,
    /// With `--config`: the port at which `lockstep-bench reflect` is the floor; 50 above the cluster's by default.
    #[arg(long, requires = "config", value_name = "PORT")]
    floor_port: Option<u16>,
    /// The client's core, by its place among ours.
    #[arg(long, default_value_t = 0)]
    client_core: usize,
    /// The leader's.
    #[arg(long, default_value_t = 1)]
    leader_core: usize,
    /// The standby's.
    #[arg(long, default_value_t = 0)]
    standby_core: usize,
    /// The scheduling class of every hot thread, the client's included. `fifo:N` keeps other work away, but
    /// the kernel stops such threads for up to 50 ms of each second: p50 is sound, the tail is not.
    #[arg(long, default_value = "other")]
    scheduling: SchedulingClass,
    /// Lockstep's processes lose this share of what they receive, and repair it; the floor, which cannot repair,
    /// loses nothing. Then the ratio is what loss costs.
    #[arg(long, value_name = "PERCENT", value_parser = share, default_value = "0%")]
    loss: String,
    /// The network's MTU, which lockstep's frames keep to.
    #[arg(long, default_value_t = MTU, value_parser = mtu)]
    mtu: usize,
    /// Nanoseconds that are burnt for each of lockstep's messages: to see whether `compare` finds it.
    #[arg(long, hide = true, default_value_t = 0)]
    plant: Nanos,
    #[command(flatten)]
    output: Output,
}

fn seconds(text: &str) -> Result<f64, String> {
    flags::seconds(text, 0.01..=3600.0)
}

/// A rate like `20000`, `20k`, `1.5M`, in messages per second.
fn rate(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1e3),
        Some(digits) => (digits, 1e6),
        None => (text, 1.0),
    };
    let value =
        digits.parse::<f64>().map_err(|_| format!("'{text}' is no rate; write 20000, 20k or 1.5M"))? * unit;
    if (1.0..=1e8).contains(&value) {
        Ok(value as u64)
    } else {
        Err("1 to 100M messages per second".to_owned())
    }
}

/// A time like `200ns` or `5us`.
fn time(text: &str) -> Result<Nanos, String> {
    let wrong = || format!("'{text}' is no time; write 200ns, 5us or 1ms");
    let (digits, unit) = [("ns", 1.0), ("us", 1e3), ("ms", 1e6)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .ok_or_else(wrong)?;
    digits
        .parse::<f64>()
        .ok()
        .filter(|value| *value >= 0.0)
        .map(|value| (value * unit) as Nanos)
        .ok_or_else(wrong)
}

fn mtu(text: &str) -> Result<usize, String> {
    let value = text.parse().map_err(|_| format!("'{text}' is no number of bytes"))?;
    if (576..=9000).contains(&value) { Ok(value) } else { Err("576 to 9000 bytes".to_owned()) }
}

/// What is measured at a time: a way to deliver, a size.
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
    /// The cluster to attach to.
    attached: Option<Attached>,
    ways: Ways,
    /// What was found of each case and subject, if that is asked for.
    tallies: Vec<(String, Tally)>,
    cores: Vec<usize>,
    began: Instant,
    progress: Progress,
    results: Results,
}

/// Measures, and says where lockstep stands.
///
/// # Errors
/// A process that did not start, a message that was lost. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<Verdict, String> {
    let cores = cpu::cores();
    if cores.len() < 2 && arguments.config.is_none() {
        println!("SKIPPED: latency: leader and client need a core each, this machine has {}", cores.len());
        return Ok(Verdict::Passed);
    }
    if arguments.kernel_times && arguments.ways.leaves_loopback() {
        return Err(
            "--kernel-times needs the kernel's multicast on loopback: leave --transport and --over out"
                .to_owned(),
        );
    }
    if let Some(short) = arguments.sizes.iter().find(|size| **size < MESSAGE_LEN_MIN) {
        return Err(format!(
            "--sizes: a message has number and times, {MESSAGE_LEN_MIN} bytes at least, not {short}"
        ));
    }
    let core = |place: usize, flag: &str| {
        cores
            .get(place)
            .copied()
            .ok_or_else(|| format!("{flag} {place}: this machine has {} cores", cores.len()))
    };
    let attached = arguments.config.as_deref().map(|path| Attached::open(path, arguments.floor_port));
    let attached = attached.transpose()?;
    if attached.is_some() && arguments.one_way && arguments.clock_error.is_none() {
        return Err("--one-way with --config compares two hosts' clocks: say how far they are apart with \
                    --clock-error, or 0ns where it is one host"
            .to_owned());
    }
    let environment = environment::with_device(attached.as_ref().map(|attached| &attached.config))?;
    let mut results = Results::begin("latency", "publish to delivery", environment);
    if let Some(attached) = &attached {
        results.configure(&attached.config);
    }
    let client_core = core(arguments.client_core, "--client-core")?;
    if let Some(note) = cpu::pin(client_core).note {
        return Err(note);
    }
    results.tell(
        "clock",
        "CLOCK_MONOTONIC of the client, which publishes and reads: a round trip needs no other",
    );
    if arguments.one_way {
        let error = arguments.clock_error.unwrap_or(0);
        results.tell(
            "one way",
            format!("wall clocks, each process's read at its start; hosts apart by {error} ns"),
        );
    }
    if arguments.kernel_times {
        results.tell(
            "kernel times",
            "SO_TIMESTAMPNS of one more socket beside the client's, and its wall clock",
        );
    }
    results.tell("warm-up", format!("{} s of each round are not counted", arguments.warm_up));
    results.tell("rounds", format!("{} of {} s, contestants in turn", arguments.rounds, arguments.seconds));
    results.tell("scheduling", arguments.scheduling);
    results.tell("planted loss", format!("{} of what each process of lockstep receives", arguments.loss));
    results.tell("cores", place_words(arguments, &cores, attached.is_some()));
    if arguments.plant > 0 {
        results.tell("planted", format!("{} ns for each of lockstep's messages", arguments.plant));
    }
    let (began, progress) = (Instant::now(), Progress::new("latency"));
    let ways = Ways::new(&arguments.ways)?;
    let tallies = Vec::new();
    let mut bench = Bench { arguments, attached, ways, tallies, cores, began, progress, results };
    bench.measure()?;
    let Bench { progress, mut results, tallies, .. } = bench;
    drop(progress);
    sweep::mark_knees(&mut results);
    results.notes.extend(tallies.iter().flat_map(|(whose, tally)| tally.lines(whose)));
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
    arguments.output.give(&results)
}

fn place_words(arguments: &Arguments, cores: &[usize], attached: bool) -> String {
    let of = |place: usize| cores.get(place).map_or_else(|| "?".to_owned(), ToString::to_string);
    let client = of(arguments.client_core);
    if attached {
        return format!("client {client}; the others where the cluster has them");
    }
    let (leader, standby) = (of(arguments.leader_core), of(arguments.standby_core));
    format!("client {client}, leader {leader}, standby {standby}, of {}", cores.len())
}

impl Bench<'_> {
    fn measure(&mut self) -> Result<(), String> {
        let modes = [("stamped", Delivery::Stamped), ("committed", Delivery::Committed)];
        for (mode, delivery) in modes {
            if self.arguments.only.as_ref().is_some_and(|only| only != mode) {
                continue;
            }
            for &message_len in &self.arguments.sizes {
                self.family(&Family { mode, delivery, message_len })?;
            }
        }
        Ok(())
    }

    fn family(&mut self, family: &Family) -> Result<(), String> {
        let name = format!("idle, {}", family.mode);
        self.results.tell(&name, format!("{}, {} threads", self.idle(family), family.threads()));
        let mut contestants = self.contestants(family)?;
        if contestants.is_empty() {
            return Ok(());
        }
        if self.arguments.closed {
            return self.case(family, Pace::Closed, &mut contestants);
        }
        let burst = self.arguments.burst;
        for &rate in &self.arguments.rates {
            self.case(family, Pace::Open(rate, burst), &mut contestants)?;
        }
        let mut rate = self.arguments.rates.last().copied().unwrap_or(1);
        while self.arguments.sweep && !contestants.is_empty() {
            rate = sweep::next(rate);
            self.case(family, Pace::Open(rate, burst), &mut contestants)?;
        }
        Ok(())
    }

    /// Who takes part on which way: of the floors of a cluster that runs already, those that are there.
    fn contestants(&mut self, family: &Family) -> Result<Vec<(Way, Contestant)>, String> {
        let Some(attached) = &self.attached else {
            let has_standby = family.delivery == Delivery::Committed;
            let ways = self.ways.open(has_standby, &mut self.results)?;
            let all = |way: Way| way.transport.contestants().iter().map(move |one| (way.clone(), *one));
            return Ok(ways.into_iter().flat_map(all).collect());
        };
        let found = attached.contestants(family.delivery, family.message_len, &mut self.results.notes)?;
        Ok(found.into_iter().map(|one| (Way::default(), one)).collect())
    }

    /// All rounds of a case. Who does not keep up in a sweep is no contestant any more.
    fn case(
        &mut self,
        family: &Family,
        pace: Pace,
        contestants: &mut Vec<(Way, Contestant)>,
    ) -> Result<(), String> {
        let mut keep = contestants.clone();
        for round in 0..self.arguments.rounds {
            if self.arguments.stalls {
                self.hiccups()?;
            }
            for (way, contestant) in contestants.iter() {
                let (case, contestant) = (family.case(pace, way), *contestant);
                self.progress.say(&format!("{case}, round {}, {}", round + 1, contestant.key()));
                let at_s = self.began.elapsed().as_secs_f64();
                let whose = format!("{case}, {}", way.transport.words(contestant));
                let found = self.one(family, pace, way, contestant, &whose);
                if !found.as_ref().is_ok_and(|found| !sweep::is_saturated(found)) {
                    keep.retain(|(other, one)| (other.transport, *one) != (way.transport, contestant));
                }
                let parts = match found {
                    Ok(found) => self.parts(&case, &found)?,
                    // A floor repairs nothing; what it loses at its limit ends its round.
                    Err(error) if contestant != Contestant::Lockstep => {
                        let marks = vec![format!("it did not carry this: {error}")];
                        vec![(case.clone(), Round { marks, ..Round::default() })]
                    }
                    Err(error) => {
                        return Err(format!("{case}, {}, round {}: {error}", contestant.name(), round + 1));
                    }
                };
                for (case, mut round) in parts {
                    round.at_s = at_s;
                    let words = way.transport.words(contestant);
                    self.results.add(&case, contestant.key(), round, || {
                        row(family, pace, (contestant, &words), &case)
                    });
                }
            }
        }
        let mut ways: Vec<&Way> = contestants.iter().map(|(way, _)| way).collect();
        ways.dedup_by_key(|way| way.transport);
        if let Some((first, others)) = ways.split_first() {
            for other in others {
                let cases = [family.case(pace, other), family.case(pace, first)];
                compare(&mut self.results, [&cases[0], &cases[1]], [other.transport, first.transport]);
            }
        }
        if self.arguments.sweep {
            *contestants = keep;
        }
        Ok(())
    }

    /// The cases that one run tells of.
    fn parts(&self, case: &str, found: &Found) -> Result<Vec<(String, Round)>, String> {
        let mut parts = vec![(case.to_owned(), found.round()?)];
        let split = found.parts()?;
        parts.extend(split.into_iter().map(|(part, round)| (format!("{case}, {part}"), round)));
        Ok(parts)
    }

    fn idle(&self, family: &Family) -> Idle {
        match &self.attached {
            Some(attached) => attached.idle(),
            None => Idle::for_machine(family.threads(), self.cores.len()),
        }
    }

    /// One contestant in one round.
    fn one(
        &mut self,
        family: &Family,
        pace: Pace,
        way: &Way,
        contestant: Contestant,
        whose: &str,
    ) -> Result<Found, String> {
        let Arguments { scheduling, .. } = *self.arguments;
        let rally = |ground: Ground<'_>, idle| -> Result<Rally, String> {
            let kernel = self.arguments.kernel_times.then(|| tap::KernelTimes::open(ground, contestant));
            Ok(Rally {
                pace,
                message_len: family.message_len,
                warm_up_ns: (self.arguments.warm_up * 1e9) as Nanos,
                lasts_ns: (self.arguments.seconds * 1e9) as Nanos,
                idle,
                plant_ns: if contestant == Contestant::Lockstep { self.arguments.plant } else { 0 },
                one_way: self.arguments.one_way,
                kernel: kernel.transpose()?,
                stalls: self.arguments.stalls,
            })
        };
        let idle = self.idle(family);
        if let Some(attached) = &self.attached {
            let _scheduled = Scheduled::new(scheduling)?;
            let rally = rally(attached.ground(), idle)?;
            return measure(contestant, attached.ground(), family.delivery, family.message_len, rally);
        }
        let committed = family.delivery == Delivery::Committed;
        let loss = self.arguments.loss.clone();
        let (transport, hosts) = (way.transport, way.hosts.as_ref());
        let site = hosts.site(if committed { 3 } else { 1 });
        let site = Site { loss, mtu: self.arguments.mtu, transport, ..site };
        let cluster = Cluster::of(contestant, &site, idle)?;
        self.results.configure(&cluster.config);
        let node = |role, place: usize, flag: &str| {
            let core =
                self.cores.get(place).copied().ok_or_else(|| format!("{flag}: there is no such core"))?;
            let client = hosts.client_address();
            let stalls = self.arguments.stalls;
            let which = NodeArguments::new(contestant, role, core);
            let which = NodeArguments { scheduling, transport, client, stalls, ..which };
            Node::start_on(hosts, &cluster, &which)
        };
        let leader = node(Role::Leader, self.arguments.leader_core, "--leader-core")?;
        let standby = || node(Role::Standby, self.arguments.standby_core, "--standby-core");
        let standby = committed.then(standby).transpose()?;
        let _entered = hosts.enter()?;
        let _scheduled = Scheduled::new(scheduling)?;
        let ground = Ground::over(&cluster, hosts, transport);
        let rally = rally(ground, idle)?;
        let mut found = measure(contestant, ground, family.delivery, family.message_len, rally)?;
        if let Some(Watched { stalls, slow, messages, counted }) = found.watched.take() {
            let mut processes = vec![("client", stalls), ("leader", leader.end()?)];
            if let Some(standby) = standby {
                processes.push(("standby", standby.end()?));
            }
            let known = self.tallies.iter().position(|(other, _)| other == whose);
            let at = known.unwrap_or_else(|| {
                self.tallies.push((whose.to_owned(), Tally::default()));
                self.tallies.len() - 1
            });
            self.tallies[at].1.add(&processes, &slow, messages, counted);
        }
        Ok(found)
    }

    /// What the cores do to a thread that does nothing: a second in each round.
    fn hiccups(&mut self) -> Result<(), String> {
        self.progress.say("hiccups of the cores");
        ground::hiccups(&mut self.results, self.began, &self.cores)
    }
}

fn row(family: &Family, pace: Pace, (contestant, words): (Contestant, &str), case: &str) -> Row {
    let row = Row::new(case, contestant.key(), words, Unit::Nanos)
        .as_floor(contestant != Contestant::Lockstep)
        .over([("bytes", family.message_len as f64)]);
    match pace {
        Pace::Open(rate, _) => row.over([("bytes", family.message_len as f64), ("rate", rate as f64)]),
        Pace::Closed => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_read_with_their_units_and_refused_with_an_example() {
        assert_eq!((rate("20000"), rate("20k"), rate("1.5M")), (Ok(20_000), Ok(20_000), Ok(1_500_000)));
        assert_eq!((time("200ns"), time("5us")), (Ok(200), Ok(5_000)));
        for text in ["", "k", "20 k", "0", "fast"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(time("5").is_err_and(|why| why.contains("200ns")));
    }
}
