//! # demo: a whole cluster on this host's loopback
//!
//! The question: does everybody end with one digest? Eight processes give the answer, nothing is
//! installed, and no datagram leaves the host.
//!
//! ```text
//!  demo ─┬─ sequencer ×3       leader and two standbys: the subcommand that production runs
//!        ├─ demo-publisher ×2  the recorded orders, alternating by instrument
//!        └─ demo-subscriber ×2 one delivers what is stamped, one what is committed
//! ```
//!
//! The children hold a pipe to this process and end when it does, however it ends. What they say is one
//! JSON object a line ([`said::Said`]); their stderr goes to files in a temporary folder, and the
//! last lines of one that dies early are shown.

mod cluster;
mod memory;
mod process;
pub(super) mod publisher;
mod report;
mod said;
mod strike;
pub(super) mod subscriber;
mod watch;

use super::args::DemoArgs;
use super::failure::{FAILED, INTEGRITY, NOT_READY};
use super::{Failure, signals};
use crate::client::{NodeState, Questioner};
use crate::config::Config;
use crate::engine::event::Role;
use crate::io::clock::Clock;
use crate::io::idle::Idle;
use crate::io::{counters::CountersReader, cpu};
use crate::node;
use crate::wire::{MemberBody, Nanos, Seq};
use cluster::Folder;
use process::{Process, Wiring};
use report::{JournalRow, ReplicaRow, Report};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use strike::Striker;
use watch::Watch;

/// Publishers of the demo.
const PUBLISHERS: u16 = 2;
/// Replicas of the demo.
const REPLICAS: u32 = 3;
/// Threads that poll without pause: of the replicas, the publishers and the two subscribers.
const BUSY_THREADS: usize = REPLICAS as usize + PUBLISHERS as usize + 2;
/// How long the replicas may take to start, to agree at the end, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a round of questions waits for the last replica.
const ASK_ROUND: Duration = Duration::from_millis(200);
/// From the word to the publishers until the first message is due.
const HEAD_START_NS: Nanos = 50_000_000;

/// Runs the demo and prints its table; exits 3 if anything is lost, doubled, out of order or unequal.
pub fn run(args: &DemoArgs) -> Result<u8, Failure> {
    let stop = signals::stop_flag()?;
    let cores = cpu::cores();
    let idle = Idle::for_machine(BUSY_THREADS, cores.len());
    let folder = Folder::create(idle, &cores, args.keep, &args.rehearse.keys())?;
    let config = Config::load(Some(&folder.config()), &[])?;
    say(&format!("{} in {}", if args.keep { "kept" } else { "temporary files" }, folder.disk().display()));
    let report = Demo { args, stop, config, folder: &folder, cores, idle }.run()?;
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
        false => Err(Failure::new(INTEGRITY, report.verdict())),
    }
}

/// A line on stderr.
fn say(line: &str) {
    eprintln!("demo: {line}");
}

struct Demo<'a> {
    args: &'a DemoArgs,
    stop: Arc<AtomicBool>,
    config: Config,
    folder: &'a Folder,
    cores: Vec<usize>,
    idle: Idle,
}

