//! A history begins: once in the life of a cluster, on one node.

use crate::OperationError;
use lockstep_client::Endpoint;
use lockstep_client::internal::QueryClient;
use lockstep_config::{Config, Role};
use lockstep_node::NodeSettings;
use lockstep_wire::{Identity, MemberBody, VERSION};
use std::collections::BTreeMap;
use std::time::Duration;

/// A history that is to begin.
#[derive(Clone, Copy, Debug)]
pub struct BootstrapOrder<'a> {
    /// The cluster's file.
    pub config: &'a Config,
    /// The replica on whose journal it begins; its sequencer must not run.
    pub settings: &'a NodeSettings,
    /// What `format` printed for other replicas. Those that are not here are asked, and so must run already.
    pub identities: &'a [Identity],
    /// The version in which the log begins; the newest of this release without.
    pub version: Option<u8>,
    /// How long to ask the others.
    pub timeout: Duration,
}

/// A history that has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bootstrapped {
    /// The history.
    pub history: u64,
    /// Its members.
    pub members: Vec<MemberBody>,
}

/// Begins the history.
///
/// # Errors
/// An identity is wrong, a replica does not answer or has a history already, no replica could lead, or files
/// fail.
pub fn bootstrap(order: &BootstrapOrder<'_>) -> Result<Bootstrapped, OperationError> {
    let BootstrapOrder { config, settings, identities, version, timeout } = *order;
    let mut known = by_replica(config, identities)?;
    let own = lockstep_node::identity(settings)?;
    if let Some(other) = known.insert(settings.replica, own).filter(|other| *other != own) {
        let what = format!(
            "--identity {other} is not what the journal of replica {} in {} says: it is {own}; leave the \
             flag out, as the node itself knows",
            settings.replica,
            settings.journal.display()
        );
        return Err(OperationError::refused(what));
    }
    ask(config, timeout, &mut known)?;
    let members: Vec<MemberBody> = config
        .replicas
        .iter()
        .filter_map(|replica| {
            let identity = *known.get(&replica.id)?;
            Some(match replica.role {
                Role::Full => MemberBody::full(identity, replica.unicast),
                Role::Witness => MemberBody::witness(identity, replica.unicast),
            })
        })
        .collect();
    if members.iter().all(MemberBody::is_witness) {
        let what = "every replica is a witness, and those never lead; write role = \"full\" for one at least";
        return Err(OperationError::refused(what));
    }
    let history = lockstep_node::bootstrap_version(settings, &members, version.unwrap_or(VERSION))?;
    Ok(Bootstrapped { history, members })
}

/// The identities that are known, by replica.
fn by_replica(config: &Config, identities: &[Identity]) -> Result<BTreeMap<u32, Identity>, OperationError> {
    let mut known = BTreeMap::new();
    for &identity in identities {
        config.replica(identity.replica)?;
        if let Some(other) = known.insert(identity.replica, identity) {
            let what = format!(
                "--identity {other} and --identity {identity}: one replica twice; give the \
                 one that its `format` printed last"
            );
            return Err(OperationError::refused(what));
        }
    }
    Ok(known)
}

/// Asks the replicas that are not known yet.
fn ask(
    config: &Config,
    timeout: Duration,
    known: &mut BTreeMap<u32, Identity>,
) -> Result<(), OperationError> {
    let unknown: Vec<_> = config.replicas.iter().filter(|replica| !known.contains_key(&replica.id)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let addresses: Vec<_> = unknown.iter().map(|replica| replica.unicast).collect();
    let answers = QueryClient::open(&Endpoint::for_operator(config)?)?.nodes(&addresses, timeout);
    let mut silent = Vec::new();
    for (replica, answer) in unknown.iter().zip(answers) {
        let (id, address) = (replica.id, replica.unicast);
        let Some(state) = answer else {
            silent.push(format!("{id} ({address})"));
            continue;
        };
        if state.identity.replica != id {
            let what = format!(
                "replica {} answered at {address}, the address of replica {id}: two processes were started \
                 with each other's --replica, or the file differs between machines",
                state.identity.replica
            );
            return Err(OperationError::refused(what));
        }
        if state.history != 0 {
            let what = format!(
                "replica {id} at {address} holds history {:016x} already: a history is started once; if \
                 this node lost its journal, `format` it and let it join later",
                state.history
            );
            return Err(OperationError::refused(what));
        }
        known.insert(id, state.identity);
    }
    if !silent.is_empty() {
        let what = format!(
            "no answer within {:?} from replica {}: start its sequencer, or give --identity as its `format` \
             printed it",
            timeout,
            silent.join(", ")
        );
        return Err(OperationError::not_ready(what));
    }
    Ok(())
}
