//! A replica that cannot prove its journal complete (S9) rejoins without an operator: after a power cut of
//! its host, with a new disk, or with a journal that was rolled back.
//!
//! ```text
//!   start ── not complete ──▶ waits ── REJOIN-1 ──▶ journal laid aside, new identity ──▶ learner
//!              │ ask                                                                       │ caught up
//!              ▼                                                                           ▼
//!            exit 3                          member ◀── Replace, by the leader ◀── asks to replace the dead one
//! ```
//!
//! The change is the same as by an operator's `membership replace`, and stands in the stream as an order of a
//! holder of the replicas' keys.

pub mod overtaken;

use crate::config::{Config, Rejoin, SecurityMode};
use crate::failure::{FAILED, INTEGRITY};
use crate::{Failure, service};
use lockstep_client::Endpoint;
use lockstep_client::internal::{ClusterNodes, MemberStatus, NodeStatus, QueryClient, leader_of};
use lockstep_core::proto::rejoin::{
    DEAD_NS, RejoinEvidence, RejoinRefusal, RejoinWatch, SeenMember, judge_rejoin,
};
use lockstep_io::capabilities;
use lockstep_node::{NodeError, NodeSettings};
use lockstep_wire::{Change, Identity, KeyClass, MemberBody};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How long the nodes may take to answer a look.
const LOOK: Duration = Duration::from_millis(300);
/// The pause after a look.
const PAUSE: Duration = Duration::from_millis(100);
/// The least time between two equal lines of the log.
const AGAIN: Duration = Duration::from_secs(60);
/// An empty folder may be that of a new cluster, which was not formatted by mistake.
const EMPTY_WAIT: Duration = Duration::from_secs(5);

/// Whether a node that does not start for this reason may rejoin by itself. An archiver has no identity to
/// replace, and its journal may be the only one that reaches so far back.
pub fn may_help(config: &Config, settings: &NodeSettings, error: &NodeError) -> bool {
    let is_unproven = error.is_unproven() || error.is_missing() && settings.journal.is_dir();
    is_unproven && by_itself(config, settings)
}

/// Whether rejoining is allowed for this node.
fn by_itself(config: &Config, settings: &NodeSettings) -> bool {
    config.journal.rejoin == Rejoin::Auto && !settings.is_archiver
}

/// Waits until REJOIN-1 allows this replica to give its journal up, and renews it; or until the journal was
/// changed, as by a recovery. Then the node is opened again. Returns false if the process must stop before.
///
/// # Errors
/// The reason why the node did not start, if waiting cannot help.
pub fn begin(
    config: &Config,
    settings: &NodeSettings,
    error: NodeError,
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let is_empty = error.is_missing();
    let why = match &error {
        NodeError::Unproven { why, .. } => why.clone(),
        error => error.to_string(),
    };
    let failed = |because: &str| {
        let code = if is_empty { error.exit_code() } else { INTEGRITY };
        Failure::new(code, format!("{error}; it does not rejoin by itself: {because}"))
    };
    let mut nodes = open(config).map_err(|error| failed(&error.to_string()))?;
    let (begun, found) = (Instant::now(), changed_at(settings));
    let (mut watch, is_proven) = (RejoinWatch::default(), is_proven(config, settings));
    let mut logged: Option<(Instant, String)> = None;
    while !stop.load(Ordering::Acquire) {
        let statuses = nodes.look(LOOK);
        let now = begun.elapsed().as_nanos() as u64;
        let waits_for = match look(&mut watch, now, (settings.replica, is_proven), &statuses) {
            Some(Ok(dead)) => match lockstep_node::renew(settings, dead) {
                Ok(identity) => {
                    tracing::warn!(
                        "{why}; the journal was laid aside as {}/aside, and this replica rejoins as {identity} in \
                         the place of {dead}",
                        settings.journal.display()
                    );
                    return Ok(true);
                }
                Err(error) => error.to_string(),
            },
            Some(Err(refusal)) if !refusal.may_pass() => return Err(failed(&refusal.to_string())),
            Some(Err(refusal)) => refusal.to_string(),
            None => "no leader answers; where a quorum is lost for good, `lockstep recover` on each host shows what its \
                     journal holds"
                .to_owned(),
        };
        if is_empty && begun.elapsed() >= EMPTY_WAIT {
            return Err(failed(&waits_for));
        }
        if changed_at(settings) != found {
            return Ok(true);
        }
        let is_repeated = |(at, text): &(Instant, String)| *text == waits_for && at.elapsed() < AGAIN;
        if !watch.sees_that_it_may() && !logged.as_ref().is_some_and(is_repeated) {
            tracing::warn!("{why}; this replica rejoins by itself once that can be; it waits: {waits_for}");
            logged = Some((Instant::now(), waits_for.clone()));
        }
        service::waits(&format!("rejoins: {waits_for}"));
        std::thread::sleep(PAUSE);
    }
    Ok(false)
}

fn open(config: &Config) -> Result<ClusterNodes, Failure> {
    Ok(ClusterNodes::new(QueryClient::open(&Endpoint::for_node(config)?)?, config))
}

/// When the journal was last changed: a recovery or a restore writes it anew.
fn changed_at(settings: &NodeSettings) -> Option<SystemTime> {
    std::fs::metadata(settings.journal.join("superblock")).and_then(|file| file.modified()).ok()
}

