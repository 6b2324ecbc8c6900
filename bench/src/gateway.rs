//! # gateway: what gateway and feed cost over plain relays, and what a storm of logins costs others
//!
//! Two measurements, each a run of alternating segments of which only neighbours are compared:
//!
//! * `added`: the gateway's ways in and out, and the feed's, beside relays without a stream. Times are taken
//!   from outside: a socket hears the groups, the kernel notes when, and no process is changed for it.
//! * `storm`: clients trade while others connect, log in and drop their connections without pause, and while
//!   somebody floods the gateway with wrong passwords.

pub mod added;
mod client_pool;
mod market;
mod relay;
mod site;
mod storm;

pub use relay::{RelayArguments, relay};
pub use site::{PASSWORD, users, write_users};

use crate::environment;
use crate::flags;
use crate::harness::{Run, Shared, two_cores};
use crate::results::RunResult;
use crate::taps;
use clap::ValueEnum;
use lockstep_io::idle::Idle;

/// The measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Which {
    /// What gateway and feed add.
    Added,
    /// What a storm of logins does to others.
    Storm,
}

/// What to do.
#[derive(clap::Args)]
#[command(mut_arg("rounds", |rounds| rounds.default_value("8")))]
pub struct Arguments {
    /// Only one of the two.
    #[arg(long, value_enum)]
    only: Option<Which>,
    #[command(flatten)]
    shared: Shared,
    /// Seconds of a segment or a window.
    // A party that is not measured stands still meanwhile, and is cut after gateway.silence, which is at most
    // 300 s.
    #[arg(long, default_value_t = 2.0, value_parser = flags::seconds(0.05..=40.0))]
    seconds: f64,
    /// Messages or orders per second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Clients, those that storm among them.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    clients: u32,
    /// Clients that storm.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    storm: u32,
    /// Logins a second of all who storm together, or flood, at most; without it as many as are answered.
    #[arg(long)]
    logins: Option<u64>,
    /// What replica, gateway and floor do when there is nothing to do: `spin`, `yield` or `park`; by default
    /// as the number of cores has it, and in a storm on too few cores `park`: what checks passwords needs
    /// some too.
    #[arg(long)]
    idle: Option<Idle>,
}

/// What both parts need to know.
struct Plan {
    /// Rounds, each with every segment and every window once.
    rounds: u64,
    /// Clients that are connected, those that storm among them.
    clients: usize,
    /// Clients that storm.
    storm: usize,
    /// Logins a second of the storm at most; as many as are answered where there is no limit.
    logins: Option<u64>,
    /// Messages or orders per second.
    rate: u64,
    /// Bytes of each.
    size: usize,
    /// Seconds of a segment or a window.
    seconds: f64,
    /// What everybody does when there is nothing to do.
    idle: Idle,
}

/// What a ratio is to be at most.
const AIM: f64 = 1.5;

/// Measures, gives out what was found, and judges it.
///
/// # Errors
/// What did not start, did not come or was cut. Fewer than two cores are none: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Arguments { size, clients, storm, .. } = *arguments;
    if !(taps::SIZE_MIN..=1_000).contains(&size) {
        return Err(format!("--size: a message has mark and number, {} to 1000 bytes", taps::SIZE_MIN));
    }
    if clients <= storm {
        return Err(format!("--clients: beside the {storm} that storm there must be others to be measured"));
    }
    let Some(cores) = two_cores("gateway", "load and gateway") else { return Ok(RunResult::Passed) };
    let cores = cores.len();
    let title = "what gateway and feed cost over plain relays, and what a storm of logins costs others";
    let mut run = Run::begin("gateway", title, environment::with_device(None)?);
    run.tell("clock", "wall, the kernel's: when it had what a socket receives; a write counts from its call");
    run.tell(
        "loop",
        "open: no message waits for an answer; what the subject holds up counts from when it was due",
    );
    let plan = |idle| Plan {
        rounds: arguments.shared.rounds,
        clients: clients as usize,
        storm: storm as usize,
        logins: arguments.logins,
        rate: arguments.rate,
        size,
        seconds: arguments.seconds,
        idle: arguments.idle.unwrap_or(idle),
    };
    if arguments.only != Some(Which::Storm) {
        added::measure(&plan(Idle::for_machine(added::THREADS, cores)), &mut run)?;
    }
    if arguments.only != Some(Which::Added) {
        let enough = if storm::THREADS <= cores { Idle::Spin } else { Idle::Park };
        storm::measure(&plan(enough), &mut run)?;
    }
    run.finish(&arguments.shared.output)
}
