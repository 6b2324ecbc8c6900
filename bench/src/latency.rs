//! # latency: what lockstep adds to the network that it stands on
//!
//! ```text
//!   stamped     client ─▶ leader ─▶ client               a cluster of one; floor: two hops
//!   committed   client ─▶ leader ─▶ standby ─▶ client    one of two standbys; floor: three hops
//! ```
//!
//! Closed loop: the next message leaves when the last one has come, which hides stalls. Open loop: message
//! i is due at t0 + i / rate, and its latency runs from then, however late the client was. The contestants
//! take turns within each round, and only ratios of one round are compared.

use crate::client::{Client, Measure, measure};
use crate::cluster::{Cluster, PAYLOAD_LEN, Site};
use crate::environment;
use crate::floor::{intended, number, payload};
use crate::node::{NodeArguments, Role};
use crate::scene::{Contestant, Node, Scheduled};
use crate::stats::{HEADS, Latencies, Spread, Summary, cell, paired};
use lockstep::client::Delivery;
use lockstep::io::clock::Clock;
use lockstep::io::cpu::{self, SchedulingClass};
use lockstep::io::idle::Idle;
use lockstep::wire::Nanos;

/// Messages before those that count.
const WARM_UP: u64 = 2_000;
/// A message that takes longer is lost, and with it the measurement.
const LOST_NS: Nanos = 5_000_000_000;
/// A round that takes longer is ended: the machine is too busy to say anything.
const ROUND_NS: Nanos = 60_000_000_000;
/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rounds; each runs every contestant once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Messages of each contestant, loop and round.
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Messages per second of the open loop.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Only `stamped` or `committed`.
    #[arg(long)]
    only: Option<String>,
    /// The standby's core, by its place among ours; the client has 0 and the leader 1.
    #[arg(long, default_value_t = 0)]
    standby_core: usize,
    /// The scheduling class of every hot thread, the client's included. `fifo:N` keeps other work away, but
    /// the kernel stops such threads for up to 50 ms of each second: p50 is sound, the tail is not.
    #[arg(long, default_value = "other")]
    scheduling: SchedulingClass,
    /// Lockstep's processes lose this share of what they receive, and repair it; the floor, which cannot repair,
    /// loses nothing. Then the ratio is what loss costs.
    #[arg(long, value_name = "PERCENT", value_parser = lockstep::config::share, default_value = "0%")]
    loss: String,
}

/// One table: a delivery mode and a loop.
struct Table {
    name: String,
    delivery: Delivery,
    /// Messages per second; `None` is the closed loop.
    rate: Option<u64>,
    idle: Idle,
    threads: usize,
    /// By contestant, then by round.
    rounds: [Vec<Summary>; 3],
}

/// Measures, prints, and says where lockstep stands.
///
/// # Errors
/// A process that did not start, a message that was lost. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let cores = cpu::cores();
    if cores.len() < 2 {
        println!("SKIPPED: latency: leader and client need a core each, this machine has {}", cores.len());
        return Ok(());
    }
    let mut environment = environment::lines();
    environment.extend(environment::device()?);
    environment.push(format!("scheduling {}", arguments.scheduling));
    environment.push(format!("lockstep loses {} of what each process receives", arguments.loss));
    if let Some(note) = cpu::pin(cores[0]).note {
        return Err(note);
    }
    let modes = [("stamped", Delivery::Stamped, 2), ("committed", Delivery::Committed, 3)];
    let mut tables = Vec::new();
    for (mode, delivery, threads) in modes {
        if arguments.only.as_ref().is_some_and(|only| only != mode) {
            continue;
        }
        for rate in [None, Some(arguments.rate)] {
            tables.push(Table {
                name: match rate {
                    None => format!("{mode}, closed loop"),
                    Some(rate) => format!("{mode}, open loop, {rate}/s from intended times"),
                },
                delivery,
                rate,
                idle: Idle::for_machine(threads, cores.len()),
                threads,
                rounds: Default::default(),
            });
        }
    }
    for round in 0..arguments.rounds {
        for table in &mut tables {
            for contestant in Contestant::ALL {
                let summary = one(table, contestant, &cores, arguments).map_err(|error| {
                    format!("{}, {}, round {}: {error}", table.name, contestant.name(), round + 1)
                })?;
                table.rounds[contestant as usize].push(summary);
            }
        }
    }
    if arguments.json { print_json(&tables, &environment) } else { print(&tables, &environment, cores.len()) }
}

/// One contestant in one round.
fn one(
    table: &Table,
    contestant: Contestant,
    cores: &[usize],
    arguments: &Arguments,
) -> Result<Summary, String> {
    let committed = table.delivery == Delivery::Committed;
    let site = Site { loss: arguments.loss.clone(), ..Site::loopback(if committed { 3 } else { 1 }) };
    let cluster = Cluster::on(&site, table.idle)?;
    let scheduling = arguments.scheduling;
    let leader = NodeArguments { contestant, role: Role::Leader, core: cores[1], scheduling };
    let _leader = Node::start(&cluster, &leader)?;
    let standby_core = *cores.get(arguments.standby_core).ok_or("--standby-core: there is no such core")?;
    let standby = NodeArguments { contestant, role: Role::Standby, core: standby_core, scheduling };
    let _standby = committed.then(|| Node::start(&cluster, &standby)).transpose()?;
    let interval_ns = table.rate.map(|rate| 1_000_000_000 / rate);
    let rally = Rally { messages: arguments.messages, interval_ns, idle: table.idle };
    let _scheduled = Scheduled::new(scheduling)?;
    measure(contestant, &cluster, table.delivery, PAYLOAD_LEN, rally)
}

