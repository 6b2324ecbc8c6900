//! # rolling: one host after another
//!
//! ```text
//!  all well? ─▶ ( handover, where it leads ─▶ commands on its host ─▶ all well, and it is another process? ) × nodes
//!                 └──────────────── the first doubt: stop, and say what was done ────────────────┘
//! ```
//!
//! Archivers come first, then standbys, and the leader last. All is well when every member has what was
//! committed and there is no problem, as `status` and `wait` judge. `plan` has the order and the commands,
//! `drive` does them.

mod drive;
mod keys;
mod plan;

use crate::cli::shared::operator::CommandClient;
use crate::cli::shared::remote::{RemoteArgs, RemoteHosts};
use clap::{Args, Subcommand};
use drive::RollingDriver;
use keys::RollingKeysArgs;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::failure::{NOT_READY, USAGE};
use lockstep_operations::awaited::AwaitedCluster;
use lockstep_operations::goals::of_members;
use lockstep_process::stop::Stop;
use plan::{RollingKind, RollingPlan, RollingWork};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.rolling/1";

/// What `rolling` does.
#[derive(Args, Debug)]
pub struct RollingArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RollingCommand,
}

/// The subcommands of `rolling`.
#[derive(Subcommand, Debug)]
pub enum RollingCommand {
    /// Restarts one node after another, the leader last, behind a handover
    Restart(RollingRestartArgs),
    /// Lets the daemons of one host after another read their files again
    Reload(RollingReloadArgs),
    /// Stops one node after another, installs a release, and starts it again; the log stays as it is
    Upgrade(RollingUpgradeArgs),
    /// Takes a new generation of keys to all hosts, and with --until seals with it and ends the former one
    Keys(RollingKeysArgs),
}

/// Flags of every subcommand of `rolling`.
#[derive(Args, Debug)]
pub struct RollingFlags {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Only these replicas and archivers: to go on behind a stop
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    pub only: Vec<u32>,
    /// Prints each step and does none; exits 4 where the first one would be refused
    #[arg(long)]
    pub dry_run: bool,
    /// Also where no member may crash: the stream stands still while one restarts
    #[arg(long)]
    pub accept_outage: bool,
    /// How long a command may take
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = config::duration)]
    pub timeout: Duration,
    /// How long a node may take behind it until it is back and all is well
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = config::duration)]
    pub back_within: Duration,
    /// Between two nodes, before the cluster is judged again
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = config::duration)]
    pub pause: Duration,
    /// Prints the result as JSON; what is done meanwhile is on stderr
    #[arg(long)]
    pub json: bool,
}

/// Flags of `rolling restart`.
#[derive(Args, Debug)]
pub struct RollingRestartArgs {
    #[command(flatten)]
    pub flags: RollingFlags,
    /// Restarts a node on its host, with {replica} (its number), {unit} and {host} in it
    #[arg(long, value_name = "CMD", default_value = "systemctl restart {unit}")]
    pub restart: String,
}

/// Flags of `rolling reload`.
#[derive(Args, Debug)]
pub struct RollingReloadArgs {
    #[command(flatten)]
    pub flags: RollingFlags,
    /// Lets the daemons of a host read their files again, with {replica} (a node's number there), {unit} and
    /// {host} in it
    #[arg(long, value_name = "CMD", default_value = "lockstep reload")]
    pub reload: String,
}

/// Flags of `rolling upgrade`.
#[derive(Args, Debug)]
pub struct RollingUpgradeArgs {
    #[command(flatten)]
    pub flags: RollingFlags,
    /// The release that each node is to have afterwards, like 0.3.0
    #[arg(long, value_name = "RELEASE", value_parser = release)]
    pub to: String,
    /// Installs the release on a host, between stop and start, with {release}, {replica}, {unit} and {host}
    /// in it, e.g. 'dpkg -i /root/lockstep_{release}_amd64.deb'
    #[arg(long, value_name = "CMD")]
    pub install: String,
    /// Stops a node on its host
    #[arg(long, value_name = "CMD", default_value = "systemctl stop {unit}")]
    pub stop: String,
    /// Starts it again
    #[arg(long, value_name = "CMD", default_value = "systemctl start {unit}")]
    pub start: String,
}

