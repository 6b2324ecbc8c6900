//! `lockstep restore`: a backup becomes the beginning of a new history, on one replica. The others join it.
//!
//! It is `recover --accept-loss` on a backup: one founder, under a new identity. So no replica votes with an
//! older state, and no reader takes the new stream for the former one.

use super::Failure;
use super::backup::verified;
use super::failure::USAGE;
use super::recover::{check_founder, has_no_leader, report_founding};
use clap::Args;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{self, NodeConfig};
use lockstep_node::{CopiedLog, found_history_on_copy};
use lockstep_operations::acting;
use lockstep_wire::Epoch;
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
    check_founder(&config, &settings)?;
    let view = verified(&args.backup)?;
    let manifest = view.manifest.clone();
    if manifest.cluster != settings.keys.cluster() {
        let what = format!(
            "{} is a backup of cluster {:#x}, this is {:#x}: restore with the cluster's own file and keys",
            args.backup.display(),
            manifest.cluster,
            settings.keys.cluster()
        );
        return Err(Failure::new(USAGE, what));
    }
    let owner = manifest.source.parse().map_err(|_| {
        Failure::new(USAGE, format!("the backup's source '{}' is no identity", manifest.source))
    })?;
    has_no_leader(&config, args.timeout)?;
    let log = CopiedLog { history: manifest.history, promised: Epoch(manifest.promised), owner };
    let superblock = found_history_on_copy(&settings, &log, |dir| view.write_into(dir))?;
    if superblock.high_next != manifest.next {
        let what = format!(
            "a restore that was ended has founded history {:016x} at seq {} on replica {} already, on another backup: \
             start its sequencer, or move its journal away and restore again",
            superblock.history, superblock.high_next, args.replica
        );
        return Err(Failure::new(USAGE, what));
    }
    let missing = format!("whatever was committed above seq {}, behind the backup", manifest.next - 1);
    report_founding(args.json, SCHEMA, &settings, &superblock, (manifest.history, &missing))
}