/// Messages there and back, one client, one thread.
struct Rally {
    messages: u64,
    /// Between two messages of the open loop; `None` is the closed one.
    interval_ns: Option<Nanos>,
    idle: Idle,
}

impl Measure for Rally {
    type Found = Summary;

    fn with(self, mut client: impl Client) -> Result<Summary, String> {
        let clock = Clock::start();
        let mut waiter = self.idle.waiter(&[]).map_err(|error| error.to_string())?;
        let mut latencies = Latencies::new()?;
        let total = WARM_UP + self.messages;
        let began = clock.now();
        let (mut sent, mut came, mut misplaced) = (0, 0, None);
        let mut moved_at = began;
        while came < total {
            let now = clock.now();
            let due = match self.interval_ns {
                Some(interval_ns) => began + sent * interval_ns,
                None if sent == came => now,
                None => Nanos::MAX,
            };
            if sent < total && now >= due && client.publish(&payload(sent, due)) {
                client.flush();
                sent += 1;
            }
            let before = came;
            let work = client.turn(|payload| {
                if number(payload) != came {
                    misplaced.get_or_insert((came, number(payload)));
                }
                if came >= WARM_UP {
                    latencies.record(clock.now().saturating_sub(intended(payload)));
                }
                came += 1;
            });
            if let Some((expected, seen)) = misplaced {
                return Err(format!("message {seen} came where {expected} was to come"));
            }
            if now > began + ROUND_NS {
                return Err(format!(
                    "{came} of {total} messages came within {ROUND_NS} ns: other work has the cores"
                ));
            }
            if came > before || sent == came {
                moved_at = now;
            } else if now > moved_at + LOST_NS {
                return Err(format!("message {came} of {sent} sent did not come within {LOST_NS} ns"));
            }
            if work == 0 {
                waiter.wait(0);
            }
        }
        Ok(latencies.summary())
    }
}

/// One figure of one contestant, by round.
fn column(table: &Table, contestant: Contestant, place: usize) -> Vec<Option<f64>> {
    table.rounds[contestant as usize].iter().map(|summary| summary[place]).collect()
}

/// What lockstep is of a floor, by figure.
fn ratios(table: &Table, floor: Contestant) -> [Option<Spread>; 4] {
    std::array::from_fn(|place| {
        paired(&column(table, Contestant::Lockstep, place), &column(table, floor, place))
    })
}

fn spreads(table: &Table, contestant: Contestant) -> [Option<Spread>; 4] {
    std::array::from_fn(|place| {
        Spread::of(column(table, contestant, place).into_iter().flatten()).map(|spread| spread.scaled(1e-3))
    })
}

/// What the kernel under all of this was found to do elsewhere, on the same class of machine.
const LIMITS: &str = "for comparison, measured apart on this class of machine: one way, loopback multicast, \
                      64 B: p50 4.0, p99 5.6, p99.9 17; two hops over a bridge: 14.2, 18.0, 53 (us)";

fn print(tables: &[Table], environment: &[String], cores: usize) -> Result<(), String> {
    environment.iter().for_each(|line| println!("{line}"));
    for table in tables {
        let rounds = table.rounds[0].len();
        println!();
        println!(
            "publish -> {}: {} threads / {cores} cores, idle {}, {rounds} rounds; us, median [min-max]",
            table.name, table.threads, table.idle
        );
        println!("{:<24}{}", "", HEADS.map(|head| format!("{head:>26}")).concat());
        for contestant in Contestant::ALL {
            let cells = spreads(table, contestant).map(|spread| format!("{:>26}", cell(spread, 1)));
            println!("{:<24}{}", contestant.name(), cells.concat());
        }
        for floor in [Contestant::Io, Contestant::Plain] {
            let cells = ratios(table, floor).map(|spread| format!("{:>26}", cell(spread, 2)));
            println!("{:<24}{}", format!("lockstep / {}", floor.key()), cells.concat());
        }
    }
    println!("\naim: p50 <= 1.15, p99 <= 1.3 of the floor\n{LIMITS}");
    Ok(())
}

fn print_json(tables: &[Table], environment: &[String]) -> Result<(), String> {
    let figures = |row: [Option<Spread>; 4]| -> serde_json::Value {
        HEADS.into_iter().zip(row).map(|(head, spread)| (head.to_owned(), Spread::json(spread))).collect()
    };
    let tables: Vec<serde_json::Value> = tables
        .iter()
        .map(|table| {
            let rows: serde_json::Map<_, _> = Contestant::ALL
                .into_iter()
                .map(|contestant| (contestant.key().to_owned(), figures(spreads(table, contestant))))
                .collect();
            serde_json::json!({
                "name": table.name,
                "threads": table.threads,
                "idle": table.idle.to_string(),
                "rounds": table.rounds[0].len(),
                "microseconds": rows,
                "ratio_to_io": figures(ratios(table, Contestant::Io)),
                "ratio_to_plain": figures(ratios(table, Contestant::Plain)),
            })
        })
        .collect();
    let value = serde_json::json!({
        "schema": "lockstep.bench.latency/1",
        "environment": environment,
        "tables": tables,
    });
    println!("{}", serde_json::to_string_pretty(&value).map_err(|error| error.to_string())?);
    Ok(())
}
