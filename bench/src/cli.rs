//! The command line.

use crate::results::RunResult;
use crate::{
    attached, compare, cost, day, down, failover, fairness, fanout, gateway, ground, guard, idle, journal,
    languages, latency, merge, micro, node, observed, recovery, repair, replay, report, scenario, self_test,
    throughput,
};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures lockstep, and the floor under it.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// The measures, and the processes of measures.
#[derive(Subcommand)]
pub enum What {
    /// Nanoseconds of each operation of the hot path, over a copy of its bytes.
    Micro(micro::Arguments),
    /// Publish to delivery, over what a raw forwarder takes.
    Latency(Box<latency::Arguments>),
    /// Measures a stub with a planted stall: what an open and a closed loop see of it.
    SelfTest(self_test::Arguments),
    /// Runs a scenario: a file that names a measure and its flags.
    Run(scenario::Arguments),
    /// The far end of a floor between two hosts, for `latency --config`.
    Reflect(attached::ReflectArguments),
    /// Messages per second, over what a raw forwarder carries.
    Throughput(throughput::Arguments),
    /// What the machine under everything does: hiccups, clocks, timers, raw UDP, memory, disk.
    Floor(ground::Arguments),
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
    /// Appending to the log, and keeping it, beside a copy in memory and a plain file.
    Journal(journal::Arguments),
    /// Publish to the median and to the last of many subscribers, over plain readers.
    Fanout(fanout::Arguments),
    /// A subscriber of that measure.
    #[command(hide = true)]
    Listener(fanout::ListenerArguments),
    /// Bytes per second that a journal is replayed with, beside `cat` of its segments into a socket.
    Replay(replay::Arguments),
    /// How long a replica needs until it votes again, with many names and a long journal.
    Recovery(recovery::Arguments),
    /// What gateway and feed add to plain sockets, and what a storm of logins does to who is there.
    Gateway(gateway::Arguments),
    /// A process that does nothing but read and write.
    #[command(hide = true)]
    Relay(gateway::RelayArguments),
    /// Publish to committed of ninety-nine paced publishers, beside one that floods.
    Fairness(fairness::Arguments),
    /// The death of a leader to its watcher's Down.
    Down(down::Arguments),
    /// What each daemon costs that has nothing to do and parks.
    Idle(idle::Arguments),
    /// Processor time for a million committed messages, over what a raw forwarder takes.
    Cost(cost::Arguments),
    /// A long run with takeovers: latency, losses, memory, descriptors, disk, and whether they are flat.
    Day(Box<day::Arguments>),
    /// The application of that run.
    #[command(hide = true)]
    Application(day::ApplicationArguments),
    /// Publish to committed and messages received, by the same loop in Rust, C, C++, Python and Java.
    Languages(languages::Arguments),
    /// The loop in Rust.
    #[command(hide = true)]
    LanguageLoop(languages::LoopArguments),
    /// The load of that measure.
    #[command(hide = true)]
    LanguageLoad(languages::LoadArguments),
    /// What it costs a leader that its metrics are fetched and that `top` is open.
    Observed(observed::Arguments),
    /// Publish to delivery in the merged order of a set that runs, over the subscription of one stream.
    Merge(merge::Arguments),
    /// Runs two programs in turn, and says whether the second is worse.
    Compare(Box<compare::Arguments>),
    /// Runs the main rows beside the last release's program, and fails on 5 %.
    Guard(guard::Arguments),
    /// Results as one page that opens offline, and as pictures.
    Report(report::Arguments),
    /// A process of a measurement.
    #[command(hide = true)]
    Node(node::Arguments),
    /// The victim.
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

/// This program as lockstep itself, where its first argument says so: whoever starts a fleet does it with its
/// own executable.
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
    match measure(Arguments::parse().what) {
        Ok(result) => ExitCode::from(result.code()),
        Err(error) => {
            eprintln!("lockstep-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked for.
fn measure(what: What) -> Result<RunResult, String> {
    match what {
        What::Micro(arguments) => micro::run(&arguments),
        What::Latency(arguments) => latency::run(&arguments),
        What::SelfTest(arguments) => self_test::run(&arguments),
        What::Run(arguments) => {
            scenario::command_line(&arguments).and_then(|line| measure(Arguments::parse_from(line).what))
        }
        What::Reflect(arguments) => attached::reflect(&arguments).map(|()| RunResult::Passed),
        What::Throughput(arguments) => throughput::run(&arguments),
        What::Floor(arguments) => ground::run(&arguments),
        What::Failover(arguments) => failover::run(&arguments),
        What::Repair(arguments) => repair::run(&arguments),
        What::Reader(arguments) => repair::read(&arguments).map(|()| RunResult::Passed),
        What::Journal(arguments) => journal::run(&arguments),
        What::Fanout(arguments) => fanout::run(&arguments),
        What::Listener(arguments) => fanout::listen(&arguments).map(|()| RunResult::Passed),
        What::Replay(arguments) => replay::run(&arguments),
        What::Recovery(arguments) => recovery::run(&arguments),
        What::Gateway(arguments) => gateway::run(&arguments),
        What::Relay(arguments) => gateway::relay(&arguments).map(|()| RunResult::Passed),
        What::Hog(arguments) => failover::hog(&arguments).map(|()| RunResult::Passed),
        What::Report(arguments) => report::run(&arguments).map(|()| RunResult::Passed),
        What::Merge(arguments) => merge::run(&arguments),
        What::Compare(arguments) => compare::run(&arguments),
        What::Guard(arguments) => guard::run(&arguments),
        What::Idle(arguments) => idle::run(&arguments),
        What::Fairness(arguments) => fairness::run(&arguments),
        What::Cost(arguments) => cost::run(&arguments),
        What::Day(arguments) => day::run(&arguments),
        What::Application(arguments) => day::apply(&arguments).map(|()| RunResult::Passed),
        What::Observed(arguments) => observed::run(&arguments),
        What::Languages(arguments) => languages::run(&arguments),
        What::LanguageLoop(arguments) => languages::run_loop(&arguments).map(|()| RunResult::Passed),
        What::LanguageLoad(arguments) => languages::publish(&arguments).map(|()| RunResult::Passed),
        What::Down(arguments) => down::run(&arguments),
        What::DownVictim(arguments) => down::victim(&arguments).map(|()| RunResult::Passed),
        What::DownWatcher => down::watcher().map(|()| RunResult::Passed),
        What::Node(arguments) => node::run(&arguments).map(|()| RunResult::Passed),
    }
}
