//! `lockstep restore`: a backup becomes the beginning of a new history, on one replica. The others join it.
//!
//! It is `recover --accept-loss` on a backup: one founder, under a new identity. So no replica votes with an
//! older state, and no reader takes the new stream for the former one.

use crate::cli::store::recover::report_founding;
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{self, NodeConfig};
use lockstep_operations::acting;
use lockstep_operations::backup::{RestoreOrder, restore};
use std::path::PathBuf;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.restore/1";

/// Flags of `restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What `lockstep backup --to` made: its folder or file
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The replica that founds the history; it has no journal, or its journal was moved away
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA")]
    pub replica: u32,
    /// How long to look for a leader before a history is founded
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Founds the history, and prints it.
pub fn run(args: &RestoreArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    acting::not_as_root(&config)?;
    let settings = config.node(args.replica)?;
    let order =
        RestoreOrder { backup: &args.backup, config: &config, settings: &settings, timeout: args.timeout };
    let founded = restore(&order, &mut |notice| eprintln!("{notice}"))?;
    report_founding(args.json, SCHEMA, &founded)
}
