//! A backup becomes the beginning of a new history, on one replica. The others join it.
//!
//! It is a founding on a backup: one founder, under a new identity. So no replica votes with an older state,
//! and no reader takes the new stream for the former one.

use super::verify::verified;
use crate::OperationError;
use crate::recover::{Founded, FoundingNotice, check_founder, has_no_leader};
use lockstep_config::Config;
use lockstep_node::{CopiedLog, NodeSettings, found_history_on_copy};
use lockstep_wire::Epoch;
use std::path::Path;
use std::time::Duration;

/// A history that is to begin with a backup.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOrder<'a> {
    /// The backup: its folder or file.
    pub backup: &'a Path,
    /// The cluster's file.
    pub config: &'a Config,
    /// The replica that founds the history; it has no journal.
    pub settings: &'a NodeSettings,
    /// How long to look for a leader.
    pub timeout: Duration,
}

/// Founds the history.
///
/// # Errors
/// This node may found none, the backup is damaged or another cluster's, somebody leads, the replica has a
/// journal, or files fail.
pub fn restore(
    order: &RestoreOrder<'_>,
    on_notice: &mut dyn FnMut(FoundingNotice),
) -> Result<Founded, OperationError> {
    let RestoreOrder { backup, config, settings, timeout } = *order;
    check_founder(config, settings)?;
    let view = verified(backup)?;
    let manifest = view.manifest.clone();
    if manifest.cluster != settings.keys.cluster() {
        return Err(OperationError::refused(format_args!(
            "{} is a backup of cluster {:#x}, this is {:#x}: restore with the cluster's own file and keys",
            backup.display(),
            manifest.cluster,
            settings.keys.cluster()
        )));
    }
    let owner = manifest.source.parse().map_err(|_| {
        OperationError::refused(format_args!("the backup's source '{}' is no identity", manifest.source))
    })?;
    has_no_leader(config, timeout, on_notice)?;
    let log = CopiedLog { history: manifest.history, promised: Epoch(manifest.promised), owner };
    let superblock = found_history_on_copy(settings, &log, |dir| view.write_into(dir))?;
    if superblock.high_next != manifest.next {
        return Err(OperationError::refused(format_args!(
            "a restore that was ended has founded history {:016x} at seq {} on replica {} already, on another backup: \
             start its sequencer, or move its journal away and restore again",
            superblock.history, superblock.high_next, settings.replica
        )));
    }
    let missing = format!("whatever was committed above seq {}, behind the backup", manifest.next - 1);
    Ok(Founded::new(settings, &superblock, manifest.history, missing))
}
