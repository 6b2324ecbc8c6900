//! `lockstep sequencer`: a replica, until SIGTERM.
//!
//! The first SIGTERM or SIGINT drains and marks a clean stop; another one a second later ends the process at
//! once, and reports what that skips. SIGUSR1 and a panic print the newest events. A watcher beside it
//! announces its death, and as process 1 of a container it runs as its own child.

use crate::args::SequencerArgs;
use crate::config::NodeConfig;
use crate::config::{Config, KeyUse, Origin};
use crate::failure::FAILED;
use crate::rejoin::overtaken;
use crate::reloader::{Daemon, Reloader};
use crate::{Failure, confined, log, network_wait, rejoin};
use lockstep_io::{Effective, capabilities, event_ring};
use lockstep_node::{EVENT_KINDS, Node, NodeError, NodeSettings};
use lockstep_operations::acting;
use lockstep_process::confinement::{self, Becomes};
use lockstep_process::events::Recorder;
use lockstep_process::stop::Stop;
use lockstep_process::watcher::{Watcher, WatcherSettings, forbid_core_dumps};
use lockstep_process::{cpu, init, limits};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The most events that wait for the thread that formats them.
const EVENTS_QUEUED: usize = 4096;

/// Runs until it must stop.
pub fn run(args: &SequencerArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let core = args.core.map(|core| {
        let key = format!("replicas.{}.core", args.replica);
        ("--core", key, core.to_string())
    });
    let watcher = args.no_watcher.then(|| ("--no-watcher", "runtime.watcher".into(), "false".into()));
    let more: Vec<_> = core.into_iter().chain(watcher).collect();
    let config = args.cluster.load(&more)?;
    acting::not_as_root(&config)?;
    let settings = config.node(args.replica)?;
    if config.runtime.watcher && init::is_init() {
        let mut itself = Command::new("/proc/self/exe");
        itself.args(std::env::args_os().skip(1));
        return Ok(init::run(itself)?);
    }
    let who = format!("replica {} of {}", args.replica, args.cluster.config.display());
    let reloader = Reloader::new(Daemon::Replica(args.replica), &args.cluster, &more, &config)?;
    serve(&config, reloader, &settings, &who, args.until_stdin_ends)
}

/// Runs a node until a stop is requested, or until stdin ends if that is configured: from here on stderr has
/// log lines only. A node whose log is never followed (an archiver's) has no watcher.
pub fn serve(
    config: &Config,
    reloader: Reloader,
    settings: &NodeSettings,
    who: &str,
    until_stdin_ends: bool,
) -> Result<u8, Failure> {
    log::start(&config.log);
    run_node(config, reloader, settings, who, until_stdin_ends).map_err(Failure::logged)
}

fn run_node(
    config: &Config,
    reloader: Reloader,
    settings: &NodeSettings,
    who: &str,
    until_stdin_ends: bool,
) -> Result<u8, Failure> {
    let reach = confined::of_node((config, reloader.file()), settings);
    confinement::begin(&reach);
    let stop = Stop::by_signals()?;
    if until_stdin_ends {
        stop_with_stdin(Arc::clone(stop.flag()))?;
    }
    settings.keys.set_order_verifier(lockstep_notary::verify_order);
    let observed = reloader.observed();
    let answers = reloader.start(settings.keys.clone(), config.key_file(KeyUse::Node))?;
    stop.skips(|| "it has not begun to use its journal, which is as it was".to_string());
    log_effective(&limits::descriptors());
    let has_watcher = config.runtime.watcher && !settings.is_archiver;
    if has_watcher {
        // This comes first: the files in /proc of a process without dumps are root's.
        limits::in_place_of_a_watchers_capability();
    }
    // The process has the cluster's keys in memory, and a dump would delay the watcher's notice.
    log_effective(&forbid_core_dumps());
    limits::in_place_of_capabilities();
    if !network_wait::wait(&network_wait::of_node(settings), config, stop.flag())? {
        return Ok(0);
    }
    observed.begin(config);
    let recorder = Recorder::new(EVENT_KINDS, EVENTS_QUEUED);
    recorder.dump_on_panic();
    let events = recorder.start_log()?;
    // Before this thread is bound to its own core.
    let cores = cpu::cores();
    let watch = || {
        // The journal is locked by now: no other process of this replica has that file.
        recorder.store_in(&event_ring::beside(&settings.counters))?;
        rejoin::ask_for_its_place(config, settings, Arc::clone(stop.flag()))?;
        has_watcher.then(|| watcher(config, settings, &cores, &recorder)).transpose()
    };
    let Some(node) = open(config, settings, &stop, watch)? else { return Ok(0) };
    banner(config, who, &node);
    overtaken::watch(config, settings, &node, Arc::clone(stop.flag()))?;
    let kind = if settings.is_archiver { "archiver" } else { "replica" };
    observed.shown.show(&format!("{kind}-{}", settings.replica), &settings.counters);
    answers.begin(&settings.counters);
    confined::complete(&reach, Becomes::Hot);
    stop.skips(node.skips());
    let outcome = node.run(stop.flag(), &recorder);
    drop(events); // its lines precede our last line
    outcome?;
    tracing::info!("{who}: stopped in order: the journal is marked clean");
    Ok(0)
}

