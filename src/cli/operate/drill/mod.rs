//! # drill: the rehearsal of failovers, with a report
//!
//! ```text
//!  ready? ─▶ load ─▶ ( fault at the leader ─▶ another leads ─▶ mended ─▶ all whole ) × times ─▶ checks
//!              └─ reader: gaps, epochs, losses ─────────────────────────────▶ figures ─▶ report ◀─┘
//! ```
//!
//! Whether the cluster may be touched is judged in `ready`, faults are made and mended in `faults` and
//! `process`, the load runs in `load`, and `measure` makes figures of its deliveries.

mod faults;
mod load;
mod measure;
mod process;
mod ready;
mod report;
mod rounds;

use crate::cli::shared::operator::{CommandClient, short, suspicion};
use clap::Args;
use faults::{DrillCommands, DrillKind, FaultDriver};
use load::{DrillLoad, DrillMessages, is_day_open};
use lockstep_client::Endpoint;
use lockstep_client::internal::leader_of;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{self, Config, Role};
use lockstep_daemon::failure::{DEGRADED, FAILED, INTEGRITY, NOT_READY, USAGE};
use lockstep_io::IoError;
use lockstep_io::clock::Utc;
use lockstep_operations::goals::members_of;
use lockstep_process::stop::Stop;
use lockstep_wire::LeaderLossReason;
use measure::{DeliveryErrors, DrillLimit};
use process::LocalProcess;
use report::{DrillReport, DrillResult, DrillRound, SCHEMA};
use rounds::RoundDriver;
use signal_hook::consts::SIGHUP;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the last messages may take to be delivered.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// So many kills of a replica of another host show that it has no watcher: one alone may come too late.
const KILLS_MIN: u32 = 3;

const EXIT_CODES: &str = "Exit codes: 0 passed; 3 a message was lost, doubled or reordered, or the replicas differ; 4 the cluster is \
not ready, or did not come back in time; 6 a limit of --fail-if was exceeded; 1 stopped by a signal; 2 wrong usage";

/// Flags of `drill`.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct DrillArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// A kind of fault, always made at the leader; repeatable. Default: handover and kill
    #[arg(long, value_name = "KIND", value_enum)]
    pub kind: Vec<DrillKind>,
    /// How often each kind
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub times: u32,
    /// Fails where a measure is greater: gap>50ms, leader>50ms, lost>0, doubled>0, reordered>0; repeatable
    #[arg(long, value_name = "LIMIT")]
    pub fail_if: Vec<DrillLimit>,
    /// Messages a second that the drill publishes, beside those of others
    #[arg(long, value_name = "RATE", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// The name of the drill's publisher
    #[arg(long, value_name = "NAME", default_value = "drill")]
    pub name: String,
    /// How long a replica stands still, or is cut off; longer if no other leads by then
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = config::duration)]
    pub freeze_for: Duration,
    /// Between two rounds
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = config::duration)]
    pub pause: Duration,
    /// How long another leader, and then the return of all, may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = config::duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub commands: DrillCommands,
    /// Also while a trading day is open
    #[arg(long)]
    pub i_know_what_i_do: bool,
    /// Also where replicas run without a watcher
    #[arg(long)]
    pub no_watcher: bool,
    /// Makes no fault: mends what a drill has left that was killed
    #[arg(long)]
    pub restore: bool,
    /// Writes the report as an HTML page
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Writes the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The faults, for this thread and for the end by a second signal.
type SharedFaults = Arc<Mutex<FaultDriver>>;

fn lock(faults: &SharedFaults) -> MutexGuard<'_, FaultDriver> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Mends what is open however the drill ends: by a return, an error or a panic.
struct MendAtEnd(SharedFaults);

impl Drop for MendAtEnd {
    fn drop(&mut self) {
        let mut faults = lock(&self.0);
        if let Err(failure) = faults.mend() {
            failure.print();
        }
        faults.leave();
    }
}

