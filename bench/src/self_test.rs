//! # self-test: whether the one who measures sees what is there
//!
//! A stub of a server forwards what it is sent and does nothing else, but stands still for 5 ms once a
//! second. Of messages that are due evenly, a share of `5 ms / 1 s` meets a stall, and the wait of those is
//! spread evenly from 5 ms down to none: one in a thousand waits longer than 4 ms. That is the p99.9 of
//! everybody who does not wait for anybody else. A closed loop sends nothing while it waits, so a stall costs
//! it one message of very many, and its p99.9 says nothing of it.

use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::contestant::Contestant;
use crate::environment;
use crate::harness::{Run, Shared, pin, two_cores};
use crate::load::Pace;
use crate::probe::{Found, Rally};
use crate::results::{Results, Round, Row, RunResult, Unit};
use crate::stage::Stage;
use crate::stats::Spread;
use crate::ways::Way;
use lockstep_client::Delivery;
use lockstep_io::idle::Idle;
use lockstep_wire::Nanos;

/// The stall that is planted, once a second.
const STALL_NS: Nanos = 5_000_000;
/// Between two of them.
const EVERY_NS: Nanos = 1_000_000_000;
/// What of each round is not counted.
const WARM_UP_NS: Nanos = 100_000_000;
/// Messages per second of the open loop.
const RATE: u64 = 20_000;
/// The measured p99.9 may be lower by so much: the stalls of a round need not be as many as its seconds.
const LEAST_SHARE: f64 = 0.9;
/// The contestants.
pub const SUBJECT: &str = "stub";

/// How to test.
#[derive(clap::Args)]
#[command(mut_arg("rounds", |rounds| rounds.default_value("3")))]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Seconds of each loop and round: at least one stall is in each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
}

/// Measures the stub in both loops, with the stall and without, and says whether the stall was seen.
///
/// # Errors
/// It was not, or a process did not start. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(cores) = two_cores("self-test", "stub and client") else { return Ok(RunResult::Passed) };
    let title = "a stub that stands still for 5 ms once a second, as it is and as a closed loop sees it";
    let mut run = Run::begin("self-test", title, environment::facts());
    pin(cores[0])?;
    run.tell("clock", "CLOCK_MONOTONIC of the client");
    run.tell("warm-up", "0.1 s of each round are not counted");
    run.rounds(arguments.shared.rounds, |run, _| {
        for (stalls, pace) in
            [(STALL_NS, Pace::Open(RATE, None)), (STALL_NS, Pace::Closed), (0, Pace::Open(RATE, None))]
        {
            let (case, at_s) = (case(stalls, pace), run.at_s());
            let round = one(stalls, pace, arguments.seconds, &cores)?.round()?;
            run.results.add(Row::new(case, SUBJECT, SUBJECT, Unit::Nanos), Round { at_s, ..round });
        }
        Ok(())
    })?;
    judge(&mut run.results);
    run.finish(&arguments.shared.output)
}

/// The three cases.
fn case(stalls: Nanos, pace: Pace) -> &'static str {
    match (stalls, pace) {
        (0, _) => "open loop, no stall",
        (_, Pace::Closed) => "closed loop, stalls",
        (_, Pace::Open(..)) => "open loop, stalls",
    }
}

fn one(stall_ns: Nanos, pace: Pace, seconds: u64, cores: &[usize]) -> Result<Found, String> {
    let idle = Idle::for_machine(2, cores.len());
    let cluster = Cluster::file(&Site::loopback(1), idle)?;
    let (way, cores) = (Way::default(), [cores[1], cores[0]]);
    let stage = Stage { stall_ns, ..Stage::of(Contestant::Io, &way, Delivery::Stamped, cores) };
    let lasts_ns = seconds * 1_000_000_000;
    let rally = Rally { pace, warm_up_ns: WARM_UP_NS, ..Rally::probe(MESSAGE_LEN, lasts_ns, idle) };
    stage.play(&cluster, MESSAGE_LEN, |_| Ok(rally)).map(|(found, _)| found)
}

/// Says what is true of the stub, what either loop saw of it, and whether that is wrong.
pub fn judge(results: &mut Results) {
    let p999 = |case: &str| -> Option<Spread> { results.of_case(case).next()?.spread("p99.9") };
    let truth = STALL_NS as f64 - EVERY_NS as f64 * 0.001;
    let (Some(open), Some(closed)) = (p999("open loop, stalls"), p999("closed loop, stalls")) else {
        results.wrongs.push("too few messages came for a p99.9: the machine is too busy".to_owned());
        return;
    };
    let calm = p999("open loop, no stall")
        .map_or_else(|| "-".to_owned(), |calm| format!("{:.3} ms", calm.median / 1e6));
    results.notes.push(format!(
        "the true p99.9 is {:.3} ms and what a message takes; open loop: {:.3} ms, closed loop: {:.3} ms, open loop \
         without the stall: {calm}",
        truth / 1e6,
        open.median / 1e6,
        closed.median / 1e6
    ));
    if open.median < truth * LEAST_SHARE {
        results.wrongs.push("the open loop did not see the stall".to_owned());
    }
    if closed.median >= open.median {
        results.wrongs.push(
            "the closed loop saw as much as the open one: other stalls hide the planted one".to_owned(),
        );
    }
}
