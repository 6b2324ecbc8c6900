//! # self-test: whether the one who measures sees what is there
//!
//! A stub of a server forwards what it is sent and does nothing else, but stands still for 5 ms once a second. Of
//! messages that are due evenly, a share of `5 ms / 1 s` meets a stall, and the wait of those is spread evenly from
//! 5 ms down to none: one in a thousand waits longer than 4 ms. That is the p99.9 of everybody who does not wait for
//! anybody else. A closed loop sends nothing while it waits, so a stall costs it one message of very many, and its
//! p99.9 says nothing of it.

use crate::client::{Ground, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::environment;
use crate::latency::{Found, Pace, Rally};
use crate::node::{NodeArguments, Role};
use crate::progress::Progress;
use crate::results::{Output, Results, Row, Unit, Verdict};
use crate::scene::{Contestant, Node};
use crate::stats::Spread;
use lockstep_client::Delivery;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::Nanos;
use std::time::Instant;

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
/// Who is measured.
const SUBJECT: &str = "stub";

/// How to test.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Seconds of each loop and round: at least one stall is in each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    #[command(flatten)]
    output: Output,
}

/// Measures the stub in both loops, with the stall and without, and says whether the stall was seen.
///
/// # Errors
/// It was not, or a process did not start. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<Verdict, String> {
    let cores = cpu::cores();
    if cores.len() < 2 {
        println!("SKIPPED: self-test: stub and client need a core each, this machine has {}", cores.len());
        return Ok(Verdict::Passed);
    }
    let title = "a stub that stands still for 5 ms once a second, as it is and as a closed loop sees it";
    let mut results = Results::begin("self-test", title, environment::facts());
    if let Some(note) = cpu::pin(cores[0]).note {
        return Err(note);
    }
    results.tell("clock", "CLOCK_MONOTONIC of the client");
    results.tell("warm-up", "0.1 s of each round are not counted");
    let (began, progress) = (Instant::now(), Progress::new("self-test"));
    for round in 0..arguments.rounds {
        for (stalls, pace) in
            [(STALL_NS, Pace::Open(RATE, None)), (STALL_NS, Pace::Closed), (0, Pace::Open(RATE, None))]
        {
            let case = case(stalls, pace);
            progress.say(&format!("round {}, {case}", round + 1));
            let at_s = began.elapsed().as_secs_f64();
            let mut told = one(stalls, pace, arguments.seconds, &cores)?.round()?;
            told.at_s = at_s;
            results.add(case, SUBJECT, told, || Row::new(case, SUBJECT, SUBJECT, Unit::Nanos));
        }
    }
    drop(progress);
    judge(&mut results);
    arguments.output.give(&results)
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
    let (contestant, role) = (Contestant::Io, Role::Leader);
    let arguments = NodeArguments { stall_ns, ..NodeArguments::new(contestant, role, cores[1]) };
    let _stub = Node::start(&cluster, &arguments)?;
    let lasts_ns = seconds * 1_000_000_000;
    let rally = Rally { pace, warm_up_ns: WARM_UP_NS, ..Rally::probe(MESSAGE_LEN, lasts_ns, idle) };
    measure(contestant, Ground::own(&cluster), Delivery::Stamped, MESSAGE_LEN, rally)
}

/// Says what is true of the stub, what either loop saw of it, and whether that is wrong.
fn judge(results: &mut Results) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Facts, Figures, Round};

    fn judged(open: f64, closed: f64) -> Results {
        let mut results = Results::begin("self-test", "", Facts::new());
        for (case, p999) in [("open loop, stalls", open), ("closed loop, stalls", closed)] {
            let figures = Figures::from([("p99.9".to_owned(), p999)]);
            results.add(case, SUBJECT, Round { figures, ..Round::default() }, || {
                Row::new(case, SUBJECT, SUBJECT, Unit::Nanos)
            });
        }
        judge(&mut results);
        results
    }

    #[test]
    fn a_stall_that_is_not_seen_is_wrong_and_so_is_a_closed_loop_that_sees_it() {
        assert!(judged(4_050_000.0, 30_000.0).wrongs.is_empty());
        assert!(judged(40_000.0, 30_000.0).wrongs[0].contains("did not see"));
        assert!(judged(9_000_000.0, 9_000_000.0).wrongs[0].contains("hide"));
    }
}