/// Makes the faults, prints the result, and writes the reports.
pub fn run(args: &DrillArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    let stop = Stop::by_signals()?;
    // The terminal or the connection that it was started by is gone: nobody would mend.
    signal_hook::flag::register(SIGHUP, Arc::clone(stop.flag()))
        .map_err(|error| IoError::new("listen to SIGHUP", error))?;
    let faults = Arc::new(Mutex::new(FaultDriver::open(&config, &args.commands)?));
    let _mends = MendAtEnd(Arc::clone(&faults));
    let at_once = Arc::clone(&faults);
    stop.skips(move || match lock(&at_once).mend() {
        Ok(()) => "nothing is left stopped or frozen; there is no report".to_owned(),
        Err(failure) => failure.to_string(),
    });
    let left = lock(&faults).open_fault();
    if let Some(left) = &left {
        lock(&faults).mend()?;
        eprintln!("a drill before this one was killed; mended: {left}");
    }
    if args.restore {
        let what = left.map_or_else(|| "nothing to mend".to_owned(), |left| format!("mended: {left}"));
        writeln!(std::io::stdout(), "{what}")?;
        return Ok(0);
    }
    // A file that cannot be written shows before anything is done.
    for path in args.report.iter().chain(&args.json) {
        let opened = std::fs::File::options().create(true).append(true).open(path);
        opened.map_err(|error| Failure::new(USAGE, format!("{}: {error}", path.display())))?;
    }
    let mut report = empty_report(args, &config);
    let code = match carry_out(args, &config, (&stop, &faults), &mut report) {
        Ok(code) => code,
        Err(failure) => {
            (report.result, report.reason) = (DrillResult::Fail, failure.to_string());
            failure.code()
        }
    };
    // Before the report says so.
    let mended = lock(&faults).mend();
    if let Err(failure) = &mended {
        report.result = DrillResult::Fail;
        report.reason = format!("{}; {failure}", report.reason);
    }
    report.ended = Utc::now().to_string();
    write(args, &report)?;
    mended.map(|()| code)
}

/// Writes the files first: a reader of stdout may have gone.
fn write(args: &DrillArgs, report: &DrillReport) -> Result<(), Failure> {
    let put = |path: &PathBuf, text: String| {
        let written = std::fs::write(path, text);
        written
            .map_err(|error| Failure::new(FAILED, format!("write the report to {}: {error}", path.display())))
    };
    if let Some(path) = &args.report {
        put(path, report.html())?;
    }
    if let Some(path) = &args.json {
        put(path, report.json().map_err(|error| Failure::new(FAILED, error))?)?;
    }
    let mut out = std::io::stdout().lock();
    out.write_all(report.text().as_bytes())?;
    Ok(out.flush()?)
}

fn empty_report(args: &DrillArgs, config: &Config) -> DrillReport {
    DrillReport {
        schema: SCHEMA,
        result: DrillResult::Pass,
        reason: String::new(),
        cluster: config.cluster,
        release: env!("CARGO_PKG_VERSION"),
        configuration: args.cluster.config.display().to_string(),
        begun: Utc::now().to_string(),
        ended: String::new(),
        rate_per_second: args.rate,
        limits: args.fail_if.iter().map(DrillLimit::to_string).collect(),
        left_out: Vec::new(),
        rounds: Vec::new(),
        published: 0,
        committed: 0,
        delivered: 0,
        errors: DeliveryErrors::default(),
        checks: Vec::new(),
    }
}

