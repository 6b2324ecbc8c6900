//! # lockstep-bench: measures lockstep, and the floor under it
//!
//! Four kinds of figures, never mixed: instructions per message (exact, with a budget), latency and
//! throughput as ratios to a forwarder that does nothing but forward, taken in the same run, and what a
//! takeover or a loss costs, beside the same without one. Absolute times of a shared machine drift by a third; ratios
//! of alternating rounds do not.

mod check;
mod client;
mod cluster;
mod condition;
mod down;
mod environment;
mod failover;
mod fleet;
mod floor;
mod gateway;
mod instructions;
mod latency;
mod node;
mod place;
mod plain;
mod repair;
mod replay;
mod scene;
mod stats;
mod throughput;

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

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| LOCKSTEPS_OWN.contains(&first.as_str())) {
        return ExitCode::from(lockstep::cli::run(std::env::args_os()));
    }
    if std::env::args().nth(1).is_some_and(|first| first == LOCKSTEP) {
        return ExitCode::from(lockstep::cli::run(std::env::args_os().skip(1)));
    }
    let done = match Arguments::parse().what {
        What::Instructions(arguments) => instructions::run(&arguments),
        What::Latency(arguments) => latency::run(&arguments),
        What::Throughput(arguments) => throughput::run(&arguments),
        What::Failover(arguments) => failover::run(&arguments),
        What::Repair(arguments) => repair::run(&arguments),
        What::Reader(arguments) => repair::read(&arguments),
        What::Replay(arguments) => replay::run(&arguments),
        What::Gateway(arguments) => gateway::run(&arguments),
        What::Relay(arguments) => gateway::relay(&arguments),
        What::Hog(arguments) => failover::hog(&arguments),
        What::Down(arguments) => down::run(&arguments),
        What::DownVictim(arguments) => down::victim(&arguments),
        What::DownWatcher => down::watcher(),
        What::Turns(arguments) => instructions::turns(&arguments),
        What::Node(arguments) => node::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lockstep-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
