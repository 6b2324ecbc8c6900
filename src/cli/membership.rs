//! `lockstep membership`: who votes; and one joins, one leaves, or one takes the place of its former life.
//!
//! A change is an entry of the stream: it is submitted like a message, to whoever leads, again until the
//! status shows it committed. What the leader knows better than we do, it tells in its status.

use super::Failure;
use super::args::{
    MembershipAddArgs, MembershipArgs, MembershipCommand, MembershipRemoveArgs, MembershipReplaceArgs,
    OperatorArgs,
};
use super::failure::{FAILED, NOT_READY, USAGE};
use super::operator::{CommandClient, describe};
use lockstep_client::internal::{ListedMember, NodeStatus, leader_of};
use lockstep_wire::{Change, CommandReject, Condition, Identity, MEMBERS_MAX, MemberBody};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddrV4;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.membership/1";

/// A node that has another history than the cluster, and has read nothing for so long, goes on in none.
const ELSEWHERE_MAX: Duration = Duration::from_secs(3);

/// Shows or changes the membership.
pub fn run(args: &MembershipArgs) -> Result<u8, Failure> {
    match &args.command {
        MembershipCommand::Show(args) => show(args),
        MembershipCommand::Add(args) => add(args),
        MembershipCommand::Remove(args) => remove(args),
        MembershipCommand::Replace(args) => replace(args),
    }
}

fn show(args: &OperatorArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.cluster, args.timeout)?;
    let leader = operator.leader()?;
    print(args.json, &leader)
}

fn add(args: &MembershipAddArgs) -> Result<u8, Failure> {
    let identity = args.identity;
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    if operator.nodes.archivers.contains(&identity.replica) {
        let what = format!(
            "{identity} is not added: {} is an archiver's number, and an archiver is never a member; `format` a replica \
             with a number of its own",
            identity.replica
        );
        return Err(Failure::new(USAGE, what));
    }
    let address = args.address.or_else(|| operator.nodes.address_of(identity.replica)).ok_or_else(|| {
        let what = format!(
            "{identity} is not added: the file has no replica {}, so its address is unknown; write it into \
             the file, or give --address IP:PORT",
            identity.replica
        );
        Failure::new(USAGE, what)
    })?;
    let member = match args.witness || operator.is_witness(identity.replica) {
        true => MemberBody::witness(identity, address),
        false => MemberBody::full(identity, address),
    };
    let leader = operator.leader()?;
    if leader.lists(identity) {
        return Err(unchanged(&format!("{identity} is a member already")));
    }
    judge_addition(&leader, identity)?;
    catch_up(&mut operator, identity, address, &leader)?;
    let leader = change(&mut operator, Change::Add, member)?;
    let (members, survives) = (leader.members.len(), tolerates(leader.members.len()));
    eprintln!("{identity} is a member now; of {members} members {survives} may crash");
    print(args.operator.json, &leader)
}

/// In one step: there is no moment with a member less.
fn replace(args: &MembershipReplaceArgs) -> Result<u8, Failure> {
    let (old, new) = (args.old, args.new);
    let refused = |why: String| Failure::new(USAGE, format!("{old} is not replaced by {new}: {why}"));
    if old.replica != new.replica {
        let why = "they are two replicas, and one step replaces one life of a replica by its next one; for two replicas \
                   `membership add` one, then `membership remove` the other";
        return Err(refused(why.to_owned()));
    }
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
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
    let Some(address) = args.address.or_else(|| member.address()) else {
        return Err(refused("its address is unknown: give --address IP:PORT".into()));
    };
    let heir = member.succeeded_by(new, address);
    catch_up(&mut operator, new, address, &leader)?;
    let leader = change(&mut operator, Change::Replace, heir)?;
    eprintln!("{new} is a member in the place of {old}; never start {old} again");
    print(args.operator.json, &leader)
}

/// A command that found everything as it was to become: whoever gave it believed something else.
fn unchanged(why: &str) -> Failure {
    Failure::new(FAILED, format!("nothing was changed: {why}"))
}

