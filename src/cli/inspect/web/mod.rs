//! `lockstep web`: a page that shows the cluster and the newest messages in a browser. It only reads: the
//! figures are those of `lockstep top`, taken by the same sampler, and the messages those of a committed
//! subscription of its own. Browsers ask for all of it once an interval.

mod messages;
mod pages;

use crate::cli::inspect::top::SampleArgs;
use crate::cli::shared::fields::{FieldsArgs, PayloadFields};
use crate::cli::shared::operator::each_interval;
use clap::Args;
use lockstep_client::Endpoint;
use lockstep_daemon::Failure;
use lockstep_daemon::config::{Config, KeyUse};
use lockstep_daemon::confined;
use lockstep_daemon::coordinator::{place, streams_of};
use lockstep_daemon::failure::FAILED;
use lockstep_daemon::log;
use lockstep_daemon::sequencer::{log_effective, stop_with_stdin};
use lockstep_daemon::signals;
use lockstep_io::capabilities;
use lockstep_io::output::{self, OutputStream};
use lockstep_operations::set::{SetLook, SetSnapshot};
use lockstep_operations::top::{Snapshot, SnapshotSource};
use lockstep_process::confinement::{self, Becomes};
use lockstep_process::limits;
use lockstep_process::page::{PageServer, PageSettings};
use lockstep_process::watcher::forbid_core_dumps;
use messages::NewestMessages;
use serde::Serialize;
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Looks that the charts show: ten minutes of the default interval.
const HISTORY_MAX: usize = 600;

/// How long the home stream of a set may give nothing at the first look.
const SET_TIMEOUT: Duration = Duration::from_secs(2);

const ACCESS: &str = "The page is read only and asks for no password: every user that reaches --listen sees \
                      figures, events and payloads.
Listen on another address than loopback only in a network whose users may see them, or put a proxy that asks before it.";

/// Flags of `web`.
#[derive(Args, Debug)]
#[command(after_help = ACCESS)]
pub struct WebArgs {
    #[command(flatten)]
    pub sample: SampleArgs,
    /// Where the page is served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9480")]
    pub listen: SocketAddrV4,
    /// A name of this host by which browsers may ask for the page, beside localhost and addresses; may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Does not subscribe to the stream: the page shows no messages
    #[arg(long, conflicts_with = "schema")]
    pub no_messages: bool,
    #[command(flatten)]
    pub fields: FieldsArgs,
    /// Ends when stdin does: for a parent that must not leave it behind
    #[arg(long)]
    pub until_stdin_ends: bool,
}

/// A look at the cluster, as a chart has it.
#[derive(Clone, Debug, Serialize)]
struct ChartPoint {
    at_ns: u64,
    round: Option<u64>,
    leader: Option<String>,
    committed_per_second: Option<f64>,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
}

impl From<&Snapshot> for ChartPoint {
    fn from(snapshot: &Snapshot) -> Self {
        let cluster = &snapshot.cluster;
        let latency = cluster.commit_latency.unwrap_or_default();
        Self {
            at_ns: snapshot.at_ns,
            round: cluster.round,
            leader: cluster.leader.clone(),
            committed_per_second: cluster.committed_per_second,
            p50_ns: latency.p50_ns,
            p99_ns: latency.p99_ns,
        }
    }
}

/// Everything that the page shows.
#[derive(Debug, Default, Serialize)]
struct Shown {
    snapshot: Option<Snapshot>,
    /// The newest point last.
    history: VecDeque<ChartPoint>,
    /// None where the stream is not read.
    messages: Option<NewestMessages>,
    /// All streams of a set, of which the snapshot is the home stream's.
    set: Option<SetSnapshot>,
}

impl Shown {
    fn take(&mut self, snapshot: Snapshot) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(ChartPoint::from(&snapshot));
        self.snapshot = Some(snapshot);
    }
}

/// The view that the threads which look fill, and the one that answers reads.
#[derive(Clone, Debug, Default)]
struct SharedView(Arc<Mutex<Shown>>);

impl SharedView {
    /// A thread that panicked has left whole values.
    fn locked(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the page until a signal comes.
pub fn run(args: &WebArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let fields = PayloadFields::new(&args.fields)?;
    let file = &args.sample.file;
    // Of a set that is shown as a whole the home stream is shown in full.
    let mut cluster = args.sample.cluster.clone();
    let set = if args.sample.set().is_empty() { Vec::new() } else { streams_of(&cluster)? };
    cluster.stream = set.first().map(|home| place(home).home().name.clone()).or(cluster.stream);
    let config = file.is_none().then(|| cluster.load(&[])).transpose()?;
    let reach = match (&config, file) {
        _ if !set.is_empty() => set.iter().flat_map(|one| confined::of_web((one, &cluster.config))).collect(),
        (Some(config), _) => confined::of_web((config, &cluster.config)),
        (None, file) => file.as_deref().map(confined::of_web_of_file).unwrap_or_default(),
    };
    if let Some(config) = &config {
        log::start(&config.log);
    }
    // It has keys in memory.
    log_effective(&forbid_core_dumps());
    limits::in_place_of_capabilities();
    confinement::begin(&reach);
    let mut sampler = args.sample.sampler_of(&cluster)?;
    let mut look = (!set.is_empty()).then(|| SetLook::open(&set, SET_TIMEOUT)).transpose()?;
    let stop = signals::stop_flag()?;
    if args.until_stdin_ends {
        stop_with_stdin(Arc::clone(&stop))?;
    }
    let view = SharedView::default();
    view.locked().take(sampler.take()?);
    view.locked().set = look.as_mut().map(SetLook::again);
    let is_cluster = view.locked().snapshot.as_ref().is_some_and(|one| one.source == SnapshotSource::Cluster);
    if is_cluster && !args.no_messages {
        let config = config.as_ref().expect("a cluster is one of a file");
        read_messages(config, fields, &view, &stop)?;
    }
    let settings = PageSettings {
        address: args.listen,
        key: "--listen",
        thread: "lockstep-web",
        body_max: 0,
        hosts: args.host.clone(),
    };
    let server = {
        let view = view.clone();
        PageServer::start(settings, move |request| pages::answer(request, &view))?
    };
    confined::complete(&reach, Becomes::Other);
    let say = |text: String| output::write_line(OutputStream::Err, text);
    say(format!("the page is at http://{}/", server.address()));
    if !args.listen.ip().is_loopback() {
        let listen = args.listen;
        say(format!(
            "every user that reaches {listen} sees figures, events and payloads: no password is asked"
        ));
    }
    each_interval(args.sample.interval, &stop, || {
        let (snapshot, set) = (sampler.take()?, look.as_mut().map(SetLook::again));
        let mut shown = view.locked();
        shown.take(snapshot);
        shown.set = set;
        Ok(())
    })?;
    Ok(0)
}

/// Reads the stream on a thread of its own.
fn read_messages(
    config: &Config,
    fields: PayloadFields,
    view: &SharedView,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let endpoint = Endpoint::from_config(config)?;
    signals::reload_keys(config.key_file(KeyUse::Handle), endpoint.keys().clone(), drop)?;
    let (view, stop) = (view.clone(), Arc::clone(stop));
    view.locked().messages = Some(NewestMessages::new(fields));
    let read = move || messages::read(&endpoint, &view, &stop);
    let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-stream".into()), read);
    thread.map_err(|error| Failure::new(FAILED, format!("no thread could be started: {error}")))?;
    Ok(())
}
