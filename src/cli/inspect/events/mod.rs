//! `lockstep events`: the events of all nodes in the order of time: roles, suspicions, elections, conditions.
//! Every replica and archiver is asked, and the files of events of this host's processes are read as well, as
//! they outlive them; an event that comes both ways is told once.

use crate::cli::shared::operator::pause;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::{NOT_READY, USAGE};
use lockstep_io::clock::Utc;
use lockstep_io::output::{self, OutputStream};
use lockstep_operations::events::{
    EventCollector, EventFilter, SeenEvent, SourceReport, retain_newest, sort,
};
use lockstep_operations::processes::files;
use lockstep_wire::Nanos;
use std::io::Write;
use std::str::FromStr;
use std::time::Duration;
use tracing::Level;

/// Pause between two polls of `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// Events with which `--follow` begins.
const FOLLOW_FIRST: usize = 10;
/// Without `--since`.
const SINCE: Duration = Duration::from_secs(3_600);

/// Flags of `events`.
#[derive(Args, Debug)]
pub struct EventsArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Events that are at most so old; without it 1h, and with --follow the last 10 events
    #[arg(long, value_name = "DURATION", value_parser = lockstep_daemon::config::duration)]
    pub since: Option<Duration>,
    /// The newest events alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub last: Option<u32>,
    /// Goes on with those that happen, until it is ended
    #[arg(long)]
    pub follow: bool,
    /// The least important: error, warn, info
    #[arg(long, value_name = "WORD", default_value = "info")]
    pub level: Level,
    /// Only events with this code, like LS1004; repeatable
    #[arg(long, value_name = "CODE")]
    pub code: Vec<WantedCode>,
    /// Only those of this replica or archiver; repeatable
    #[arg(long, value_name = "N")]
    pub replica: Vec<u32>,
    /// Reads the files of this host alone, and asks no node
    #[arg(long)]
    pub local: bool,
    /// Prints JSON, an object a line
    #[arg(long)]
    pub json: bool,
}

/// A code of the log, as a flag names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedCode(u16);

impl FromStr for WantedCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("LS").or(text.strip_prefix("ls")).unwrap_or(text);
        digits.parse().map(Self).map_err(|_| {
            format!(
                "'{text}' is no code: write it as the log does, like LS1004; `lockstep explain` lists all"
            )
        })
    }
}

impl EventsArgs {
    fn filter(&self) -> EventFilter {
        let codes = self.code.iter().map(|WantedCode(code)| *code).collect();
        EventFilter { level: self.level, codes, nodes: self.replica.clone() }
    }
}

/// Prints them. Exits 4 if there is no process here whose events could be read.
pub fn run(args: &EventsArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    check_replicas(&config, &args.replica)?;
    let mut collector = open(config, args.local)?;
    let Utc(now) = Utc::now();
    let since = match (args.since, args.follow || args.last.is_some()) {
        (Some(since), _) => now.saturating_sub(since.as_nanos() as Nanos),
        (None, true) => 0,
        (None, false) => now.saturating_sub(SINCE.as_nanos() as Nanos),
    };
    let last = args.last.map_or(usize::MAX, |last| last as usize);
    let first = if args.follow && args.since.is_none() { last.min(FOLLOW_FIRST) } else { last };
    let filter = args.filter();
    let mut out = Output { args, out: std::io::stdout(), reported: Vec::new() };
    // The filters count: the newest of each process may be none that is asked for.
    let mut events = collector.poll(since, usize::MAX);
    if !collector.has_sources() {
        out.report(collector.reports())?;
        return Err(Failure::new(NOT_READY, no_sources()));
    }
    events.retain(|event| filter.wants(event));
    let mut shown = Vec::new();
    retain_newest(&mut shown, events, first);
    out.report(collector.reports())?;
    out.events(&shown)?;
    if args.follow {
        follow(&filter, &mut collector, since, &mut out)?;
    }
    Ok(0)
}

/// Goes on until nobody reads the output any more.
fn follow(
    filter: &EventFilter,
    collector: &mut EventCollector,
    since: Nanos,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut early = Vec::new();
    loop {
        pause(FOLLOW_PAUSE);
        // Where nothing happens nothing is written by which it would be found out.
        if output::is_reader_gone(OutputStream::Out) {
            return Ok(());
        }
        let Utc(begun) = Utc::now();
        let mut events = collector.poll(since, usize::MAX);
        // Events that happened after this poll began may have been overtaken: they wait for the next one,
        // and no longer, as the clock of their host may be ahead.
        let (now, late): (Vec<_>, Vec<_>) = events.drain(..).partition(|event| event.row.wall <= begun);
        early.extend(now);
        sort(&mut early);
        early.retain(|event| filter.wants(event));
        out.report(collector.reports())?;
        out.events(&early)?;
        early = late;
    }
}

/// A host that cannot ask the nodes has its own files.
fn open(config: Config, local: bool) -> Result<EventCollector, Failure> {
    if local {
        return Ok(EventCollector::of_this_host(config));
    }
    EventCollector::of_all_nodes(config.clone()).map_err(Failure::from).or_else(|failure| {
        let has_files = files(&config, None).is_ok_and(|files| !files.is_empty());
        if !has_files {
            return Err(failure);
        }
        failure.print();
        eprintln!("the nodes are not asked; the files of this host are read");
        Ok(EventCollector::of_this_host(config))
    })
}

fn check_replicas(config: &Config, numbers: &[u32]) -> Result<(), Failure> {
    let replicas = config.replicas.iter().map(|replica| replica.id);
    let known: Vec<u32> = replicas.chain(config.archivers.iter().map(|archiver| archiver.id)).collect();
    match numbers.iter().find(|number| !known.contains(number)) {
        None => Ok(()),
        Some(number) => {
            let known: Vec<_> = known.iter().map(u32::to_string).collect();
            let what = format!(
                "--replica {number}: the configuration has no such replica or archiver; it has {}",
                known.join(", ")
            );
            Err(Failure::new(USAGE, what))
        }
    }
}

fn no_sources() -> String {
    "no node answers, and no replica or archiver of this configuration has run on this host: check that the nodes run, and \
     that their addresses are these"
        .to_owned()
}

/// Where they are printed.
struct Output<'a> {
    args: &'a EventsArgs,
    out: std::io::Stdout,
    /// The reports of the last poll.
    reported: Vec<SourceReport>,
}

impl Output<'_> {
    fn events(&mut self, events: &[SeenEvent]) -> Result<(), Failure> {
        for event in events {
            if self.args.json {
                writeln!(self.out, "{}", event.json())?;
            } else {
                writeln!(self.out, "{event}")?;
            }
        }
        Ok(())
    }

    /// Prints what is new since the last time: events that are missing.
    fn report(&mut self, reports: &[SourceReport]) -> Result<(), Failure> {
        for report in reports.iter().filter(|report| !self.reported.contains(report)) {
            if self.args.json { writeln!(self.out, "{}", report.json())? } else { eprintln!("{report}") }
        }
        self.reported = reports.to_vec();
        Ok(())
    }
}
