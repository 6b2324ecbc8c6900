//! `lockstep top`: the cluster on one screen. It queries each node once an interval, and reads the counters
//! files of this host and the pages of others; a side thread does all this, so that the keyboard never waits
//! for the network. `lockstep web` shows the same samples in a browser.

pub mod set;

use crate::cli::sets::streams_not_chosen;
use crate::cli::shared::operator::{each_interval, now, pause};
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::failure::{FAILED, USAGE};
use lockstep_daemon::signals;
use lockstep_io::capabilities;
use lockstep_operations::top::{SamplePlan, Sampler, Snapshot};
use lockstep_top::{Screen, ScreenInput, ViewState};
use std::io::{IsTerminal, Write};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The shortest interval: a screen is read by people, and each interval costs every node an answer.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// How long the keyboard is waited for before a new snapshot is looked for.
const KEYBOARD_WAIT: Duration = Duration::from_millis(50);
/// Columns and lines of `--once` where stdout is no terminal.
const SIZE: (u16, u16) = (120, 200);

const SOURCES: &str = "Figures and their sources:
  leader, epoch, role, end of log, commit, lag, conditions   one unicast query to each node an interval, as
                                                             `lockstep status`; needs the same configuration and key
  datagrams, bytes, repairs, drops, utilisation, stalls,     the counters files of this host, of the same user or
  journal, gateways, publishers, readers, latency            readable; of other hosts the page of each node, where
                                                             metrics.listen is 0.0.0.0 and its port, and each
                                                             --page. What has neither is shown as –
Keys: ? shows them.";

/// Where figures come from, and how often.
#[derive(Args, Debug)]
pub struct SampleArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Queries no node: the counters files of this host alone
    #[arg(long, conflicts_with = "file")]
    pub local: bool,
    /// The page of one more process on another host, like a gateway's (its metrics.listen); may be repeated
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["local", "file"])]
    pub page: Vec<SocketAddrV4>,
    /// One counters file, also that of a dead process: it says since when, and shows its last figures
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// From look to look, at least 100ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

impl SampleArgs {
    /// The sampler of these flags.
    pub fn sampler(&self) -> Result<Sampler, Failure> {
        self.sampler_of(&self.cluster)
    }

    /// The sampler of these flags, for this cluster.
    pub fn sampler_of(&self, cluster: &ClusterArgs) -> Result<Sampler, Failure> {
        let (file, pages) = (self.file.clone(), self.page.clone());
        let plan = SamplePlan { file, is_local: self.local, pages, interval: self.interval };
        Sampler::new(cluster, &plan)
    }

    /// The streams of a set of which all are to be shown: none was chosen, and their nodes are asked.
    pub fn set(&self) -> Vec<String> {
        let is_of_nodes = !self.local && self.file.is_none();
        if is_of_nodes { streams_not_chosen(&self.cluster, &self.cluster.config) } else { Vec::new() }
    }
}

/// Flags of `top`.
#[derive(Args, Debug)]
#[command(after_help = SOURCES)]
pub struct TopArgs {
    #[command(flatten)]
    pub sample: SampleArgs,
    /// Prints one screen as text, after one interval, and ends
    #[arg(long, conflicts_with = "json")]
    pub once: bool,
    /// Columns and lines of --once; without it those of the terminal, or 120 columns and all lines
    #[arg(long, value_name = "COLUMNSxLINES", requires = "once", value_parser = size)]
    pub size: Option<(u16, u16)>,
    /// Prints all figures of a screen as JSON, after one interval, and ends
    #[arg(long)]
    pub json: bool,
    /// Uses no colours; NO_COLOR does the same
    #[arg(long)]
    pub no_color: bool,
}

/// Reads an interval.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = lockstep_daemon::config::duration(text)?;
    if interval < INTERVAL_MIN {
        return Err(format!("{interval:?} is below {INTERVAL_MIN:?}: each look asks every node"));
    }
    Ok(interval)
}

/// Reads a size.
fn size(text: &str) -> Result<(u16, u16), String> {
    let parts =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    // A screen that nobody has would cost memory alone.
    match parts {
        Some((width @ 1..=1_000, height @ 1..=1_000)) => Ok((width, height)),
        _ => Err("write columns and lines, up to 1000 each, like 80x24".to_owned()),
    }
}

