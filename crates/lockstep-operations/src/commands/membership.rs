//! The members change: one joins, one leaves, or one takes the place of its former life.
//!
//! A change is an entry of the stream: it is submitted like a message, to whoever leads, again until the
//! status shows it committed. What the leader knows better than we do, it tells in its status.

use super::{CommandClient, describe};
use crate::OperationError;
use lockstep_client::internal::{NodeStatus, leader_of};
use lockstep_wire::{Change, CommandReject, Condition, Identity, MEMBERS_MAX, MemberBody, Seq};
use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

/// A node that has another history than the cluster, and has read nothing for so long, goes on in none.
const ELSEWHERE_MAX: Duration = Duration::from_secs(3);

/// A member that is to be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberAddition {
    /// What its `format` printed.
    pub identity: Identity,
    /// Where it answers; as the file has its replica without.
    pub address: Option<SocketAddrV4>,
    /// It votes and acknowledges, keeps only a ring, and never leads; as the file has its replica, unless
    /// set.
    pub is_witness: bool,
}

/// A node that is to be a member catches up first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinNotice {
    /// The node.
    pub identity: Identity,
    /// The last seq that it holds, ...
    pub has: Seq,
    /// ... and the last one that it is to hold.
    pub of: Seq,
}

impl fmt::Display for JoinNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, has, of } = self;
        write!(f, "{identity} catches up: it holds {has} of {of} entries")
    }
}

/// Adds an identity, once its node holds the stream: the leader, as it describes itself then.
///
/// # Errors
/// It cannot be a member, does not hold the stream in time, or the leader refuses.
pub fn add_member(
    operator: &mut CommandClient,
    addition: &MemberAddition,
    on_notice: &mut dyn FnMut(JoinNotice),
) -> Result<NodeStatus, OperationError> {
    let MemberAddition { identity, address, is_witness } = *addition;
    if operator.nodes.archivers.contains(&identity.replica) {
        let what = format!(
            "{identity} is not added: {} is an archiver's number, and an archiver is never a member; `format` a replica \
             with a number of its own",
            identity.replica
        );
        return Err(OperationError::refused(what));
    }
    let address = address.or_else(|| operator.nodes.address_of(identity.replica)).ok_or_else(|| {
        let what = format!(
            "{identity} is not added: the file has no replica {}, so its address is unknown; write it into \
             the file, or give --address IP:PORT",
            identity.replica
        );
        OperationError::refused(what)
    })?;
    let member = if is_witness || operator.is_witness(identity.replica) {
        MemberBody::witness(identity, address)
    } else {
        MemberBody::full(identity, address)
    };
    let leader = operator.leader()?;
    if leader.lists(identity) {
        return Err(unchanged(&format!("{identity} is a member already")));
    }
    judge_addition(&leader, identity)?;
    catch_up(operator, identity, address, &leader, on_notice)?;
    change(operator, Change::Add, member)
}

/// Whether both are lives of one replica.
///
/// # Errors
/// They are two replicas.
pub fn check_successor(old: Identity, new: Identity) -> Result<(), OperationError> {
    if old.replica == new.replica {
        return Ok(());
    }
    Err(OperationError::refused(format_args!(
        "{old} is not replaced by {new}: they are two replicas, and one step replaces one life of a replica by its next \
         one; for two replicas `membership add` one, then `membership remove` the other"
    )))
}

/// Puts the next life of a replica, `new`, into the place of `old`, in one step: there is no moment with a
/// member less. It answers at `address`, or where `old` did.
///
/// # Errors
/// They are not two lives of one replica, `new` does not hold the stream in time, or the leader refuses.
pub fn replace_member(
    operator: &mut CommandClient,
    (old, new): (Identity, Identity),
    address: Option<SocketAddrV4>,
    on_notice: &mut dyn FnMut(JoinNotice),
) -> Result<NodeStatus, OperationError> {
    check_successor(old, new)?;
    let refused = |why: String| OperationError::Refused(format!("{old} is not replaced by {new}: {why}"));
    let leader = operator.leader()?;
    if leader.lists(new) && old != new {
        return Err(unchanged(&format!("{new} is a member already, and {old} is not")));
    }
    let listed = leader.member(old.replica).map(|listed| listed.member);
    let member = match listed {
        _ if old == new => {
            return Err(refused("they are one identity; give what `format` printed last".into()));
        }
        Some(member) if member.identity() == old => member,
        Some(member) => {
            return Err(refused(format!("the member of replica {} is {}", old.replica, member.identity())));
        }
        None => return Err(refused(describe(CommandReject::NotListed, old))),
    };
    let denied = match () {
        () if leader.identity == old => Some(CommandReject::Leads),
        () if leader.members.len() == 2 => Some(CommandReject::TwoMembers),
        () => None,
    };
    if let Some(why) = denied {
        return Err(refused(describe(why, if why == CommandReject::TwoMembers { new } else { old })));
    }
    let Some(address) = address.or_else(|| member.address()) else {
        return Err(refused("its address is unknown: give --address IP:PORT".into()));
    };
    let heir = member.succeeded_by(new, address);
    catch_up(operator, new, address, &leader, on_notice)?;
    change(operator, Change::Replace, heir)
}