/// The drill itself; its result goes into the report.
fn carry_out(
    args: &DrillArgs,
    config: &Config,
    (stop, faults): (&Stop, &SharedFaults),
    report: &mut DrillReport,
) -> Result<u8, Failure> {
    let endpoint = Endpoint::for_operator(config)?;
    let mut operator = CommandClient::open(&args.cluster, args.timeout)?;
    if let Some(reason) = not_ready(args, config, &endpoint)? {
        (report.result, report.reason) = (DrillResult::NotReady, reason);
        return Ok(NOT_READY);
    }
    let statuses = operator.look_for_leader()?;
    let members = members_of(config, leader_of(&statuses));
    let kinds = possible_kinds(args, &members, faults, report)?;
    let load = DrillLoad::start(&endpoint, &args.name, args.rate, args.timeout)?;
    let mut rounds = RoundDriver { args, operator: &mut operator, faults, load, stop };
    let mut outcome = Ok(());
    'all: for _ in 0..args.times {
        for kind in &kinds {
            let number = report.rounds.len() as u32 + 1;
            outcome = rounds.run(number, *kind, &mut report.rounds);
            if outcome.is_err() {
                break 'all;
            }
        }
    }
    let RoundDriver { load, .. } = rounds;
    if outcome.is_err() {
        // Now, as a quorum may lack it. A failure comes again where the drill ends.
        let _ = lock(faults).mend();
    }
    let timeline = load.deliveries();
    let messages = load.finish(LAST_DELIVERIES);
    let DrillMessages { published, committed } = *messages.as_ref().unwrap_or(&DrillMessages::default());
    (report.published, report.committed) = (published, committed);
    {
        let timeline = timeline.timeline();
        (report.delivered, report.errors) = (timeline.delivered(), timeline.errors(committed));
    }
    outcome?;
    messages?;
    report.checks = ready::final_checks(config, &mut operator)?;
    Ok(judge(args, config, report))
}

/// The kinds that can be made at every replica that may lead. Those that were named and cannot are left out,
/// and the report says so; without any other it is a wrong usage.
fn possible_kinds(
    args: &DrillArgs,
    config: &Config,
    faults: &SharedFaults,
    report: &mut DrillReport,
) -> Result<Vec<DrillKind>, Failure> {
    let default = vec![DrillKind::Handover, DrillKind::Kill];
    let wanted = if args.kind.is_empty() { default } else { args.kind.clone() };
    let full: Vec<u32> = config
        .replicas
        .iter()
        .filter(|replica| replica.role != Role::Witness)
        .map(|replica| replica.id)
        .collect();
    let mut possible = Vec::new();
    for kind in wanted {
        let obstacle = full.iter().find_map(|replica| lock(faults).obstacle(kind, *replica));
        match obstacle {
            None if possible.contains(&kind) => {}
            None => possible.push(kind),
            // A cut that is not possible is left out; the others are named by mistake.
            Some(why) if kind == DrillKind::Cut => report.left_out.push(why),
            Some(why) => return Err(Failure::new(USAGE, why)),
        }
    }
    if possible.is_empty() { Err(Failure::new(USAGE, report.left_out.join("; "))) } else { Ok(possible) }
}

/// Why the drill does not begin.
fn not_ready(args: &DrillArgs, config: &Config, endpoint: &Endpoint) -> Result<Option<String>, Failure> {
    // Its own time: a cluster without a leader is to be named soon.
    let mut operator = CommandClient::open(&args.cluster, READY_TIMEOUT.min(args.timeout))?;
    let found = ready::obstacles(config, &mut operator, args.no_watcher)?;
    if !found.is_empty() {
        return Ok(Some(found.join("; ")));
    }
    let is_open = !args.i_know_what_i_do && is_day_open(endpoint, args.timeout)?;
    Ok(is_open
        .then(|| "a trading day is open: `lockstep day end` first, or give --i-know-what-i-do".to_owned()))
}

/// How long a leader is looked for before the first round.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of a drill whose rounds all came back.
fn judge(args: &DrillArgs, config: &Config, report: &mut DrillReport) -> u8 {
    let errors = report.errors;
    if !errors.is_none() {
        let DeliveryErrors { lost, doubled, reordered } = errors;
        report.result = DrillResult::Fail;
        report.reason =
            format!("of the drill's messages {lost} were lost, {doubled} doubled, {reordered} reordered");
        return INTEGRITY;
    }
    let open = report.published - report.committed;
    if open > 0 {
        report.result = DrillResult::Fail;
        report.reason =
            format!("{open} of the drill's messages were not committed within {LAST_DELIVERIES:?}");
        return NOT_READY;
    }
    // The watchers of this host were seen.
    let is_here = |replica| LocalProcess::of_replica(config, replica).is_some();
    let exceeded = args.fail_if.iter().find_map(|limit| worst(limit, &report.rounds));
    match exceeded.or_else(|| unannounced(&report.rounds, is_here).filter(|_| !args.no_watcher)) {
        Some(reason) => {
            (report.result, report.reason) = (DrillResult::Fail, reason);
            DEGRADED
        }
        None => {
            (report.result, report.reason) = (DrillResult::Pass, report.passes());
            0
        }
    }
}

