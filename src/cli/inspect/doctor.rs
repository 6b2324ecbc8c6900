//! `lockstep doctor`: what is wrong with this host or with the network between hosts, and what mends it.
//!
//! The checks, measurements and the probe are those of `lockstep_doctor`; here are flags, order and output.

mod output;

use crate::cli::shared::operator::CommandClient;
use clap::{Args, ValueEnum};
use lockstep_client::internal::NodeStatus;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{self, Config, KeyUse};
use lockstep_doctor::apply::{AppliedChange, apply};
use lockstep_doctor::checks::judge;
use lockstep_doctor::facts::Host;
use lockstep_doctor::gather::{ThisKernel, gather};
use lockstep_doctor::measure::{MeasureChoice, Measured, measure};
use lockstep_doctor::scope::{ChosenNode, Scope};
use lockstep_doctor::{Finding, FindingLevel, Findings, Remedy, probe};
use lockstep_io::key_file::KeyFile;
use lockstep_operations::commands::releases;
use lockstep_operations::key_expiry::Expiry;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

/// How long the nodes of the file may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);
/// The check of what the nodes of the file answer.
const NODES: &str = "cluster.nodes";
/// The exit code of changes that are refused: something is wrong, and stays so.
const REFUSED: u8 = 2;

const EXIT_CODES: &str = "Exit codes:
  0  nothing to mend
  1  warnings: it works, and costs latency, redundancy or safety
  2  errors: it does not work as configured; or wrong usage or configuration";

/// The measurements that are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum MeasureWord {
    /// Those that disturb no running node of this host
    Auto,
    /// All, though a node that runs on a measured core or disk stumbles
    All,
    /// None
    None,
}

/// Flags of `doctor`.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this host is; by default those whose addresses it has
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA", conflicts_with = "archiver")]
    pub replica: Option<u32>,
    /// Which archiver of the configuration this host is
    #[arg(long, value_name = "N", env = "LOCKSTEP_ARCHIVER")]
    pub archiver: Option<u32>,
    /// Sends test traffic between the hosts of the configuration as well, on groups and ports of its own: run
    /// it on all of them at the same time
    #[arg(long)]
    pub probe: bool,
    /// How long it probes
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = config::duration)]
    pub lasts: Duration,
    /// Changes what it may: kernel settings, governors, interrupts; until the next reboot
    #[arg(long)]
    pub apply: bool,
    /// Which measurements it makes
    #[arg(long, value_name = "WORD", value_enum, default_value = "auto")]
    pub measure: MeasureWord,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// The whole result.
struct DoctorReport {
    findings: Findings,
    applied: Vec<AppliedChange>,
}

impl DoctorReport {
    /// That of the findings, unless a change was refused.
    fn exit_code(&self) -> u8 {
        let failed = self.applied.iter().any(|applied| applied.error.is_some());
        if failed { REFUSED } else { self.findings.exit_code() }
    }
}

/// Checks this host, and the network if that is asked for.
pub fn run(args: &DoctorArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    let chosen = chosen(args, &config)?;
    let root = Path::new("/");
    let mut host = gather(root, &config, chosen, &ThisKernel);
    let scope = scope_of(&config, chosen, &host);
    host.measured = measured(args, &scope, &host);
    let mut findings = judge(&scope, &host);
    findings.0.extend(keys(&config));
    if args.probe {
        findings.0.extend(probed(args, &scope)?);
    }
    findings.0.extend(cluster(args, &config));
    let mut report = DoctorReport { findings, applied: Vec::new() };
    if args.apply {
        refuse_without_rights(&host, &report.findings)?;
        report.applied = apply(root, &report.findings);
        // Facts are read again; figures and answers stay as they were.
        let again = Host { measured: host.measured.clone(), ..gather(root, &config, chosen, &ThisKernel) };
        let judged = judge(&scope_of(&config, chosen, &again), &again);
        let others = report.findings.0.into_iter().filter(is_of_others);
        report.findings = Findings(judged.0.into_iter().chain(others).collect());
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if args.json {
        output::json(&mut out, &report)?
    } else {
        output::text(&mut out, &report)?
    }
    out.flush()?;
    Ok(report.exit_code())
}

/// Findings that no file of this host shows.
fn is_of_others(finding: &Finding) -> bool {
    ["keys.", "cluster.", "probe."].iter().any(|part| finding.check.starts_with(part))
}

fn chosen(args: &DoctorArgs, config: &Config) -> Result<ChosenNode, Failure> {
    Ok(match (args.replica, args.archiver) {
        (Some(id), _) => ChosenNode::Replica(config.replica(id)?.id),
        (None, Some(id)) => ChosenNode::Archiver(config.archiver(id)?.id),
        (None, None) => ChosenNode::ByAddress,
    })
}

fn scope_of<'a>(config: &'a Config, chosen: ChosenNode, host: &Host) -> Scope<'a> {
    let text = |path: &str| host.text(path).unwrap_or_default();
    Scope::new(config, chosen, text("/proc/net/fib_trie"), text("/proc/net/route"))
}

