//! # dev: a cluster to write programs against
//!
//! Three replicas on this host until Ctrl-C, and what else a program is written against: a gateway for
//! SoupBinTCP and FIX, feeds, the page of `lockstep web`; and the program itself. It prints the path of the
//! cluster's file and what to try. A process that ends, by a `kill -9` for instance, is started again after a
//! second, so that a takeover and a return can be watched. Timings are patient: a busy host brings no
//! takeovers that nobody asked for.

mod app;
mod around;
mod beforehand;
mod keys;
mod shadow;
mod streams;
mod word;

use crate::args::WireArgs;
use crate::cluster::{self, Wire};
use app::{AppEnvironment, Apps};
use around::{Around, Metrics};
use beforehand::{Beforehand, Found};
use clap::{Args, ValueEnum};
use lockstep_daemon::Failure;
use lockstep_daemon::signals::stop_flag;
use lockstep_io::idle::Idle;
use lockstep_node::local::Folders;
use lockstep_trial::process::TrialProcess;
use lockstep_wire::CHANNEL_NUMBER_MAX;
use std::io::Write;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use streams::DevStream;
use word::Words;

/// Between two looks at the replicas.
const LOOK: Duration = Duration::from_millis(50);
/// From a process's end to its next start.
const AGAIN: Duration = Duration::from_secs(1);
/// The timings of a host that does much else: compilers, browsers, tests.
const PATIENT: [&str; 3] =
    ["timing.heartbeat_interval=20ms", "timing.failure_timeout=400ms", "timing.failure_timeout_max=4s"];

/// Flags of `dev`.
#[derive(Args, Debug)]
pub struct DevArgs {
    #[command(flatten)]
    pub wire: WireArgs,
    /// Sets a key in the cluster's file, e.g. stream.message_len_max=1024 or channels.2.message_len_max=200;
    /// repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Runs so many streams, s1, s2 …, each with replicas of its own; what else runs is about the first one
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=streams::STREAMS_MAX))]
    pub streams: u32,
    /// Runs a gateway for SoupBinTCP, with the user `dev` and the password `dev`
    #[arg(long)]
    pub gateway: bool,
    /// Runs a gateway for FIX, with the SenderCompID `fixdev` and the password `dev`
    #[arg(long)]
    pub fix: bool,
    /// Runs a feed of this channel, which the file then has; repeatable
    #[arg(long, value_name = "CHANNEL", value_parser = clap::value_parser!(u32).range(..=i64::from(CHANNEL_NUMBER_MAX)))]
    pub feed: Vec<u32>,
    /// Runs the page of `lockstep web`, by default at 127.0.0.1:9480
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:9480")]
    pub web: Option<SocketAddrV4>,
    /// Has each process serve its metrics, at addresses that are printed
    #[arg(long)]
    pub metrics: bool,
    /// Runs this program with the cluster's file in LOCKSTEP_CONFIG, and prints its lines; arguments stand
    /// behind the path, as in --app "counter 1"; repeatable
    #[arg(long, value_name = "PATH")]
    pub app: Vec<String>,
    /// Starts a program of --app again when its file has changed; one with a machine is run over the recorded
    /// stream before, beside the former version
    #[arg(long, requires = "app")]
    pub watch: bool,
    /// What --watch does with a version of a machine that does something else with the recorded stream
    #[arg(long, requires = "watch", value_enum, value_name = "WHAT", default_value = "ask")]
    pub watch_differs: WatchDiffers,
    /// Keeps the folder with configuration, journals and logs
    #[arg(long)]
    pub keep: bool,
    /// Ends when stdin does: for a parent that must not leave it behind
    #[arg(long)]
    pub until_stdin_ends: bool,
}

/// What becomes of a version whose outputs or timers differ from those of the one that runs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchDiffers {
    /// It waits for a line on stdin: `take` or `leave`
    Ask,
    /// It is started, once the difference was shown
    Take,
}

