//! `lockstep health`: one look at the cluster for a monitor.
//!
//! ```text
//!  answers of all nodes ─▶ conditions, lags, spare members, keys ─▶ grade ─▶ text, Nagios, JSON
//! ```
//!
//! Its exit codes are those of Nagios plugins (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN), and not those of the
//! other commands: a monitor runs many programs and knows one table.

mod output;
pub mod set;

use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::failure::USAGE;
use lockstep_io::clock::DAY_NS;
use lockstep_operations::health::{HealthGrade, HealthQuery, HealthReport, HealthThresholds, examine};
pub use output::{HealthFormat, write};
use std::time::Duration;

const EXIT_CODES: &str = "Exit codes are a Nagios plugin's, and differ from those of the other commands:
  0  OK
  1  WARNING: the stream continues with a problem
  2  CRITICAL: no leader, no quorum, no history, no answer, or the stream is in danger
  3  UNKNOWN: wrong usage, configuration or keys; nothing is known of the cluster";

/// Flags of `health`.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct HealthArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How long to look for a leader; a takeover lasts some milliseconds
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = config::duration)]
    pub timeout: Duration,
    /// How the result is printed
    #[arg(long, value_name = "WORD", value_enum, default_value = "text")]
    pub format: HealthFormat,
    /// Grades this replica or archiver alone, instead of the cluster
    #[arg(long, value_name = "N")]
    pub replica: Option<u32>,
    /// WARNING for a member or archiver that lacks more entries than this
    #[arg(long, value_name = "ENTRIES", default_value_t = 10_000)]
    pub lag_warn: u64,
    /// CRITICAL for a member or archiver that lacks more entries than this
    #[arg(long, value_name = "ENTRIES", default_value_t = 1_000_000)]
    pub lag_crit: u64,
    /// WARNING where fewer members than this may crash; by default as many as may when all are there
    #[arg(long, value_name = "MEMBERS")]
    pub spare_warn: Option<u8>,
    /// CRITICAL where fewer members than this may crash; without a quorum it always is
    #[arg(long, value_name = "MEMBERS", default_value_t = 0)]
    pub spare_crit: u8,
    /// WARNING from this time before the keys of this host are to be replaced, in whole days
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = config::duration)]
    pub key_expiry_warn: Duration,
}

/// Prints the result of one look, and exits with its grade.
pub fn run(args: &HealthArgs) -> Result<u8, Failure> {
    let report = thresholds(args).and_then(|thresholds| {
        let query = HealthQuery { replica: args.replica, timeout: args.timeout, thresholds };
        examine(&args.cluster, &query)
    });
    let report = report.unwrap_or_else(|failure| HealthReport::unknown(&failure.lines().join("\n")));
    let written = output::write(&mut std::io::stdout(), args.format, &report);
    written.map_err(|error| Failure::new(HealthGrade::Unknown as u8, Failure::from(error)))?;
    Ok(report.grade as u8)
}

/// The command line is wrong: a monitor reads stdout and the exit code, people read stderr.
pub fn refuse_usage(error: &clap::Error) -> u8 {
    let text = error.to_string();
    let report = HealthReport::unknown(text.lines().next().unwrap_or_default());
    let _ = error.print(); // nobody reads it
    let _ = output::write(&mut std::io::stdout(), HealthFormat::Text, &report); // nor this
    report.grade as u8
}

fn thresholds(args: &HealthArgs) -> Result<HealthThresholds, Failure> {
    if args.lag_crit < args.lag_warn {
        let what = format!("--lag-crit {} is below --lag-warn {}", args.lag_crit, args.lag_warn);
        return Err(Failure::new(USAGE, what));
    }
    Ok(HealthThresholds {
        lag_warn: args.lag_warn,
        lag_crit: args.lag_crit,
        spare_warn: args.spare_warn.map(i64::from),
        spare_crit: i64::from(args.spare_crit),
        key_days: (args.key_expiry_warn.as_nanos() / u128::from(DAY_NS)) as i64,
    })
}