/// A command that found everything as it was to become: whoever gave it believed something else.
fn unchanged(why: &str) -> OperationError {
    OperationError::failed(format!("nothing was changed: {why}"))
}

/// What would be denied anyway is said before anybody waits for the new node.
fn judge_addition(leader: &NodeStatus, identity: Identity) -> Result<(), OperationError> {
    let denied = match () {
        () if leader.member(identity.replica).is_some() => CommandReject::ReplicaListed,
        () if leader.members.len() >= MEMBERS_MAX => CommandReject::Full,
        () => return Ok(()),
    };
    Err(OperationError::refused(format!("{identity} is not added: {}", describe(denied, identity))))
}

/// A new member votes at once: it is added when it holds what the cluster had committed when we asked.
fn catch_up(
    operator: &mut CommandClient,
    identity: Identity,
    address: SocketAddrV4,
    leader: &NodeStatus,
    on_notice: &mut dyn FnMut(JoinNotice),
) -> Result<(), OperationError> {
    let history = leader.history;
    if !operator.nodes.addresses.contains(&address) {
        operator.nodes.addresses.push(address);
    }
    let place = operator.nodes.addresses.iter().position(|known| *known == address).unwrap_or_default();
    let mut is_reported = false;
    let mut stands = None;
    operator.wait(&format!("{identity} at {address} does not hold the stream"), |operator, statuses| {
        let Some(status) = statuses.get(place).and_then(Option::as_ref) else { return Ok(None) };
        if status.identity != identity {
            let what = format!(
                "{} answers at {address}, not {identity}: give the identity that its `format` printed last, and \
                 its own address",
                status.identity
            );
            return Err(OperationError::refused(what));
        }
        // One that comes from an ancestor of the history reads on, and is in it soon.
        let is_elsewhere = status.history != 0 && status.history != history;
        let elapsed = operator.elapsed();
        let (next, since) = *stands.get_or_insert((status.accept_next, elapsed));
        if next != status.accept_next {
            stands = Some((status.accept_next, elapsed));
        } else if is_elsewhere && elapsed > since + ELSEWHERE_MAX {
            let what = format!(
                "{identity} holds history {:016x}, the cluster {history:016x}: `format` a new journal for it",
                status.history
            );
            return Err(OperationError::refused(what));
        }
        // Waiting would bring nothing: it says itself what it lacks, and what helps.
        if let Some(gone) = status.conditions(Condition::LogGone) {
            let what = format!("{identity} cannot join: {gone}");
            return Err(OperationError::not_ready(what));
        }
        let is_ready = status.holds_what_is_committed(leader);
        if !is_ready && !is_reported {
            is_reported = true;
            on_notice(JoinNotice { identity, has: status.accept_next - 1, of: leader.commit_next - 1 });
        }
        Ok(is_ready.then_some(()))
    })
}

/// Removes an identity: the leader, as it describes itself then.
///
/// # Errors
/// It is no member, or the leader refuses.
pub fn remove_member(operator: &mut CommandClient, identity: Identity) -> Result<NodeStatus, OperationError> {
    let leader = operator.leader()?;
    let member = match leader.member(identity.replica).map(|listed| listed.member) {
        Some(member) if member.identity() == identity => member,
        listed => {
            let instead = listed.map_or_else(String::new, |member| {
                format!("; the member of replica {} is {}", identity.replica, member.identity())
            });
            let why = describe(CommandReject::NotListed, identity);
            return Err(OperationError::refused(format!("nothing was removed: {why}{instead}")));
        }
    };
    change(operator, Change::Remove, member)
}

/// Submits the change until the leader shows it committed.
fn change(
    operator: &mut CommandClient,
    change: Change,
    member: MemberBody,
) -> Result<NodeStatus, OperationError> {
    let (identity, joins) = (member.identity(), change != Change::Remove);
    let what = if joins { "added" } else { "removed" };
    let mut last = None;
    let done = operator.wait(&format!("{identity} was not {what}"), |operator, statuses| {
        let Some(leader) = leader_of(statuses) else { return Ok(None) };
        if leader.lists(identity) == joins {
            return Ok(leader.is_stable().then(|| leader.clone()));
        }
        let denied = leader.denied.filter(|denial| denial.identity == identity);
        if let Some(denial) = denied.filter(|denial| denial.ago < operator.elapsed()) {
            last = Some(denial.why);
            let passes = matches!(
                denial.why,
                CommandReject::Stale
                    | CommandReject::ChangePending
                    | CommandReject::StartPending
                    | CommandReject::TooMany
            );
            if !passes {
                let why = describe(denial.why, identity);
                return Err(OperationError::failed(format!("{identity} was not {what}: {why}")));
            }
        }
        operator.nodes.client.submit(leader, change, member);
        Ok(None)
    });
    done.map_err(|error| match last {
        Some(why) => error.explained(|| format!("the leader answers: {}", describe(why, identity))),
        None => error,
    })
}

/// How many of so many members may crash.
pub fn tolerates(members: usize) -> usize {
    members.saturating_sub(1) / 2
}
