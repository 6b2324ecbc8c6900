//! # order_path: what an order costs from socket to socket
//!
//! ```text
//! cargo build --profile dist -p lockstep -p lockstep-demo && cargo build --profile dist -p lockstep-exchange --example order_path
//! target/dist/examples/order_path [--orders N] [--rounds N] [--rate N] [--highest]
//! target/dist/examples/order_path --rates [--orders N] [--rounds N] [--ahead N]
//! ```
//!
//! A client sends orders of OUCH 5.0 by SoupBinTCP and waits for their answers, on three paths by turns:
//!
//! ```text
//!   matched        client ─▶ gateway ─▶ three sequencers ─▶ two replicas: exchange ─▶ … ─▶ gateway ─▶ client
//!   acknowledged   client ─▶ gateway ─▶ three sequencers ─▶ the same replicas, which match nothing ─▶ … ─▶ client
//!   single         client ─▶ the same exchange in one process, without a sequencer ─▶ client
//! ```
//!
//! Matched less acknowledged is the cost of matching, and of its further messages; matched less single is the
//! cost of order and survival. In the closed loop an order leaves when the one before has all of its answers;
//! in the open loop at a rate, and its time begins when it was to leave, also if it left later. `--highest`
//! looks for the highest rate at which the answers keep up. `--rates` measures orders that a publisher hands
//! in without a gateway, at most `--ahead` orders ahead of the replica. Everybody idles as `lockstep dev` has
//! it.

#![allow(clippy::disallowed_methods, reason = "it measures")]

mod client;
mod cluster;
#[path = "../support/founding.rs"]
mod founding;
mod machine;
mod rates;
mod report;
mod single;

use client::{Failure, Latencies, OrderClient};
use cluster::BenchCluster;
use lockstep_app::{App, Endpoint};
use machine::{ACKNOWLEDGED, BenchMachine, MATCHED};
use report::Table;
use std::time::Duration;

const USAGE: &str =
    "usage: order_path [--orders N] [--rounds N] [--rate N] [--highest], or --rates [--ahead N]";
/// The paths, and whether orders are matched there.
const PATHS: [(&str, bool); 3] = [("matched", true), ("acknowledged", false), ("single", true)];
/// Orders of each path before anything is measured.
const WARM_UP: u32 = 200;
/// Answers keep up with a rate if the last one comes so soon behind the last order.
const LAG_MAX: Duration = Duration::from_millis(100);
/// One rate of `--highest` to the next, in percent.
const STEP_PERCENT: u32 = 150;

struct BenchArgs {
    orders: u32,
    rounds: u32,
    rate: u32,
    highest: bool,
    rates: bool,
    ahead: u32,
}

impl BenchArgs {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut parsed =
            Self { orders: 0, rounds: 5, rate: 1_000, highest: false, rates: false, ahead: 10_000 };
        while let Some(flag) = args.next() {
            let mut number = || match args.next().and_then(|text| text.parse::<u32>().ok()) {
                Some(number) if number > 0 => Ok(number),
                _ => Err(format!("{flag} wants a number above 0; {USAGE}")),
            };
            match flag.as_str() {
                "--orders" => parsed.orders = number()?,
                "--rounds" => parsed.rounds = number()?,
                "--rate" => parsed.rate = number()?,
                "--ahead" => parsed.ahead = number()?,
                "--highest" => parsed.highest = true,
                "--rates" => parsed.rates = true,
                _ => return Err(format!("'{flag}' is no flag; {USAGE}").into()),
            }
        }
        if parsed.orders == 0 {
            parsed.orders = if parsed.rates { 200_000 } else { 2_000 };
        }
        Ok(parsed)
    }
}