/// Shows the cluster until the operator leaves, or prints it once.
pub fn run(args: &TopArgs) -> Result<u8, Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    if !args.once && !args.json && !is_terminal {
        let what = "stdout is no terminal: `lockstep top --once` prints one screen as text, and --json all its figures";
        return Err(Failure::new(USAGE, what));
    }
    let sampler = args.sample.sampler()?;
    let view = |snapshot: &Snapshot, color: bool| match (&args.sample.file, snapshot.processes.first()) {
        (Some(_), Some(process)) => ViewState::of_process(color, &process.process),
        _ => ViewState::new(color),
    };
    if args.once || args.json {
        let snapshot = after_one_interval(sampler, args.sample.interval)?;
        let mut out = std::io::stdout().lock();
        if args.json {
            let text = serde_json::to_string(&snapshot).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")?;
        } else {
            let terminal = Screen::size().filter(|_| is_terminal);
            let size = args.size.or(terminal).unwrap_or(SIZE);
            write!(out, "{}", lockstep_top::text_of(&snapshot, &view(&snapshot, false), size))?;
        }
        return Ok(0);
    }
    let color = !args.no_color && lockstep_daemon::has_color(&std::io::stdout());
    show(sampler, args.sample.interval, |snapshot| view(snapshot, color))
}

/// Rates and shares need two looks.
fn after_one_interval(mut sampler: Sampler, interval: Duration) -> Result<Snapshot, Failure> {
    let began = now();
    sampler.take()?;
    pause(interval.saturating_sub(now().duration_since(began)));
    Ok(sampler.take()?)
}

/// The newest snapshot that was not shown yet.
type Newest = Arc<Mutex<Option<Result<Snapshot, Failure>>>>;

/// Shows snapshots until the operator leaves or a signal comes.
fn show(sampler: Sampler, interval: Duration, view: impl Fn(&Snapshot) -> ViewState) -> Result<u8, Failure> {
    let stop = signals::stop_flag()?;
    let newest = Newest::default();
    sample(sampler, interval, &newest, &stop)?;
    let lost =
        |error| Failure::new(FAILED, format!("the terminal cannot be used: {error}; --once needs none"));
    let mut screen = Screen::open().map_err(lost)?;
    let mut shown: Option<(Snapshot, ViewState)> = None;
    while !stop.load(Ordering::Acquire) {
        let mut is_changed = false;
        let taken = newest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(taken) = taken {
            let snapshot = taken?;
            // While the operator pauses, the newer ones are dropped.
            if !shown.as_ref().is_some_and(|(_, state)| state.is_paused) {
                let state = shown.take().map_or_else(|| view(&snapshot), |(_, state)| state);
                is_changed = true;
                shown = Some((snapshot, state));
            }
        }
        match (screen.input(KEYBOARD_WAIT).map_err(lost)?, &mut shown) {
            (Some(ScreenInput::Key(key)), Some((snapshot, state))) => {
                state.key(key, snapshot);
                is_changed = true;
            }
            (Some(ScreenInput::Key(key)), None) if is_quit(key) => break,
            (Some(ScreenInput::Resized), _) => is_changed = true,
            _ => {}
        }
        match &shown {
            Some((_, state)) if state.is_done => break,
            Some((snapshot, state)) if is_changed => screen.show(snapshot, state).map_err(lost)?,
            _ => {}
        }
    }
    stop.store(true, Ordering::Release);
    Ok(0)
}

/// Whether a key ends the program before the first snapshot.
fn is_quit(key: lockstep_top::Key) -> bool {
    use lockstep_top::Key;
    matches!(key, Key::Char('q') | Key::Ctrl('c') | Key::Esc)
}

/// Takes a snapshot each interval, on a thread of its own, until `stop` is set.
fn sample(
    mut sampler: Sampler,
    interval: Duration,
    newest: &Newest,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let (newest, stop) = (Arc::clone(newest), Arc::clone(stop));
    let mut take = move || {
        if Screen::is_gone() {
            std::process::exit(0); // nothing is left to be restored
        }
        let taken = sampler.take().map_err(Failure::from);
        *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        Ok(())
    };
    let work = move || {
        take()?;
        each_interval(interval, &stop, take)
    };
    let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-top".into()), work);
    thread.map_err(|error| Failure::new(FAILED, format!("no thread could be started: {error}")))?;
    Ok(())
}
