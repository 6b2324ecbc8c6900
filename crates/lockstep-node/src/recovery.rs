//! Recovery from the loss of a quorum: the content of a journal, and a new history founded on it.

use super::{NodeError, NodeSettings};
use crate::io::journal_files::{self, JournalError, JournalFailure, RecoverySurvey, boot, draw_incarnation};
use lockstep_io::clock::random_u64;
use lockstep_replica::journal::{Founder, Superblock};
use lockstep_wire::{Epoch, Identity, MemberBody};
use std::path::Path;

/// Inspects this node's journal, with its tail. It changes nothing; no process may have the journal open.
///
/// # Errors
/// There is no journal, it is another node's, or it cannot be read.
pub fn survey(settings: &NodeSettings) -> Result<RecoverySurvey, NodeError> {
    let survey = journal_files::survey(&settings.journal, Some(&settings.tail))?;
    let seen = survey.inspected.superblock();
    let refused =
        |what: String| NodeError::Refused(format!("journal {}: {what}", settings.journal.display()));
    if seen.cluster != settings.keys.cluster() {
        return Err(refused(format!(
            "a journal of cluster {:#x}, this is {:#x}",
            seen.cluster,
            settings.keys.cluster()
        )));
    }
    if seen.identity.replica != settings.replica {
        return Err(refused(format!(
            "the journal of {}, this is number {}",
            seen.identity, settings.replica
        )));
    }
    Ok(survey)
}

/// Inspects the journal in `dir` on disk, whichever node's it is.
///
/// # Errors
/// There is no journal, or it cannot be read.
pub fn survey_at(dir: &Path) -> Result<RecoverySurvey, NodeError> {
    Ok(journal_files::survey(dir, None)?)
}

/// Founds a history on this replica's journal, or on a copy of the one in `from`, by the operator's command.
/// The replica is its only member, under an identity that is drawn here; its sequencer then starts as usual.
/// A crash leaves either the old journal or the new one.
///
/// # Errors
/// The journal is in use, another replica's, or empty; with `from`, this replica has one already; or the
/// files fail.
pub fn found_history(settings: &NodeSettings, from: Option<&Path>) -> Result<Superblock, NodeError> {
    let founder = founder(settings)?;
    let config = settings.journal_config();
    Ok(match from {
        None => journal_files::found(&config, &founder),
        Some(from) => journal_files::found_from(&config, from, &founder),
    }?)
}

/// Founds a history on a log that `copy` writes into the folder `segments` of this replica's journal, as
/// [`found_history`] does on a copy of a journal. `log` describes the log and its former owner.
///
/// # Errors
/// Those of `copy`; this replica has a journal already; or the files fail.
pub fn found_history_on_copy<E: From<NodeError>>(
    settings: &NodeSettings,
    log: &CopiedLog,
    copy: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Superblock, E> {
    let founder = founder(settings).map_err(E::from)?;
    let config = settings.journal_config();
    let previous = Superblock {
        history: log.history,
        promised: log.promised,
        ..Superblock::fresh(settings.keys.cluster(), log.owner, founder.boot)
    };
    let founded =
        journal_files::found_on_copy(&config, &previous, &founder, |dir| copy(dir).map_err(CopyPhase::Copy));
    founded.map_err(|failed| match failed {
        CopyPhase::Copy(error) => error,
        CopyPhase::Journal(why) => NodeError::Journal(JournalError { dir: config.dir, why }).into(),
    })
}

/// A log that is copied from another journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopiedLog {
    /// Its history.
    pub history: u64,
    /// The highest epoch that its owner had promised, as far as that is known.
    pub promised: Epoch,
    /// The owner of the journal from which it came.
    pub owner: Identity,
}

/// The phase in which a founding on a copy failed.
enum CopyPhase<E> {
    Copy(E),
    Journal(JournalFailure),
}

impl<E> From<JournalFailure> for CopyPhase<E> {
    fn from(why: JournalFailure) -> Self {
        Self::Journal(why)
    }
}

/// This replica as the founder of a history: its only member, under an identity that is drawn here.
fn founder(settings: &NodeSettings) -> Result<Founder, NodeError> {
    let identity = Identity { replica: settings.replica, incarnation: draw_incarnation()? };
    Ok(Founder {
        history: random_u64()?.max(1),
        member: MemberBody::full(identity, settings.unicast),
        boot: boot()?,
        window: settings.window,
        durability: settings.durability,
        keys: settings.keys.clone(),
    })
}
