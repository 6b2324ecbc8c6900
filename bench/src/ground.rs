//! # floor: what the machine under everything does, with no lockstep in the way
//!
//! ```text
//!   hiccups   a loop on every core that reads the clock: who takes the core away, and for how long
//!   clocks    what a reading of a clock costs
//!   timers    by how much a sleep is too long
//!   udp       round trips of one, two and three hops over an interface, by who spins and by who sleeps
//!   xdp       round trips of two and three hops between namespaces, by AF_XDP and by udp over the same cable
//!   memory    round trips between two cores through shared memory
//!   disk      4 KiB until they are on the device
//! ```
//!
//! Nothing here is faster than its row allows, whoever writes it: a p99.9 below the hiccups of its core, a
//! hop below the hop of a plain socket, a commit on disk below the flush. Each row has its turn in each
//! round. Of xdp it is told what it is of udp over the same cable; otherwise no row is another's floor, and
//! there are no ratios.

mod cables;
mod clocks;
mod disk;
mod hiccups;
mod hops;
mod memory;
mod timers;

use crate::environment;
use crate::flags;
use crate::harness::{Run, Shared, pin};
use crate::results::{Results, RunResult};
use cables::Cables;
use clap::ValueEnum;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use std::path::PathBuf;
use std::time::Duration;

/// A part of the measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    Hiccups,
    Clocks,
    Timers,
    Udp,
    Xdp,
    Memory,
    Disk,
}

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 1.0, value_parser = flags::seconds(0.01..=600.0))]
    seconds: f64,
    /// The interface of the UDP hops. Datagrams do not leave this host: the kernel loops them back.
    #[arg(long, default_value = "lo")]
    interface: String,
    /// The folder whose disk is flushed.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Where and how long each turn runs.
struct Plan {
    cores: Vec<usize>,
    turn: Duration,
}

/// Measures, and says what the machine does.
///
/// # Errors
/// A core, an interface or a folder that is not ours to use. What needs two cores and has one is SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let plan = Plan { cores: cpu::cores(), turn: Duration::from_secs_f64(arguments.seconds) };
    let facts = if arguments.wants(Part::Udp) {
        environment::with_device(Some(&hops::cluster(&arguments.interface, 1, Idle::Spin)?.config))?
    } else {
        environment::facts()
    };
    let mut run = Run::begin("floor", "what the machine does, with no lockstep in the way", facts);
    tell(&mut run.results, arguments, &plan);
    let cables = if arguments.wants(Part::Xdp) { cables(&mut run.results, &plan) } else { None };
    run.rounds(arguments.shared.rounds, |run, _| {
        // The threads that this one starts may run where it may.
        cpu::allow(&plan.cores);
        if arguments.wants(Part::Hiccups) {
            hiccups::turn(run, &plan)?;
        }
        pin(plan.cores.first().copied().unwrap_or_default())?;
        if arguments.wants(Part::Clocks) {
            clocks::turn(run, &plan)?;
        }
        if arguments.wants(Part::Timers) {
            timers::turn(run, &plan)?;
        }
        if arguments.wants(Part::Udp) {
            hops::turn(run, &plan, &arguments.interface)?;
        }
        if let Some(cables) = &cables {
            cables::turn(run, &plan, cables)?;
        }
        if arguments.wants(Part::Memory) && plan.cores.len() > 1 {
            memory::turn(run, &plan)?;
        }
        if arguments.wants(Part::Disk) {
            disk::turn(run, &plan, &arguments.folder)?;
        }
        Ok(())
    })?;
    run.finish(&arguments.shared.output)
}

/// A second of the hiccups' rows, in a run of another measure.
///
/// # Errors
/// As [`run`].
pub fn hiccups(run: &mut Run, cores: &[usize]) -> Result<(), String> {
    hiccups::turn(run, &Plan { cores: cores.to_vec(), turn: Duration::from_secs(1) })
}

/// The method, and what is left out.
fn tell(results: &mut Results, arguments: &Arguments, plan: &Plan) {
    results.tell("clock", "CLOCK_MONOTONIC; whatever is timed holds one reading of it (see clocks)");
    results.tell("warm-up", format!("{} ms of each turn of udp and memory", hops::WARM_UP_NS / 1_000_000));
    results.tell("loop", "closed: the next one begins when the last has ended; stalls are the hiccups' rows");
    let cores: Vec<String> = plan.cores.iter().map(usize::to_string).collect();
    results.tell("cores", format!("{}; choose others with taskset", cores.join(", ")));
    results.tell(
        "turns",
        format!("{} rounds, {} s of each row in each round", arguments.shared.rounds, arguments.seconds),
    );
    if cores.len() < 2 {
        let skipped = "two hops and more, and memory, need two cores, this machine has one";
        results.notes.push(format!("SKIPPED: {skipped}"));
    }
}

/// The hosts of xdp, or a note why there are none.
fn cables(results: &mut Results, plan: &Plan) -> Option<Cables> {
    let cables = if plan.cores.len() < 2 { Err("it needs two cores".to_owned()) } else { Cables::new() };
    cables.map_err(|reason| results.notes.push(format!("SKIPPED: AF_XDP: {reason}"))).ok()
}
