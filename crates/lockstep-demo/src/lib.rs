//! # lockstep-demo: a whole cluster on this host
//!
//! The question: does everybody end with one digest, and does every client get each of its answers once? Nine
//! processes give the answer, nothing is installed, and no datagram leaves the host unless another interface
//! than the loopback is named.
//!
//! ```text
//!  demo ─┬─ sequencer ×3       leader and two standbys: the subcommand that production runs
//!        ├─ gateway ×2         SoupBinTCP on the stream: likewise
//!        ├─ demo-clients       two clients, one at each gateway: the recorded orders, by instrument
//!        ├─ demo-exchange      the application: it acknowledges each order to its client
//!        └─ demo-subscriber ×2 one delivers what is stamped, one what is committed
//! ```
//!
//! With `--direct` two `demo-publisher` stand in the place of gateways, clients and application.
//!
//! The children hold a pipe to this process and end when it does, however it ends. Commands to them and
//! reports from them are one JSON object a line (`report_lines`). Their stderr goes to files in a temporary
//! folder, and the last lines of a child that dies early are shown.
//!
//! All of them are this one program, started anew: of a fresh clone nothing else needs to be built. The
//! operators' program has no demo itself: `lockstep demo` and `lockstep dev` start this one.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a program's start and end: processes, clocks, threads")]

mod exchange;
pub mod orders;

mod args;
mod clients;
mod cluster;
mod dev;
mod gateways;
mod leader_faults;
mod local;
mod memory;
mod publisher;
mod report;
mod report_lines;
mod share;
mod subscriber;
mod watch;

use args::{DemoArgs, DemoCli, DemoCommand};
use clap::Parser;
use cluster::Wire;
use gateways::Killer;
use leader_faults::FailureDriver;
use local::{LocalCluster, start_own};
use lockstep_client::internal::NodeState;
use lockstep_client::{Endpoint, StreamDigest};
use lockstep_daemon::config::{Config, NodeConfig, ReplicaConfig};
use lockstep_daemon::failure::{INTEGRITY, USAGE};
use lockstep_daemon::signals::stop_flag;
use lockstep_daemon::{
    Failure, coordinator as coordinator_process, feed as feed_process, gateway as gateway_process,
    sequencer as replica_process, watch as watcher_process,
};
use lockstep_io::clock::Clock;
use lockstep_io::counters::CountersReader;
use lockstep_io::idle::Idle;
use lockstep_io::output;
use lockstep_process::cpu;
use lockstep_trial::checks::journal_digests;
use lockstep_trial::process::{TrialProcess, Wiring, stop};
use lockstep_wire::{Nanos, Seq};
use report::{JournalRow, ReplicaRow, Report};
use share::QuietPart;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use watch::{Part, Watch};

/// The senders of orders: publishers, or clients of the gateways.
const PUBLISHERS: u16 = 2;
/// Replicas of the demo.
const REPLICAS: u32 = 3;
/// Gateways of the demo.
const GATEWAYS: usize = 2;
/// How long the replicas may take to start, to agree at the end, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a round of queries waits for the last replica.
const QUERY_ROUND: Duration = Duration::from_millis(200);
/// From the word to the publishers until the first order is due.
const HEAD_START_NS: Nanos = 50_000_000;

/// Threads that poll without pause: of the replicas and the two subscribers, and of the publishers, or of
/// gateways, clients and application.
fn busy_threads(direct: bool) -> usize {
    REPLICAS as usize + 2 + if direct { usize::from(PUBLISHERS) } else { GATEWAYS + 2 }
}

/// What idle threads do. A gateway checks passwords on a core that nobody else wants: with gateways one core
/// is left for that, or all threads sleep when they are idle.
fn idle(direct: bool, cores: usize) -> Idle {
    match Idle::for_machine(busy_threads(direct) + usize::from(!direct), cores) {
        Idle::Yield if !direct => Idle::Park,
        idle => idle,
    }
}