/// The round that exceeds the limit most.
fn worst(limit: &DrillLimit, rounds: &[DrillRound]) -> Option<String> {
    let exceeds =
        |round: &DrillRound| Some((limit.exceeded_by(&round.cost)?, round.number, round.kind, round.replica));
    let all: Vec<_> = rounds.iter().filter_map(exceeds).collect();
    let (value, number, kind, replica) = all.iter().max_by_key(|(value, ..)| *value)?;
    let (time, kind, count) = (short(*value), kind.name(), all.len());
    Some(format!(
        "{limit}: {time} in round {number} ({kind} of replica {replica}); {count} of {} rounds exceed it",
        rounds.len()
    ))
}

/// A replica that was killed some times, and that no watcher has announced once.
fn unannounced(rounds: &[DrillRound], is_here: impl Fn(u32) -> bool) -> Option<String> {
    let mut kills: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for round in rounds.iter().filter(|round| round.kind == DrillKind::Kill && !is_here(round.replica)) {
        let (all, announced) = kills.entry(round.replica).or_default();
        *all += 1;
        *announced += u32::from(round.seen_by.as_deref() == Some(suspicion(LeaderLossReason::Down)));
    }
    let none = kills.into_iter().find(|(_, (all, announced))| *all >= KILLS_MIN && *announced == 0);
    none.map(|(replica, (all, _))| {
        format!(
            "none of the {all} kills of replica {replica} was announced by its watcher: look at runtime.watcher and its \
             log there; --no-watcher accepts that"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::measure::FaultCost;
    use super::*;

    fn round(number: u32, kind: DrillKind, replica: u32, gap_ms: u64, why: LeaderLossReason) -> DrillRound {
        DrillRound {
            number,
            kind,
            replica,
            begun: String::new(),
            new_leader: None,
            epoch: None,
            cost: FaultCost { gap_ns: gap_ms * 1_000_000, leader_ns: None },
            seen_by: Some(suspicion(why).to_owned()),
            whole_ns: None,
        }
    }

    #[test]
    fn the_round_that_exceeds_a_limit_most_is_named() {
        let why = LeaderLossReason::Down;
        let rounds = [40, 70, 60].map(|gap| round(gap as u32 / 10, DrillKind::Kill, 2, gap, why));
        let worst_of = |limit: &str| worst(&limit.parse().expect("a limit"), &rounds);
        let expected = "gap>50ms: 70.0ms in round 7 (kill of replica 2); 2 of 3 rounds exceed it";
        assert_eq!(worst_of("gap>50ms").as_deref(), Some(expected));
        assert_eq!(worst_of("gap>70ms"), None);
    }

    #[test]
    fn a_replica_elsewhere_whose_kills_no_watcher_announced_is_named() {
        use LeaderLossReason::{Down, Silence};
        let kill = |number, replica, why| round(number, DrillKind::Kill, replica, 1, why);
        let mut rounds =
            vec![kill(1, 2, Silence), kill(2, 3, Down), kill(3, 2, Silence), kill(4, 3, Silence)];
        rounds.push(round(5, DrillKind::Freeze, 2, 1, Silence));
        assert_eq!(unannounced(&rounds, |_| false), None, "two may have come too late");
        rounds.extend([kill(6, 2, Silence), kill(7, 3, Silence)]);
        let found = unannounced(&rounds, |_| false).expect("replica 2 has none");
        assert!(
            found.starts_with("none of the 3 kills of replica 2 was announced by its watcher"),
            "{found}"
        );
        assert_eq!(unannounced(&rounds, |replica| replica == 2), None, "its watcher was seen");
        rounds.push(kill(8, 2, Down));
        assert_eq!(unannounced(&rounds, |_| false), None);
    }
}
