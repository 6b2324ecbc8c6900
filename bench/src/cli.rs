//! The command line.

use crate::results::Verdict;
use crate::{down, failover, gateway, instructions, latency, node, repair, replay, throughput};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures lockstep, and the floor under it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Instructions per message of each role, counted by callgrind.
    Instructions(instructions::Arguments),
    /// Publish to delivery, over what a raw forwarder takes.
    Latency(latency::Arguments),
    /// Messages per second, over what a raw forwarder carries.
    Throughput(throughput::Arguments),
    /// Takes the leader away, again and again, and measures what a subscriber notices.
    Failover(Box<failover::Arguments>),
    /// What losses cost the messages that they hit and those behind them, and who lies behind the others.
    Repair(repair::Arguments),
    /// A subscriber of that measure.
    #[command(hide = true)]
    Reader(repair::ReaderArguments),
    /// A process that computes for nothing.
    #[command(hide = true)]
    Hog(failover::HogArguments),
    /// Bytes per second that a journal is replayed with, beside `cat` of its segments into a socket.
    Replay(replay::Arguments),
    /// What gateway and feed add to plain sockets, and what a storm of logins does to who is there.
    Gateway(gateway::Arguments),
    /// A process that does nothing but read and write.
    #[command(hide = true)]
    Relay(gateway::RelayArguments),
    /// The death of a leader to its watcher's Down.
    Down(down::Arguments),
    /// What callgrind watches.
    #[command(hide = true)]
    Turns(instructions::TurnsArguments),
    /// A process of a measurement.
    #[command(hide = true)]
    Node(node::Arguments),
    /// Who is killed.
    #[command(hide = true)]
    DownVictim(down::VictimArguments),
    /// Its watcher.
    #[command(hide = true)]
    DownWatcher,
}

/// Subcommands of lockstep itself: failover starts replicas, and they their watchers, as this very program,
/// so that no older one is measured by mistake.
const LOCKSTEPS_OWN: [&str; 2] = ["sequencer", "watch"];
/// Behind this word stands any subcommand of lockstep.
const LOCKSTEP: &str = "lockstep";

/// What a limit that holds, or a difference, ends the program with.
const FAILED: u8 = 3;

/// This program as lockstep itself, where its first argument says so: whoever starts a fleet does it with its own
/// executable.
pub fn as_lockstep() -> Option<ExitCode> {
    let first = std::env::args().nth(1)?;
    let skip = match first.as_str() {
        LOCKSTEP => 1,
        own if LOCKSTEPS_OWN.contains(&own) => 0,
        _ => return None,
    };
    Some(ExitCode::from(lockstep::cli::run(std::env::args_os().skip(skip))))
}

/// The program: reads the command line, measures, and says how it went.
pub fn run() -> ExitCode {
    if let Some(code) = as_lockstep() {
        return code;
    }
    let done = match Arguments::parse().what {
        What::Instructions(arguments) => instructions::run(&arguments).map(|()| Verdict::Passed),
        What::Latency(arguments) => latency::run(&arguments).map(|()| Verdict::Passed),
        What::Throughput(arguments) => throughput::run(&arguments).map(|()| Verdict::Passed),
        What::Failover(arguments) => failover::run(&arguments).map(|()| Verdict::Passed),
        What::Repair(arguments) => repair::run(&arguments).map(|()| Verdict::Passed),
        What::Reader(arguments) => repair::read(&arguments).map(|()| Verdict::Passed),
        What::Replay(arguments) => replay::run(&arguments).map(|()| Verdict::Passed),
        What::Gateway(arguments) => gateway::run(&arguments).map(|()| Verdict::Passed),
        What::Relay(arguments) => gateway::relay(&arguments).map(|()| Verdict::Passed),
        What::Hog(arguments) => failover::hog(&arguments).map(|()| Verdict::Passed),
        What::Down(arguments) => down::run(&arguments).map(|()| Verdict::Passed),
        What::DownVictim(arguments) => down::victim(&arguments).map(|()| Verdict::Passed),
        What::DownWatcher => down::watcher().map(|()| Verdict::Passed),
        What::Turns(arguments) => instructions::turns(&arguments).map(|()| Verdict::Passed),
        What::Node(arguments) => node::run(&arguments).map(|()| Verdict::Passed),
    };
    match done {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("lockstep-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