/// Runs the cluster until SIGTERM or SIGINT, or until stdin ends.
pub fn run(args: &DevArgs) -> Result<u8, Failure> {
    let stop = stop_flag()?;
    let words = match args.until_stdin_ends {
        true => Words::reading(Some(Arc::clone(&stop))),
        false => Words::default(),
    };
    let wire = Wire::of(&args.wire)?;
    let beforehand = Beforehand::of(args)?;
    let folder = cluster::create(&wire, Idle::Adapt, &[], args.keep, &[])?;
    let channels = args.feed.iter().map(|channel| format!("channels.{channel}.id={channel}"));
    let set: Vec<String> =
        PATIENT.iter().map(|key| (*key).to_owned()).chain(channels).chain(args.set.iter().cloned()).collect();
    keys::set_in_file(&folder.config(), &set)?;
    let names = streams::names(args.streams);
    if let Some(names) = names.iter().cloned().collect::<Option<Vec<_>>>() {
        streams::write_set(&folder, &names)?;
    }
    let mut metrics = Metrics::new(args.metrics);
    let start =
        |name: &Option<String>| streams::start(&stop, &folder, name.as_ref(), |name| metrics.flags(name));
    let mut all = names.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let mut around = Around::start(args, &all[0].cluster, beforehand.page.as_ref(), &mut metrics)?;
    around.processes.extend(streams::coordinate(&all, |name| metrics.flags(name))?);
    let environment =
        AppEnvironment { config: folder.config(), stream: names[0].clone(), path: beforehand.found.path() };
    let mut apps = Apps::new(args, beforehand.apps, environment, words);
    let lines = [&around.lines[..], &metrics.lines, &apps.lines()].concat();
    show(&folder, &all, &beforehand.found, &lines)?;
    while !stop.load(Ordering::Acquire) {
        apps.look();
        std::thread::sleep(LOOK);
        restart_ended(&mut around.processes, &stop)?;
        for stream in &mut all {
            // If another one ends meanwhile, the next turn starts it again.
            if restart_ended(&mut stream.replicas, &stop)? && stream.await_leader().is_ok() {
                let (prefix, leader, pid) = (stream.prefix(), stream.leader, stream.leader_pid());
                eprintln!("dev: {prefix}replica {leader} leads; `kill -9 {pid}` kills it");
            }
        }
    }
    eprintln!("dev: stopping");
    apps.end();
    let replicas = all.iter_mut().map(|stream| &mut stream.replicas);
    for processes in [&mut around.processes].into_iter().chain(replicas) {
        processes.iter_mut().for_each(TrialProcess::close_stdin);
        // One that was struck in the last moment ends by a signal: it is over all the same.
        let _ = processes.iter_mut().try_for_each(|process| process.await_good_end(crate::PATIENCE));
    }
    if args.keep {
        eprintln!("dev: kept: {}", folder.disk().display());
    }
    Ok(0)
}

/// Starts processes again that have ended. Returns whether there were any.
fn restart_ended(processes: &mut [TrialProcess], stop: &AtomicBool) -> Result<bool, Failure> {
    let mut restarted = false;
    for process in processes {
        if let Some(status) = process.ended()?
            && !stop.load(Ordering::Acquire)
        {
            eprintln!("dev: {} ended ({status}); it is started again", process.name());
            std::thread::sleep(AGAIN);
            process.restart()?;
            eprintln!("dev: {} is process {} now", process.name(), process.pid());
            restarted = true;
        }
    }
    Ok(restarted)
}

/// Prints the file and what to try.
fn show(folder: &Folders, all: &[DevStream<'_>], found: &Found, beside: &[String]) -> Result<(), Failure> {
    let (path, lines) = match &found.folder {
        Some(folder) => (format!("  export PATH=\"{}:$PATH\"\n", folder.display()), "these lines"),
        None => (String::new(), "that line"),
    };
    let mut out = std::io::stdout().lock();
    for stream in all {
        let (prefix, leader) = (stream.prefix(), stream.leader);
        writeln!(out, "{prefix}three replicas run, replica {leader} leads; Ctrl-C ends them")?;
    }
    writeln!(out, "\n  export LOCKSTEP_CONFIG={}\n{path}", folder.config().display())?;
    if let [home, _, ..] = all {
        let name = home.cluster.stream.as_deref().unwrap_or_default();
        writeln!(
            out,
            "  export LOCKSTEP_STREAM={name:<25} or --stream with each command; status takes all\n  \
             lockstep streams show                    the one order of all streams, by two coordinators\n"
        )?;
    }
    let pid = all.first().map_or(0, DevStream::leader_pid);
    writeln!(
        out,
        "in another terminal, after {lines}:\n  \
         lockstep status                          health, leader, replicas\n  \
         lockstep subscribe                       prints the stream\n  \
         echo hello | lockstep publish --name me  publishes a line\n  \
         lockstep web                             the cluster and its messages in a browser\n  \
         kill -9 {pid:<32} kills the leader; it is started again",
    )?;
    if !beside.is_empty() {
        writeln!(out, "\nbeside the replicas run:\n  {}", beside.join("\n  "))?;
    }
    if found.lockstep.is_none() {
        writeln!(out, "`lockstep` is not built yet: `cargo build --release` in the clone makes it")?;
    }
    out.flush()?;
    Ok(())
}