/// Does what the arguments say (the first is the program's name) and returns the exit code. Without a command
/// it is the demo.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_none_or(|first| first.to_string_lossy().starts_with('-')) {
        args.insert(1.min(args.len()), "demo".into());
    }
    lockstep_io::choose_instructions();
    let command = match DemoCli::try_parse_from(args) {
        Ok(cli) => cli.command,
        Err(asked) => {
            let _ = asked.print(); // nobody reads it: there is nothing left to say
            return u8::try_from(asked.exit_code()).unwrap_or(USAGE);
        }
    };
    let done = match command {
        DemoCommand::Demo(args) => demo(&args),
        DemoCommand::Dev(args) => dev::run(&args),
        DemoCommand::DemoClients(args) => clients::run(&args),
        DemoCommand::DemoExchange(args) => exchange::run(&args),
        DemoCommand::DemoPublisher(args) => publisher::run(&args),
        DemoCommand::DemoSubscriber(args) => subscriber::run(&args),
        DemoCommand::Sequencer(args) => replica_process::run(&args),
        DemoCommand::Gateway(args) => gateway_process::run(&args),
        DemoCommand::Feed(args) => feed_process::run(&args),
        DemoCommand::Coordinator(args) => coordinator_process::run(&args),
        DemoCommand::Watch(args) => watcher_process::run(&args),
    };
    let code = done.unwrap_or_else(|failure| {
        failure.print();
        failure.code()
    });
    output::flush();
    code
}

/// Runs the demo and prints its table; exits 3 if anything is lost, doubled, out of order or unequal.
fn demo(args: &DemoArgs) -> Result<u8, Failure> {
    args.check().map_err(|why| Failure::new(USAGE, why))?;
    let stop = stop_flag()?;
    let cores = cpu::cores();
    let idle = idle(args.direct, cores.len());
    let wire = Wire::of(&args.wire)?;
    let folder = cluster::create(&wire, idle, &cores, args.keep, &args.fault_injection.keys())?;
    let config = Config::load(Some(&folder.config()), &[])?;
    say(&format!("{} in {}", if args.keep { "kept" } else { "temporary files" }, folder.disk().display()));
    let report =
        Demo { args, cluster: LocalCluster { stop, config, folder: &folder, stream: None }, cores, idle }
            .run()?;
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", report.json())?,
        false => write!(out, "{report}")?,
    }
    if args.keep {
        say(&format!("kept: {}", folder.disk().display()));
    }
    match report.is_right() {
        true => Ok(0),
        false => Err(Failure::new(INTEGRITY, report.conclusion())),
    }
}

/// A line on stderr.
fn say(line: &str) {
    eprintln!("demo: {line}");
}

struct Demo<'a> {
    args: &'a DemoArgs,
    cluster: LocalCluster<'a>,
    cores: Vec<usize>,
    idle: Idle,
}

/// Replicas and gateways: whoever of them ends before it is told to ends the demo.
struct Servers {
    replicas: Vec<TrialProcess>,
    gateways: Vec<TrialProcess>,
}

impl Servers {
    fn check_alive(&mut self) -> Result<(), Failure> {
        self.replicas.iter_mut().chain(&mut self.gateways).try_for_each(TrialProcess::check_alive)
    }
}