/// A word that a shell takes as it is.
fn release(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-+._~".contains(&byte);
    if text.is_empty() || text.starts_with('-') || !text.bytes().all(is_plain) {
        return Err("write a release like 0.3.0".to_owned());
    }
    Ok(text.to_owned())
}

impl RollingCommand {
    /// The flags and the work of what is done to processes.
    fn of_processes(&self) -> Result<(&RollingFlags, RollingWork), &RollingKeysArgs> {
        let work = |kind, commands: &[&String], release: Option<&String>| RollingWork {
            kind,
            commands: commands.iter().map(|command| (*command).clone()).collect(),
            release: release.cloned(),
        };
        Ok(match self {
            Self::Restart(args) => (&args.flags, work(RollingKind::Restart, &[&args.restart], None)),
            Self::Reload(args) => (&args.flags, work(RollingKind::Reload, &[&args.reload], None)),
            Self::Upgrade(args) => {
                let commands = [&args.stop, &args.install, &args.start];
                (&args.flags, work(RollingKind::Upgrade, &commands, Some(&args.to)))
            }
            Self::Keys(args) => return Err(args),
        })
    }
}

/// Does the steps, or prints them.
pub fn run(args: &RollingArgs) -> Result<u8, Failure> {
    let (flags, work) = match args.command.of_processes() {
        Ok(of_processes) => of_processes,
        Err(args) => return keys::run(args),
    };
    let hosts = RemoteHosts::new(&flags.remote)?;
    let operator = CommandClient::open(&flags.cluster, flags.timeout)?;
    let cluster = AwaitedCluster::new(operator, Stop::by_signals()?);
    let mut driver = RollingDriver::new(flags, &work, &hosts, cluster);
    let whole = driver.cluster.well().map(|(health, _)| health).map_err(Failure::from);
    let (leader, asked) = driver.cluster.seen()?;
    let plan = RollingPlan::new(&work, of_members(asked, Some(&leader)), &leader, &hosts, &flags.only)
        .map_err(|why| Failure::new(USAGE, why))?;
    let whole = whole.and_then(|health| {
        let stands = work.kind != RollingKind::Reload && health.may_crash() == 0 && !flags.accept_outage;
        if stands {
            let what = format!(
                "no member of {} may crash: the stream stands still while one restarts; --accept-outage accepts that",
                health.listed
            );
            return Err(Failure::new(NOT_READY, what));
        }
        Ok(health)
    });
    let outcome = match (&whole, flags.dry_run) {
        (_, true) => {
            driver.say(&plan.text(&work, &leader))?;
            if flags.json {
                let steps: Vec<_> = plan.steps.iter().map(|step| step.name()).collect();
                let result = json!({ "schema": SCHEMA, "kind": work.kind.name(), "result": "planned", "steps": steps });
                writeln!(std::io::stdout(), "{result}")?;
            }
            return whole.map(|_| 0).map_err(|why| not_begun(&work, &why));
        }
        (Err(_), false) => Ok(()),
        (Ok(health), false) => {
            driver.say(&format!("{health}\n"))?;
            driver.all(&plan, &leader)
        }
    };
    let failure = match whole {
        Err(why) => Some(not_begun(&work, &why)),
        Ok(_) => outcome.err().map(|why| driver.stopped(&plan, &why)),
    };
    if flags.json {
        let reason = failure.as_ref().map(Failure::to_string);
        writeln!(std::io::stdout(), "{}", driver.json(&plan, reason))?;
    }
    match failure {
        Some(failure) => Err(failure),
        None => driver.end(&plan).map(|()| 0),
    }
}

/// Nothing was touched.
fn not_begun(work: &RollingWork, why: &Failure) -> Failure {
    let what = format!(
        "the {} does not begin, and no node was touched: {why}; `lockstep why` shows what mends that",
        work.kind.name()
    );
    Failure::new(why.code(), what)
}