/// The node; `None` if the process must stop before. A node that cannot prove its journal complete rejoins,
/// and so does one whose journal no other one continues.
fn open(
    config: &Config,
    settings: &NodeSettings,
    stop: &Stop,
    watch: impl Fn() -> Result<Option<Watcher>, Failure>,
) -> Result<Option<Node>, Failure> {
    if !overtaken::lay_aside(config, settings, stop.flag()) {
        return Ok(None);
    }
    loop {
        let opened = Node::open_watched(settings, || watch().map_err(NotOpened::Other));
        let error = match opened {
            Ok(node) => return Ok(Some(node)),
            Err(NotOpened::Node(error)) if rejoin::may_help(config, settings, &error) => error,
            Err(NotOpened::Node(error)) => return Err(error.into()),
            Err(NotOpened::Other(failure)) => return Err(failure),
        };
        if !rejoin::begin(config, settings, error, stop.flag())? {
            return Ok(None);
        }
    }
}

/// Why a node was not opened.
enum NotOpened {
    Node(NodeError),
    Other(Failure),
}

impl From<NodeError> for NotOpened {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

/// The watcher of this thread, which stamps: the end of this thread for any reason, including a panic, is
/// announced before anything else happens.
fn watcher(
    config: &Config,
    settings: &NodeSettings,
    cores: &[usize],
    recorder: &Recorder,
) -> Result<Watcher, Failure> {
    let format = config.log.format.to_string();
    let arguments = ["watch", "--log-format", &format];
    let targets = settings.transport.is_unicast_fanout(settings.unicast);
    let wanted = WatcherSettings::new(&arguments, settings.udp.clone(), cores, settings.core);
    let by_group = settings.transport.multicasts();
    let wanted = WatcherSettings { by_group, targets, ..wanted };
    let watcher = Watcher::start(wanted, recorder)?;
    let death_notice = watcher.death_notice();
    recorder.abort_on_panic(move || death_notice.toll());
    Ok(watcher)
}

/// Logs the identity, the settings, and what the system granted.
fn banner(config: &Config, who: &str, node: &Node) {
    let version = env!("CARGO_PKG_VERSION");
    let (identity, role, cluster) = (node.identity(), node.role().name(), config.cluster);
    tracing::info!(%identity, role, cluster, "lockstep {version}: {who}");
    let settings = config.effective();
    for (key, value, origin) in settings {
        tracing::debug!(key, value, %origin, "setting");
    }
    let set = settings.iter().filter(|(.., origin)| !matches!(origin, Origin::Default(_)));
    let set: Vec<_> = set.map(|(key, value, origin)| format!("{key} = {value} ({origin})")).collect();
    tracing::info!("settings that are not the default (all: log.level = \"debug\"): {}", set.join(", "));
    for effective in node.effective() {
        log_effective(effective);
    }
}

/// Logs a setting of the system: as a warning if less was granted than requested.
pub fn log_effective(effective: &Effective) {
    match effective.note {
        None => tracing::info!("effective {effective}"),
        Some(_) => tracing::warn!("effective {effective}"),
    }
}

/// Sets `stop` when stdin ends: the process at its other end is gone.
///
/// # Errors
/// The system starts no thread.
pub fn stop_with_stdin(stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let wait = move || {
        // An error counts as an end too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        stop.store(true, Ordering::Release);
    };
    let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-stdin".into()), wait);
    thread.map_err(|error| {
        Failure::new(FAILED, format!("starting the thread that reads stdin failed: {error}"))
    })?;
    Ok(())
}
