//! # match_bench: what matching costs
//!
//! ```text
//! cargo run --profile dist -p lockstep-exchange --example match_bench -- [--commands N] [--instruments N] [--levels N]
//!     [--per-level N] [--itch FILE] [--copies N]
//! ```
//!
//! Draws a flow in advance, fills the books, and applies the flow: three times in one go, for commands per
//! second, and once with a clock around each command, for quantiles. The clock's own cost is printed and not
//! subtracted. Outputs are counted and dropped: encoding is the machine's. The same flow goes through another
//! book ([`compare`]), and as OUCH 5.0 through a replica that replays its journal ([`machine`]). Then the
//! adds, cancels, replacements and executions of a recorded ITCH 5.0 day become commands, many copies of the
//! day side by side.

// A bench reads the clock.
#![allow(clippy::disallowed_methods)]

mod compare;
mod flow;
mod machine;
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

/// The recorded day of the repository's tests.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/ex20101224.TEST_ITCH_50.gz");

/// Stream time between two commands.
const STEP_NS: u64 = 1_000;

/// Times of a list of steps.
pub struct Times {
    /// Nanoseconds a step without a clock between, in the best of the rounds.
    pub together: f64,
    /// Nanoseconds of each step, the clock's included.
    pub each: Vec<u32>,
}

/// Rounds without a clock between steps; one more has one.
const ROUNDS: usize = 3;

/// Times steps, each round on a state of its own.
pub fn rounds<T, S>(steps: &[T], prepare: impl Fn() -> S, mut apply: impl FnMut(&mut S, &T)) -> Times {
    let mut together = f64::MAX;
    for _ in 0..ROUNDS {
        let mut state = prepare();
        let began = Instant::now();
        for step in steps {
            apply(&mut state, step);
        }
        together = together.min(began.elapsed().as_nanos() as f64 / steps.len() as f64);
    }
    let mut state = prepare();
    let mut each = Vec::with_capacity(steps.len());
    for step in steps {
        let began = Instant::now();
        apply(&mut state, step);
        each.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    Times { together, each }
}

struct Running {
    engine: MatchingEngine,
    now: u64,
    sink: Counting,
}

impl Running {
    fn apply(&mut self, command: &ExchangeCommand) {
        self.now += STEP_NS;
        self.engine.apply(command, self.now, &mut self.sink);
    }
}

fn prepared(recorded: &Recorded) -> Running {
    let mut engine = MatchingEngine::new(recorded.rules).expect("rules of the bench");
    engine.prefault();
    let mut running = Running { engine, now: 1_700_000_000_000_000_000, sink: Counting::default() };
    for command in &recorded.setup {
        running.apply(command);
    }
    running.sink = Counting::default();
    running
}

fn kind_of(command: &ExchangeCommand) -> &'static str {
    match command {
        ExchangeCommand::Enter(_) => "enter",
        ExchangeCommand::Replace(_) => "replace",
        ExchangeCommand::Cancel { .. } => "cancel",
        _ => "other",
    }
}

fn print_row(name: &str, mut ns: Vec<u32>) {
    ns.sort_unstable();
    let quantile = |per_mille: usize| ns.get((ns.len() * per_mille / 1000).min(ns.len().saturating_sub(1)));
    let [p50, p99, p999, max] = [500, 990, 999, 1000].map(|q| quantile(q).copied().unwrap_or(0));
    println!("| {name} | {} | {p50} | {p99} | {p999} | {max} |", ns.len());
}

fn measure(title: &str, recorded: &Recorded) {
    println!("\n## {title}\n");
    let mut once = prepared(recorded);
    let open = once.engine.open_orders();
    for command in &recorded.measured {
        once.apply(command);
    }
    let (sink, count) = (&once.sink, recorded.measured.len());
    println!("{open} orders rest at the start, {} at the end; {count} commands", once.engine.open_orders());
    println!(
        "outputs: {} reports, {} market events; {} trades, {} rejections",
        sink.reports,
        sink.market,
        sink.executions / 2,
        sink.rejections
    );
    let times = rounds(&recorded.measured, || prepared(recorded), Running::apply);
    let (other, fills) = compare::measure(recorded);
    println!("lobster: {fills} trades\n");
    println!("| in one go, best of {ROUNDS} | ns a command | M commands/s |\n|---|---|---|");
    for (name, times) in [("this engine", &times), ("lobster", &other)] {
        println!("| {name} | {:.0} | {:.2} |", times.together, 1_000.0 / times.together);
    }
    println!("\n| ns, clock included | commands | p50 | p99 | p99.9 | max |\n|---|---|---|---|---|---|");
    for kind in ["enter", "cancel", "replace"] {
        let all = recorded.measured.iter().zip(&times.each);
        print_row(kind, all.filter(|(command, _)| kind_of(command) == kind).map(|(_, ns)| *ns).collect());
    }
    print_row("all", times.each);
    print_row("all, lobster", other.each);
    machine::measure(title, recorded);
}

fn clock_cost() -> f64 {
    let began = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(Instant::now());
    }
    began.elapsed().as_nanos() as f64 / 1e6
}

fn measure_snapshot(recorded: &Recorded) {
    let engine = prepared(recorded).engine;
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
    let file = value("--itch").unwrap_or_else(|| RECORDED.to_owned());
    let copies = number("--copies", 100);
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    measure(&format!("recorded day, {copies} copies side by side"), &recorded_day(&bytes, copies));
}

fn recorded_day(gzip: &[u8], copies: usize) -> Recorded {
    let recorded::Day { symbols, accounts, commands } = recorded::day(gzip, copies);
    let setup = flow::opening(&symbols, 0..accounts, 1);
    let rules = Rules { instruments_max: symbols.len() as u16, accounts_max: accounts, ..Rules::default() };
    Recorded { setup, measured: commands, rules }
}
