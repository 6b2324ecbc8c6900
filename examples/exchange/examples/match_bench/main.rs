//! # match_bench: what matching costs
//!
//! ```text
//! cargo run --release -p lockstep-exchange --example match_bench -- [--commands N] [--instruments N] [--levels N]
//!     [--per-level N] [--itch FILE]
//! ```
//!
//! Draws a flow in advance, fills the books, then applies the flow twice to two engines that are alike: once
//! in one go, for commands per second, once with a clock around each command, for quantiles. The clock's own
//! cost is printed and not subtracted. Outputs are counted and dropped: encoding is somebody else's. With
//! `--itch`, the adds, cancels, replacements and executions of a recorded ITCH 5.0 day become commands, many
//! copies of the day side by side.

// A bench reads the clock.
#![allow(clippy::disallowed_methods)]

mod flow;
mod recorded;

use flow::Shape;
use lockstep_exchange::{
    ExchangeCommand, MarketEvent, MatchingEngine, OperatorRefusal, OrderReport, Rules, Sink,
};
use std::time::Instant;

/// Counts outputs.
#[derive(Default)]
struct Counting {
    reports: u64,
    market: u64,
    executions: u64,
    rejections: u64,
}

impl Sink for Counting {
    fn report(&mut self, report: OrderReport) {
        self.reports += 1;
        match std::hint::black_box(report) {
            OrderReport::Executed { .. } => self.executions += 1,
            OrderReport::Rejected { .. } | OrderReport::CancelRejected { .. } => self.rejections += 1,
            _ => {}
        }
    }

    fn market(&mut self, event: MarketEvent) {
        std::hint::black_box(event);
        self.market += 1;
    }

    fn refuse(&mut self, reason: OperatorRefusal) {
        panic!("an operator's command of the bench was refused: {reason:?}");
    }

    fn timer(&mut self, _key: u64, _at_ns: u64) {}

    fn cancel_timer(&mut self, _key: u64) {}
}

/// A flow: the commands that fill the books, and those that are measured.
pub struct Recorded {
    /// Applied before the clock runs.
    pub setup: Vec<ExchangeCommand>,
    /// Measured.
    pub measured: Vec<ExchangeCommand>,
    /// The rules that it needs.
    pub rules: Rules,
}

/// Stream time between two commands.
const STEP_NS: u64 = 1_000;

fn prepared(recorded: &Recorded) -> (MatchingEngine, u64) {
    let mut engine = MatchingEngine::new(recorded.rules).expect("rules of the bench");
    let (mut now, mut sink) = (1_700_000_000_000_000_000, Counting::default());
    for command in &recorded.setup {
        now += STEP_NS;
        engine.apply(command, now, &mut sink);
    }
    (engine, now)
}

fn kind_of(command: &ExchangeCommand) -> &'static str {
    match command {
        ExchangeCommand::Enter(_) => "enter",
        ExchangeCommand::Replace(_) => "replace",
        ExchangeCommand::Cancel { .. } => "cancel",
        _ => "other",
    }
}

fn quantile(sorted: &[u32], q: f64) -> u32 {
    let at = (sorted.len() as f64 * q) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

fn print_row(name: &str, ns: &mut [u32]) {
    ns.sort_unstable();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| quantile(ns, q));
    let max = ns.last().copied().unwrap_or(0);
    println!("| {name} | {} | {p50} | {p99} | {p999} | {max} |", ns.len());
}

fn measure(title: &str, recorded: &Recorded) {
    let (mut engine, mut now) = prepared(recorded);
    let open = engine.open_orders();
    let mut sink = Counting::default();
    let began = Instant::now();
    for command in &recorded.measured {
        now += STEP_NS;
        engine.apply(command, now, &mut sink);
    }
    let took = began.elapsed();
    let count = recorded.measured.len();
    println!("\n## {title}\n");
    println!("{open} orders rest at the start, {} at the end; {count} commands", engine.open_orders());
    println!(
        "outputs: {} reports, {} market events; {} executions, {} rejections",
        sink.reports, sink.market, sink.executions, sink.rejections
    );
    let ns = took.as_nanos() as f64 / count as f64;
    println!("in one go: {ns:.0} ns a command, {:.2} M commands/s", 1_000.0 / ns);
    let digest = engine.digest();

    let (mut engine, mut now) = prepared(recorded);
    let mut sink = Counting::default();
    let mut rows: [(&str, Vec<u32>); 3] = ["enter", "cancel", "replace"].map(|kind| (kind, vec![]));
    let mut all = Vec::with_capacity(count);
    for command in &recorded.measured {
        now += STEP_NS;
        let began = Instant::now();
        engine.apply(command, now, &mut sink);
        let took = u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX);
        all.push(took);
        if let Some(row) = rows.iter_mut().find(|(kind, _)| *kind == kind_of(command)) {
            row.1.push(took);
        }
    }
    assert_eq!(engine.digest(), digest, "the same commands give the same state");
    println!("\n| ns, clock included | commands | p50 | p99 | p99.9 | max |\n|---|---|---|---|---|---|");
    print_row("all", &mut all);
    for (kind, mut ns) in rows {
        print_row(kind, &mut ns);
    }
}

fn clock_cost() -> f64 {
    let began = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(Instant::now());
    }
    began.elapsed().as_nanos() as f64 / 1e6
}

fn measure_snapshot(recorded: &Recorded) {
    let (engine, _) = prepared(recorded);
    let mut bytes = Vec::new();
    let began = Instant::now();
    engine.snapshot(&mut bytes).expect("memory can be written");
    let wrote = began.elapsed();
    let began = Instant::now();
    let restored = MatchingEngine::restore(&mut bytes.as_slice()).expect("its own snapshot");
    let read = began.elapsed();
    let began = Instant::now();
    assert_eq!(restored.digest(), engine.digest());
    let hashed = began.elapsed() / 2;
    println!(
        "\nsnapshot of {} orders: {} bytes, written in {wrote:?}, restored in {read:?}; digest in {hashed:?}",
        engine.open_orders(),
        bytes.len()
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: usize| match value(name) {
        None => default,
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} wants a number: {text:?}")),
    };
    println!("clock: {:.0} ns a reading", clock_cost());
    let shape = Shape {
        instruments: number("--instruments", 4000),
        levels: number("--levels", 20),
        per_level: number("--per-level", 3),
    };
    let commands = number("--commands", 1_000_000);
    let synthetic = flow::draw(&shape, commands);
    measure(&format!("synthetic: {shape:?}"), &synthetic);
    measure_snapshot(&synthetic);
    if let Some(file) = value("--itch") {
        let copies = number("--copies", 100);
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        measure(&format!("recorded day, {copies} copies side by side"), &recorded::day(&bytes, copies));
    }
}
