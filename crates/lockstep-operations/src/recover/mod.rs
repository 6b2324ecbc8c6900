//! A way out of a lost quorum: what a journal still holds, which of several holds most, and a new history on
//! it.
//!
//! ```text
//!  each host: look ─▶ holdings ─▶ compare ─▶ the one that holds most
//!                                            └ there: found ─▶ a new history
//! ```

mod compare;
mod founding;
mod journal_report;
mod others;

pub use compare::{Comparison, compare};
pub use founding::{Founded, FoundingNotice, check_founder, has_no_leader};
pub use journal_report::{AncestorRow, JournalHoldings, SCHEMA};

use crate::OperationError;
use lockstep_config::Config;
use lockstep_node::NodeSettings;
use std::path::Path;
use std::time::Duration;

/// What the journal of this node holds, or the one in `from`. No process may have it open; nothing is
/// changed.
///
/// # Errors
/// There is no journal, it is another cluster's, or it cannot be read.
pub fn look(settings: &NodeSettings, from: Option<&Path>) -> Result<JournalHoldings, OperationError> {
    let (survey, dir) = match from {
        Some(from) => (lockstep_node::survey_at(from)?, from),
        None => (lockstep_node::survey(settings)?, settings.journal.as_path()),
    };
    let holdings = JournalHoldings::of(&survey, dir);
    if holdings.cluster != settings.keys.cluster() {
        return Err(OperationError::refused(format_args!(
            "{} is a journal of cluster {:#x}, this is {:#x}: give the right directory",
            holdings.journal,
            holdings.cluster,
            settings.keys.cluster()
        )));
    }
    Ok(holdings)
}

/// A history that an operator wants to found on what a journal holds.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryOrder<'a> {
    /// The cluster's file.
    pub config: &'a Config,
    /// The replica that founds it.
    pub settings: &'a NodeSettings,
    /// The journal of which it gets a copy; its own without.
    pub from: Option<&'a Path>,
    /// What [`look`] has seen of that journal.
    pub holdings: &'a JournalHoldings,
    /// How long to look for a leader, and for other founders.
    pub timeout: Duration,
}

/// Founds the history, by the operator's word. What the journal lacks is lost for good.
///
/// # Errors
/// This node may found none, the journal holds nothing, somebody leads, another has founded one, or the files
/// fail.
pub fn found(
    order: &RecoveryOrder<'_>,
    on_notice: &mut dyn FnMut(FoundingNotice),
) -> Result<Founded, OperationError> {
    let RecoveryOrder { config, settings, from, holdings, timeout } = *order;
    check_founder(config, settings)?;
    if holdings.is_blank() {
        return Err(OperationError::refused(format_args!(
            "{} holds nothing: `format` and `bootstrap` begin a history from nothing",
            holdings.journal
        )));
    }
    has_no_leader(config, timeout, on_notice)?;
    others::found_nothing(config, settings, holdings, timeout, on_notice)?;
    let superblock = lockstep_node::found_history(settings, from)?;
    if from.is_some() && superblock.high_next != holdings.next {
        return Err(OperationError::refused(format_args!(
            "a recovery that was ended has founded history {:016x} at seq {} on replica {} already, on another journal: \
             start its sequencer, or move its journal away and recover again",
            superblock.history, superblock.high_next, settings.replica
        )));
    }
    Ok(Founded::new(settings, &superblock, holdings.history, holdings.missing()))
}
