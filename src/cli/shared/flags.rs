//! Arguments of every command that asks the replicas.

use clap::Args;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use std::time::Duration;

/// Flags of every command that asks the replicas.
#[derive(Args, Debug)]
pub struct OperatorArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How long to wait until it is done; then exits 4
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