/// What would be denied anyway is said before anybody waits for the new node.
fn judge_addition(leader: &NodeStatus, identity: Identity) -> Result<(), Failure> {
    let denied = match () {
        () if leader.member(identity.replica).is_some() => CommandReject::ReplicaListed,
        () if leader.members.len() >= MEMBERS_MAX => CommandReject::Full,
        () => return Ok(()),
    };
    Err(Failure::new(USAGE, format!("{identity} is not added: {}", describe(denied, identity))))
}

/// A new member votes at once: it is added when it holds what the cluster had committed when we asked.
fn catch_up(
    operator: &mut CommandClient,
    identity: Identity,
    address: SocketAddrV4,
    leader: &NodeStatus,
) -> Result<(), Failure> {
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
            return Err(Failure::new(USAGE, what));
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
            return Err(Failure::new(USAGE, what));
        }
        // Waiting would bring nothing: it says itself what it lacks, and what helps.
        if let Some(gone) = status.conditions(Condition::LogGone) {
            let what = format!("{identity} cannot join: {gone}");
            return Err(Failure::new(NOT_READY, what));
        }
        let is_ready = status.holds_what_is_committed(leader);
        if !is_ready && !is_reported {
            is_reported = true;
            let (has, of) = (status.accept_next - 1, leader.commit_next - 1);
            eprintln!("{identity} catches up: it holds {has} of {of} entries");
        }
        Ok(is_ready.then_some(()))
    })
}

fn remove(args: &MembershipRemoveArgs) -> Result<u8, Failure> {
    let identity = args.identity;
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let leader = operator.leader()?;
    let member = match leader.member(identity.replica).map(|listed| listed.member) {
        Some(member) if member.identity() == identity => member,
        listed => {
            let instead = listed.map_or_else(String::new, |member| {
                format!("; the member of replica {} is {}", identity.replica, member.identity())
            });
            let why = describe(CommandReject::NotListed, identity);
            return Err(Failure::new(USAGE, format!("nothing was removed: {why}{instead}")));
        }
    };
    let leader = change(&mut operator, Change::Remove, member)?;
    let (left, survives) = (leader.members.len(), tolerates(leader.members.len()));
    eprintln!("{left} members are left, {survives} of them may crash");
    print(args.operator.json, &leader)
}

/// Submits the change until the leader shows it committed.
fn change(operator: &mut CommandClient, change: Change, member: MemberBody) -> Result<NodeStatus, Failure> {
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
                return Err(Failure::new(FAILED, format!("{identity} was not {what}: {why}")));
            }
        }
        operator.nodes.client.submit(leader, change, member);
        Ok(None)
    });
    done.map_err(|failure| match last {
        Some(why) => {
            let code = failure.code();
            failure.explained(code, || format!("the leader answers: {}", describe(why, identity)))
        }
        None => failure,
    })
}

/// How many of so many members may crash.
pub fn tolerates(members: usize) -> usize {
    members.saturating_sub(1) / 2
}

fn print(is_json: bool, leader: &NodeStatus) -> Result<u8, Failure> {
    let mut out = std::io::stdout();
    if is_json {
        let members: Vec<_> = leader.members.iter().map(|listed| ListedMember::new(&listed.member)).collect();
        let value = json!({
            "schema": SCHEMA,
            "history": format!("{:016x}", leader.history),
            "membership_seq": leader.membership_seq,
            "committed": leader.is_stable(),
            "members": members,
            "may_crash": tolerates(leader.members.len()),
        });
        writeln!(out, "{value}")?;
        return Ok(0);
    }
    let state = if leader.is_stable() { "committed" } else { "not committed yet" };
    writeln!(out, "membership of seq {}, {state}", leader.membership_seq)?;
    for listed in &leader.members {
        let ListedMember { identity, role, address } = ListedMember::new(&listed.member);
        let leads = if listed.member.identity() == leader.identity { "  leads" } else { "" };
        writeln!(out, "{identity}  {role:<7}  {address}{leads}")?;
    }
    Ok(0)
}
