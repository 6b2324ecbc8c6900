//! # observed: what it costs a leader that it is watched
//!
//! ```text
//!   alone      client ─▶ leader (─▶ standby) ─▶ client
//!   observed   the same, while each second somebody fetches the leader's page of metrics,
//!              and `lockstep top` has its screen on a terminal
//! ```
//!
//! One cluster of processes runs all the time, with its page. Within each round the two take turns, so the
//! ratio is that of neighbours in time. Fetches and `top` need a core as well: on a machine with as many hot
//! threads as cores the observed turn pays for that too, and its maximum shows it.

use crate::child::{Own, itself};
use crate::client::{Ground, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::contestant::Contestant;
use crate::environment;
use crate::flags;
use crate::fleet::Fleet;
use crate::harness::{Run, Shared, pin, two_cores};
use crate::load::Pace;
use crate::place::Place;
use crate::probe::Rally;
use crate::results::{Row, RunResult, Unit};
use crate::worker::Worker;
use lockstep_client::{Delivery, Start};
use lockstep_io::idle::Idle;
use lockstep_process::page;
use lockstep_testkit::processes::free_address;
use lockstep_wire::Nanos;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two fetches of the page, and two looks of `top`.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the one who fetches looks whether it is to end.
const LOOK: Duration = Duration::from_millis(10);
/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(5);
/// Bytes of the page at most.
const PAGE_MAX: usize = 4 << 20;
/// From the start of the watchers to the first message that counts.
const SETTLES: Duration = Duration::from_millis(500);
/// How long `top` may take to end with its terminal.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 3.0, value_parser = flags::seconds(1.0..=3600.0))]
    seconds: f64,
    /// Messages per second.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
}

/// Measures a cluster of one, where delivery is `stamped`, and one of two, where it is `committed`.
///
/// # Errors
/// A process that did not start, a message that was lost, a page that was not served. One core: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(cores) = two_cores("observed", "leader and client") else { return Ok(RunResult::Passed) };
    let title = "publish to delivery, with somebody who watches";
    let mut run = Run::begin("observed", title, environment::facts());
    run.tell("watched by", "a fetch of the leader's /metrics and `lockstep top`, once a second each");
    run.tell("loop", format!("open: {}/s of {MESSAGE_LEN} B", arguments.rate));
    run.tell("rounds", format!("{} of {} s, in turn", arguments.shared.rounds, arguments.seconds));
    // The replicas have no cores of their own: beside a client that spins one might wait for its core.
    let idle = Idle::Yield;
    run.tell("idle", idle);
    pin(cores[0])?;
    for (mode, delivery, replicas) in
        [("stamped", Delivery::Stamped, 1), ("committed", Delivery::Committed, 2)]
    {
        let page = free_address();
        let cluster = Cluster::on(&Site { metrics: Some(page), ..Site::loopback(replicas) }, idle)?;
        let (config, path) = (cluster.config.clone(), cluster.path());
        let mut fleet = Fleet::start(cluster, Place::hosts(replicas as usize))?;
        fleet.await_whole()?;
        let case = format!("{mode}, {MESSAGE_LEN} B, {}/s", arguments.rate);
        let turn = || {
            let rally = Rally {
                pace: Pace::Open(arguments.rate, None),
                warm_up_ns: 100_000_000,
                ..Rally::probe(MESSAGE_LEN, (arguments.seconds * 1e9) as Nanos, idle)
            };
            let ground = Ground { start: Start::Live, ..Ground::of(&config) };
            measure(Contestant::Lockstep, ground, delivery, MESSAGE_LEN, rally)?.round()
        };
        run.rounds(arguments.shared.rounds, |run, _| {
            for is_observed in [false, true] {
                let watchers = is_observed.then(|| Watchers::start(page, &path)).transpose()?;
                sleep(SETTLES);
                let at = Instant::now();
                let round = turn()?;
                let seconds = Duration::from_secs_f64(round.seconds);
                watchers.map_or(Ok(()), Watchers::end)?;
                let (subject, words) = if is_observed {
                    ("observed", "lockstep, observed")
                } else {
                    ("alone", "lockstep alone")
                };
                let row = Row::new(&case, subject, words, Unit::Nanos).as_floor(!is_observed);
                run.record(row, at, seconds, round);
            }
            Ok(())
        })?;
    }
    run.finish(&arguments.shared.output)
}

/// Those who watch: dropped, they end.
struct Watchers {
    fetches: Worker<u32>,
    top: Own,
}

impl Watchers {
    fn start(page: SocketAddr, config: &std::path::Path) -> Result<Self, String> {
        let top = format!("{} lockstep top --interval 1s --config {}", itself()?.display(), config.display());
        let mut command = Command::new("script");
        // A terminal of its own, which nobody looks at.
        command.args(["--quiet", "--return", "--command", &top, "/dev/null"]).env("TERM", "xterm");
        let top = Own::start("top on a terminal (script, of util-linux)", command, PATIENCE)?;
        Ok(Self { fetches: Worker::start("fetch of metrics", move |ending| fetch_all(page, ending))?, top })
    }

    fn end(mut self) -> Result<(), String> {
        if let Some(status) = self.top.child().try_wait().map_err(|error| error.to_string())? {
            return Err(format!("top ended before its turn was over: {status}"));
        }
        match self.fetches.end()? {
            0 => Err("the page of metrics was not fetched".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Fetches the page once a second until `ending`; how often.
fn fetch_all(address: SocketAddr, ending: &AtomicBool) -> Result<u32, String> {
    let (mut count, mut due) = (0, Instant::now());
    while !ending.load(Ordering::Acquire) {
        if Instant::now() >= due {
            due += INTERVAL;
            let fetched = page::fetch((address, "/metrics"), ("", None), (FETCH, PAGE_MAX));
            let text = fetched.map_err(|error| error.to_string())?.content;
            if !text.windows(9).any(|part| part == b"lockstep_") {
                let text = String::from_utf8_lossy(&text);
                return Err(format!("http://{address}/metrics is no page of metrics: {text}"));
            }
            count += 1;
        }
        sleep(LOOK);
    }
    Ok(count)
}