/// Whether the keys of this process are those of a replica; without keys nothing proves its class.
fn is_proven(config: &Config, settings: &NodeSettings) -> bool {
    settings.keys.own() == Some(KeyClass::Replica) || config.security.mode == SecurityMode::None
}

/// The result of REJOIN-1 for a look at all nodes, at `now`; `None` without a leader.
fn look(
    watch: &mut RejoinWatch,
    now: u64,
    (replica, is_proven): (u32, bool),
    statuses: &[Option<NodeStatus>],
) -> Option<Result<Identity, RejoinRefusal>> {
    let Some(leader) = leader_of(statuses) else {
        watch.look(now, None);
        // The other one of two members does not lead without it.
        let is_of_two = |status: &NodeStatus| status.members.len() == 2;
        return statuses.iter().flatten().any(is_of_two).then_some(Err(RejoinRefusal::TwoMembers));
    };
    let members = members_of(leader);
    watch.look(now, Some(&evidence((replica, is_proven), leader, &members)))
}

fn members_of(leader: &NodeStatus) -> Vec<SeenMember> {
    let seen = |listed: &MemberStatus| SeenMember {
        identity: listed.member.identity(),
        silent: listed.last_contact.map(|silent| silent.as_nanos() as u64),
    };
    leader.members.iter().map(seen).collect()
}

fn evidence<'a>(
    (replica, is_proven): (u32, bool),
    leader: &NodeStatus,
    members: &'a [SeenMember],
) -> RejoinEvidence<'a> {
    RejoinEvidence {
        replica,
        is_proven,
        leader: leader.identity,
        members,
        is_stable: leader.is_stable(),
        patience: DEAD_NS,
    }
}

/// If this replica's journal asks to replace a dead identity: a thread asks the leader for that once the node
/// has caught up, until the membership shows it or the process stops.
///
/// # Errors
/// There is no device, or the system starts no thread.
pub fn ask_for_its_place(
    config: &Config,
    settings: &NodeSettings,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    let Some(dead) = lockstep_node::rejoining(settings) else { return Ok(()) };
    let identity = lockstep_node::identity(settings)?;
    let mut nodes = open(config)?;
    let (settings, is_proven) = (settings.clone(), is_proven(config, settings));
    let work = move || {
        let mut denied = None;
        while !stop.load(Ordering::Acquire) {
            let statuses = nodes.look(LOOK);
            let own = statuses.iter().flatten().find(|status| status.identity == identity);
            match next_step((&settings, is_proven), (identity, dead), leader_of(&statuses), own) {
                Step::Wait => {}
                Step::Ask(leader, heir) => {
                    let why =
                        leader.denied.filter(|denial| denial.identity == identity).map(|denial| denial.why);
                    if let Some(why) = why.filter(|why| denied != Some(*why)) {
                        tracing::info!("{identity} is not a member yet in the place of {dead}: {why:?}");
                        denied = Some(why);
                    }
                    nodes.client.submit(leader, Change::Replace, heir);
                }
                Step::Done(what) => {
                    match lockstep_node::rejoined(&settings) {
                        Ok(()) => tracing::info!("{what}"),
                        Err(error) => tracing::warn!("{what}; {error}: each start asks again"),
                    }
                    return;
                }
            }
            std::thread::sleep(PAUSE);
        }
    };
    let builder = std::thread::Builder::new().name("lockstep-rejoin".into());
    let thread = capabilities::spawn(builder, work);
    thread.map(drop).map_err(|error| {
        Failure::new(FAILED, format!("starting the thread that asks for the place of {dead} failed: {error}"))
    })
}

/// The next step.
#[derive(Debug)]
enum Step<'a> {
    Wait,
    /// Asks the leader for the change to this member.
    Ask(&'a NodeStatus, MemberBody),
    /// Nothing is left to ask for; the reason.
    Done(String),
}

fn next_step<'a>(
    (settings, is_proven): (&NodeSettings, bool),
    (identity, dead): (Identity, Identity),
    leader: Option<&'a NodeStatus>,
    own: Option<&NodeStatus>,
) -> Step<'a> {
    let Some(leader) = leader else { return Step::Wait };
    if leader.lists(identity) {
        return if leader.is_stable() {
            Step::Done(format!("{identity} is a member in the place of {dead}"))
        } else {
            Step::Wait
        };
    }
    let listed = leader.member(identity.replica);
    let Some(listed) = listed.filter(|listed| listed.member.identity() == dead) else {
        let instead = listed.map_or("nobody".to_owned(), |listed| listed.member.identity().to_string());
        return if leader.is_stable() {
            Step::Done(format!("{identity} takes no place: {dead} is no longer a member, {instead} is"))
        } else {
            Step::Wait
        };
    };
    // The leader judges that; a change that could not be committed is not requested.
    let members = members_of(leader);
    let seen = evidence((identity.replica, is_proven), leader, &members);
    let has_caught_up = own.is_some_and(|own| own.holds_what_is_committed(leader));
    if !has_caught_up || judge_rejoin(&seen, DEAD_NS) != Ok(dead) {
        return Step::Wait;
    }
    Step::Ask(leader, listed.member.succeeded_by(identity, settings.unicast))
}