fn measured(args: &DoctorArgs, scope: &Scope<'_>, host: &Host) -> Measured {
    let choice = match args.measure {
        // Other hosts wait for this one's probe.
        MeasureWord::Auto if args.probe => MeasureChoice::Nothing,
        MeasureWord::Auto => MeasureChoice::Quiet,
        MeasureWord::All => MeasureChoice::All,
        MeasureWord::None => MeasureChoice::Nothing,
    };
    measure(scope, host, choice)
}

/// The keys of this host: that they can be read, and the day on which they are to be replaced.
fn keys(config: &Config) -> Option<Finding> {
    let path = config.key_file(KeyUse::Node).or_else(|| config.key_file(KeyUse::Operator))?;
    let about = path.display().to_string();
    if let Err(error) = KeyFile::read_expiry(&path) {
        let why = "a process without keys cannot seal a datagram, and so does not start";
        let found = Finding::new("keys.file", about, error.source.to_string());
        let mend = Remedy::by_hand(match error.source.kind() {
            ErrorKind::NotFound => {
                "copy the file from the host on which `lockstep keys new` made the cluster's keys; in a new cluster, do that \
                 once, on one host"
                    .to_owned()
            }
            ErrorKind::PermissionDenied => {
                "the command that it names; the file stays, as the cluster runs with its keys".to_owned()
            }
            _ => "copy the file again from a host whose replica runs".to_owned(),
        });
        return Some(found.fail_if(true, "keys that this user may read", why).mend(mend));
    }
    let found = |now: String| Finding::new("keys.expiry", about.clone(), now);
    let Some(expiry) = Expiry::read(&path) else { return Some(found("no day was set".to_owned())) };
    let why = "nothing ends on that day; keys that are never replaced are known to more and more people";
    Some(
        found(expiry.when())
            .warn_if(expiry.is_near(), "a month at least", why)
            .mend(Remedy::by_hand("lockstep keys rotate")),
    )
}

/// The nodes of the cluster, by one look at them: whether they answer, and of which releases they are.
fn cluster(args: &DoctorArgs, config: &Config) -> Vec<Finding> {
    match CommandClient::open(&args.cluster, ASK_TIMEOUT) {
        Ok(mut client) => {
            let statuses = client.look();
            vec![nodes(&client, config, &statuses), versions(&mut client, &statuses)]
        }
        Err(failure) => {
            let why = failure.lines();
            let now = format!("the nodes could not be asked: {}", why.first().map_or("", String::as_str));
            let found = Finding::new(NODES, "", now).level(FindingLevel::Unknown, "answers of all nodes", "");
            vec![found.mend(Remedy::by_hand("lockstep status"))]
        }
    }
}

/// Whether the nodes of the file answer.
fn nodes(client: &CommandClient, config: &Config, statuses: &[Option<NodeStatus>]) -> Finding {
    let found = |now: String| Finding::new(NODES, "", now);
    let listed = config.replicas.len() + config.archivers.len();
    let silent: Vec<_> = client
        .nodes
        .addresses
        .iter()
        .zip(statuses)
        .take(listed)
        .filter(|(_, status)| status.is_none())
        .collect();
    let now = format!("{} of {listed} nodes of the file answer", listed - silent.len());
    if silent.is_empty() {
        return found(now);
    }
    let names: Vec<_> = silent.iter().map(|(address, _)| address.to_string()).collect();
    let now = format!("{now}; silent: {}", names.join(", "));
    let (level, why) = if silent.len() == listed {
        (
            FindingLevel::Unknown,
            "none runs, or none is reached from here, or keys and number of the cluster differ",
        )
    } else {
        (FindingLevel::Warning, "a node that is down or unreachable is one that cannot take over")
    };
    found(now).level(level, "answers of all nodes", why).mend(Remedy::by_hand("lockstep status"))
}

/// Whether the nodes that answer are of one release.
fn versions(client: &mut CommandClient, statuses: &[Option<NodeStatus>]) -> Finding {
    let (now, differ) = releases(client, statuses);
    let found = Finding::new("cluster.versions", "", now);
    if !differ {
        return found;
    }
    let why = "an upgrade is under way, or was forgotten: the log stays at the older version";
    let mend = Remedy::by_hand("lockstep upgrade");
    found.level(FindingLevel::Warning, "one release on all nodes", why).mend(mend)
}

fn probed(args: &DoctorArgs, scope: &Scope<'_>) -> Result<Vec<Finding>, Failure> {
    let hosts = scope.hosts(0).len();
    eprintln!("lockstep: probing {hosts} hosts for {:?}; run the same on the others now", args.lasts);
    let report = |at: Duration, finding: &Finding| {
        eprintln!("lockstep: after {:.1} s: {}: {}", at.as_secs_f64(), finding.about, finding.now);
    };
    Ok(probe::run::run(scope, args.lasts, report)?)
}

/// `--apply` of a user that may not write the kernel's files changes nothing.
fn refuse_without_rights(host: &Host, findings: &Findings) -> Result<(), Failure> {
    let changes =
        findings.0.iter().filter_map(|finding| finding.mend.as_ref()).map(|mend| mend.changes.len());
    let changes: usize = changes.sum();
    let status = host.text("/proc/self/status").unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    if changes == 0 || user == Some("0") {
        return Ok(());
    }
    Err(Failure::new(
        REFUSED,
        format!(
            "--apply would change {changes} settings of the kernel, and only root may: sudo lockstep doctor --apply; nothing was changed"
        ),
    ))
}