/// A replica until its parent ends it.
fn run_replica(number: &str) -> Result<(), Failure> {
    let endpoint = Endpoint::from_env()?;
    let machine = BenchMachine::new().map_err(|error| error.to_string())?;
    let mut app = App::connect(&endpoint, machine::settings(number.parse()?), move || machine.clone())?;
    println!("open");
    let mut idle = endpoint.idle().waiter(&app.sockets())?;
    loop {
        if app.turn(|_, _| {})? == 0 {
            idle.on_progress(app.replica().next());
            idle.wait(app.due().min(Duration::from_millis(1)).as_nanos() as u64);
        }
    }
}

/// A row's name.
fn row(path: &str, answer: &str) -> String {
    format!("{path}: {answer}")
}

fn add(table: &mut Table, path: &str, times: &Latencies) {
    table.add(row(path, "accepted"), &times.accepted);
    table.add(row(path, "executed"), &times.executed);
}

/// The highest rate of this path at which answers keep up, in steps.
fn highest(client: &mut OrderClient, mut rate: u32) -> Result<(u32, u64), Failure> {
    let mut found = (0, 0);
    loop {
        let mut times = Latencies::new()?;
        // A second of each rate.
        if client.open_loop(rate, rate, &mut times)? > LAG_MAX {
            return Ok(found);
        }
        found = (rate, times.answers);
        rate = rate.saturating_mul(STEP_PERCENT) / 100 + 1;
    }
}

fn measure(args: &BenchArgs) -> Result<(), Failure> {
    let mut cluster = BenchCluster::start()?;
    cluster.start_replica(1)?;
    cluster.start_replica(2)?;
    let (gateway, single) = (cluster.start_gateway()?, cluster.start_single()?);
    let mut clients = [
        OrderClient::log_in(gateway, MATCHED, PATHS[0].1)?,
        OrderClient::log_in(gateway, ACKNOWLEDGED, PATHS[1].1)?,
        OrderClient::log_in(single, MATCHED, PATHS[2].1)?,
    ];
    for client in &mut clients {
        client.closed_loop(WARM_UP.min(args.orders), &mut Latencies::new()?)?;
    }
    let (mut closed, mut open, mut answers) = (Table::default(), Table::default(), 0);
    for _ in 0..args.rounds {
        for (client, (path, _)) in clients.iter_mut().zip(PATHS) {
            let (mut alone, mut at_rate) = (Latencies::new()?, Latencies::new()?);
            client.closed_loop(args.orders, &mut alone)?;
            client.open_loop(args.orders, args.rate, &mut at_rate)?;
            add(&mut closed, path, &alone);
            add(&mut open, path, &at_rate);
            answers += alone.answers + at_rate.answers;
        }
    }
    let rounds = format!("{} rounds of {} orders: median (least – most)", args.rounds, args.orders);
    closed.print(&format!("closed loop of one client, {rounds}"));
    open.print(&format!("open loop at {} orders/s, {rounds}", args.rate));
    let p50 = |path: &str, answer: &str| closed.median(&row(path, answer));
    let (accepted, executed) = (p50("matched", "accepted"), p50("matched", "executed"));
    println!(
        "\np50 of the closed loop: matching costs {:.0} µs until accepted and {:.0} µs until executed; \
         order and survival cost {:.0} µs and {:.0} µs",
        accepted - p50("acknowledged", "accepted"),
        executed - p50("acknowledged", "accepted"),
        accepted - p50("single", "accepted"),
        executed - p50("single", "executed")
    );
    if args.highest {
        for (client, (path, _)) in clients.iter_mut().zip(PATHS) {
            let (rate, answers) = highest(client, args.rate)?;
            println!("{path}: the answers keep up with {rate} orders/s, {answers} answers/s");
        }
    }
    println!("all {answers} answers came");
    Ok(())
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["replica", number] => run_replica(number),
        ["single"] => single::serve(),
        _ => {
            let args = BenchArgs::parse(words.into_iter())?;
            match args.rates {
                true => rates::measure(args.orders, args.rounds, args.ahead),
                false => measure(&args),
            }
        }
    }
}
