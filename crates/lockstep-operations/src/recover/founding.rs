//! A history is founded: who may, what is asked before, and what came of it.

use crate::OperationError;
use lockstep_client::Endpoint;
use lockstep_client::internal::QueryClient;
use lockstep_config::{Config, Role as Part};
use lockstep_core::engine::event::Role;
use lockstep_node::NodeSettings;
use lockstep_replica::journal::Superblock;
use lockstep_wire::{Identity, Seq};
use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

/// What the operator should know while a history is founded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FoundingNotice {
    /// No replica could be asked whether it leads, and why.
    NotAsked(String),
    /// Replicas that do not answer, and whose journals are not on this host: number and address.
    Silent(Vec<(u32, SocketAddrV4)>),
}

impl fmt::Display for FoundingNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked(why) => write!(f, "no replica could be asked whether it leads: {why}"),
            Self::Silent(replicas) => {
                let names: Vec<_> =
                    replicas.iter().map(|(number, address)| format!("{number} ({address})")).collect();
                write!(
                    f,
                    "replicas that do not answer, and whose journals are not on this host: {}. Make sure that on none of them a \
                     history was founded (`lockstep recover` there shows it): two founders serve two streams",
                    names.join(", ")
                )
            }
        }
    }
}

/// A history that was founded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founded {
    /// The replica that founded it.
    pub replica: u32,
    /// Where that answers.
    pub address: SocketAddrV4,
    /// The identity that it drew: the only member.
    pub identity: Identity,
    /// The history.
    pub history: u64,
    /// Where it begins.
    pub seq: Seq,
    /// The history on which it was founded.
    pub ancestor: u64,
    /// What of that it lacks, in words.
    pub missing: String,
}

impl Founded {
    pub(crate) fn new(
        settings: &NodeSettings,
        superblock: &Superblock,
        ancestor: u64,
        missing: String,
    ) -> Self {
        Self {
            replica: settings.replica,
            address: settings.unicast,
            identity: superblock.identity,
            history: superblock.history,
            seq: superblock.high_next,
            ancestor,
            missing,
        }
    }
}

/// Whether this node may found a history: an archiver and a witness never lead.
///
/// # Errors
/// It may not.
pub fn check_founder(config: &Config, settings: &NodeSettings) -> Result<(), OperationError> {
    if settings.is_archiver {
        return Err(OperationError::refused(
            "an archiver never votes, and founds nothing: on a replica's host give --replica N --from DIR, \
             where DIR is a copy of the archiver's journal",
        ));
    }
    if config.replica(settings.replica)?.role == Part::Witness {
        return Err(OperationError::refused(format_args!(
            "replica {} is a witness and never leads: recover on a full one (--from DIR takes a copy of this journal)",
            settings.replica
        )));
    }
    Ok(())
}

/// Looks for a leader: where somebody leads, nothing is lost.
///
/// # Errors
/// Somebody leads.
pub fn has_no_leader(
    config: &Config,
    timeout: Duration,
    on_notice: &mut dyn FnMut(FoundingNotice),
) -> Result<(), OperationError> {
    let addresses: Vec<_> = config.replicas.iter().map(|replica| replica.unicast).collect();
    let mut questioner = match QueryClient::open(&Endpoint::from_config(config)?) {
        Ok(questioner) => questioner,
        Err(error) => {
            on_notice(FoundingNotice::NotAsked(error.to_string()));
            return Ok(());
        }
    };
    let statuses = questioner.statuses(&addresses, timeout);
    match statuses.iter().flatten().find(|status| status.role == Role::Leader) {
        None => Ok(()),
        Some(leader) => Err(OperationError::refused(format_args!(
            "{} leads at {}: the stream has a quorum, and a second history would split its readers; \
             `lockstep status` shows the problem, and a lost member is replaced with `membership \
             remove` and `add`",
            leader.identity, leader.address
        ))),
    }
}