impl Demo<'_> {
    fn run(&self) -> Result<Report, Failure> {
        self.found_cluster()?;
        let mut replicas = self.start_replicas()?;
        let leader = self.await_roles(&mut replicas)?;
        say(&format!("replica {leader} leads, {} stand by", REPLICAS - 1));
        let mut watch = Watch::new(self.args.messages(), self.stop.clone(), std::io::stderr().is_terminal());
        for stamped in [true, false] {
            watch.add(self.start_subscriber(stamped)?);
        }
        watch.until_ready(&mut replicas)?;
        for number in 0..PUBLISHERS {
            watch.add(self.start_publisher(number)?);
        }
        watch.until_ready(&mut replicas)?;
        let began = Clock::start().now() + HEAD_START_NS;
        watch.tell_publishers(&format!("{began}\n"))?;
        let times = self.args.kill_leader;
        let mut striker = (times > 0).then(|| Striker::new(self.config.endpoint(), times)).transpose()?;
        let next = watch.until_done(&mut replicas, striker.as_mut())?;
        self.await_stored(&mut replicas, next)?;
        let clients = watch.finish()?;
        let rows = self.replica_rows(&replicas, &watch);
        self.stop_replicas(replicas)?;
        let journals = self.journals(next)?;
        Ok(Report {
            messages: self.args.messages(),
            rate: self.args.rate,
            rehearse: self.args.rehearse.keys(),
            strikes_asked: times,
            strikes: striker.map_or_else(Vec::new, Striker::into_strikes),
            epochs: clients.epochs,
            began,
            cores: self.cores.len(),
            idle: self.idle,
            publishers: clients.published,
            subscribers: clients.delivered,
            replicas: rows,
            journals,
        })
    }

    /// Formats all journals and starts the history, as `format` and `bootstrap` do.
    fn found_cluster(&self) -> Result<(), Failure> {
        let mut members = Vec::new();
        for replica in &self.config.replicas {
            let identity = node::format(&self.config.node(replica.id)?)?;
            members.push(MemberBody::full(identity, replica.unicast));
        }
        node::bootstrap(&self.config.node(1)?, &members)?;
        Ok(())
    }

    fn start_replicas(&self) -> Result<Vec<Process>, Failure> {
        let start = |id: u32| {
            let mut args = vec!["sequencer".to_owned(), "--until-stdin-ends".to_owned()];
            args.extend(["--config".to_owned(), self.folder.config().display().to_string()]);
            args.extend(["--replica".to_owned(), id.to_string()]);
            Process::start(&format!("replica-{id}"), &args, self.folder.disk(), Wiring::Silent)
        };
        self.config.replicas.iter().map(|replica| start(replica.id)).collect()
    }

    /// The core for busy thread `index`, if each has one of its own.
    fn core_args(&self, index: usize) -> Vec<String> {
        let core = self.cores.get(index).filter(|_| self.idle == Idle::Spin);
        core.map_or_else(Vec::new, |core| vec!["--core".to_owned(), core.to_string()])
    }

    fn client_args(&self, command: &str, index: usize) -> Vec<String> {
        let mut args = vec![command.to_owned()];
        args.extend(["--config".to_owned(), self.folder.config().display().to_string()]);
        args.extend(["--messages".to_owned(), self.args.messages().to_string()]);
        args.extend(self.core_args(REPLICAS as usize + index));
        args
    }

    fn start_subscriber(&self, stamped: bool) -> Result<Process, Failure> {
        let mut args = self.client_args("demo-subscriber", usize::from(stamped));
        args.extend(stamped.then(|| "--stamped".to_owned()));
        let name = if stamped { "subscriber-stamped" } else { "subscriber-committed" };
        Process::start(name, &args, self.folder.disk(), Wiring::Talking)
    }

    fn start_publisher(&self, number: u16) -> Result<Process, Failure> {
        let mut args = self.client_args("demo-publisher", 2 + usize::from(number));
        args.extend(["--number".to_owned(), number.to_string()]);
        args.extend(["--rate".to_owned(), self.args.rate.to_string()]);
        Process::start(&format!("publisher-{}", number + 1), &args, self.folder.disk(), Wiring::Talking)
    }

    /// Waits for one leader and two standbys, and returns the leader's id.
    fn await_roles(&self, replicas: &mut [Process]) -> Result<u32, Failure> {
        let mut leader = None;
        self.ask_until(replicas, "one leads and the others stand by", |states| {
            let is = |role: Role| states.iter().filter(move |state| state.role == role);
            leader = is(Role::Leader).next().map(|state| state.identity.replica);
            leader.is_some() && is(Role::Standby).count() + 1 == REPLICAS as usize
        })?;
        leader.ok_or_else(|| Failure::new(FAILED, "no replica leads"))
    }

    /// Waits until every replica holds everything below `next`: then their journals can be compared.
    fn await_stored(&self, replicas: &mut [Process], next: Seq) -> Result<(), Failure> {
        let what = format!("every journal reaches seq {next}");
        self.ask_until(replicas, &what, |states| {
            states.len() == REPLICAS as usize
                && states.iter().all(|state| state.accept_next >= next && state.commit_next >= next)
        })
    }

    fn ask_until(
        &self,
        replicas: &mut [Process],
        what: &str,
        mut is_so: impl FnMut(&[NodeState]) -> bool,
    ) -> Result<(), Failure> {
        let endpoint = self.config.endpoint();
        let mut questioner = Questioner::open(&endpoint)?;
        let clock = Clock::start();
        let deadline = clock.now() + PATIENCE.as_nanos() as Nanos;
        loop {
            let answers = questioner.nodes(&endpoint.replicas, ASK_ROUND);
            let states: Vec<_> = answers.into_iter().flatten().collect();
            if is_so(&states) {
                return Ok(());
            }
            check(&self.stop, replicas)?;
            if clock.now() > deadline {
                let roles: Vec<_> = states
                    .iter()
                    .map(|state| {
                        let NodeState { identity, accept_next, commit_next, .. } = state;
                        let role = state.role.name();
                        format!("{identity} {role}, holds up to {accept_next}, commit {commit_next}")
                    })
                    .collect();
                let what = format!(
                    "{PATIENCE:?} were not enough until {what}; the replicas say: {}",
                    if roles.is_empty() { "nothing".to_owned() } else { roles.join("; ") }
                );
                return Err(Failure::new(NOT_READY, what));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn replica_rows(&self, processes: &[Process], watch: &Watch) -> Vec<ReplicaRow> {
        let rows = processes.iter().zip(&self.config.replicas);
        rows.map(|(process, replica)| {
            let counters = CountersReader::open(&replica.counters).ok();
            let count = |name: &str| counters.as_ref().and_then(|counters| counters.value(name));
            ReplicaRow {
                name: process.name().to_owned(),
                datagrams_in: count("udp_datagrams_in"),
                datagrams_out: count("udp_datagrams_out"),
                dropped: count("udp_dropped"),
                rehearsed_lost: count("rehearsed_lost"),
                repairs_in: count("repairs_in"),
                repairs_out: count("repairs_out"),
                memory: watch.memory(process.pid()),
            }
        })
        .collect()
    }

    fn stop_replicas(&self, mut replicas: Vec<Process>) -> Result<(), Failure> {
        replicas.iter_mut().for_each(Process::close_stdin);
        replicas.iter_mut().try_for_each(|replica| replica.await_good_end(PATIENCE))
    }

    fn journals(&self, next: Seq) -> Result<Vec<JournalRow>, Failure> {
        let row = |id: u32| {
            let (digest, reached) = node::journal_digest(&self.config.node(id)?, Some(next))?;
            let name = format!("journal-{id}");
            Ok(JournalRow { name, messages: digest.messages(), next: reached, digest: digest.hex() })
        };
        self.config.replicas.iter().map(|replica| row(replica.id)).collect()
    }
}

/// Whether to go on: nobody said stop, and all of `processes` live.
fn check(stop: &AtomicBool, processes: &mut [Process]) -> Result<(), Failure> {
    if stop.load(Ordering::Acquire) {
        return Err(Failure::new(FAILED, "stopped before the end, as asked; all processes are ended"));
    }
    processes.iter_mut().try_for_each(Process::check_alive)
}