impl Demo<'_> {
    fn run(&self) -> Result<Report, Failure> {
        self.cluster.found()?;
        let mut servers =
            Servers { replicas: self.cluster.start_replicas(|_| Ok(Vec::new()))?, gateways: Vec::new() };
        let leader = self.cluster.await_roles(&mut || servers.check_alive())?;
        say(&format!("replica {leader} leads, {} stand by", REPLICAS - 1));
        let mut watch =
            Watch::new(self.args.messages(), self.cluster.stop.clone(), std::io::stderr().is_terminal());
        for stamped in [true, false] {
            watch.add(self.start_subscriber(stamped)?, Part::Subscriber)?;
        }
        watch.until_ready(&mut servers)?;
        if self.args.direct {
            for number in 0..PUBLISHERS {
                watch.add(self.start_publisher(number)?, Part::Sender)?;
            }
        } else {
            self.start_gateways(&mut servers, &mut watch)?;
        }
        watch.until_ready(&mut servers)?;
        let began = Clock::start().now() + HEAD_START_NS;
        let DemoArgs { kill_leader, kill_gateway, .. } = *self.args;
        watch.begin(began, kill_leader > 0 || kill_gateway > 0)?;
        let endpoint = Endpoint::from_config(&self.cluster.config)?;
        let striker = (kill_leader > 0).then(|| FailureDriver::new(&endpoint, kill_leader));
        let mut striker = striker.transpose()?;
        let mut killer = (kill_gateway > 0).then(|| Killer::new(kill_gateway));
        watch.until_done(&mut servers, striker.as_mut(), killer.as_mut())?;
        let gateways: Vec<_> = servers
            .gateways
            .iter()
            .map(|gateway| (gateway.name().to_owned(), watch.memory(gateway.pid())))
            .collect();
        // The process that publishes ends first: then the stream has an end, at which everybody is compared.
        stop(&mut servers.gateways, PATIENCE)?;
        watch.end_exchange(&mut servers)?;
        let next = self.await_still(&mut servers)?;
        let summaries = watch.finish(&mut servers, next)?;
        let rows = self.replica_rows(&servers.replicas, &watch);
        stop(&mut servers.replicas, PATIENCE)?;
        let journals = self.journals(next)?;
        Ok(Report {
            messages: self.args.messages(),
            rate: self.args.rate,
            direct: self.args.direct,
            transport: self.args.wire.transport,
            fault_injection: self.args.fault_injection.keys(),
            strikes: striker.map_or_else(Vec::new, FailureDriver::into_strikes),
            kills: killer.map_or_else(Vec::new, Killer::into_kills),
            began,
            cores: self.cores.len(),
            idle: self.idle,
            summaries,
            gateways,
            replicas: rows,
            journals,
        })
    }

    /// The core for busy thread `index`, if each has one of its own.
    fn core_args(&self, index: usize) -> Vec<String> {
        let core = self.cores.get(index).filter(|_| self.idle == Idle::Spin);
        core.map_or_else(Vec::new, |core| vec!["--core".to_owned(), core.to_string()])
    }

    fn child_args(&self, command: &str, index: usize) -> Vec<String> {
        let mut args = vec![command.to_owned()];
        args.extend(["--config".to_owned(), self.cluster.folder.config().display().to_string()]);
        args.extend(["--messages".to_owned(), self.args.messages().to_string()]);
        args.extend(self.core_args(REPLICAS as usize + index));
        args
    }

    fn start_child(&self, name: &str, args: &[String]) -> Result<TrialProcess, Failure> {
        start_own(name, args, self.cluster.folder.disk(), Wiring::Talking)
    }

    fn start_subscriber(&self, stamped: bool) -> Result<TrialProcess, Failure> {
        let mut args = self.child_args("demo-subscriber", usize::from(stamped));
        args.extend(stamped.then(|| "--stamped".to_owned()));
        args.extend((!self.args.direct).then(|| "--answered".to_owned()));
        let quiet = QuietPart::of(self.args.messages(), self.args.rate);
        args.extend(["--quiet".to_owned(), quiet.orders.to_string()]);
        self.start_child(if stamped { "subscriber-stamped" } else { "subscriber-committed" }, &args)
    }

    fn start_publisher(&self, number: u16) -> Result<TrialProcess, Failure> {
        let mut args = self.child_args("demo-publisher", 2 + usize::from(number));
        args.extend(["--number".to_owned(), number.to_string()]);
        args.extend(["--rate".to_owned(), self.args.rate.to_string()]);
        self.start_child(&format!("publisher-{}", number + 1), &args)
    }

    /// Starts the gateways as production does, the application behind them and their clients.
    fn start_gateways(&self, servers: &mut Servers, watch: &mut Watch) -> Result<(), Failure> {
        gateways::write_users(&cluster::users(self.cluster.folder))?;
        watch.add(self.start_child("exchange", &self.child_args("demo-exchange", 2))?, Part::Exchange)?;
        for number in 0..GATEWAYS {
            let id = (number + 1).to_string();
            let flags = ["--name", &id, "--listen", "127.0.0.1:0"].map(str::to_owned);
            let name = format!("gateway-{id}");
            let mut gateway = self.cluster.start_daemon(&name, "gateway", flags, Wiring::Talking)?;
            watch.add_gateway(number, &mut gateway);
            servers.gateways.push(gateway);
        }
        watch.until_listening(servers)?;
        let mut args = self.child_args("demo-clients", 3);
        args.extend(["--rate".to_owned(), self.args.rate.to_string()]);
        watch.add(self.start_child("clients", &args)?, Part::Sender)?;
        say(&format!("{GATEWAYS} gateways listen, {PUBLISHERS} clients log in"));
        Ok(())
    }

    /// Waits until every replica holds the same, and all of it is committed, and returns the seq behind it:
    /// as nobody publishes any more, that is where the stream ends.
    fn await_still(&self, servers: &mut Servers) -> Result<Seq, Failure> {
        self.cluster.query_until(
            &mut || servers.check_alive(),
            "every replica holds the same, and all of it is committed",
            |states| {
                let next = states.iter().flatten().map(|state| state.accept_next).max()?;
                let is_still = |state: &NodeState| state.accept_next == next && state.commit_next == next;
                states.iter().all(|state| state.as_ref().is_some_and(is_still)).then_some(next)
            },
        )
    }

    fn replica_rows(&self, processes: &[TrialProcess], watch: &Watch) -> Vec<ReplicaRow> {
        let rows = processes.iter().zip(&self.cluster.config.replicas);
        rows.map(|(process, replica)| {
            let counters = CountersReader::open(&replica.counters).ok();
            let count = |name: &str| counters.as_ref().and_then(|counters| counters.value(name));
            // By the network and by memory.
            let by_both = |name: &str| Some(count(&format!("udp_{name}"))? + count(&format!("shm_{name}"))?);
            ReplicaRow {
                name: process.name().to_owned(),
                datagrams_in: by_both("datagrams_in"),
                datagrams_out: by_both("datagrams_out"),
                dropped: by_both("dropped"),
                fault_injection_lost: count("fault_injection_lost"),
                repairs_in: count("repairs_in"),
                repairs_out: count("repairs_out"),
                memory: watch.memory(process.pid()),
            }
        })
        .collect()
    }

    fn journals(&self, next: Seq) -> Result<Vec<JournalRow>, Failure> {
        let config = &self.cluster.config;
        let nodes = config.replicas.iter().map(|replica| config.node(replica.id));
        let digests = journal_digests(nodes.collect::<Result<Vec<_>, _>>()?, next)?;
        let row = |(replica, (digest, next)): (&ReplicaConfig, (StreamDigest, Seq))| {
            let name = format!("journal-{}", replica.id);
            JournalRow { name, messages: digest.messages(), next, digest: digest.hex() }
        };
        Ok(config.replicas.iter().zip(digests).map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_checks_passwords_finds_a_core_that_is_free_now_and_then() {
        let cores = busy_threads(false);
        assert_eq!([cores, cores + 1].map(|cores| idle(false, cores)), [Idle::Park, Idle::Spin]);
        let cores = busy_threads(true);
        assert_eq!([cores - 1, cores].map(|cores| idle(true, cores)), [Idle::Yield, Idle::Spin]);
    }
}
